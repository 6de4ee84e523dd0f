import { factorKey, type LockFactor } from './app-lock.ts';
import { openDatabase, type NamedRoot, type StoreDatabase } from './database.ts';
import { StoreError } from './errors.ts';
import { KeyRing } from './key-ring.ts';
import type { RootKeyStore } from './root-key-store.ts';
import { wrappingKey } from './sealing.ts';

/** An open database with the root that it names. */
export interface Session {
  readonly database: StoreDatabase;
  readonly root: NamedRoot;
  readonly ring: KeyRing;
  /** The app lock's, while it is on; the next root has the same. */
  readonly factor: LockFactor | undefined;
}

/**
 * Opens the database and the root that it names; at the very first start makes the root, names it in
 * one strict transaction, and clears away what an earlier start may have left.
 * @throws StoreError 'locked' when the root's lock has none of `factors`
 */
export async function openSession(
  name: string,
  stores: readonly RootKeyStore[],
  factors: ReadonlyMap<string, LockFactor>,
  now: () => number,
  onClosed: () => void,
): Promise<Session> {
  const database = await openDatabase(name, onClosed);
  try {
    let root = (await database.get('meta', 'root')) ?? (await nameFirstRoot(database, stores, now));
    let factor = factorOf(root, factors);
    let ring = await ringOf(name, stores, root, factor);
    // A sweep elsewhere may have replaced it between the two.
    const named = ring === undefined ? await database.get('meta', 'root') : undefined;
    if (named !== undefined && named.name !== root.name) {
      root = named;
      factor = factorOf(root, factors);
      ring = await ringOf(name, stores, root, factor);
    }
    if (ring === undefined) throw new StoreError('root-missing');
    return { database, root, ring, factor };
  } catch (error) {
    database.close();
    throw error;
  }
}

function factorOf({ lock }: NamedRoot, factors: ReadonlyMap<string, LockFactor>): LockFactor | undefined {
  if (lock === undefined) return undefined;
  const factor = factors.get(factorKey(lock));
  if (factor === undefined) throw new StoreError('locked');
  return factor;
}

/** The ring of keys below a root; undefined when the root is not there. @throws StoreError */
export async function ringOf(
  name: string,
  stores: readonly RootKeyStore[],
  root: NamedRoot,
  factor: LockFactor | undefined,
): Promise<KeyRing | undefined> {
  const secret = await stores.find(({ home }) => home === root.home)?.load(root.name);
  if (secret === undefined) return undefined;
  try {
    return new KeyRing(name, root.generation, await wrappingKey(secret, factor?.secret));
  } finally {
    secret.wipe();
  }
}

/** What a task comes to that has met another context's changes: it begins anew with the database opened anew. */
export const STALE = Symbol('another context has changed the keys');

/** Two contexts may both come here: the transaction decides, the other's root is a leftover. */
async function nameFirstRoot(database: StoreDatabase, stores: readonly RootKeyStore[], now: () => number): Promise<NamedRoot> {
  const created = await createRoot(stores, 1, now());
  const transaction = database.transaction('meta', 'readwrite', { durability: 'strict' });
  const named = (await transaction.store.get('root')) ?? created;
  await Promise.all([transaction.store.put(named, 'root'), transaction.done]);
  await clearRoots(stores, named);
  return named;
}

/** A new random root in the first place that takes one; it does not count before the database names it. @throws StoreError */
export async function createRoot(stores: readonly RootKeyStore[], generation: number, at: number): Promise<NamedRoot> {
  let reason = new StoreError('unavailable');
  for (const store of stores) {
    try {
      return { generation, home: store.home, name: await store.create(), at };
    } catch (error) {
      if (error instanceof StoreError) reason = error;
      else throw error;
    }
  }
  throw reason;
}

/** Deletes all roots but the one named, wherever they lie. */
export async function clearRoots(stores: readonly RootKeyStore[], named: NamedRoot | undefined): Promise<void> {
  await Promise.all(stores.map((store) => store.retainOnly(store.home === named?.home ? named.name : undefined)));
}
