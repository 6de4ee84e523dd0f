import { IDBDatabase as FakeDatabase, IDBObjectStore as FakeObjectStore } from 'fake-indexeddb';
import { vi } from 'vitest';
import type { FakeBuckets } from './fake-buckets.ts';

/** From the given call on the process is dead: whatever it asks of its storage fails. */
export function dieAt(buckets: FakeBuckets, call: number): { readonly calls: () => number; revive(): void } {
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
  for (const method of ['open', 'delete', 'keys'] as const) {
    const original = buckets[method].bind(buckets) as (...args: unknown[]) => Promise<never>;
    vi.spyOn(buckets, method).mockImplementation(async (...args: unknown[]) => {
      die();
      return original(...args);
    });
  }
  return { calls: () => calls, revive: () => void vi.restoreAllMocks() };
}
