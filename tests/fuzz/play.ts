import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ROOT } from '../../scripts/build/layout.ts';
import { withinBounds } from './bounds.ts';
import { drawFor, ONLY_CASE, SEED } from './chance.ts';
import { Dice } from './mutate.ts';
import { Watchdog } from './watchdog.ts';

/** One case: chance to choose by, and what it chose, for whoever has to find out why it failed. */
export class Case {
  readonly dice: Dice;
  /** All that is fed to what is attacked. */
  input: unknown;

  constructor(number: number) {
    this.dice = new Dice(SEED + number);
  }
}

/** How long to go on. */
export interface Effort {
  /** Cases that are played however long they take. */
  readonly least: number;
  /** ms that are filled with more of them. */
  readonly time: number;
}

/** Plays one case. @returns a word for how it went. @throws Error when something did what it must not */
export type Attack = (one: Case) => Promise<string> | string;

export interface Played {
  readonly cases: number;
  /** How often which outcome came. */
  readonly outcomes: ReadonlyMap<string, number>;
  /** What is wrong, with how to see it again. */
  readonly wrong: readonly string[];
}

/** Failures of one kind are mostly one: so many are enough to see it. */
const MOST_WRONG = 5;
/** Not Playwright's folder for results, which it empties. */
const FAILURES = join(ROOT, 'fuzz-failures');

let watchdog: Watchdog | undefined;

/** @param order 'in-order' where each case begins with what the one before it left */
export async function play(
  name: string,
  { least, time }: Effort,
  attack: Attack,
  order: 'any-order' | 'in-order' = 'any-order',
): Promise<Played> {
  const outcomes = new Map<string, number>();
  const wrong: string[] = [];
  const first = order === 'any-order' ? (ONLY_CASE ?? 0) : 0;
  const end = performance.now() + time;
  const goesOn = (next: number): boolean => (ONLY_CASE === undefined ? next < least || performance.now() < end : next <= ONLY_CASE);
  watchdog ??= new Watchdog();
  let number = first;
  for (; goesOn(number) && wrong.length < MOST_WRONG; number++) {
    let one = new Case(number);
    watchdog.begins(`${name}: ${again(number)}`);
    try {
      const outcome = await withinBounds(() => {
        drawFor(`${name}/${number}`);
        one = new Case(number);
        return attack(one);
      });
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    } catch (error) {
      wrong.push(told(name, number, one.input, error));
    } finally {
      watchdog.ends();
    }
  }
  return { cases: number - first, outcomes, wrong };
}

/** What went wrong, and where the whole input is; the seed brings back scene and case. */
function told(name: string, number: number, input: unknown, error: unknown): string {
  const file = join(FAILURES, `${name.replace(/[^\w-]+/g, '-')}-${SEED}-${number}.json`);
  mkdirSync(FAILURES, { recursive: true });
  const what = error instanceof Error ? error.stack : String(error);
  writeFileSync(file, JSON.stringify({ name, seed: SEED, case: number, what, input }, written, 1));
  return `${name}: ${what}\ninput in ${file}\n${again(number)}`;
}

const again = (number: number): string => `again: CHORUS_SEED=${SEED} CHORUS_CASE=${number} npx vitest run tests/unit/fuzz`;

function written(_key: string, value: unknown): unknown {
  if (value instanceof Uint8Array) return { base64: Buffer.from(value).toString('base64') };
  if (value instanceof Map) return [...(value as Map<unknown, unknown>)];
  return typeof value === 'bigint' ? String(value) : value;
}
