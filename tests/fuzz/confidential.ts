import { Secret } from '../../src/bytes/index.ts';

/** So many bytes of a key in a row are too much of it. */
const PART = 16;
type Reading = (written: string) => Uint8Array;

/** What bytes can be written as: hex, base64 of either alphabet, the numbers that JavaScript makes of an array; also close behind a word. */
const WRITTEN: readonly (readonly [RegExp, readonly Reading[]])[] = [
  [/[0-9a-f]{32,}/gi, [0, 1].map((from) => (written) => Buffer.from(written.slice(from), 'hex'))],
  [/[\w+/-]{22,}/g, [0, 1, 2, 3].map((from) => (written) => Buffer.from(written.slice(from), 'base64'))],
  [/(?:\d{1,3}, ?){15,}\d{1,3}/g, [(written) => Uint8Array.from(written.split(','), Number)]],
];

/** What nobody's errors may say: keys, and what people have written. */
export class Confidential {
  readonly #parts = new Set<string>();
  readonly #texts: readonly string[];

  constructor(keys: Iterable<Uint8Array>, texts: readonly string[]) {
    for (const key of keys) for (const part of partsOf(key)) this.#parts.add(part);
    this.#texts = texts;
  }

  /** @returns what `said` gives away of it, or of `input`; undefined when nothing */
  givenAwayBy(said: string, input: Uint8Array = new Uint8Array()): string | undefined {
    if (this.#texts.some((text) => said.includes(text))) return 'a text';
    const parts = readingsOf(said).flatMap(partsOf);
    if (parts.length === 0) return undefined;
    if (parts.some((part) => this.#parts.has(part))) return 'a key';
    const ofInput = new Set(partsOf(input));
    return parts.some((part) => ofInput.has(part)) ? 'what came in' : undefined;
  }
}

/** All that an error tells whoever prints it, but for where it was thrown. */
export function saidBy(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause === undefined ? '' : saidBy(error.cause);
  return [String(error), JSON.stringify(error), cause].join(' ');
}

function partsOf(bytes: Uint8Array): string[] {
  const text = Buffer.from(bytes).toString('latin1');
  return Array.from({ length: Math.max(0, text.length - PART + 1) }, (_, at) => text.slice(at, at + PART));
}

function readingsOf(said: string): Uint8Array[] {
  return WRITTEN.flatMap(([form, readings]) => [...said.matchAll(form)].flatMap(([written]) => readings.map((read) => read(written))));
}

/** Bytes of every secret that is anywhere in `value`. */
export function keysIn(value: unknown, seen = new Set<unknown>()): Uint8Array[] {
  if (typeof value !== 'object' || value === null || value instanceof Uint8Array || seen.has(value)) return [];
  seen.add(value);
  if (value instanceof Secret) return value.wiped ? [] : [value.reveal()];
  const parts: unknown[] = value instanceof Map ? [...(value as Map<unknown, unknown>).values()] : Object.values(value);
  return parts.flatMap((part) => keysIn(part, seen));
}
