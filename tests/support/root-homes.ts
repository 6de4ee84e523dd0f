import { openDB } from 'idb';
import { bucketRootKeyStore, databaseRootKeyStore, opfsRootKeyStore } from '../../src/store/index.ts';
import type { RootHome, RootKeyStore } from '../../src/store/root-key-store.ts';
import { FakeBuckets } from './fake-buckets.ts';
import { FakeDirectory } from './fake-opfs.ts';

/** A place for roots in memory, and what somebody sees and does who has its files. */
export interface FakeHome {
  readonly store: RootKeyStore;
  /** Where it lies, if not in the databases of the origin themselves. */
  readonly place: FakeBuckets | FakeDirectory | undefined;
  /** Names of all that lies there, but for the main database. */
  names(): Promise<string[]>;
  /** Puts something in the place of a root. */
  put(name: string, content: Uint8Array<ArrayBuffer>): Promise<void>;
}

/** Empty ones, over the `indexedDB` that there is now. */
export const fakeHomes: { readonly [Home in RootHome]: () => FakeHome } = {
  bucket: () => {
    const place = new FakeBuckets();
    return {
      store: bucketRootKeyStore(place),
      place,
      names: () => Promise.resolve([...place.buckets.keys()]),
      put: async (name, content) => {
        const { indexedDB: inBucket } = await place.open(name, { durability: 'strict', persisted: true });
        await new Promise<void>((resolve, reject) => {
          const request = inBucket.open('root', 1);
          request.onupgradeneeded = () => request.result.createObjectStore('root').put(content, 'key');
          request.onsuccess = () => resolve(request.result.close());
          request.onerror = () => reject(new Error('not put'));
        });
      },
    };
  },
  opfs: () => {
    const place = new FakeDirectory();
    return {
      store: opfsRootKeyStore(() => Promise.resolve(place)),
      place,
      names: () => Promise.resolve([...new Set([...place.files.keys()].map((name) => name.replace(/-[12]$/, '')))]),
      put: (name, content) => {
        const files = name.startsWith('chorus-root-') && !name.endsWith('.crswap') ? [`${name}-1`, `${name}-2`] : [name];
        for (const file of files) place.files.set(file, content);
        return Promise.resolve();
      },
    };
  },
  database: () => ({
    store: databaseRootKeyStore(),
    place: undefined,
    names: async () => (await indexedDB.databases()).map(({ name }) => name ?? '').filter((name) => name !== 'chorus'),
    put: async (name, content) => {
      const database = await openDB(name, 1, { upgrade: (made) => void made.createObjectStore('root') });
      await database.put('root', content, 'key');
      database.close();
    },
  }),
};
