import type { Secret } from '../bytes/index.ts';
import type { CipherSuite, HpkeKeyPair } from '../virtual-client/ciphersuite.ts';

/** Source of randomness, always an argument: `length` bytes. */
export type Random = (length: number) => Uint8Array;

export interface SignatureKeyPair {
  readonly publicKey: Uint8Array;
  /** Ed25519 seed (RFC 8032). */
  readonly privateKey: Secret<'signature_private_key'>;
}

/** The protocol's synchronous suite plus what MLS needs; the asynchronous ones use Web Crypto. */
export interface MlsSuite extends CipherSuite {
  /** Ed25519 key pair of a 32-byte seed. */
  signatureKeyPair(seed: Uint8Array): SignatureKeyPair;
  /** RFC 9420 section 5.1.2; `label` without the "MLS 1.0 " prefix, as bytes or text. */
  signWithLabel(privateKey: Secret<'signature_private_key'>, label: string | Uint8Array, content: Uint8Array): Promise<Uint8Array>;
  verifyWithLabel(publicKey: Uint8Array, label: string | Uint8Array, content: Uint8Array, signature: Uint8Array): Promise<boolean>;
  /** Whether `encryptWithLabel` takes the key. */
  isEncryptionKey(publicKey: Uint8Array): boolean;
  /** RFC 9420 section 5.1.3; the ephemeral key comes from `random`. @throws MlsError 'invalid-public-key' */
  encryptWithLabel(
    publicKey: Uint8Array,
    label: string,
    context: Uint8Array,
    plaintext: Uint8Array,
    random: Random,
  ): Promise<{ kemOutput: Uint8Array; ciphertext: Uint8Array }>;
  decryptWithLabel(
    privateKey: Uint8Array,
    label: string,
    context: Uint8Array,
    kemOutput: Uint8Array,
    ciphertext: Uint8Array,
  ): Promise<Uint8Array | undefined>;
  /** HPKE sender export with a given ephemeral key pair (reading section 11), and its receiver side. */
  exportToPublicKey(
    publicKey: Uint8Array,
    ephemeral: HpkeKeyPair,
    exporterContext: Uint8Array,
    length: number,
  ): { kemOutput: Uint8Array; secret: Uint8Array };
  exportFromKemOutput(privateKey: Uint8Array, kemOutput: Uint8Array, exporterContext: Uint8Array, length: number): Uint8Array;
  /** AEAD by Web Crypto where the suite's AEAD exists there, else by noble. */
  sealAsync(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Promise<Uint8Array>;
  openAsync(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Promise<Uint8Array | undefined>;
}
