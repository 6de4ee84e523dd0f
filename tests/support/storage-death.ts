import { IDBDatabase as FakeDatabase, IDBObjectStore as FakeObjectStore } from 'fake-indexeddb';
import { vi } from 'vitest';
import { FakeBuckets } from './fake-buckets.ts';
import type { FakeDirectory } from './fake-opfs.ts';

/**
 * From the given call on the process is dead: whatever it asks of its storage fails, of IndexedDB and of the place
 * where the root lies, if that is another.
 */
export function dieAt(place: FakeBuckets | FakeDirectory | undefined, call: number): { readonly calls: () => number; revive(): void } {
  let calls = 0;
  const die = (): void => {
    if (++calls >= call) throw new DOMException('dead', 'AbortError');
  };
  const { transaction } = FakeDatabase.prototype;
  vi.spyOn(FakeDatabase.prototype, 'transaction').mockImplementation(function (this: IDBDatabase, ...args) {
    if (args[1] !== 'versionchange') die(); // the fake's own, within an open
    return transaction.apply(this, args);
  });
  for (const method of ['put', 'delete', 'clear'] as const) {
    const original = FakeObjectStore.prototype[method] as (...args: unknown[]) => IDBRequest;
    vi.spyOn(FakeObjectStore.prototype, method).mockImplementation(function (this: IDBObjectStore, ...args: unknown[]) {
      die();
      return original.apply(this, args) as never;
    });
  }
  if (place instanceof FakeBuckets) {
    for (const method of ['open', 'delete', 'keys'] as const) {
      const original = place[method].bind(place) as (...args: unknown[]) => Promise<never>;
      vi.spyOn(place, method).mockImplementation(async (...args: unknown[]) => {
        die();
        return original(...args);
      });
    }
  } else if (place !== undefined) place.before = die;
  return {
    calls: () => calls,
    revive: () => {
      vi.restoreAllMocks();
      if (place !== undefined && !(place instanceof FakeBuckets)) place.restart();
    },
  };
}
