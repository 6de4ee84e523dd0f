import { Worker } from 'node:worker_threads';

/** What a case may take before it counts as one that never ends: many times its bounds, which judge it when it is over. ms */
const PATIENCE = 60_000;
const LONGEST_NAME = 1_000;

/** Runs beside a thread that may be stuck in a loop, which nothing in that thread itself can end. */
const WATCH = `
const { writeSync } = require('node:fs');
const { workerData: { shared, patience } } = require('node:worker_threads');
const [counts, name] = [new Int32Array(shared, 0, 2), new Uint8Array(shared, 8)];
let [seen, since] = [0, Date.now()];
setInterval(() => {
  const [begun, length] = [Atomics.load(counts, 0), Atomics.load(counts, 1)];
  if (begun !== seen || length === 0) [seen, since] = [begun, Date.now()];
  if (Date.now() - since < patience) return;
  writeSync(2, Buffer.from(name.slice(0, length)).toString() + ' does not end\\n');
  process.kill(process.pid, 'SIGKILL');
}, Math.min(500, patience / 4));
`;

/** Ends the process, and says by which case, when one never ends. */
export class Watchdog {
  readonly #counts: Int32Array;
  readonly #name: Uint8Array;

  constructor(patience = PATIENCE) {
    const shared = new SharedArrayBuffer(8 + LONGEST_NAME);
    this.#counts = new Int32Array(shared, 0, 2);
    this.#name = new Uint8Array(shared, 8);
    new Worker(WATCH, { eval: true, execArgv: [], workerData: { shared, patience } }).unref();
  }

  /** @param name Says how to see the case again */
  begins(name: string): void {
    const bytes = new TextEncoder().encode(name).subarray(0, LONGEST_NAME);
    this.#name.set(bytes);
    Atomics.store(this.#counts, 1, bytes.length);
    Atomics.add(this.#counts, 0, 1);
  }

  ends(): void {
    Atomics.store(this.#counts, 1, 0);
  }
}
