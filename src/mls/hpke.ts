import { ed25519, x25519 as nobleX25519 } from '@noble/curves/ed25519.js';
import { concat, toHex, utf8 } from '../bytes/index.ts';
import type { HpkeKeyPair } from '../virtual-client/ciphersuite.ts';
import { Writer } from '../wire/index.ts';
import { MlsError } from './errors.ts';
import { x25519 as webX25519 } from './web-crypto.ts';

/**
 * HPKE (RFC 9180) base mode with DHKEM(X25519, HKDF-SHA256) and HKDF-SHA256. Written out here, and
 * not taken from a library, because an external commit of a virtual client prescribes the ephemeral
 * key and must derive synchronously.
 */

/** RFC 9180 section 7.1-7.3. */
const KEM_ID = 0x0020;
const KDF_ID = 0x0001;
const KEY_LENGTH = 32; // Nsk = Npk = Nsecret
const BASE_POINT = new Uint8Array(32).fill(9, 0, 1);
const NOTHING = new Uint8Array(0);

/** What HPKE needs of a suite's KDF and AEAD. */
export interface HpkeParts {
  readonly aeadId: number;
  readonly nh: number;
  readonly nk: number;
  readonly nn: number;
  extract(salt: Uint8Array, inputKeyMaterial: Uint8Array): Uint8Array;
  expand(pseudoRandomKey: Uint8Array, info: Uint8Array, length: number): Uint8Array;
}

export interface HpkeContext {
  readonly key: Uint8Array;
  readonly baseNonce: Uint8Array;
  readonly exporterSecret: Uint8Array;
}

export interface Hpke {
  deriveKeyPair(inputKeyMaterial: Uint8Array): HpkeKeyPair;
  /** SetupBaseS with a given ephemeral private key. @throws MlsError 'invalid-public-key' */
  setupSender(publicKey: Uint8Array, ephemeral: Uint8Array, info: Uint8Array): Promise<HpkeContext & { kemOutput: Uint8Array }>;
  /** SetupBaseR; undefined when `kemOutput` is no usable key. */
  setupReceiver(privateKey: Uint8Array, kemOutput: Uint8Array, info: Uint8Array): Promise<HpkeContext | undefined>;
  /** The same two with empty `info`, synchronous, for the exporter. @throws MlsError 'invalid-public-key' */
  exportAsSender(publicKey: Uint8Array, ephemeral: HpkeKeyPair, exporterContext: Uint8Array, length: number): Uint8Array;
  exportAsReceiver(privateKey: Uint8Array, kemOutput: Uint8Array, exporterContext: Uint8Array, length: number): Uint8Array;
}

/**
 * Encodings, without the top bit, that X25519 ignores, of the points of small order: with them every private key gives
 * zeros, which HPKE refuses (RFC 9180 section 7.1.4). 0, 1, the two of order 8, p - 1, and 0 and 1 again as p and p + 1.
 */
const SMALL_ORDER: ReadonlySet<string> = new Set([
  '00'.repeat(32),
  `01${'00'.repeat(31)}`,
  'e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800',
  '5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157',
  ...['ec', 'ed', 'ee'].map((first) => `${first}${'ff'.repeat(30)}7f`),
]);

/** Whether something can be encrypted to this public key, whoever does it. */
export function isEncryptionKey(publicKey: Uint8Array): boolean {
  if (publicKey.length !== KEY_LENGTH) return false;
  const masked = publicKey.slice();
  masked[KEY_LENGTH - 1]! &= 127;
  return !SMALL_ORDER.has(toHex(masked));
}

/**
 * X25519(k, 9) by way of the birationally equivalent Edwards curve (RFC 7748 section 4.1), for which
 * noble keeps a table of the base point: a third of the ladder's time. u = (1 + y) / (1 - y)
 */
export function x25519PublicKey(privateKey: Uint8Array): Uint8Array {
  if (privateKey.length !== KEY_LENGTH) throw new RangeError('an X25519 private key has 32 bytes');
  const { Point } = ed25519;
  const scalar = Point.Fn.create(clampedScalar(privateKey)); // never 0: no multiple of the order is a clamped scalar
  const { Y, Z } = Point.BASE.multiply(scalar);
  const { Fp } = Point;
  return Fp.toBytes(Fp.div(Fp.add(Z, Y), Fp.sub(Z, Y)));
}

function clampedScalar(privateKey: Uint8Array): bigint {
  let scalar = 0n;
  for (let i = KEY_LENGTH - 1; i >= 0; i--) {
    let byte = privateKey[i]!;
    if (i === KEY_LENGTH - 1) byte = (byte & 127) | 64;
    if (i === 0) byte &= 248;
    scalar = (scalar << 8n) | BigInt(byte);
  }
  return scalar;
}

function diffieHellman(privateKey: Uint8Array, publicKey: Uint8Array): Uint8Array {
  try {
    return nobleX25519.getSharedSecret(privateKey, publicKey);
  } catch {
    throw new MlsError('invalid-public-key', 'HPKE');
  }
}

