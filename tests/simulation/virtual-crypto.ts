import {
  createCipheriv,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  hkdfSync,
  sign,
  verify,
  type KeyObject,
} from 'node:crypto';
import type { Ledger } from './ledger.ts';
import type { Scheduler } from './scheduler.ts';

/**
 * Web Crypto as far as the product uses it, over Node's synchronous functions: its promises settle at
 * once, so what follows from an event does not depend on the machine. Random bytes are the actor's.
 */

const TAG_LENGTH = 16;
/** AES-256 is the store's alone: the protocol's suite has AES-128. */
const STORE_KEY = 32;
/** What stands in for a CryptoKey. */
interface Key {
  readonly bytes: Buffer;
  readonly object: KeyObject | undefined;
}

type Curve = 'Ed25519' | 'X25519';

const CURVES: Readonly<Record<string, Curve>> = { '2b6570': 'Ed25519', '2b656e': 'X25519' };
/** Of an RFC 8410 PrivateKeyInfo: where the curve's OID lies, and where the key. */
const OID_AT = 9;
const KEY_AT = 16;

/** Node takes ten times as long for reading a key as for using it, and longer yet where it is DER. */
const objects = new Map<string, KeyObject>();
const MOST_OBJECTS = 5_000;

function keyObject(curve: Curve, kind: 'public' | 'private', key: Buffer): KeyObject {
  const text = key.toString('base64url');
  const name = `${curve} ${kind} ${text}`;
  const known = objects.get(name);
  if (known !== undefined) return known;
  if (objects.size >= MOST_OBJECTS) objects.clear();
  const form = { kty: 'OKP', crv: curve };
  const made =
    kind === 'public'
      ? createPublicKey({ key: { ...form, x: text }, format: 'jwk' })
      : createPrivateKey({ key: { ...form, x: text, d: text }, format: 'jwk' }); // Node computes x from d, but wants one
  objects.set(name, made);
  return made;
}

function importKey(format: string, data: Uint8Array, algorithm: string | { readonly name: string }): Key {
  const name = typeof algorithm === 'string' ? algorithm : algorithm.name;
  const bytes = Buffer.from(data);
  if (format === 'pkcs8') {
    const curve = CURVES[bytes.toString('hex', OID_AT, OID_AT + 3)]!;
    return { bytes, object: keyObject(curve, 'private', bytes.subarray(KEY_AT)) };
  }
  if (name !== 'Ed25519' && name !== 'X25519') return { bytes, object: undefined };
  if (bytes.length !== 32) throw new DOMException('no such point', 'DataError');
  return { bytes, object: keyObject(name, 'public', bytes) };
}

interface AesParameters {
  readonly iv: Uint8Array;
  readonly additionalData?: Uint8Array;
}

const cipherOf = (key: Key): 'aes-128-gcm' | 'aes-256-gcm' => (key.bytes.length === 16 ? 'aes-128-gcm' : 'aes-256-gcm');

function encrypt({ iv, additionalData }: AesParameters, key: Key, plaintext: Uint8Array): Uint8Array {
  const cipher = createCipheriv(cipherOf(key), key.bytes, iv);
  if (additionalData !== undefined) cipher.setAAD(additionalData);
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function decrypt({ iv, additionalData }: AesParameters, key: Key, ciphertext: Uint8Array): Uint8Array {
  if (ciphertext.length < TAG_LENGTH) throw new DOMException('too short', 'OperationError');
  const decipher = createDecipheriv(cipherOf(key), key.bytes, iv);
  if (additionalData !== undefined) decipher.setAAD(additionalData);
  decipher.setAuthTag(ciphertext.subarray(-TAG_LENGTH));
  return Buffer.concat([decipher.update(ciphertext.subarray(0, -TAG_LENGTH)), decipher.final()]);
}

const whole = (bytes: Uint8Array): ArrayBuffer => new Uint8Array(bytes).buffer;

export function virtualCrypto(scheduler: Scheduler, ledger: Ledger, real: Crypto): Crypto {
  /** Every call is a moment at which its caller may die. */
  const after = async <Value>(work: () => Value): Promise<Value> => {
    await scheduler.actor?.point('crypto');
    return work();
  };
  const subtle = {
    digest: (_name: string, data: Uint8Array) => after(() => whole(createHash('sha256').update(data).digest())),
    // No such moment: the product keeps imported keys (src/mls/web-crypto.ts), here for all workers together, so that who
    // imports one depends on what else this process has played; and a key that somebody died over would be nobody's.
    importKey: (format: string, data: Uint8Array, algorithm: string | { readonly name: string }) =>
      Promise.resolve().then(() => importKey(format, data, algorithm)),
    sign: (_name: string, key: Key, data: Uint8Array) => after(() => whole(sign(null, data, key.object!))),
    verify: (_name: string, key: Key, signature: Uint8Array, data: Uint8Array) => after(() => verify(null, data, key.object!, signature)),
    deriveBits: (parameters: { readonly public: Key }, key: Key) =>
      after(() => whole(diffieHellman({ privateKey: key.object!, publicKey: parameters.public.object! }))),
    deriveKey: (parameters: { readonly salt: Uint8Array; readonly info: Uint8Array }, key: Key, wanted: { readonly length: number }) =>
      after((): Key => {
        const bytes = hkdfSync('sha256', key.bytes, parameters.salt, parameters.info, wanted.length / 8);
        return { bytes: Buffer.from(bytes), object: undefined };
      }),
    encrypt: (parameters: AesParameters, key: Key, plaintext: Uint8Array) =>
      after(() => {
        const ciphertext = encrypt(parameters, key, plaintext);
        if (key.bytes.length === STORE_KEY) ledger.storedUnder(key.bytes, parameters.iv);
        else ledger.sealed(scheduler.actor, key.bytes, parameters.iv, plaintext, ciphertext);
        return whole(ciphertext);
      }),
    decrypt: (parameters: AesParameters, key: Key, ciphertext: Uint8Array) =>
      after(() => {
        const plaintext = decrypt(parameters, key, ciphertext);
        if (key.bytes.length !== STORE_KEY) ledger.opened(scheduler.actor, key.bytes);
        return whole(plaintext);
      }),
  };
  const getRandomValues = (array: Uint8Array): Uint8Array => {
    const { actor } = scheduler;
    if (actor === undefined) return real.getRandomValues(array as Uint8Array<ArrayBuffer>);
    array.set(actor.bytes(array.length));
    return array;
  };
  return { subtle, getRandomValues, randomUUID: () => real.randomUUID() } as unknown as Crypto;
}
