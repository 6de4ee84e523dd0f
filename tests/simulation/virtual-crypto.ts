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
const SPKI = { Ed25519: '302a300506032b6570032100', X25519: '302a300506032b656e032100' } as const;

/** What stands in for a CryptoKey. */
interface Key {
  readonly bytes: Buffer;
  readonly object: KeyObject | undefined;
}

type Curve = keyof typeof SPKI;

/** Node takes ten times as long for reading a key as for using it. */
const objects = new Map<string, KeyObject>();
const MOST_OBJECTS = 5_000;

function keyObject(name: string, make: () => KeyObject): KeyObject {
  const known = objects.get(name);
  if (known !== undefined) return known;
  if (objects.size >= MOST_OBJECTS) objects.clear();
  const made = make();
  objects.set(name, made);
  return made;
}

function importKey(format: string, data: Uint8Array, algorithm: string | { readonly name: string }): Key {
  const name = typeof algorithm === 'string' ? algorithm : algorithm.name;
  const bytes = Buffer.from(data);
  if (format === 'pkcs8')
    return { bytes, object: keyObject(bytes.toString('latin1'), () => createPrivateKey({ key: bytes, format: 'der', type: 'pkcs8' })) };
  if (name !== 'Ed25519' && name !== 'X25519') return { bytes, object: undefined };
  if (bytes.length !== 32) throw new DOMException('no such point', 'DataError');
  const der = Buffer.concat([Buffer.from(SPKI[name satisfies Curve], 'hex'), bytes]);
  return { bytes, object: keyObject(der.toString('latin1'), () => createPublicKey({ key: der, format: 'der', type: 'spki' })) };
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
    importKey: (format: string, data: Uint8Array, algorithm: string | { readonly name: string }) =>
      after(() => importKey(format, data, algorithm)),
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
        ledger.sealed(scheduler.actor, key.bytes, parameters.iv, plaintext, ciphertext);
        return whole(ciphertext);
      }),
    decrypt: (parameters: AesParameters, key: Key, ciphertext: Uint8Array) =>
      after(() => {
        const plaintext = decrypt(parameters, key, ciphertext);
        ledger.opened(scheduler.actor, key.bytes);
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
