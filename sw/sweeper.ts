import type { Exclusive, LockKey, RecordStore, SweepStatus } from '../src/store/index.ts';

/** What was deleted is readable from a copy of the browser's files for this long at most while this device is in use. ms */
const SWEEP_EVERY = 5 * 60_000;
/** What a person deletes within this time goes in one sweep. ms */
const SOON = 4_000;
/** The store is asked this often whether a sweep is due, however many events there are. ms */
const LOOK_EVERY = 30_000;

export interface SweeperParts {
  readonly store: Pick<RecordStore, 'sweep' | 'sweepStatus' | 'tidy' | 'setLock'>;
  /** Held by whichever context of this origin runs the engine. */
  readonly exclusive: Exclusive;
  /** ms since 1970. */
  readonly now: () => number;
  /** Resolves after `ms`. */
  readonly pause: (ms: number) => Promise<void>;
}

/** Has the store swept in time, by whatever event wakes the worker, with a tab open or without. */
export class Sweeper {
  readonly #parts: SweeperParts;
  #lookedAt = -Infinity;
  #tidied = false;
  #running: Promise<void> | undefined;
  #soon: Promise<void> | undefined;

  constructor(parts: SweeperParts) {
    this.#parts = parts;
  }

  status(): Promise<SweepStatus> {
    return this.#parts.store.sweepStatus();
  }

  /** At once; a second caller waits for the one that is under way. @throws StoreError */
  sweep(): Promise<void> {
    const { store, exclusive } = this.#parts;
    return this.#running ?? this.#run(() => store.sweep(exclusive));
  }

  /** Turns the app lock on or off, after the sweep that is under way. @throws StoreError */
  async setLock(key: LockKey | undefined): Promise<void> {
    const { store, exclusive } = this.#parts;
    while (this.#running !== undefined) await this.#running.catch(() => undefined);
    await this.#run(() => store.setLock(exclusive, key));
  }

  /** For what a person has deleted: in a few seconds, and once for all that goes until then. Resolves when it is swept. @throws StoreError */
  soon(): Promise<void> {
    return (this.#soon ??= this.#parts.pause(SOON).then(async () => {
      this.#soon = undefined;
      await this.#running?.catch(() => undefined); // it may have begun before
      if ((await this.status()).due) await this.sweep();
    }));
  }

  #run(work: () => Promise<void>): Promise<void> {
    this.#running = work().finally(() => (this.#running = undefined));
    return this.#running;
  }

  /** After an event: if something was deleted and the last sweep is long ago. What fails is tried again after a later event. @throws StoreError */
  async whenDue(): Promise<void> {
    const { store, exclusive, now } = this.#parts;
    const time = now();
    if (Math.abs(time - this.#lookedAt) < LOOK_EVERY) return;
    this.#lookedAt = time;
    if (!this.#tidied) await store.tidy(exclusive);
    this.#tidied = true;
    const { at, due } = await this.status();
    // A clock that was set back is no reason to wait.
    if (due && Math.abs(time - at) >= SWEEP_EVERY) await this.sweep();
  }
}
