import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { sleep } from '../../../sw/sleep.ts';

beforeEach(() => {
  vi.useFakeTimers();
});
afterEach(() => {
  vi.useRealTimers();
});

it.each([1_000, 40 * 24 * 60 * 60 * 1000])('a sleep of %i ms does not end at once', async (ms) => {
  const waits = vi.spyOn(globalThis, 'setTimeout');
  const stop = new AbortController();
  void sleep(ms, stop.signal);
  const [[, asked]] = waits.mock.calls as [[unknown, number]];
  // Beyond 2^31 - 1 setTimeout does not wait at all.
  expect(asked).toBeGreaterThanOrEqual(Math.min(ms, 24 * 24 * 60 * 60 * 1000));
  expect(asked).toBeLessThan(2 ** 31);
  stop.abort();
});

it('a sleep ends as soon as it is stopped, before it begins or in between, and leaves no timer behind', async () => {
  const stop = new AbortController();
  const slept = sleep(1_000, stop.signal);
  expect(vi.getTimerCount()).toBe(1);
  stop.abort();
  await slept;
  await sleep(1_000, stop.signal);
  expect(vi.getTimerCount()).toBe(0);
});
