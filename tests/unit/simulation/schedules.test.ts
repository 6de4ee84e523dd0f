import { describe, expect, it, vi } from 'vitest';
import { FAILED_SEEDS } from '../../simulation/failed-seeds.ts';
import { inParallel, simulate } from '../../simulation/processes.ts';
import { rounds } from '../../support/rounds.ts';

// The world to break (tests/simulation). `npm run soak` writes its figures to docs/soak.md.

vi.setConfig({ testTimeout: 600_000 });

/** Schedules begun per process while there is time. */
const BATCH = 5;
const SECONDS = rounds({ test: 60, soak: 300 });

describe('a world of people, devices, faults and one server', () => {
  it('has one outcome per seed, to the last event', async () => {
    const runs = [await simulate(77, 2, '--trace'), await simulate(77, 2, '--trace')];
    const traces = runs.map(({ output }) => output.split('\n').filter((line) => line.startsWith('seed')));
    expect(traces[0]).toHaveLength(2);
    expect(traces[1]).toEqual(traces[0]);
    expect(traces[0]![0]!.split('trace')[1]).not.toBe(traces[0]![1]!.split('trace')[1]);
  });

  it('breaks nothing in schedules that nobody has seen', async () => {
    const first = Number(process.env['CHORUS_SEED'] ?? Date.now() % 1_000_000_000);
    const until = Date.now() + SECONDS * 1000;
    const failures: string[] = [];
    let played = 0;
    await inParallel([0, 1], async (lane) => {
      for (let batch = 0; Date.now() < until && failures.length === 0; batch += 1) {
        const { figures, output } = await simulate(first + (2 * batch + lane) * BATCH, BATCH);
        played += figures.schedules;
        if (figures.failed !== null) failures.push(output);
      }
    });
    expect(failures).toEqual([]);
    expect(played).toBeGreaterThanOrEqual(BATCH);
  });

  it('breaks nothing in those that have failed before', async () => {
    const failures: string[] = [];
    await inParallel(FAILED_SEEDS, async ({ seed }) => {
      const { figures, output } = await simulate(seed, 1);
      if (figures.failed !== null) failures.push(output);
    });
    expect(failures).toEqual([]);
  });
});
