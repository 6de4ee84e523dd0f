/** setTimeout counts in 32 bits, and takes a longer time for none. ms */
const LONGEST = 2 ** 31 - 1;

/** Resolves after `ms`, or LONGEST if that is sooner, or as soon as `signal` aborts: the caller looks at the signal anyway. */
export function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const wake = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, Math.min(ms, LONGEST));
    signal.addEventListener('abort', wake);
  });
}
