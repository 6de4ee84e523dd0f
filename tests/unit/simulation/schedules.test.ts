import { availableParallelism } from 'node:os';
import { describe, expect, it, vi } from 'vitest';
import { FAILED_SCHEDULES, FAILED_SEEDS } from '../../simulation/failed-seeds.ts';
import { addFaults, FAULTS, noFaults } from '../../simulation/faults.ts';
import { inParallel, playAgain, simulate, type Ran } from '../../simulation/processes.ts';
import { rounds } from '../../support/rounds.ts';

// The world to break (tests/simulation). `npm run soak` writes its figures to docs/soak.md.

vi.setConfig({ testTimeout: 600_000 });

/** Fresh schedules are begun for so long: two minutes are for all of this file. */
const SECONDS = rounds({ test: 90, soak: 300 });
/** Between the first seeds of two processes: more than one of them plays. */
const APART = 10_000;
const LANES = Array.from({ length: availableParallelism() }, (_, lane) => lane);

/** Seeds in which there is what a run of fresh ones may go without. */
const RARE = [580, 248, 367, 7003];

const befell = noFaults();

/** @returns what fails, in few words: all that was said of it is in the test's output */
function failureOf({ figures, output, failure }: Ran): string[] {
  addFaults(befell, figures.faults);
  if (figures.failed === null) return [];
  console.log(output);
  return [failure ?? output];
}

/** An assertion's message would be cut off, and the seeds are not known to anybody else. */
function throwAny(failures: readonly string[]): void {
  if (failures.length > 0) throw new Error(failures.join('\n'));
}

describe('a world of people, devices, faults and one server', () => {
  it('has one outcome per seed, to the last event, alone or after another', async () => {
    const runs = await Promise.all([simulate(77, 2, '--trace'), simulate(78, 1, '--trace')]);
    const traces = runs.map(({ output }) => output.split('\n').filter((line) => line.startsWith('seed')));
    expect(traces.map(({ length }) => length)).toEqual([2, 1]);
    expect(traces[1]![0]).toEqual(traces[0]![1]);
    expect(traces[0]![0]!.split('trace')[1]).not.toBe(traces[0]![1]!.split('trace')[1]);
  });

  it('breaks nothing in those that have failed before, and in those with what is rare', async () => {
    const failures: string[] = [];
    const seeds = [...FAILED_SEEDS.map(({ seed }) => seed), ...RARE];
    const runs = [
      () => playAgain(FAILED_SCHEDULES.map(({ schedule }) => JSON.stringify(schedule))),
      ...LANES.map(
        (lane) => () =>
          simulate(
            seeds.filter((_, index) => index % LANES.length === lane),
            1,
          ),
      ),
    ];
    await inParallel(runs, async (run) => {
      failures.push(...failureOf(await run()));
    });
    throwAny(failures);
  });

  it('breaks nothing in schedules that nobody has seen', async () => {
    const failures: string[] = [];
    const first = Number(process.env['CHORUS_SEED'] ?? Date.now() % 1_000_000_000);
    let played = 0;
    await inParallel(LANES, async (lane) => {
      const ran = await simulate(first + lane * APART, APART, '--seconds', `${SECONDS}`);
      played += ran.figures.schedules;
      failures.push(...failureOf(ran));
    });
    console.log(`${played} fresh schedules`);
    throwAny(failures);
    expect(played).toBeGreaterThan(LANES.length);
  });

  it('has had everything befall it that is told of it', () => {
    console.log(FAULTS.map((fault) => `${fault} ${befell[fault]}`).join(', '));
    expect(FAULTS.filter((fault) => befell[fault] === 0)).toEqual([]);
  });
});
