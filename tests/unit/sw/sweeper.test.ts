import { describe, expect, it } from 'vitest';
import { Sweeper } from '../../../sw/sweeper.ts';

const MINUTE = 60_000;

/** A store whose last sweep was at time 0. */
function world() {
  const calls: string[] = [];
  let time = 0;
  let status = { at: 0, due: true };
  let finish: (() => void) | undefined;
  const pauses: { readonly ms: number; readonly over: () => void }[] = [];
  const sweeper = new Sweeper({
    store: {
      tidy: async () => void calls.push('tidy'),
      sweepStatus: async () => {
        calls.push('look');
        return status;
      },
      setLock: async () => void calls.push('lock'),
      sweep: async () => {
        calls.push('sweep');
        await new Promise<void>((resolve) => (finish = resolve));
        status = { at: time, due: false };
      },
    },
    exclusive: (task) => task(),
    now: () => time,
    pause: (ms) => new Promise((over) => pauses.push({ ms, over })),
  });
  return {
    sweeper,
    calls,
    pauses,
    at: (minutes: number) => (time = minutes * MINUTE),
    delete: () => (status = { ...status, due: true }),
    finish: () => finish?.(),
  };
}

const settled = async (): Promise<void> => {
  for (let i = 0; i < 20; i++) await Promise.resolve();
};

describe('the worker sweeps', () => {
  it('five minutes after the last sweep, once something was deleted, whichever event wakes it', async () => {
    const { sweeper, calls, at, finish, ...rest } = world();
    await sweeper.whenDue();
    at(4);
    await sweeper.whenDue();
    expect(calls).toEqual(['tidy', 'look', 'look']);
    at(5);
    const swept = sweeper.whenDue();
    while (!calls.includes('sweep')) await Promise.resolve();
    finish();
    await swept;
    at(60);
    await sweeper.whenDue();
    expect(calls.filter((call) => call === 'sweep')).toHaveLength(1);
    rest.delete();
    at(61);
    void sweeper.whenDue();
    while (calls.filter((call) => call === 'sweep').length < 2) await Promise.resolve();
  });

  it('though the clock was set back far', async () => {
    const { sweeper, calls, at } = world();
    at(-1_000);
    void sweeper.whenDue();
    await settled();
    expect(calls).toEqual(['tidy', 'look', 'sweep']);
  });

  it('clears away at its start what an earlier one has left, once', async () => {
    const { sweeper, calls, at } = world();
    for (const minutes of [0, 1, 2]) {
      at(minutes);
      await sweeper.whenDue();
    }
    expect(calls.filter((call) => call === 'tidy')).toHaveLength(1);
  });

  it('asks the store seldom, however many events there are', async () => {
    const { sweeper, calls } = world();
    for (let i = 0; i < 100; i++) await sweeper.whenDue();
    expect(calls).toEqual(['tidy', 'look']);
  });

  it('once at a time: a second caller waits for the first sweep', async () => {
    const { sweeper, calls, finish } = world();
    const both = Promise.all([sweeper.sweep(), sweeper.sweep()]);
    finish();
    await both;
    expect(calls).toEqual(['sweep']);
  });

  it('seconds after a person has deleted something, once for all that goes until then', async () => {
    const { sweeper, calls, pauses, finish, ...rest } = world();
    const all = Promise.all([sweeper.soon(), sweeper.soon(), sweeper.soon()]);
    await settled();
    expect(calls).toEqual([]);
    expect(pauses).toHaveLength(1);
    expect(pauses[0]!.ms).toBeGreaterThanOrEqual(1_000);
    expect(pauses[0]!.ms).toBeLessThanOrEqual(10_000);
    pauses[0]!.over();
    await settled();
    expect(calls).toEqual(['look', 'sweep']);
    finish();
    await all;
    // Nothing was deleted since: what was asked for has gone with another sweep.
    const again = sweeper.soon();
    pauses[1]!.over();
    await again;
    expect(calls).toEqual(['look', 'sweep', 'look']);
    rest.delete();
    void sweeper.soon();
    pauses[2]!.over();
    await settled();
    expect(calls).toEqual(['look', 'sweep', 'look', 'look', 'sweep']);
  });

  it('once more for what was deleted while it swept', async () => {
    const { sweeper, calls, pauses, finish, ...rest } = world();
    const first = sweeper.sweep();
    const soon = sweeper.soon();
    pauses[0]!.over();
    await settled();
    expect(calls).toEqual(['sweep']);
    finish();
    await first;
    rest.delete();
    await settled();
    expect(calls).toEqual(['sweep', 'look', 'sweep']);
    finish();
    await soon;
  });

  it('before the app lock is turned on, if it had begun', async () => {
    const { sweeper, calls, finish } = world();
    const sweep = sweeper.sweep();
    const lock = sweeper.setLock({ kind: 'passphrase', passphrase: 'correct horse' });
    await settled();
    expect(calls).toEqual(['sweep']);
    finish();
    await Promise.all([sweep, lock]);
    expect(calls).toEqual(['sweep', 'lock']);
  });
});
