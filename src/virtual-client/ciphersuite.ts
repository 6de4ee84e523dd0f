/** RFC 9420 ciphersuite identifiers that Chorus knows. */
export type CipherSuiteId = 1 | 3;

export interface HpkeKeyPair {
  readonly publicKey: Uint8Array;
  readonly privateKey: Uint8Array;
}

/**
 * What the protocol needs of a ciphersuite. All functions are synchronous and pure; `src/mls/suite.ts`
 * implements them. Lengths are bytes.
 */
export interface CipherSuite {
  readonly id: CipherSuiteId;
  /** KDF.Nh, AEAD.Nk, AEAD.Nn of RFC 9420. */
  readonly nh: number;
  readonly nk: number;
  readonly nn: number;
  hash(data: Uint8Array): Uint8Array;
  /** HMAC with the suite's hash: RFC 9420's MAC. */
  mac(key: Uint8Array, data: Uint8Array): Uint8Array;
  extract(salt: Uint8Array, inputKeyMaterial: Uint8Array): Uint8Array;
  expand(pseudoRandomKey: Uint8Array, info: Uint8Array, length: number): Uint8Array;
  /** RFC 9420 section 8: `KDF.Expand(secret, KDFLabel{length, "MLS 1.0 " + label, context}, length)` */
  expandWithLabel(secret: Uint8Array, label: string, context: Uint8Array, length: number): Uint8Array;
  /** `ExpandWithLabel(secret, label, "", Nh)` */
  deriveSecret(secret: Uint8Array, label: string): Uint8Array;
  /** RFC 9180 DeriveKeyPair of the suite's KEM. */
  deriveKeyPair(inputKeyMaterial: Uint8Array): HpkeKeyPair;
  seal(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, plaintext: Uint8Array): Uint8Array;
  /** @returns undefined when the tag does not fit. */
  open(key: Uint8Array, nonce: Uint8Array, aad: Uint8Array, ciphertext: Uint8Array): Uint8Array | undefined;
}
