import type { StoreChanges } from '../../src/engine/ports.ts';
import { bucketRootKeyStore, createRecordStore, databaseRootKeyStore, opfsRootKeyStore, type RecordStore } from '../../src/store/index.ts';
import type { RootHome, RootKeyStore } from '../../src/store/root-key-store.ts';
import { DURABLE_AFTER } from './durability.ts';
import type { Commit, Home } from './indexed-db.ts';
import { Origin } from './origin.ts';
import type { Actor, Scheduler } from './scheduler.ts';

/** What has become durable on a device. */
export interface Stored {
  readonly changes: StoreChanges;
  readonly by: Actor;
}

/** Who is told what happens on a disk. */
export interface Watch {
  /** In the moment in which a transaction is complete. */
  readonly stored: (what: Stored) => void;
  /** A record was read as something else than what was written last. */
  readonly misread: (path: string) => void;
}

/** The app's own name for its database. */
const DATABASE = 'chorus';

/** A browser profile's disk: the real store over databases that outlive every process. */
export class Disk {
  /** Records as they are now, for whoever looks at the disk from outside. */
  readonly records: Map<string, Uint8Array>;
  full = false;
  /** Called when a root is made in a bucket or a file. */
  onRoot: () => void = () => undefined;
  /** Transactions so far. */
  version = 0;
  /** Sweeps so far: roots that have taken another's place. */
  sweeps: number;
  readonly #scheduler: Scheduler;
  readonly #origin: Origin;
  readonly #bestHome: RootHome;
  /** What a process is writing, until it is complete. */
  readonly #writing = new Map<Actor, () => void>();
  /** Of transactions that are over and would not outlive the last process: in a broken build alone. */
  #undos: (() => void)[] = [];

  /**
   * @param bestHome Of those for roots that this browser has; the worse ones it has too
   * @param refused Called when it is too full for what was to be written
   * @param copied Whose profile it is a copy of
   */
  constructor(scheduler: Scheduler, bestHome: RootHome, refused: () => void, copied?: Disk) {
    this.#scheduler = scheduler;
    this.#bestHome = copied === undefined ? bestHome : copied.#bestHome;
    this.records = new Map(copied?.records);
    this.sweeps = copied === undefined ? -1 : 0;
    const home: Home = { scheduler, isFull: () => this.full, refused, committed: (commit) => this.#committed(commit) };
    this.#origin = new Origin(home, () => this.onRoot(), copied === undefined ? undefined : copied.#origin);
  }

  get indexedDB(): IDBFactory {
    return this.#origin.indexedDB;
  }

  /** Roots, and what is left of them, that lie where they can go for good. */
  get roots(): string[] {
    return this.#origin.roots;
  }

  /** A process is gone, and was the last or not: what is open to it is closed, what was not complete is lost. */
  died(process: Actor, isLast: boolean): void {
    this.#writing.delete(process);
    this.#origin.died(process);
    if (isLast) for (const undo of this.#undos.splice(0).reverse()) undo();
  }

  /** One process's store: its own, over what is there. */
  open(process: Actor, now: () => number, { stored, misread }: Watch): RecordStore {
    const store = createRecordStore({ name: DATABASE, roots: this.#rootHomes(), now });
    const compare = (paths: Iterable<string>, found: ReadonlyMap<string, Uint8Array>): void => {
      for (const path of paths) {
        const [is, was] = [found.get(path), this.records.get(path)];
        if ((is === undefined) !== (was === undefined) || (is !== undefined && Buffer.compare(is, was!) !== 0)) misread(path);
      }
    };
    /** What `read` gives; `paths` says what must be in it, if nobody has written meanwhile. */
    const read = async (read: () => Promise<ReadonlyMap<string, Uint8Array>>, paths: () => Iterable<string>) => {
      const { version } = this;
      const found = await read();
      if (this.version === version && this.#undos.length === 0) compare([...paths(), ...found.keys()], found);
      return found;
    };
    return {
      ...store,
      load: (prefix) =>
        read(
          () => store.load(prefix),
          () => [...this.records.keys()].filter((path) => path.startsWith(prefix)),
        ),
      get: async (path) => {
        const one = async (): Promise<Map<string, Uint8Array>> => {
          const bytes = await store.get(path);
          return new Map(bytes && [[path, bytes]]);
        };
        return (await read(one, () => [path])).get(path);
      },
      page: (from, to, limit) =>
        read(
          () => store.page(from, to, limit),
          () => [],
        ),
      write: async (changes) => {
        const complete = (): void => {
          this.#writing.delete(process);
          this.version += 1;
          for (const key of changes.deletes) this.records.delete(key);
          for (const [key, value] of changes.puts) this.records.set(key, value.slice());
          stored({ changes, by: process });
        };
        this.#writing.set(process, complete);
        try {
          await store.write(changes);
          this.#writing.get(process)?.(); // it has changed no record
        } finally {
          this.#writing.delete(process);
        }
      },
    };
  }

  /** As `availableRootKeyStores` has them. */
  #rootHomes(): RootKeyStore[] {
    const { storageBuckets, rootDirectory } = this.#origin;
    const homes = [bucketRootKeyStore(storageBuckets), opfsRootKeyStore(() => Promise.resolve(rootDirectory)), databaseRootKeyStore()];
    return homes.slice(homes.findIndex(({ home }) => home === this.#bestHome));
  }

  #committed({ actor, database, stores, undo }: Commit): void {
    const complete = database === DATABASE && stores.includes('records') ? this.#writing.get(actor) : undefined;
    this.#writing.delete(actor);
    if (database === DATABASE && stores.includes('meta')) this.sweeps += 1;
    if (DURABLE_AFTER === 0) return complete?.();
    this.#undos.push(undo);
    this.#scheduler.at(DURABLE_AFTER, actor, () => {
      this.#undos = this.#undos.filter((other) => other !== undo);
      complete?.();
    });
  }
}
