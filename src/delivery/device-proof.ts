import { concat, fromBase64Url, toBase64Url, utf8 } from '../bytes/index.ts';
import type { DeviceProof } from '../engine/ports.ts';
import { encode } from '../wire/index.ts';
import { ID_LENGTH, SIGNATURE_LENGTH } from './bounds.ts';

/**
 * How a device proves itself to the delivery service: every request is signed with the device's
 * Ed25519 key, so nothing that a server or a proxy sees can be used for a second request.
 */

/** ASCII; it keeps the signature apart from all that MLS signs ("MLS 1.0 ..."). */
const REQUEST_LABEL = 'Chorus device request';

/** How far a request's time may be from the server's, either way, ms: bad clocks pass, and nonces are kept for no longer. */
export const CLOCK_WINDOW = 5 * 60 * 1000;

export interface SignedRequest {
  readonly method: string;
  /** Path and query as sent, from the `/v1` on. */
  readonly target: string;
  readonly body: Uint8Array;
}

export interface DeviceAuthorization {
  readonly deviceId: Uint8Array;
  /** ms since 1970 by the device's clock, corrected by what the server has told. */
  readonly time: number;
  readonly nonce: Uint8Array;
  readonly signature: Uint8Array;
}

/**
 * What the device signs:
 * ```
 * struct {
 *   opaque label<V> = "Chorus device request";
 *   opaque device_id<V>;
 *   opaque method<V>;
 *   opaque target<V>;
 *   uint64 time;
 *   opaque nonce<V>;
 *   opaque body_hash<V>;   // SHA-256
 * } DeviceRequestTBS;
 * ```
 */
export async function deviceRequestContent(
  request: SignedRequest,
  proof: Pick<DeviceAuthorization, 'deviceId' | 'time' | 'nonce'>,
): Promise<Uint8Array> {
  const bodyHash = new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(request.body)));
  return encode((writer) =>
    writer
      .opaque(utf8(REQUEST_LABEL))
      .opaque(proof.deviceId)
      .opaque(utf8(request.method))
      .opaque(utf8(request.target))
      .uint64(BigInt(proof.time))
      .opaque(proof.nonce)
      .opaque(bodyHash),
  );
}

/** PKCS#8 of an Ed25519 private key is this and the 32-byte seed (RFC 8410): Web Crypto takes no bare seed. */
const PKCS8_PREFIX = Uint8Array.of(0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20);

/** Value of the Authorization header for one request at `time`; a request sent again needs a new one. */
export async function authorize(request: SignedRequest, proof: DeviceProof, time: number): Promise<string> {
  const nonce = crypto.getRandomValues(new Uint8Array(ID_LENGTH));
  const pkcs8 = new Uint8Array(concat(PKCS8_PREFIX, proof.deviceKeySeed));
  const key = await crypto.subtle.importKey('pkcs8', pkcs8, 'Ed25519', false, ['sign']);
  pkcs8.fill(0);
  const content = await deviceRequestContent(request, { deviceId: proof.deviceId, time, nonce });
  const signature = new Uint8Array(await crypto.subtle.sign('Ed25519', key, new Uint8Array(content)));
  const fields = [
    `id=${toBase64Url(proof.deviceId)}`,
    `time=${time}`,
    `nonce=${toBase64Url(nonce)}`,
    `signature=${toBase64Url(signature)}`,
  ];
  return `Chorus-Device ${fields.join(', ')}`;
}

const HEADER = /^Chorus-Device id=([\w-]{1,32}), time=(\d{1,15}), nonce=([\w-]{1,32}), signature=([\w-]{1,128})$/;

/** Fields of an Authorization header, or undefined when it is not exactly what `authorize` makes. */
export function parseAuthorization(header: string): DeviceAuthorization | undefined {
  const [, id, time, nonce, signature] = HEADER.exec(header) ?? [];
  if (id === undefined || time === undefined || nonce === undefined || signature === undefined) return undefined;
  try {
    const parsed = { deviceId: fromBase64Url(id), time: Number(time), nonce: fromBase64Url(nonce), signature: fromBase64Url(signature) };
    const fits = parsed.deviceId.length === ID_LENGTH && parsed.nonce.length === ID_LENGTH && parsed.signature.length === SIGNATURE_LENGTH;
    return fits ? parsed : undefined;
  } catch {
    return undefined;
  }
}
