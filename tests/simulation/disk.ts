import type { StoreChanges, StorePort } from '../../src/engine/ports.ts';
import { createMemoryStore } from '../../src/store/memory-store.ts';
import { StoreError } from '../../src/store/errors.ts';
import { DURABLE_AFTER } from './durability.ts';
import type { Actor } from './scheduler.ts';

/** What has become durable on a device. */
export interface Stored {
  readonly changes: StoreChanges;
  readonly by: Actor;
}

/** A browser profile's disk: a transaction is there whole at its complete event, and outlives every process. */
export class Disk {
  #store: StorePort;
  /** Records as they are now, for whoever looks at the disk from outside. */
  readonly records: Map<string, Uint8Array>;
  full = false;
  /** Transactions so far. */
  version = 0;

  constructor(records: ReadonlyMap<string, Uint8Array> = new Map()) {
    this.records = new Map(records);
    this.#store = createMemoryStore();
  }

  /** Must be awaited before use when there are records to begin with. */
  async fill(): Promise<void> {
    await this.#store.write({ puts: this.records, deletes: [] });
  }

  /** What was not complete is lost with the last process. */
  recover(): void {
    if (DURABLE_AFTER === 0) return;
    this.#store = createMemoryStore();
    void this.fill();
  }

  /** The StorePort of one process. `stored` is called in the same moment as the complete event. */
  port(process: Actor, stored: (what: Stored) => void, later: (ms: number, run: () => void) => void): StorePort {
    const complete = (changes: StoreChanges): void => {
      this.version += 1;
      for (const key of changes.deletes) this.records.delete(key);
      for (const [key, value] of changes.puts) this.records.set(key, value.slice());
      stored({ changes, by: process });
    };
    const read = async <Value>(work: () => Promise<Value>): Promise<Value> => {
      await process.point('read');
      return work();
    };
    return {
      load: (prefix) => read(() => this.#store.load(prefix)),
      get: (key) => read(() => this.#store.get(key)),
      page: (from, to, limit) => read(() => this.#store.page(from, to, limit)),
      write: async (changes) => {
        await process.point('write');
        if (this.full) throw new StoreError('write-failed');
        await this.#store.write(changes);
        if (DURABLE_AFTER === 0) complete(changes);
        else later(DURABLE_AFTER, () => complete(changes));
        await process.point('written');
      },
      destroy: () => read(() => this.#store.destroy()),
    };
  }
}
