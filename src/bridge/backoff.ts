/** First wait after a lost stream, ms: a server's restart takes about that. */
const FIRST = 1_000;
/** Longest wait, ms: a person who looks at the screen gives up after it. */
const LONGEST = 30_000;

/**
 * How long to wait before the next try, ms: doubling from one second to half a minute, and anything
 * between half of that and all of it, so that a restarted server does not meet everybody at once.
 */
export function backoff(failures: number, random: () => number = Math.random): number {
  return Math.min(LONGEST, FIRST * 2 ** Math.min(failures, 16)) * (0.5 + random() / 2);
}
