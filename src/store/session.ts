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
}

/**
 * Opens the database and the root that it names; at the very first start makes the root, names it in
 * one strict transaction, and clears away what an earlier start may have left. @throws StoreError
 */
export async function openSession(name: string, stores: readonly RootKeyStore[], onClosed: () => void): Promise<Session> {
  const database = await openDatabase(name, onClosed);
  try {
    const root = (await database.get('meta', 'root')) ?? (await nameFirstRoot(database, stores));
    const secret = await stores.find(({ home }) => home === root.home)?.load(root.name);
    if (secret === undefined) throw new StoreError('root-missing');
    try {
      return { database, root, ring: new KeyRing(name, root.generation, await wrappingKey(secret)) };
    } finally {
      secret.wipe();
    }
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Two contexts may both come here: the transaction decides, the other's root is a leftover. */
async function nameFirstRoot(database: StoreDatabase, stores: readonly RootKeyStore[]): Promise<NamedRoot> {
  const created = await createRoot(stores);
  const transaction = database.transaction('meta', 'readwrite', { durability: 'strict' });
  const named = (await transaction.store.get('root')) ?? created;
  await Promise.all([transaction.store.put(named, 'root'), transaction.done]);
  await clearRoots(stores, named);
  return named;
}

async function createRoot(stores: readonly RootKeyStore[]): Promise<NamedRoot> {
  let reason = new StoreError('unavailable');
  for (const store of stores) {
    try {
      return { generation: 1, home: store.home, name: await store.create() };
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
