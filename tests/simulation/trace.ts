import { createHash, type Hash } from 'node:crypto';
import type { Scheduler } from './scheduler.ts';

/** Everything that happened, as one hash: two runs of one seed must have the same. */
export class Trace {
  readonly #hash: Hash = createHash('sha256');
  /** What happened, in words, for whoever reads a failing schedule. */
  readonly lines: string[] = [];

  note(what: string): void {
    this.#hash.update(`${what}\n`);
  }

  /** A line for people. */
  say(scheduler: Scheduler, what: string): void {
    this.lines.push(`${((scheduler.now - Date.UTC(2026, 0, 1)) / 1000).toFixed(1).padStart(8)} s  ${what}`);
    this.note(what);
  }

  step({ now, actor, count }: Scheduler): void {
    this.note(`${now} ${actor?.name ?? ''} ${count}`);
  }

  get digest(): string {
    return this.#hash.copy().digest('hex');
  }
}
