import { concat } from '../../src/bytes/index.ts';

/** Repeatable numbers: a failing case is found again by its seed. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** uint32 (mulberry32, a mixer of 32 bits that is good enough to choose places by). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return (mixed ^ (mixed >>> 14)) >>> 0;
  }

  below(bound: number): number {
    return bound <= 1 ? 0 : this.next() % bound;
  }

  of<Item>(items: readonly Item[]): Item {
    return items[this.below(items.length)]!;
  }
}

/** Values at which counts and lengths change their form or their sign. */
const BOUNDARIES = [0, 1, 2, 3, 0x3f, 0x40, 0x7f, 0x80, 0xbf, 0xc0, 0xfe, 0xff];
/** Length prefixes: longer than anything, not minimal, of the reserved size, and lies of moderate size. */
const LENGTHS = [
  [0xbf, 0xff, 0xff, 0xff],
  [0xff, 0xff, 0xff, 0xff],
  [0x80, 0x00, 0x00, 0x01],
  [0x40, 0x00],
  [0x7f, 0xff],
  [0x80, 0x01, 0x00, 0x00],
  [0x84, 0x00, 0x00, 0x00],
  [0xc0],
  [0x00],
];
/** What one mutation may add, bytes: enough to pass each bound of a vector's count, little enough for a million cases. */
const MOST_ADDED = 2048;

type Mutation = (bytes: Uint8Array, dice: Dice, samples: readonly Uint8Array[]) => Uint8Array;

const changed = (bytes: Uint8Array, change: (copy: Uint8Array) => void): Uint8Array => {
  const copy = bytes.slice();
  if (copy.length > 0) change(copy);
  return copy;
};
const noise = (length: number, dice: Dice): Uint8Array => Uint8Array.from({ length }, () => dice.next() & 0xff);

const MUTATIONS: readonly Mutation[] = [
  // bits
  (bytes, dice) =>
    changed(bytes, (copy) => {
      copy[dice.below(copy.length)]! ^= 1 << dice.below(8);
    }),
  // near the start, where types, versions, counts and lengths are
  (bytes, dice) =>
    changed(bytes, (copy) => {
      copy[dice.below(Math.min(copy.length, 48))] = dice.of(BOUNDARIES);
    }),
  (bytes, dice) =>
    changed(bytes, (copy) => {
      copy[dice.below(copy.length)] = dice.of(BOUNDARIES);
    }),
  // one more or one less, for a length or a count
  (bytes, dice) =>
    changed(bytes, (copy) => {
      copy[dice.below(copy.length)]! += dice.below(2) === 0 ? 1 : -1;
    }),
  // a length that lies
  (bytes, dice) => {
    const length = dice.of(LENGTHS);
    return changed(bytes, (copy) => copy.set(length.slice(0, copy.length), dice.below(Math.max(1, copy.length - length.length + 1))));
  },
  // cut short
  (bytes, dice) => bytes.slice(0, dice.below(bytes.length)),
  // bytes behind it
  (bytes, dice) => concat(bytes, noise(1 + dice.below(16), dice)),
  (bytes, dice) => concat(bytes, new Uint8Array(1 + dice.below(16))),
  // a piece taken out
  (bytes, dice) => {
    const from = dice.below(bytes.length + 1);
    return concat(bytes.subarray(0, from), bytes.subarray(from + 1 + dice.below(64)));
  },
  // a piece put in
  (bytes, dice) => {
    const at = dice.below(bytes.length + 1);
    return concat(bytes.subarray(0, at), noise(1 + dice.below(32), dice), bytes.subarray(at));
  },
  // a piece said again and again
  (bytes, dice) => {
    const [from, length] = [dice.below(bytes.length + 1), 1 + dice.below(96)];
    const piece = bytes.subarray(from, from + length);
    if (piece.length === 0) return bytes.slice();
    const times = 1 + dice.below(Math.max(1, Math.floor(MOST_ADDED / piece.length)));
    return concat(bytes.subarray(0, from), ...Array.from({ length: times }, () => piece), bytes.subarray(from));
  },
  // the front of one valid message and the back of another
  (bytes, dice, samples) => {
    const other = dice.of(samples);
    const cut = dice.below(Math.min(bytes.length, other.length) + 1);
    return concat(bytes.subarray(0, cut), other.subarray(cut));
  },
  (bytes, dice, samples) => {
    const other = dice.of(samples);
    return concat(bytes.subarray(0, dice.below(bytes.length + 1)), other.subarray(dice.below(other.length + 1)));
  },
  // numbers all ones or all zeros
  (bytes, dice) =>
    changed(bytes, (copy) => {
      const from = dice.below(copy.length);
      copy.fill(dice.below(2) === 0 ? 0xff : 0, from, from + dice.of([2, 4, 8, 32]));
    }),
];

/** One to four mutations of one of the samples. */
export function mutate(samples: readonly Uint8Array[], dice: Dice): Uint8Array {
  let bytes = dice.of(samples);
  for (let left = 1 + dice.below(4); left > 0; left--) bytes = dice.of(MUTATIONS)(bytes, dice, samples);
  return bytes;
}
