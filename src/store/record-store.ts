import type { StoreChanges, StorePort } from '../engine/ports.ts';
import { factorKey, factorOf, newFactor, type LockFactor, type LockKey, type LockTerms } from './app-lock.ts';
import { deleteDatabase, openDatabase, type StoreDatabase } from './database.ts';
import { asStoreError, StoreError } from './errors.ts';
import { readRange } from './read.ts';
import { checkPath, withPrefix, type PathRange } from './record-path.ts';
import { availableRootKeyStores } from './root-homes.ts';
import type { RootKeyStore } from './root-key-store.ts';
import { clearRoots, openSession, ringOf, STALE, type Session } from './session.ts';
import { advanceRoot, clearUnnamed, moveSlice, planMoves } from './sweep.ts';
import { commit, sealChanges } from './write.ts';

export interface RecordStoreParts {
  /** The main database; `chorus` in the app. */
  readonly name: string;
  /** Where roots may lie, the preferred place first. */
  readonly roots: readonly RootKeyStore[];
  /** ms since 1970. */
  readonly now: () => number;
}

/** Runs one task at a time over all contexts of this origin. */
export type Exclusive = <Result>(task: () => Promise<Result>) => Promise<Result>;

export interface SweepStatus {
  /** When the last sweep was, or the store was made, ms. */
  readonly at: number;
  /** Something was deleted or overwritten since. */
  readonly due: boolean;
}

/** The store, and what makes that its deleted records cannot be read from the browser's files any more (`sweep.ts`). */
export interface RecordStore extends StorePort {
  /** In slices, each under `exclusive`. @throws StoreError; nothing is lost, and the next sweep begins anew */
  sweep(exclusive: Exclusive): Promise<void>;
  sweepStatus(): Promise<SweepStatus>;
  /** Deletes roots that a sweep or a first start has left when it was cut off. For the start, under `exclusive`. */
  tidy(exclusive: Exclusive): Promise<void>;
  /** What the app lock asks for, open or closed; undefined when it is off. @throws StoreError */
  lockTerms(): Promise<LockTerms | undefined>;
  /**
   * Turns the app lock on, or off without a key, by a sweep. Cut off anywhere, the lock is as it was or as it
   * is to be. @throws StoreError
   */
  setLock(exclusive: Exclusive, key: LockKey | undefined): Promise<void>;
  /** Opens the lock for as long as this store lives or until `lock`. @returns whether the key is the right one @throws StoreError */
  unlock(key: LockKey): Promise<boolean>;
  /** Forgets what opened it: nothing can be read or written until `unlock`. Without a lock it does nothing that lasts. */
  lock(): Promise<void>;
}

/**
 * StorePort over IndexedDB, every record sealed.
 *
 *     root (32 random bytes, in a place of its own)
 *      └ wrapping key = HKDF(root and, with the app lock, what comes of its passphrase or passkey)
 *         └ key of a scope: random, numbered, sealed in the object store `keys`
 *            └ record: {rootGeneration, nonce, ciphertext} in the object store `records`
 *
 * A record's `rootGeneration` is the number of its scope's key and so, with its path, names the key. The
 * root advances by sealing each living key anew, without touching a record; and what was deleted from a
 * scope goes for good when that scope alone gets a new key, in as many transactions as it takes, since
 * old and new key may lie side by side. The associated data are database, object store, path and
 * rootGeneration: no value opens at another's place.
 *
 * Writes of one store happen one after the other. Between contexts of an origin the caller's lock
 * (navigator.locks) gives the order; should two meet all the same, each write finds out in its own
 * transaction whether the keys that it used are still there.
 */