async function diffieHellmanWith(privateKey: Uint8Array, publicKey: Uint8Array): Promise<{ shared: Uint8Array; own: Uint8Array }> {
  let results: Uint8Array[] | undefined;
  try {
    results = await webX25519(privateKey, [publicKey, BASE_POINT]);
  } catch {
    throw new MlsError('invalid-public-key', 'HPKE');
  }
  const [shared, own] = results ?? [diffieHellman(privateKey, publicKey), x25519PublicKey(privateKey)];
  if (shared === undefined || own === undefined) throw new MlsError('invalid-public-key', 'HPKE');
  return { shared, own };
}

/** HPKE over the suite's KDF and AEAD. */
export function createHpke(parts: HpkeParts): Hpke {
  const { nh, nk, nn } = parts;
  const version = utf8('HPKE-v1');
  const kemSuite = concat(utf8('KEM'), new Writer().uint16(KEM_ID).finish());
  const hpkeSuite = concat(utf8('HPKE'), new Writer().uint16(KEM_ID).uint16(KDF_ID).uint16(parts.aeadId).finish());

  // LabeledExtract(salt, label, ikm) = Extract(salt, "HPKE-v1" || suite_id || label || ikm)
  const labeledExtract = (suiteId: Uint8Array, salt: Uint8Array, label: string, ikm: Uint8Array): Uint8Array =>
    parts.extract(salt, concat(version, suiteId, utf8(label), ikm));
  // LabeledExpand(prk, label, info, L) = Expand(prk, I2OSP(L, 2) || "HPKE-v1" || suite_id || label || info, L)
  const labeledExpand = (suiteId: Uint8Array, prk: Uint8Array, label: string, info: Uint8Array, length: number): Uint8Array =>
    parts.expand(prk, concat(new Writer().uint16(length).finish(), version, suiteId, utf8(label), info), length);

  const pskIdHash = labeledExtract(hpkeSuite, NOTHING, 'psk_id_hash', NOTHING);

  function sharedSecret(dh: Uint8Array, kemOutput: Uint8Array, publicKey: Uint8Array): Uint8Array {
    const prk = labeledExtract(kemSuite, NOTHING, 'eae_prk', dh);
    dh.fill(0);
    const shared = labeledExpand(kemSuite, prk, 'shared_secret', concat(kemOutput, publicKey), KEY_LENGTH);
    prk.fill(0);
    return shared;
  }

  // RFC 9180 section 5.1, mode_base; takes over the shared secret
  function keySchedule(shared: Uint8Array, info: Uint8Array): HpkeContext {
    const context = concat(Uint8Array.of(0), pskIdHash, labeledExtract(hpkeSuite, NOTHING, 'info_hash', info));
    const secret = labeledExtract(hpkeSuite, shared, 'secret', NOTHING);
    shared.fill(0);
    const key = labeledExpand(hpkeSuite, secret, 'key', context, nk);
    const baseNonce = labeledExpand(hpkeSuite, secret, 'base_nonce', context, nn);
    const exporterSecret = labeledExpand(hpkeSuite, secret, 'exp', context, nh);
    secret.fill(0);
    return { key, baseNonce, exporterSecret };
  }

  // Context.Export(exporter_context, L) = LabeledExpand(self.exporter_secret, "sec", exporter_context, L)
  function exportSecret(context: HpkeContext, exporterContext: Uint8Array, length: number): Uint8Array {
    const exported = labeledExpand(hpkeSuite, context.exporterSecret, 'sec', exporterContext, length);
    context.key.fill(0);
    context.exporterSecret.fill(0);
    return exported;
  }

  return {
    deriveKeyPair(inputKeyMaterial) {
      const prk = labeledExtract(kemSuite, NOTHING, 'dkp_prk', inputKeyMaterial);
      const privateKey = labeledExpand(kemSuite, prk, 'sk', NOTHING, KEY_LENGTH);
      prk.fill(0);
      return { privateKey, publicKey: x25519PublicKey(privateKey) };
    },
    async setupSender(publicKey, ephemeral, info) {
      const { shared, own } = await diffieHellmanWith(ephemeral, publicKey);
      return { kemOutput: own, ...keySchedule(sharedSecret(shared, own, publicKey), info) };
    },
    async setupReceiver(privateKey, kemOutput, info) {
      try {
        const { shared, own } = await diffieHellmanWith(privateKey, kemOutput);
        return keySchedule(sharedSecret(shared, kemOutput, own), info);
      } catch (error) {
        if (error instanceof MlsError) return undefined;
        throw error;
      }
    },
    exportAsSender(publicKey, ephemeral, exporterContext, length) {
      const shared = sharedSecret(diffieHellman(ephemeral.privateKey, publicKey), ephemeral.publicKey, publicKey);
      return exportSecret(keySchedule(shared, NOTHING), exporterContext, length);
    },
    exportAsReceiver(privateKey, kemOutput, exporterContext, length) {
      const shared = sharedSecret(diffieHellman(privateKey, kemOutput), kemOutput, x25519PublicKey(privateKey));
      return exportSecret(keySchedule(shared, NOTHING), exporterContext, length);
    },
  };
}
