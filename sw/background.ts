/** The part of ExtendableEvent in use. */
export interface Extendable {
  waitUntil(promise: Promise<unknown>): void;
}

/**
 * Work that something started and nobody waits for, such as showing a notification: events wait for
 * it too, so that the browser does not stop the worker in the middle of it.
 */
export class Background {
  readonly #running = new Set<Promise<unknown>>();

  /** Failures are swallowed: whoever starts such work can do nothing about them. */
  start(work: Promise<unknown>): void {
    const settled = work.catch(() => undefined).finally(() => this.#running.delete(settled));
    this.#running.add(settled);
  }

  /** Keeps the event alive for `work`, whose failure is the event's, and for all that is started meanwhile. */
  keepAlive(event: Extendable, work: Promise<unknown>): void {
    event.waitUntil(work.finally(() => this.#allDone()));
  }

  async #allDone(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running);
  }
}
