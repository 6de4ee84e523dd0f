import { Refusal } from './problems.ts';

export interface Rate {
  /** Tokens that a full bucket holds. */
  readonly burst: number;
  /** Tokens that come back per second. */
  readonly perSecond: number;
}

/** Buckets kept in memory, each about 100 bytes; past it the one longest unused is forgotten, that is, full again. */
const MAX_BUCKETS = 100_000;

/** Token buckets by key. They live in memory: a restart fills them. */
export class RateLimit {
  readonly #rate: Rate;
  readonly #now: () => number;
  /** In order of last use. */
  readonly #buckets = new Map<string, { readonly tokens: number; readonly at: number }>();

  constructor(rate: Rate, now: () => number) {
    this.#rate = rate;
    this.#now = now;
  }

  /** Takes `cost` tokens, at most `burst`. @throws rate-limited, with the time after which they will be there */
  take(key: string, cost = 1): void {
    const now = this.#now();
    const { burst, perSecond } = this.#rate;
    const bucket = this.#buckets.get(key) ?? { tokens: burst, at: now };
    const tokens = Math.min(burst, bucket.tokens + (Math.max(0, now - bucket.at) * perSecond) / 1000);
    if (tokens < cost) throw new Refusal('rate-limited', { retryAfter: Math.ceil(((cost - tokens) * 1000) / perSecond) });
    this.#buckets.delete(key);
    this.#buckets.set(key, { tokens: tokens - cost, at: now });
    if (this.#buckets.size > MAX_BUCKETS) this.#forgetOldest();
  }

  #forgetOldest(): void {
    for (const key of this.#buckets.keys()) {
      this.#buckets.delete(key);
      return;
    }
  }
}
