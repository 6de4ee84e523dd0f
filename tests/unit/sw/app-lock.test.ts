import { describe, expect, it } from 'vitest';
import { createAppLock, type AppLockParts } from '../../../sw/app-lock.ts';

const KEY = { kind: 'passphrase', passphrase: 'correct horse' } as const;

/** A lock whose store notes what is done to it, and what is on the screen by then; a message comes in while everything is sealed anew. */
function world() {
  const done: [what: string, onScreen: string[]][] = [];
  const onScreen = new Set(['aa/7: Hello']);
  const note = (what: string): void => void done.push([what, [...onScreen]]);
  const parts: AppLockParts = {
    store: { lockTerms: async () => undefined, unlock: async () => true, lock: async () => note('lock') },
    sweeper: {
      setLock: async (key) => {
        note(key === undefined ? 'turn off' : 'turn on');
        onScreen.add('aa/8: Hello again');
      },
    },
    withdraw: async () => onScreen.clear(),
    wake: async () => note('wake'),
  };
  return { parts, done, onScreen };
}

describe('the app lock', () => {
  it('leaves nothing on the screen, neither once it is on nor just before, when the worker may be stopped', async () => {
    const { parts, done, onScreen } = world();
    await createAppLock(parts).set(KEY);
    expect(done).toEqual([['turn on', []]]);
    expect(onScreen.size).toBe(0);
  });

  it('leaves notifications alone when it is turned off', async () => {
    const { parts, done, onScreen } = world();
    await createAppLock(parts).set(undefined);
    expect(done).toEqual([['turn off', ['aa/7: Hello']]]);
    expect([...onScreen]).toEqual(['aa/7: Hello', 'aa/8: Hello again']);
  });

  it('closed by hand has the engine look at its store, which cannot be read any more', async () => {
    const { parts, done } = world();
    const wake = async (): Promise<void> => {
      await parts.wake();
      throw new Error('locked');
    };
    await createAppLock({ ...parts, wake }).lock();
    expect(done.map(([what]) => what)).toEqual(['lock', 'wake']);
  });
});
