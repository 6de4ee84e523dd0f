import { type Secret, utf8 } from '../bytes/index.ts';
import { encode } from '../wire/index.ts';
import { StoreError } from './errors.ts';

/** What lies in the database in place of a record. */
export interface SealedValue {
  /** A record: the number of its scope's key. A key: the generation of the root that seals it. */
  readonly rootGeneration: number;
  readonly nonce: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** Where a sealed value belongs; it opens nowhere else. */
export interface SealedPlace {
  readonly database: string;
  readonly store: 'records' | 'keys';
  readonly path: string;
  readonly rootGeneration: number;
}

/** Raised with the meaning of SealedPlace or of the key schedule. */
const FORMAT = 'Chorus sealed value 1';
const WRAPPING_INFO = 'Chorus store wrapping key 1';
const KEY_LENGTH = 32; // AES-256, bytes
/** AES-GCM's own. Random nonces are good for 2^32 values per key (NIST SP 800-38D, section 8.3); a scope sees far fewer writes. */
const NONCE_LENGTH = 12;

/**
 * wrapping_key = HKDF-SHA256(salt = factor, IKM = root, info = "Chorus store wrapping key 1", 32)
 *
 * `factor` is what comes of the app lock's passphrase or passkey, "" without a lock.
 *
 * The caller wipes the root; the key lives in memory only (a CryptoKey put into IndexedDB would lie
 * readable on the disk).
 */
export async function wrappingKey(root: Secret<'store-root'>, factor?: Secret<'lock-factor'>): Promise<CryptoKey> {
  const material = await crypto.subtle.importKey('raw', unshared(root.reveal()), 'HKDF', false, ['deriveKey']);
  const parameters = {
    name: 'HKDF',
    hash: 'SHA-256',
    salt: unshared(factor?.reveal() ?? new Uint8Array()),
    info: unshared(utf8(WRAPPING_INFO)),
  };
  return crypto.subtle.deriveKey(parameters, material, { name: 'AES-GCM', length: 8 * KEY_LENGTH }, false, ['encrypt', 'decrypt']);
}

/** A fresh random key, usable at once, and sealed at `place` for storage. */
export async function makeSealedKey(wrapping: CryptoKey, place: SealedPlace): Promise<{ key: CryptoKey; sealed: SealedValue }> {
  const bytes = crypto.getRandomValues(new Uint8Array(KEY_LENGTH));
  try {
    return { key: await importKey(bytes), sealed: await seal(wrapping, place, bytes) };
  } finally {
    bytes.fill(0);
  }
}

/** The key that `makeSealedKey` sealed. @throws StoreError 'sealed-record-unreadable' */
export async function openSealedKey(wrapping: CryptoKey, place: SealedPlace, sealed: SealedValue): Promise<CryptoKey> {
  const bytes = await open(wrapping, place, sealed);
  try {
    return await importKey(bytes);
  } finally {
    bytes.fill(0);
  }
}

/** The key that `makeSealedKey` sealed, sealed at `to` under another wrapping key. @throws StoreError 'sealed-record-unreadable' */
export async function resealKey(
  from: { readonly wrapping: CryptoKey; readonly place: SealedPlace },
  to: { readonly wrapping: CryptoKey; readonly place: SealedPlace },
  sealed: SealedValue,
): Promise<SealedValue> {
  const bytes = await open(from.wrapping, from.place, sealed);
  try {
    return await seal(to.wrapping, to.place, bytes);
  } finally {
    bytes.fill(0);
  }
}

/** AES-GCM under a new random nonce, with the place as associated data. */
export async function seal(key: CryptoKey, place: SealedPlace, plaintext: Uint8Array): Promise<SealedValue> {
  const nonce = crypto.getRandomValues(new Uint8Array(NONCE_LENGTH));
  const parameters = { name: 'AES-GCM', iv: nonce, additionalData: associatedData(place) };
  const ciphertext = new Uint8Array(await crypto.subtle.encrypt(parameters, key, unshared(plaintext)));
  return { rootGeneration: place.rootGeneration, nonce, ciphertext };
}

/** @throws StoreError 'sealed-record-unreadable' unless it was sealed under this key, for this place, and is whole */
export async function open(key: CryptoKey, place: SealedPlace, sealed: SealedValue): Promise<Uint8Array> {
  const parameters = { name: 'AES-GCM', iv: unshared(sealed.nonce), additionalData: associatedData(place) };
  try {
    return new Uint8Array(await crypto.subtle.decrypt(parameters, key, unshared(sealed.ciphertext)));
  } catch {
    throw new StoreError('sealed-record-unreadable', place.path);
  }
}

/** Whether a value from the database has the form of a sealed one. */
export function isSealedValue(value: unknown): value is SealedValue {
  if (typeof value !== 'object' || value === null) return false;
  const { rootGeneration, nonce, ciphertext } = value as Partial<Record<keyof SealedValue, unknown>>;
  return (
    Number.isInteger(rootGeneration) && nonce instanceof Uint8Array && nonce.length === NONCE_LENGTH && ciphertext instanceof Uint8Array
  );
}

/**
 *     struct {
 *         opaque format<V> = "Chorus sealed value 1";
 *         opaque database<V>;
 *         opaque store<V>;
 *         opaque path<V>;
 *         uint32 root_generation;
 *     } SealedPlace;
 */
function associatedData(place: SealedPlace): Uint8Array<ArrayBuffer> {
  const { database, store, path, rootGeneration } = place;
  const texts = [FORMAT, database, store, path];
  return unshared(
    encode((writer) => {
      for (const text of texts) writer.opaque(utf8(text));
      writer.uint32(rootGeneration);
    }),
  );
}

function importKey(bytes: Uint8Array): Promise<CryptoKey> {
  return crypto.subtle.importKey('raw', unshared(bytes), 'AES-GCM', false, ['encrypt', 'decrypt']);
}

/** Web Crypto takes no shared memory, and the type says so. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer, bytes.byteOffset, bytes.length) : new Uint8Array(bytes);
}
