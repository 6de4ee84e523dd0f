import type { Outcome } from './run.ts';
import type { Happening, Schedule } from './schedule.ts';

/** Schedules that are tried for a shorter one. */
const MOST_TRIES = 250;
/** And for so long, of real time: a test that fails has not ended by its own limit before it has said what failed, ms. */
const LONGEST = 240_000;

export interface Shrunk {
  readonly schedule: Schedule;
  readonly outcome: Outcome;
}

/**
 * The shortest schedule found that breaks the same claim: delta debugging over what happens. What is left
 * keeps its time, so that a race stays one.
 */
export async function shrink(schedule: Schedule, outcome: Outcome, play: (schedule: Schedule) => Promise<Outcome>): Promise<Shrunk> {
  const claim = outcome.violation?.claim;
  let best: Shrunk = { schedule, outcome };
  let tries = 0;
  const deadline = performance.now() + LONGEST;
  const attempt = async (happenings: readonly Happening[]): Promise<boolean> => {
    if (tries >= MOST_TRIES || performance.now() > deadline) return false;
    tries += 1;
    const shorter = { ...schedule, happenings };
    const result = await play(shorter);
    if (result.violation?.claim !== claim) return false;
    best = { schedule: shorter, outcome: result };
    return true;
  };
  for (let size = Math.ceil(schedule.happenings.length / 2); size >= 1;) {
    let removed = false;
    for (let from = 0; from < best.schedule.happenings.length;) {
      if (await attempt(without(best.schedule.happenings, from, size))) removed = true;
      else from += size;
    }
    if (size > 1) size = Math.ceil(size / 2);
    else if (!removed) break;
  }
  return best;
}

/** What follows takes over the time of what is left out. */
export function without(happenings: readonly Happening[], from: number, count: number): Happening[] {
  const gap = happenings.slice(from, from + count).reduce((sum, { after }) => sum + after, 0);
  const rest = happenings
    .slice(from + count)
    .map((happening, index) => (index === 0 ? { ...happening, after: happening.after + gap } : happening));
  return [...happenings.slice(0, from), ...rest];
}
