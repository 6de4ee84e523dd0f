import { availableParallelism } from 'node:os';
import { describe, expect, it, vi } from 'vitest';
import { FAILED_SEEDS } from '../../simulation/failed-seeds.ts';
import { inParallel, simulate } from '../../simulation/processes.ts';
import { rounds } from '../../support/rounds.ts';

// The world to break (tests/simulation). `npm run soak` writes its figures to docs/soak.md.

vi.setConfig({ testTimeout: 600_000 });

/** Fresh schedules are begun for so long: two minutes are for all of this file. */
const SECONDS = rounds({ test: 90, soak: 300 });
/** Between the first seeds of two processes: more than one of them plays. */
const APART = 10_000;
const LANES = Array.from({ length: availableParallelism() }, (_, lane) => lane);

describe('a world of people, devices, faults and one server', () => {
  it('has one outcome per seed, to the last event, alone or after another', async () => {
    const runs = await Promise.all([simulate(77, 2, '--trace'), simulate(78, 1, '--trace')]);
    const traces = runs.map(({ output }) => output.split('\n').filter((line) => line.startsWith('seed')));
    expect(traces.map(({ length }) => length)).toEqual([2, 1]);
    expect(traces[1]![0]).toEqual(traces[0]![1]);
    expect(traces[0]![0]!.split('trace')[1]).not.toBe(traces[0]![1]!.split('trace')[1]);
  });

  it('breaks nothing in those that have failed before', async () => {
    const failures: string[] = [];
    await inParallel(LANES, async (lane) => {
      const seeds = FAILED_SEEDS.map(({ seed }) => seed).filter((_, index) => index % LANES.length === lane);
      const { figures, output } = await simulate(seeds, 1);
      if (figures.failed !== null) failures.push(output);
    });
    expect(failures).toEqual([]);
  });

  it('breaks nothing in schedules that nobody has seen', async () => {
    const first = Number(process.env['CHORUS_SEED'] ?? Date.now() % 1_000_000_000);
    const failures: string[] = [];
    let played = 0;
    await inParallel(LANES, async (lane) => {
      const { figures, output } = await simulate(first + lane * APART, APART, '--seconds', `${SECONDS}`);
      played += figures.schedules;
      if (figures.failed !== null) failures.push(output);
    });
    console.log(`${played} fresh schedules`);
    expect(failures).toEqual([]);
    expect(played).toBeGreaterThan(LANES.length);
  });
});
