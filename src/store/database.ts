import { deleteDB, openDB, type DBSchema, type IDBPDatabase } from 'idb';
import { asStoreError, StoreError } from './errors.ts';
import type { AppLock } from './app-lock.ts';
import type { RootHome } from './root-key-store.ts';
import type { SealedValue } from './sealing.ts';

/** The root that counts. */
export interface NamedRoot {
  readonly generation: number;
  readonly home: RootHome;
  readonly name: string;
  /** When it took the place of the one before it: at the last sweep, or at the first start, ms. */
  readonly at: number;
  /** There when the app lock is on: keys below this root open with its passphrase or passkey alone. */
  readonly lock?: AppLock;
}

export interface StoreSchema extends DBSchema {
  records: { key: string; value: SealedValue };
  /** Keys of scopes by [scope, number]; the one with the highest number is in use. */
  keys: { key: [string, number]; value: SealedValue };
  /** Keys under which something was sealed that is deleted or overwritten since, and may lie in the browser's files yet. */
  outdated: { key: [string, number]; value: true };
  meta: { key: 'root'; value: NamedRoot };
}

export type StoreDatabase = IDBPDatabase<StoreSchema>;

const VERSION = 2;

/**
 * Opens the database. It closes by itself as soon as another context wants to delete or upgrade it;
 * `onClosed` tells, and the next use opens it again. @throws StoreError
 */
export function openDatabase(name: string, onClosed: () => void): Promise<StoreDatabase> {
  return unlessBlocked(async (blocked) => {
    let late = false;
    const database = await openDB<StoreSchema>(name, VERSION, {
      upgrade: (database, oldVersion) => {
        if (oldVersion < 1) for (const store of ['records', 'keys', 'meta'] as const) database.createObjectStore(store);
        database.createObjectStore('outdated');
      },
      blocked: () => {
        late = true;
        blocked();
      },
      blocking: (_current, _blocked, event) => {
        (event.target as IDBDatabase).close();
        onClosed();
      },
      terminated: onClosed,
    });
    if (late) database.close(); // nobody waits for it any more
    return database;
  });
}

/** Deletes the database; other contexts close it when they hear of it. @throws StoreError 'blocked' when one does not */
export function deleteDatabase(name: string): Promise<void> {
  return unlessBlocked((blocked) => deleteDB(name, { blocked }));
}

/** IndexedDB would wait for the other context for ever; the caller rather hears of it. */
async function unlessBlocked<Value>(ask: (blocked: () => void) => Promise<Value>): Promise<Value> {
  try {
    return await new Promise((resolve, reject) => {
      ask(() => reject(new StoreError('blocked'))).then(resolve, reject);
    });
  } catch (error) {
    throw asStoreError(error, 'unavailable');
  }
}
