import type { BridgeLock } from '../src/bridge/dispatch.ts';
import type { RecordStore } from '../src/store/index.ts';
import type { Sweeper } from './sweeper.ts';

export interface AppLockParts {
  readonly store: Pick<RecordStore, 'lockTerms' | 'unlock' | 'lock'>;
  readonly sweeper: Pick<Sweeper, 'setLock'>;
  /** Takes all notifications from the screen. */
  readonly withdraw: () => Promise<void>;
  /** Has the engine see whether its store can still be read. */
  readonly wake: () => Promise<void>;
}

/** The app lock as a tab turns it on, opens and closes it. */
export function createAppLock({ store, sweeper, withdraw, wake }: AppLockParts): BridgeLock {
  return {
    terms: () => store.lockTerms(),
    set: async (key) => {
      // Before as well: if this worker is stopped in between, the next one is locked.
      if (key !== undefined) await withdraw();
      await sweeper.setLock(key);
      if (key !== undefined) await withdraw();
    },
    unlock: (key) => store.unlock(key),
    lock: async () => {
      await store.lock();
      await wake().catch(() => undefined); // it finds out, drops what it has in memory and tells the tabs
    },
  };
}
