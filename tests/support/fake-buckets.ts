import { IDBFactory as FakeFactory } from 'fake-indexeddb';
import type { BucketManager } from '../../src/store/indexed-db-roots.ts';

/** Storage Buckets in memory: an IndexedDB of its own each, gone with the bucket. */
export class FakeBuckets implements BucketManager {
  readonly buckets = new Map<string, IDBFactory>();
  readonly opened: { durability: string; persisted: boolean }[] = [];
  /** Names that do not open, as after a crash of the browser. */
  readonly damaged = new Set<string>();

  keys(): Promise<string[]> {
    return Promise.resolve([...this.buckets.keys()]);
  }

  open(name: string, options: { durability: 'strict'; persisted: boolean }): Promise<{ readonly indexedDB: IDBFactory }> {
    if (this.damaged.has(name)) return Promise.reject(new DOMException('damaged', 'UnknownError'));
    this.opened.push(options);
    let indexedDB = this.buckets.get(name);
    if (indexedDB === undefined) this.buckets.set(name, (indexedDB = new FakeFactory()));
    return Promise.resolve({ indexedDB });
  }

  delete(name: string): Promise<void> {
    if (this.damaged.has(name)) return Promise.reject(new DOMException('damaged', 'UnknownError'));
    this.buckets.delete(name);
    return Promise.resolve();
  }
}
