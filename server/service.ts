import type { Context } from 'hono';
import { fromJson, toJson } from '../src/delivery/frames.ts';
import { fromUtf8 } from '../src/bytes/index.ts';
import type { AuthenticationKey } from './authentication-key.ts';
import { RequestVerifier } from './authentication.ts';
import { EventStreams } from './events.ts';
import { MAX_DELAY, RATES } from './limits.ts';
import { Notices } from './notices.ts';
import { Refusal } from './problems.ts';
import { RateLimit } from './rate-limit.ts';
import type { Caller, Consistency, DeliveryStore } from './store/store.ts';

/** What the server is made of; tests pass a clock and addresses of their own. */
export interface ServiceParts {
  readonly store: DeliveryStore;
  readonly authenticationKey: AuthenticationKey;
  /** ms since 1970 */
  readonly now: () => number;
  readonly random: (length: number) => Uint8Array;
  readonly consistency: Consistency;
  /** Whom the address limits count: never what the client itself can write into a header. */
  readonly addressOf: (context: Context) => string;
}

/** State shared by the routes. */
export class Service {
  readonly store: DeliveryStore;
  readonly authenticationKey: AuthenticationKey;
  readonly now: () => number;
  readonly random: (length: number) => Uint8Array;
  readonly addressOf: (context: Context) => string;
  readonly consistency: Consistency;
  readonly notices = new Notices();
  readonly streams: EventStreams;
  readonly verifier: RequestVerifier;
  readonly rates: { readonly [Name in keyof typeof RATES]: RateLimit };
  readonly #closing = new AbortController();

  constructor(parts: ServiceParts) {
    const { store, authenticationKey, now, random, consistency, addressOf } = parts;
    this.consistency = consistency;
    this.store = store;
    this.authenticationKey = authenticationKey;
    this.now = now;
    this.random = random;
    this.addressOf = addressOf;
    this.streams = new EventStreams(store, this.notices, now);
    this.verifier = new RequestVerifier(now);
    this.rates = {
      address: new RateLimit(RATES.address, now),
      createAccount: new RateLimit(RATES.createAccount, now),
      recovery: new RateLimit(RATES.recovery, now),
      openLink: new RateLimit(RATES.openLink, now),
      device: new RateLimit(RATES.device, now),
      claim: new RateLimit(RATES.claim, now),
      lookUp: new RateLimit(RATES.lookUp, now),
    };
  }

  /** Aborted when the server stops: waiting requests answer. */
  get closing(): AbortSignal {
    return this.#closing.signal;
  }

  /**
   * The time that an application message takes through an eventually consistent service: others overtake it, and commits.
   * @throws internal when the server stops meanwhile
   */
  async transport({ kind }: { readonly kind: string }): Promise<void> {
    if (this.consistency === 'strong' || kind !== 'application') return;
    const [high, low] = this.random(2);
    const delay = ((high! * 256 + low!) / 65_536) * MAX_DELAY;
    await new Promise<void>((resolve, reject) => {
      const closed = (): void => {
        clearTimeout(timer);
        reject(new Refusal('internal', { retryAfter: MAX_DELAY }));
      };
      const timer = setTimeout(() => {
        this.closing.removeEventListener('abort', closed);
        resolve();
      }, delay);
      this.closing.addEventListener('abort', closed, { once: true });
    });
  }

  close(): void {
    this.#closing.abort();
    this.streams.close();
  }

  /**
   * The device that signed the request, and the body that it signed. All that is cheap is judged before the
   * body is read. @throws bad-signature, clock-skew, unknown-device, rate-limited, too-large
   */
  async authenticate(context: Context, maxBody: number): Promise<{ readonly caller: Caller; readonly body: Uint8Array }> {
    const authorization = this.verifier.read(context.req.header('Authorization'));
    const { deviceId } = authorization;
    const device = await this.store.findDevice(deviceId);
    if (device === undefined) throw new Refusal('unknown-device');
    const body = await readBody(context, maxBody);
    await this.verifier.verify(authorization, device.deviceKey, { method: context.req.method, target: targetOf(context), body });
    this.rates.device.take(keyOf(deviceId)); // behind the proof: nobody else can empty a device's bucket
    return { caller: { accountId: device.accountId, deviceId }, body };
  }
}

/** Key of a rate limit. */
export function keyOf(id: Uint8Array): string {
  return id.join();
}

/** Path and query as the client signed them. */
export function targetOf(context: Context): string {
  const { pathname, search } = new URL(context.req.url);
  return pathname + search;
}

/** The request's body. @throws too-large */
export async function readBody(context: Context, max: number): Promise<Uint8Array> {
  if (Number(context.req.header('Content-Length') ?? 0) > max) throw new Refusal('too-large');
  const parts: Uint8Array[] = [];
  let length = 0;
  const reader = context.req.raw.body?.getReader();
  for (;;) {
    const part = await reader?.read();
    if (part === undefined || part.done) break;
    length += part.value.length;
    if (length > max) {
      await reader?.cancel();
      throw new Refusal('too-large');
    }
    parts.push(part.value);
  }
  return new Uint8Array(Buffer.concat(parts));
}

/** The body under `schema`. @throws malformed */
export function readFrame<Value>(schema: Parameters<typeof fromJson<Value>>[0], body: Uint8Array): Value {
  let text: string;
  try {
    text = fromUtf8(body);
  } catch {
    throw new Refusal('malformed');
  }
  const value = fromJson(schema, text);
  if (value === undefined) throw new Refusal('malformed');
  return value;
}

/** Bytes in a path or header under `schema`. @throws malformed */
export function readText(schema: Parameters<typeof fromJson<Uint8Array>>[0], text: string | undefined): Uint8Array {
  const value = fromJson(schema, JSON.stringify(text ?? null));
  if (value === undefined) throw new Refusal('malformed');
  return value;
}

/** A count in a query. @throws malformed */
export function readCount(text: string | undefined, max: number): number {
  const value = /^\d{1,15}$/.test(text ?? '') ? Number(text) : Number.NaN;
  if (!(value <= max)) throw new Refusal('malformed');
  return value;
}

/** Status 200 with the JSON of `value`. */
export function answer(value: object): Response {
  return new Response(toJson(value), { headers: { 'Content-Type': 'application/json', 'Cache-Control': 'no-store' } });
}
