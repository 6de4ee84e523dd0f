import type { TestDevice } from './engine-world.ts';

/** What devices have cost together since the last lap; `npm run soak` shows it (docs/soak.md). */
export class Figures {
  readonly #devices: readonly TestDevice[];
  #before = NOTHING;
  #since = Date.now();
  #processor = process.cpuUsage();

  /** `devices` may grow. */
  constructor(devices: readonly TestDevice[]) {
    this.#devices = devices;
  }

  lap(what: string): void {
    const now = this.#sum();
    const used = process.cpuUsage(this.#processor);
    const { requests, sent, transactions, written } = this.#before;
    const lap = {
      seconds: Math.round((Date.now() - this.#since) / 100) / 10,
      // Of all devices, ben's and the server: they are one process here.
      'seconds of processor': Math.round((used.user + used.system) / 1e5) / 10,
      requests: now.requests - requests,
      'kB sent': kilo(now.sent - sent),
      transactions: now.transactions - transactions,
      'kB written': kilo(now.written - written),
      'MB of memory': Math.round(process.memoryUsage().rss / 1e6),
    };
    if (process.env['CHORUS_SOAK'] !== undefined) console.log(what, lap);
    this.#before = now;
    this.#since = Date.now();
    this.#processor = process.cpuUsage();
  }

  #sum(): typeof NOTHING {
    return this.#devices.reduce(
      (sum, { cost }) => ({
        requests: sum.requests + [...cost.requests.values()].reduce((all, count) => all + count, 0),
        sent: sum.sent + cost.sent,
        transactions: sum.transactions + cost.transactions,
        written: sum.written + cost.written,
      }),
      NOTHING,
    );
  }
}

const NOTHING = { requests: 0, sent: 0, transactions: 0, written: 0 };
const kilo = (bytes: number): number => Math.round(bytes / 1000);
