import { ed25519 } from '@noble/curves/ed25519.js';
import { concat, fromHex, toHex, type Secret } from '../bytes/index.ts';

/**
 * Ed25519, X25519 and AES-GCM by Web Crypto, which is several times faster than JavaScript and runs
 * in constant time. Where a platform lacks one of the curves, the caller falls back to noble: each
 * function here says so by returning undefined.
 */

/** PrivateKeyInfo (RFC 8410 section 7) up to the 32 bytes of the key. */
const ED25519_PKCS8 = fromHex('302e020100300506032b657004220420');
const X25519_PKCS8 = fromHex('302e020100300506032b656e04220420');

/** Imported verification keys kept: as many as the largest group that we design for has members. */
const MAX_VERIFY_KEYS = 1024;

const signKeys = new WeakMap<Secret<'signature_private_key'>, Promise<CryptoKey>>();
const verifyKeys = new Map<string, Promise<CryptoKey>>();
const supported = new Map<string, Promise<boolean>>();

/** Web Crypto takes no shared memory, and the type says so. */
function unshared(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes;
  return buffer instanceof ArrayBuffer ? new Uint8Array(buffer, bytes.byteOffset, bytes.length) : new Uint8Array(bytes);
}

/** Whether the platform has this curve; asked once, by importing a public key. */
function supports(curve: 'Ed25519' | 'X25519'): Promise<boolean> {
  let answer = supported.get(curve);
  if (answer === undefined) {
    // The point's validity does not matter for X25519, and is given for Ed25519's base point.
    const point = unshared(curve === 'Ed25519' ? ed25519.Point.BASE.toBytes() : new Uint8Array(32).fill(9, 0, 1));
    const usages: KeyUsage[] = curve === 'Ed25519' ? ['verify'] : [];
    answer = crypto.subtle.importKey('raw', point, { name: curve }, false, usages).then(
      () => true,
      () => false,
    );
    supported.set(curve, answer);
  }
  return answer;
}

async function importPrivate(curve: 'Ed25519' | 'X25519', key: Uint8Array): Promise<CryptoKey> {
  const pkcs8 = unshared(concat(curve === 'Ed25519' ? ED25519_PKCS8 : X25519_PKCS8, key));
  try {
    return await crypto.subtle.importKey('pkcs8', pkcs8, { name: curve }, false, curve === 'Ed25519' ? ['sign'] : ['deriveBits']);
  } finally {
    pkcs8.fill(0);
  }
}

/** Ed25519 signature; undefined where the platform has no Ed25519. The imported key lives as long as the Secret. */
export async function sign(privateKey: Secret<'signature_private_key'>, message: Uint8Array): Promise<Uint8Array | undefined> {
  const seed = privateKey.reveal(); // a wiped key must not sign, even though its import may be cached
  if (!(await supports('Ed25519'))) return undefined;
  let key = signKeys.get(privateKey);
  if (key === undefined) {
    key = importPrivate('Ed25519', seed);
    signKeys.set(privateKey, key);
  }
  return new Uint8Array(await crypto.subtle.sign('Ed25519', await key, unshared(message)));
}

/** Whether the Ed25519 signature is good; undefined where the platform has no Ed25519. */
export async function verify(publicKey: Uint8Array, message: Uint8Array, signature: Uint8Array): Promise<boolean | undefined> {
  if (!(await supports('Ed25519'))) return undefined;
  const id = toHex(publicKey);
  let key = verifyKeys.get(id);
  if (key === undefined) key = crypto.subtle.importKey('raw', unshared(publicKey), { name: 'Ed25519' }, false, ['verify']);
  else verifyKeys.delete(id);
  verifyKeys.set(id, key); // the last one is the one used last
  const oldest = verifyKeys.keys().next();
  if (verifyKeys.size > MAX_VERIFY_KEYS && oldest.done !== true) verifyKeys.delete(oldest.value);
  try {
    return await crypto.subtle.verify('Ed25519', await key, unshared(signature), unshared(message));
  } catch {
    verifyKeys.delete(id);
    return false; // no valid public key
  }
}

/**
 * X25519 of a private key and each of the points; undefined where the platform has no X25519.
 * @throws DOMException when a result is all zeros (RFC 7748 section 6.1)
 */
export async function x25519(privateKey: Uint8Array, points: readonly Uint8Array[]): Promise<Uint8Array[] | undefined> {
  if (!(await supports('X25519'))) return undefined;
  const own = await importPrivate('X25519', privateKey);
  return Promise.all(
    points.map(async (point) => {
      const peer = await crypto.subtle.importKey('raw', unshared(point), { name: 'X25519' }, false, []);
      return new Uint8Array(await crypto.subtle.deriveBits({ name: 'X25519', public: peer }, own, 256));
    }),
  );
}

/** AES-GCM with a 16-byte tag behind the ciphertext. */
export async function sealAesGcm(key: Uint8Array, iv: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Promise<Uint8Array> {
  const imported = await crypto.subtle.importKey('raw', unshared(key), 'AES-GCM', false, ['encrypt']);
  const parameters = { name: 'AES-GCM', iv: unshared(iv), additionalData: unshared(aad) };
  return new Uint8Array(await crypto.subtle.encrypt(parameters, imported, unshared(plaintext)));
}

/** @returns undefined when the tag does not fit. */
export async function openAesGcm(
  key: Uint8Array,
  iv: Uint8Array,
  aad: Uint8Array,
  ciphertext: Uint8Array,
): Promise<Uint8Array | undefined> {
  const imported = await crypto.subtle.importKey('raw', unshared(key), 'AES-GCM', false, ['decrypt']);
  const parameters = { name: 'AES-GCM', iv: unshared(iv), additionalData: unshared(aad) };
  try {
    return new Uint8Array(await crypto.subtle.decrypt(parameters, imported, unshared(ciphertext)));
  } catch {
    return undefined;
  }
}
