import { withinBounds } from './bounds.ts';

/** One case. @returns a word for how it went. @throws Error when something did what it must not */
export type Attack = (seed: number) => Promise<string> | string;

export interface Played {
  readonly cases: number;
  /** How often which outcome came. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** What is wrong, named by its seed. */
  readonly wrong: readonly string[];
}

/** Failures of one kind are mostly one: so many are enough to see it. */
const MOST_WRONG = 5;

export async function play(name: string, cases: number, seed: number, attack: Attack): Promise<Played> {
  const outcomes = new Map<string, number>();
  const wrong: string[] = [];
  let number = 0;
  for (; number < cases && wrong.length < MOST_WRONG; number++) {
    const one = seed + number;
    try {
      const outcome = await withinBounds(() => attack(one));
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    } catch (error) {
      wrong.push(`${name}, seed ${one}: ${error instanceof Error ? error.stack : String(error)}`);
    }
  }
  return { cases: number, outcomes, wrong };
}
