import type { BucketManager } from '../../src/store/indexed-db-roots.ts';
import { FakeDirectory } from '../support/fake-opfs.ts';
import { asIDBFactory, Factory, type Home } from './indexed-db.ts';
import type { Actor } from './scheduler.ts';

/** What an origin has in a browser profile. Whatever it is asked for outside of a database is a wait of whoever asks. */
export class Origin {
  readonly indexedDB: IDBFactory;
  readonly storageBuckets: BucketManager;
  readonly rootDirectory: FakeDirectory;
  readonly #factory: Factory;
  readonly #buckets: Map<string, Factory>;

  /**
   * Empty, or as another is now.
   * @param rootMade Called when there is something new where roots lie
   */
  constructor(home: Home, rootMade: () => void, copied?: Origin) {
    this.#factory = new Factory(home, copied === undefined ? undefined : copied.#factory);
    this.#buckets = new Map(
      [...(copied === undefined ? [] : copied.#buckets)].map(([name, factory]) => [name, new Factory(home, factory)]),
    );
    this.indexedDB = asIDBFactory(this.#factory);
    const buckets = this.#buckets;
    const point = (what: string): Promise<void> => home.scheduler.actor!.point(what);
    this.storageBuckets = {
      keys: async () => {
        await point('bucket');
        return [...buckets.keys()];
      },
      open: async (name) => {
        await point('bucket');
        const bucket = buckets.get(name) ?? new Factory(home);
        if (!buckets.has(name)) rootMade();
        buckets.set(name, bucket);
        return { indexedDB: asIDBFactory(bucket) };
      },
      delete: async (name) => {
        await point('bucket');
        buckets.delete(name);
      },
    };
    this.rootDirectory = new FakeDirectory(copied?.rootDirectory);
    this.rootDirectory.before = () => point('file');
    this.rootDirectory.stored = (bytes) => {
      if (home.isFull()) {
        home.refused();
        throw new DOMException('', 'QuotaExceededError');
      }
      rootMade();
      return bytes;
    };
  }

  /** Names of buckets and files, but for those in which the halves of a root lie: that root's. */
  get roots(): string[] {
    const files = [...this.rootDirectory.files.keys()].map((name) => name.replace(/-[12]$/, ''));
    return [...new Set([...this.#buckets.keys(), ...files])];
  }

  /** What a worker has open is closed by its death. */
  died(actor: Actor): void {
    for (const factory of [this.#factory, ...this.#buckets.values()]) factory.died(actor);
    this.rootDirectory.unlock();
  }
}
