import { gcm } from '@noble/ciphers/aes.js';
import { chacha20poly1305 } from '@noble/ciphers/chacha.js';
import { ed25519 } from '@noble/curves/ed25519.js';
import { expand, extract } from '@noble/hashes/hkdf.js';
import { hmac } from '@noble/hashes/hmac.js';
import { sha256 } from '@noble/hashes/sha2.js';
import { concat, Secret, utf8 } from '../bytes/index.ts';
import type { CipherSuiteId } from '../virtual-client/ciphersuite.ts';
import { Writer } from '../wire/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { createHpke, isEncryptionKey } from './hpke.ts';
import { openAesGcm, sealAesGcm, sign, verify } from './web-crypto.ts';

/**
 * The two suites of X25519, SHA-256 and Ed25519. Derivation is synchronous (noble); what costs more
 * than a hop to Web Crypto and back is asynchronous.
 */

const NOTHING = new Uint8Array(0);
const FIRST_BLOCK = Uint8Array.of(1);
const PREFIX = 'MLS 1.0 ';
const NH = 32;
const NN = 12;
const SEED_LENGTH = 32; // Ed25519 seed, X25519 private key

interface Aead {
  readonly hpkeId: number; // RFC 9180 section 7.3
  readonly nk: number;
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined;
  sealAsync: MlsSuite['sealAsync'];
  openAsync: MlsSuite['openAsync'];
}

function nobleAead(cipher: typeof gcm | typeof chacha20poly1305): Pick<Aead, 'seal' | 'open'> {
  return {
    seal: (key, nonce, aad, plaintext) => cipher(key, nonce, aad).encrypt(plaintext),
    open(key, nonce, aad, ciphertext) {
      const instance = cipher(key, nonce, aad);
      try {
        return instance.decrypt(ciphertext);
      } catch {
        return undefined;
      }
    },
  };
}

const aes128Gcm: Aead = { hpkeId: 0x0001, nk: 16, ...nobleAead(gcm), sealAsync: sealAesGcm, openAsync: openAesGcm };

const chacha = nobleAead(chacha20poly1305);
const chacha20Poly1305: Aead = {
  hpkeId: 0x0003,
  nk: 32,
  ...chacha,
  sealAsync: (...parameters) => Promise.resolve(chacha.seal(...parameters)),
  openAsync: (...parameters) => Promise.resolve(chacha.open(...parameters)),
};

// struct { opaque label<V>; opaque content<V>; } SignContent, EncryptContext: label is "MLS 1.0 " + Label
function labeled(label: string | Uint8Array, content: Uint8Array): Uint8Array {
  const text = typeof label === 'string' ? utf8(PREFIX + label) : concat(utf8(PREFIX), label);
  return new Writer().opaque(text).opaque(content).finish();
}

/** HKDF-Expand of one block, which nearly every derivation is: T(1) = HMAC(PRK, info | 0x01). Half the time of noble's general one. */
function expandOnce(prk: Uint8Array, info: Uint8Array, length: number): Uint8Array {
  const block = hmac(sha256, prk, concat(info, FIRST_BLOCK));
  if (length === NH) return block;
  const output = block.slice(0, length);
  block.fill(0);
  return output;
}

function create(id: CipherSuiteId, aead: Aead): MlsSuite {
  const kdf = {
    extract: (salt: Uint8Array, inputKeyMaterial: Uint8Array): Uint8Array => extract(sha256, inputKeyMaterial, salt),
    expand: (prk: Uint8Array, info: Uint8Array, length: number): Uint8Array =>
      length <= NH ? expandOnce(prk, info, length) : expand(sha256, prk, info, length),
  };
  const hpke = createHpke({ aeadId: aead.hpkeId, nh: NH, nk: aead.nk, nn: NN, ...kdf });

  // struct { uint16 length; opaque label<V>; opaque context<V>; } KDFLabel;
  const expandWithLabel = (secret: Uint8Array, label: string, context: Uint8Array, length: number): Uint8Array =>
    kdf.expand(
      secret,
      new Writer()
        .uint16(length)
        .opaque(utf8(PREFIX + label))
        .opaque(context)
        .finish(),
      length,
    );

  return {
    id,
    nh: NH,
    nk: aead.nk,
    nn: NN,
    ...kdf,
    hash: (data) => sha256(data),
    mac: (key, data) => hmac(sha256, key, data),
    expandWithLabel,
    deriveSecret: (secret, label) => expandWithLabel(secret, label, NOTHING, NH),
    deriveKeyPair: hpke.deriveKeyPair,
    seal: aead.seal,
    open: aead.open,
    sealAsync: aead.sealAsync,
    openAsync: aead.openAsync,

    signatureKeyPair(seed) {
      const privateKey = Secret.of('signature_private_key', seed.slice());
      return { publicKey: ed25519.getPublicKey(seed), privateKey };
    },
    async signWithLabel(privateKey, label, content) {
      const message = labeled(label, content);
      return (await sign(privateKey, message)) ?? ed25519.sign(message, privateKey.reveal());
    },
    async verifyWithLabel(publicKey, label, content, signature) {
      if (publicKey.length !== SEED_LENGTH || signature.length !== 2 * SEED_LENGTH) return false;
      const message = labeled(label, content);
      // RFC 8032's rules, as Web Crypto has them, and not the laxer ones of ZIP 215
      return (await verify(publicKey, message, signature)) ?? ed25519.verify(signature, message, publicKey, { zip215: false });
    },

    isEncryptionKey,
    async encryptWithLabel(publicKey, label, context, plaintext, random) {
      const ephemeral = random(SEED_LENGTH);
      const { kemOutput, key, baseNonce, exporterSecret } = await hpke.setupSender(publicKey, ephemeral, labeled(label, context));
      const ciphertext = await aead.sealAsync(key, baseNonce, NOTHING, plaintext);
      for (const secret of [ephemeral, key, exporterSecret]) secret.fill(0);
      return { kemOutput, ciphertext };
    },
    async decryptWithLabel(privateKey, label, context, kemOutput, ciphertext) {
      const receiver = await hpke.setupReceiver(privateKey, kemOutput, labeled(label, context));
      if (receiver === undefined) return undefined;
      const plaintext = await aead.openAsync(receiver.key, receiver.baseNonce, NOTHING, ciphertext);
      for (const secret of [receiver.key, receiver.exporterSecret]) secret.fill(0);
      return plaintext;
    },
    exportToPublicKey: (publicKey, ephemeral, exporterContext, length) => ({
      kemOutput: ephemeral.publicKey,
      secret: hpke.exportAsSender(publicKey, ephemeral, exporterContext, length),
    }),
    exportFromKemOutput: hpke.exportAsReceiver,
  };
}

const SUITES: Readonly<Record<CipherSuiteId, MlsSuite>> = { 1: create(1, aes128Gcm), 3: create(3, chacha20Poly1305) };

/** MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519 (1) or MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519 (3). */
export function getSuite(id: CipherSuiteId): MlsSuite {
  return SUITES[id];
}
