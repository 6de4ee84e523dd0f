import { describe, expect, it, vi } from 'vitest';
import { playAgain, simulate } from '../../simulation/processes.ts';
import { noFaults } from '../../simulation/faults.ts';
import { Violation } from '../../simulation/judge.ts';
import type { Outcome } from '../../simulation/run.ts';
import type { Happening, Schedule } from '../../simulation/schedule.ts';
import { shrink } from '../../simulation/shrink.ts';

vi.setConfig({ testTimeout: 600_000 });

const CLAIM = 'what holds';
const FIGURES = { events: 0, faults: noFaults(), checks: 0, sealed: 0, texts: 0, sweeps: 0, time: 0 };

function outcome(claim: string | undefined): Outcome {
  return { violation: claim === undefined ? undefined : new Violation(claim, ''), digest: '', lines: [], figures: FIGURES };
}

function scheduleOf(...who: number[]): Schedule {
  const happenings = who.map((number): Happening => ({ do: 'offline', after: 10, who: number }));
  return { seed: '0', people: 2, devices: 1, conversations: 1, minutes: 1, happenings };
}

/** Plays nothing: `breaks` says which claim falls when these people happen, one after the other. */
async function shrunk(breaks: (who: readonly number[]) => string | undefined, length = 30) {
  let played = 0;
  const play = (schedule: Schedule): Promise<Outcome> => {
    played += 1;
    return Promise.resolve(outcome(breaks(whoIn(schedule))));
  };
  const { schedule } = await shrink(scheduleOf(...Array.from({ length }, (_, index) => index)), outcome(CLAIM), play);
  return { schedule, played };
}

const whoIn = ({ happenings }: Schedule): number[] => happenings.flatMap((happening) => ('who' in happening ? [happening.who] : []));

describe('a schedule that fails', () => {
  it('is left with what it needs to fail, each at its own time', async () => {
    const { schedule } = await shrunk((who) => ([3, 4, 17, 29].every((one) => who.includes(one)) ? CLAIM : undefined));
    expect(whoIn(schedule)).toEqual([3, 4, 17, 29]);
    expect(schedule.happenings.map(({ after }) => after)).toEqual([40, 10, 130, 120]);
  });

  it('loses what can only go once something behind it has gone', async () => {
    const { schedule } = await shrunk((who) => {
      const needed = [1, 3, 19, 21].every((one) => who.includes(one));
      return needed && (who.includes(2) || !who.includes(20)) ? CLAIM : undefined;
    });
    expect(whoIn(schedule)).toEqual([1, 3, 19, 21]);
  });

  it('is not left with what breaks another claim', async () => {
    const { schedule } = await shrunk((who) => (who.includes(5) ? CLAIM : who.includes(6) ? 'something else' : undefined));
    expect(whoIn(schedule)).toEqual([5]);
  });

  it('is given up after so many tries', async () => {
    const { schedule, played } = await shrunk((who) => (who.length === 300 ? CLAIM : undefined), 300);
    expect(whoIn(schedule)).toHaveLength(300);
    expect(played).toBeLessThanOrEqual(250);
  });

  it('is printed with few happenings, and breaks the same claim when these are played again', async () => {
    const broken = ['--break', 'residue-rule'];
    const { figures, output } = await simulate(1, 1, ...broken);
    const claim = /^seed 1: ([^:]+): /m;
    expect(figures.failed).toBe(1);
    expect(Number(/^shortest schedule \((\d+)\):$/m.exec(output)?.[1])).toBeLessThanOrEqual(3);
    const printed = /^again: npm run simulate -- --schedule '(.*)'$/m.exec(output)![1]!;
    const again = await playAgain([printed], '--no-shrink', ...broken);
    expect(again.figures).toMatchObject({ schedules: 1, failed: 1 });
    expect(claim.exec(again.output)![1]).toBe(claim.exec(output)![1]);
  });
});
