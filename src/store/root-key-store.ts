import { deleteDB, openDB, wrap, type IDBPDatabase } from 'idb';
import { Secret, toHex } from '../bytes/index.ts';
import { asStoreError, StoreError } from './errors.ts';

/**
 * Where the root lies: the one key above all others of the store. It has a place of its own that can
 * be deleted as a whole, since a record deleted from a database stays in its files for a long time.
 * Any number of roots may lie there: the one that counts is the one that the main database names,
 * every other one is a leftover of a first start or an advance that was cut off.
 */
export interface RootKeyStore {
  readonly home: RootHome;
  /** Makes a random root; resolves when it is on the disk. Returns its name. @throws StoreError */
  create(): Promise<string>;
  /** The root, for the caller to wipe; undefined when there is none of that name. @throws StoreError */
  load(name: string): Promise<Secret<'store-root'> | undefined>;
  /** Deletes every root but this one. One that cannot be deleted now stays for the next time. */
  retainOnly(name: string | undefined): Promise<void>;
}

export type RootHome = 'bucket' | 'database';

const ROOT_LENGTH = 32; // bytes
const PREFIX = 'chorus-root-';
const DATABASE_IN_BUCKET = 'root';
const STORE = 'root';
const KEY = 'key';

/** The parts of the Storage Buckets API in use; TypeScript does not know it yet. */
export interface BucketManager {
  keys(): Promise<string[]>;
  open(name: string, options: { durability: 'strict'; persisted: boolean }): Promise<{ readonly indexedDB: IDBFactory }>;
  delete(name: string): Promise<void>;
}

/** One IndexedDB database per root in one way or another. */
interface Shelf {
  names(): Promise<readonly string[]>;
  open(name: string): Promise<IDBPDatabase>;
  remove(name: string): Promise<void>;
}

/** A Storage Bucket per root: deleting it deletes its files. */
export function bucketRootKeyStore(buckets: BucketManager): RootKeyStore {
  return rootKeyStore('bucket', {
    names: () => buckets.keys(),
    open: async (name) => {
      const bucket = await buckets.open(name, { durability: 'strict', persisted: true });
      const request = bucket.indexedDB.open(DATABASE_IN_BUCKET, 1);
      request.addEventListener('upgradeneeded', () => request.result.createObjectStore(STORE));
      const database = await wrap(request);
      if (database === undefined) throw new StoreError('unavailable');
      return database;
    },
    remove: (name) => buckets.delete(name),
  });
}

/** A database per root, where there are no buckets. Its deletion may leave bytes in the files that all databases of the origin share. */
export function databaseRootKeyStore(): RootKeyStore {
  return rootKeyStore('database', {
    names: async () => (await indexedDB.databases()).map(({ name }) => name ?? ''),
    open: (name) =>
      openDB(name, 1, {
        upgrade: (database) => void database.createObjectStore(STORE),
        blocking: (_current, _blocked, event) => (event.target as IDBDatabase).close(),
      }),
    remove: (name) => deleteDB(name),
  });
}

/** What this browser has, the best first. */
export function availableRootKeyStores(): RootKeyStore[] {
  const { storageBuckets } = navigator as Navigator & { readonly storageBuckets?: BucketManager };
  return storageBuckets === undefined ? [databaseRootKeyStore()] : [bucketRootKeyStore(storageBuckets), databaseRootKeyStore()];
}

function rootKeyStore(home: RootHome, shelf: Shelf): RootKeyStore {
  async function roots(): Promise<string[]> {
    return (await shelf.names()).filter((name) => name.startsWith(PREFIX));
  }

  async function create(): Promise<string> {
    const name = PREFIX + toHex(crypto.getRandomValues(new Uint8Array(8))); // random: two contexts at their first start must not share one
    const root = crypto.getRandomValues(new Uint8Array(ROOT_LENGTH));
    try {
      const database = await shelf.open(name);
      try {
        const transaction = database.transaction(STORE, 'readwrite', { durability: 'strict' });
        await Promise.all([transaction.store.put(root, KEY), transaction.done]);
      } finally {
        database.close();
      }
      return name;
    } catch (error) {
      throw asStoreError(error, 'unavailable');
    } finally {
      root.fill(0);
    }
  }

  async function load(name: string): Promise<Secret<'store-root'> | undefined> {
    try {
      if (!(await roots()).includes(name)) return undefined; // opening would make an empty one
      const database = await shelf.open(name);
      try {
        const root: unknown = await database.get(STORE, KEY);
        if (root === undefined) return undefined;
        if (!(root instanceof Uint8Array) || root.length !== ROOT_LENGTH) throw new StoreError('root-missing');
        return Secret.of('store-root', root);
      } finally {
        database.close();
      }
    } catch (error) {
      throw asStoreError(error, 'unavailable');
    }
  }

  async function retainOnly(name: string | undefined): Promise<void> {
    const others = (await roots().catch(() => [])).filter((other) => other !== name);
    await Promise.allSettled(others.map((other) => shelf.remove(other)));
  }

  return { home, create, load, retainOnly };
}
