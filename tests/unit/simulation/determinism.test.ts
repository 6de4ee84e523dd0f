import { describe, expect, it, vi } from 'vitest';
import { play } from '../../simulation/run.ts';
import { drawSchedule } from '../../simulation/schedule.ts';

vi.setConfig({ testTimeout: 60_000 });

const SHAPE = { people: 3, devices: 2, conversations: 3, minutes: 10 };

describe('a simulation', () => {
  it('has one outcome per seed, to the last event', async () => {
    const first = await play(drawSchedule('same', SHAPE));
    const second = await play(drawSchedule('same', SHAPE));
    const other = await play(drawSchedule('other', SHAPE));
    expect(first.violation).toBeUndefined();
    expect(second).toEqual(first);
    expect(other.digest).not.toBe(first.digest);
  });

  it('leaves the time, the timers and the randomness of the process alone', async () => {
    const before = [globalThis.setTimeout, globalThis.setImmediate, globalThis.crypto, AbortSignal.timeout];
    await play(drawSchedule('tidy', SHAPE));
    expect([globalThis.setTimeout, globalThis.setImmediate, globalThis.crypto, AbortSignal.timeout]).toEqual(before);
  });
});
