import { toBase64Url } from '../src/bytes/index.ts';
import {
  CLOCK_WINDOW,
  type DeviceAuthorization,
  deviceRequestContent,
  parseAuthorization,
  type SignedRequest,
} from '../src/delivery/device-proof.ts';
import { verifyEd25519 } from './ed25519.ts';
import { Refusal } from './problems.ts';

/** Judges the proof that a device signs every request with; see docs/delivery-service.md, "Proving a device". */
export class RequestVerifier {
  readonly #now: () => number;
  readonly #startedAt: number;
  /** Nonces of the window by the time when they may be forgotten, oldest first. */
  readonly #seen = new Map<string, number>();

  constructor(now: () => number) {
    this.#now = now;
    this.#startedAt = now();
  }

  /**
   * The header's fields, when its time is right. Nonces are in memory, so a time before the server's start
   * is refused too: the nonce may have been used before a restart. @throws bad-signature, clock-skew
   */
  read(header: string | undefined): DeviceAuthorization {
    const authorization = parseAuthorization(header ?? '');
    if (authorization === undefined) throw new Refusal('bad-signature');
    const now = this.#now();
    if (Math.abs(authorization.time - now) > CLOCK_WINDOW || authorization.time < this.#startedAt) {
      throw new Refusal('clock-skew', { time: now });
    }
    return authorization;
  }

  /** @throws bad-signature, also for a request that came before */
  async verify(authorization: DeviceAuthorization, deviceKey: Uint8Array, request: SignedRequest): Promise<void> {
    const content = await deviceRequestContent(request, authorization);
    if (!verifyEd25519(deviceKey, content, authorization.signature)) throw new Refusal('bad-signature');
    this.#remember(`${toBase64Url(authorization.deviceId)} ${toBase64Url(authorization.nonce)}`);
  }

  #remember(nonce: string): void {
    const now = this.#now();
    for (const [old, until] of this.#seen) {
      if (until > now) break;
      this.#seen.delete(old);
    }
    if (this.#seen.has(nonce)) throw new Refusal('bad-signature');
    this.#seen.set(nonce, now + 2 * CLOCK_WINDOW); // a time may lie one window ahead and pass for another
  }
}
