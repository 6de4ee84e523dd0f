import type { Mortal } from './mortal.ts';
import type { Scheduler } from './scheduler.ts';

/** The Web Lock of a profile: one task at a time over all its processes, freed by its holder's death. */
export class Lock {
  readonly #scheduler: Scheduler;
  readonly #waiting: { readonly process: Mortal; readonly run: () => void }[] = [];
  #holder: Mortal | undefined;

  constructor(scheduler: Scheduler) {
    this.#scheduler = scheduler;
  }

  exclusive<Result>(process: Mortal, task: () => Promise<Result>): Promise<Result> {
    return new Promise((resolve, reject) => {
      const run = (): void => {
        const over = (): void => this.#release(process);
        const result = process.point().then(task);
        result.then(over, over);
        result.then(resolve, reject);
      };
      this.#waiting.push({ process, run });
      this.#next();
    });
  }

  died(process: Mortal): void {
    if (this.#holder === process) this.#release(process);
  }

  #release(process: Mortal): void {
    if (this.#holder !== process) return;
    this.#holder = undefined;
    this.#next();
  }

  #next(): void {
    if (this.#holder !== undefined) return;
    let first = this.#waiting.shift();
    while (first !== undefined && !first.process.alive) first = this.#waiting.shift();
    if (first === undefined) return;
    const { process, run } = first;
    this.#holder = process;
    if (this.#scheduler.actor === process) run();
    else this.#scheduler.at(0, process, run);
  }
}
