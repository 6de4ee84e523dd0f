import type { Page } from '@playwright/test';
import type { Device } from './device.ts';

/** What Chromium deletes of a site to make room. It leaves alone `localStorage`, whose size it does not count. */
const EVICTED = 'indexeddb,cache_storage,service_workers,file_systems,storage_buckets';

/** Deletes the site's data as the browser does to make room, or to the last byte, as a person can. `page` need not show the app. */
export async function clearData({ context, origin }: Device, page: Page, what: 'evicted' | 'all'): Promise<void> {
  const session = await context.newCDPSession(page);
  await session.send('Storage.clearDataForOrigin', { origin, storageTypes: what === 'all' ? 'all' : EVICTED });
  await session.detach();
}

/** Bytes that a site may have in the tests of a full disk: the app, its worker and a few conversations take a fourth of it. */
const QUOTA = 8_000_000;

/** Gives the device's site a small share of the disk; before it has stored anything, since Chromium looks at it rarely. */
export async function limitStorage({ context, origin, page }: Device): Promise<void> {
  const session = await context.newCDPSession(page); // the limit lasts as long as it
  await session.send('Storage.overrideQuotaForOrigin', { origin, quotaSize: QUOTA });
}

/** Fills that share to the last kilobyte. */
export function fillStorage(page: Page): Promise<void> {
  return page.evaluate(async () => {
    const database = await new Promise<IDBDatabase>((resolve, reject) => {
      const request = indexedDB.open('ballast', 1);
      request.onupgradeneeded = () => request.result.createObjectStore('ballast', { autoIncrement: true });
      request.onsuccess = () => resolve(request.result);
      request.onerror = () => reject(new Error('no ballast'));
    });
    const put = (size: number): Promise<boolean> =>
      new Promise((resolve) => {
        const bytes = new Uint8Array(size); // random, for what is stored is packed
        for (let at = 0; at < size; at += 65_536) crypto.getRandomValues(bytes.subarray(at, at + 65_536));
        const transaction = database.transaction('ballast', 'readwrite');
        transaction.objectStore('ballast').put(bytes);
        transaction.oncomplete = () => resolve(true);
        transaction.onabort = () => resolve(false);
      });
    for (let size = 1_000_000; size > 500;) if (!(await put(size))) size = Math.floor(size / 4);
    database.close();
  });
}

export function makeRoom(page: Page): Promise<void> {
  return page.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const request = indexedDB.deleteDatabase('ballast');
        request.onsuccess = () => resolve();
        request.onerror = () => reject(new Error('no room'));
      }),
  );
}

interface Buckets {
  keys(): Promise<string[]>;
  delete(name: string): Promise<void>;
}

/** Deletes the root key, and leaves everything that is sealed under it. */
export function deleteRoot(page: Page): Promise<void> {
  return page.evaluate(async () => {
    const { storageBuckets } = navigator as Navigator & { readonly storageBuckets: Buckets };
    const roots = (await storageBuckets.keys()).filter((name) => name.startsWith('chorus-root-'));
    if (roots.length === 0) throw new Error('no root');
    await Promise.all(roots.map((name) => storageBuckets.delete(name)));
  });
}

/** Opens the app's database as a later version of the app would. */
export function upgradeDatabase(page: Page): Promise<void> {
  return page.evaluate(
    () =>
      new Promise<void>((resolve, reject) => {
        const request = indexedDB.open('chorus', 1000);
        request.onsuccess = () => {
          request.result.close();
          resolve();
        };
        request.onerror = () => reject(new Error('not upgraded'));
      }),
  );
}