export function createRecordStore(
  parts: RecordStoreParts = { name: 'chorus', roots: availableRootKeyStores(), now: Date.now },
): RecordStore {
  let opening: Promise<Session> | undefined;
  let lastWrite: Promise<unknown> = Promise.resolve();
  /** By `factorKey`. */
  const factors = new Map<string, LockFactor>();

  function session(): Promise<Session> {
    if (opening === undefined) {
      const mine = openSession(parts.name, parts.roots, factors, parts.now, () => {
        if (opening === mine) opening = undefined;
      });
      mine.catch(() => {
        if (opening === mine) opening = undefined;
      });
      opening = mine;
    }
    return opening;
  }

  /** Closes this session's database, if it is still the one in use. */
  async function close(current: Session): Promise<void> {
    current.database.close();
    if (opening !== undefined && (await opening.catch(() => undefined)) === current) opening = undefined;
  }

  /** Runs the task, once more with the database opened anew when another context had closed or changed it. */
  async function using<Value>(task: (session: Session) => Promise<Value | typeof STALE>): Promise<Value> {
    for (let attempt = 1; attempt <= 2; attempt++) {
      const current = await session();
      try {
        const value = await task(current);
        if (value !== STALE) return value;
      } catch (error) {
        if (!isClosed(error) || attempt === 2) throw error;
      }
      await close(current);
    }
    throw new StoreError('blocked');
  }

  async function read(range: PathRange, direction: 'next' | 'prev', limit: number): Promise<Map<string, Uint8Array>> {
    if (range.from >= range.to || limit <= 0) return new Map();
    try {
      return await using((current) => readRange(parts.name, current, range, direction, limit));
    } catch (error) {
      throw asStoreError(error, 'unavailable');
    }
  }

  async function write(changes: StoreChanges): Promise<void> {
    for (const path of [...changes.puts.keys(), ...changes.deletes]) checkPath(path);
    try {
      await using(async (current) => {
        const sealed = await sealChanges(parts.name, current, changes);
        return sealed === STALE ? STALE : commit(current, sealed, changes.deletes);
      });
    } catch (error) {
      throw asStoreError(error, 'write-failed');
    }
  }

  /**
   * All records leave in one strict transaction, then the roots' places and the database go. Cut off
   * after the first step, the next start finds an empty database, makes a new root and clears the old.
   */
  async function destroy(): Promise<void> {
    try {
      await using(async (current) => {
        await clearAll(current);
        await close(current);
      });
    } catch (error) {
      // Without the root or what opens the lock nothing can be read: all the more reason to go on.
      if (!(error instanceof StoreError && (error.code === 'root-missing' || error.code === 'locked')))
        throw asStoreError(error, 'write-failed');
    }
    await clearRoots(parts.roots, undefined);
    await deleteDatabase(parts.name);
  }

  const sweep = (exclusive: Exclusive): Promise<void> => sweepTo(exclusive, ({ factor }) => factor);

  /** @param factorFor the app lock's of the new root */
  async function sweepTo(exclusive: Exclusive, factorFor: (current: Session) => LockFactor | undefined): Promise<void> {
    const step = <Value>(task: (session: Session) => Promise<Value | typeof STALE>): Promise<Value> =>
      exclusive(() => inTurn(() => using(task)));
    try {
      const moves = await step(planMoves);
      for (const move of moves) {
        let after: string | undefined;
        do after = await step((current) => moveSlice(parts.name, current, move, after));
        while (after !== undefined);
      }
      await step(async (current) => {
        const result = await advanceRoot(parts.name, current, parts.roots, moves, parts.now(), factorFor(current));
        await close(current);
        return result;
      });
    } catch (error) {
      throw asStoreError(error, 'write-failed');
    }
  }

  async function sweepStatus(): Promise<SweepStatus> {
    try {
      return await using(async ({ database, root }) => {
        const transaction = database.transaction(['outdated', 'meta'], 'readonly');
        const marks = transaction.objectStore('outdated').count();
        const [named, marked] = await Promise.all([transaction.objectStore('meta').get('root'), marks, transaction.done]);
        return named?.name === root.name ? { at: root.at, due: marked > 0 } : STALE;
      });
    } catch (error) {
      throw asStoreError(error, 'unavailable');
    }
  }

  async function tidy(exclusive: Exclusive): Promise<void> {
    await exclusive(() => inTurn(() => withDatabase((database) => clearUnnamed({ database }, parts.roots))));
  }

  /** The database without the root, so behind the lock too. */
  async function withDatabase<Value>(task: (database: StoreDatabase) => Promise<Value>): Promise<Value> {
    const database = await openDatabase(parts.name, () => undefined);
    try {
      return await task(database);
    } finally {
      database.close();
    }
  }

  async function setLock(exclusive: Exclusive, key: LockKey | undefined): Promise<void> {
    const factor = key && (await newFactor(key));
    // Before the new root counts: if this is cut off behind that, the person need not open it again.
    if (factor !== undefined) factors.set(factorKey(factor.terms), factor);
    await sweepTo(exclusive, () => factor);
    forgetFactors(factor);
  }

  /** What opened the lock goes from memory, but for the one that counts now. */
  function forgetFactors(kept: LockFactor | undefined): void {
    for (const [key, factor] of factors) {
      if (factor === kept) continue;
      factor.secret.wipe();
      factors.delete(key);
    }
  }

  async function lockTerms(): Promise<LockTerms | undefined> {
    try {
      return await withDatabase(async (database) => (await database.get('meta', 'root'))?.lock);
    } catch (error) {
      throw asStoreError(error, 'unavailable');
    }
  }

  async function unlock(key: LockKey): Promise<boolean> {
    try {
      return await withDatabase(async (database) => {
        const root = await database.get('meta', 'root');
        if (root?.lock === undefined) {
          if (key.kind === 'passkey') key.secret.wipe();
          return true;
        }
        const factor = await factorOf(key, root.lock);
        if (factor === undefined) return false;
        const ring = await ringOf(parts.name, parts.roots, root, factor);
        const right = ring !== undefined && (await ring.passes(root.lock.check));
        const name = factorKey(factor.terms);
        if (right && !factors.has(name)) factors.set(name, factor);
        else factor.secret.wipe();
        if (ring === undefined) throw new StoreError('root-missing');
        return right;
      });
    } catch (error) {
      throw asStoreError(error, 'unavailable');
    }
  }

  async function lock(): Promise<void> {
    const current = await session().catch(() => undefined);
    forgetFactors(undefined);
    if (current !== undefined) await close(current);
  }

  /** One after the other, a failed one included. */
  function inTurn<Value>(task: () => Promise<Value>): Promise<Value> {
    const result = lastWrite.then(task, task);
    lastWrite = result.catch(() => undefined);
    return result;
  }

  return {
    load: (prefix) => read(withPrefix(prefix), 'next', Infinity),
    get: async (path) => {
      checkPath(path);
      return (await read({ from: path, to: `${path}\0` }, 'next', 1)).get(path);
    },
    page: (from, to, limit) => read({ from, to }, 'prev', limit),
    write: (changes) => inTurn(() => write(changes)),
    destroy: () => inTurn(destroy),
    sweep,
    sweepStatus,
    tidy,
    lockTerms,
    setLock,
    unlock,
    lock: () => inTurn(lock),
  };
}

/** Empties the database, its root's name included, in one strict transaction. */
async function clearAll({ database }: Session): Promise<void> {
  const stores = ['records', 'keys', 'outdated', 'meta'] as const;
  const transaction = database.transaction(stores, 'readwrite', { durability: 'strict' });
  const clearing = stores.map((store) => transaction.objectStore(store).clear());
  await Promise.all([...clearing, transaction.done]);
}

/** IndexedDB's error for a connection that was closed under the caller's feet. */
function isClosed(error: unknown): boolean {
  return error instanceof Error && error.name === 'InvalidStateError';
}
