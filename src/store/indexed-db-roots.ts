import { deleteDB, openDB, wrap, type IDBPDatabase } from 'idb';
import { StoreError } from './errors.ts';
import { rootKeyStore, type RootKeyStore, type RootShelf } from './root-key-store.ts';

const DATABASE_IN_BUCKET = 'root';
const STORE = 'root';
const KEY = 'key';

/** The parts of the Storage Buckets API in use; TypeScript does not know it yet. */
export interface BucketManager {
  keys(): Promise<string[]>;
  open(name: string, options: { durability: 'strict'; persisted: boolean }): Promise<{ readonly indexedDB: IDBFactory }>;
  delete(name: string): Promise<void>;
}

/** A Storage Bucket per root: deleting it deletes its files. */
export function bucketRootKeyStore(buckets: BucketManager): RootKeyStore {
  const open = async (name: string): Promise<IDBPDatabase> => {
    const bucket = await buckets.open(name, { durability: 'strict', persisted: true });
    const request = bucket.indexedDB.open(DATABASE_IN_BUCKET, 1);
    request.addEventListener('upgradeneeded', () => request.result.createObjectStore(STORE));
    const database = await wrap(request);
    if (database === undefined) throw new StoreError('unavailable');
    return database;
  };
  return rootKeyStore('bucket', { names: () => buckets.keys(), ...contentOf(open), remove: (name) => buckets.delete(name) });
}

/** A database per root, the last resort. Its deletion may leave bytes in the files that all databases of the origin share. */
export function databaseRootKeyStore(): RootKeyStore {
  const open = (name: string): Promise<IDBPDatabase> =>
    openDB(name, 1, {
      upgrade: (database) => void database.createObjectStore(STORE),
      blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
    });
  const names = async (): Promise<string[]> => (await indexedDB.databases()).map(({ name }) => name ?? '');
  return rootKeyStore('database', { names, ...contentOf(open), remove: (name) => deleteDB(name) });
}

/** One IndexedDB database per root in one way or another. */
function contentOf(open: (name: string) => Promise<IDBPDatabase>): Pick<RootShelf, 'write' | 'read'> {
  async function using<Value>(name: string, task: (database: IDBPDatabase) => Promise<Value>): Promise<Value> {
    const database = await open(name);
    try {
      return await task(database);
    } finally {
      database.close();
    }
  }

  return {
    write: (name, root) =>
      using(name, async (database) => {
        const transaction = database.transaction(STORE, 'readwrite', { durability: 'strict' });
        await Promise.all([transaction.store.put(root, KEY), transaction.done]);
      }),
    read: (name) => using(name, (database) => database.get(STORE, KEY)),
  };
}
