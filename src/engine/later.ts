import type { Turn } from './turn.ts';

/** Devices that could all do a thing leave it to the one that began it, and then do not all come in at once. */

/** At least `after` ms from now, at most `spread` more. */
export function later(turn: Turn, after: number, spread: number): number {
  const [a, b] = turn.random(2);
  return turn.now + after + Math.floor(((a! * 256 + b!) / 65_536) * spread);
}

/** First pause after something that may pass by itself, and the longest, ms. */
const FIRST_PAUSE = 2_000;
const LONGEST_PAUSE = 5 * 60_000;

/** ms; after `pause`, which is 0 when there was none. */
export function longerPause(pause: number): number {
  return Math.min(LONGEST_PAUSE, pause === 0 ? FIRST_PAUSE : 2 * pause);
}

/** Longer than any pause that comes of `longerPause` and `later`, ms. */
const LONGEST_REST = LONGEST_PAUSE + 60_000;

/** Whether a pause is on. None is so long that `until` could be farther away than this, unless the clock was set back. */
export function isPaused(now: number, until: number): boolean {
  return now < until && until - now <= LONGEST_REST;
}

/** What one device has begun, the others take up if it has not come to its end this long after, and up to as much again. ms */
export const OTHERS_AFTER = 20_000;

export function othersFrom(turn: Turn): number {
  return later(turn, OTHERS_AFTER, OTHERS_AFTER);
}
