import { equal, Secret, toHex } from '../../src/bytes/index.ts';
import { saidBy, type Confidential } from './confidential.ts';
import { mutate } from './mutate.ts';
import type { Case } from './play.ts';
import type { Target } from './target.ts';

/** Objects and lists that a decoder may make for nothing. */
const FREE = 512;
/** What a byte of input may become: a field of an object, of some 16 names, is the most that one byte gives. */
const PER_BYTE = 64;

/** A mutated input of the target's. @throws Error when the target does what it must not */
export function decoded(target: Target, one: Case, confidential: Confidential): 'taken' | 'refused' {
  const bytes = mutate(target.samples, one.dice);
  one.input = bytes;
  const verdict = judge(target, bytes, confidential);
  if (verdict === 'taken') return verdict;
  if (verdict === undefined) return 'refused';
  throw new Error(verdict);
}

/** What is wrong with how the target takes `bytes`; 'taken' when it takes them rightly. */
export function judge(target: Target, bytes: Uint8Array, confidential: Confidential): string | undefined {
  const given = bytes.slice();
  let value: unknown;
  try {
    value = target.decode(given);
  } catch (error) {
    if (!target.allows(error)) return `threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    const givenAway = confidential.givenAwayBy(saidBy(error), bytes);
    if (givenAway !== undefined) return `gave ${givenAway} away in an error`;
    return equal(given, bytes) ? undefined : 'changed its input, and refused it';
  }
  if (value === undefined) return undefined;
  const weight = weightOf(value);
  if (weight > FREE + PER_BYTE * (bytes.length + target.beside)) return `made ${weight} of ${bytes.length} bytes`;
  if (target.encode !== undefined) {
    const again = target.encode(value as never);
    if (!equal(again, bytes)) return `took what is not canonical; it writes ${toHex(again.subarray(0, 2000))}`;
  }
  return 'taken';
}

/** Bytes, characters and items in a value: what it costs to keep it, about. */
export function weightOf(value: unknown, seen = new Set<unknown>()): number {
  if (typeof value === 'string') return value.length;
  if (typeof value !== 'object' || value === null || seen.has(value)) return 1;
  seen.add(value);
  if (value instanceof Uint8Array) return value.length;
  if (value instanceof Secret) return value.wiped ? 1 : value.reveal().length;
  const parts: unknown[] =
    value instanceof Map ? [...(value as Map<unknown, unknown>)].flat() : Array.isArray(value) ? value : Object.values(value);
  return parts.reduce<number>((sum, part) => sum + weightOf(part, seen), 1);
}
