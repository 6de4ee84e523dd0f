import type { Secret } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { buildKeyPackageLeaf, verifyLeafSignature, type LeafTemplate } from './leaf-node.ts';
import { refHash } from './ref-hash.ts';
import { encodeKeyPackageTBS, keyPackageCodec, suiteName, type Extension, type KeyPackage, type Lifetime } from './ts-mls.ts';
import { checkLifetime, sameKey } from './validate-leaf.ts';

const KEY_PACKAGE_LABEL = 'KeyPackageTBS';
/** Signed by nobody, so no group counts: a `key_package` leaf is signed for none. */
const NO_POSITION = { groupId: new Uint8Array(), leafIndex: 0 };

/** What a KeyPackage is made of; the private keys of both public keys stay with the caller. */
export interface KeyPackageTemplate {
  readonly leaf: LeafTemplate;
  /** HPKE public keys. */
  readonly encryptionKey: Uint8Array;
  readonly initKey: Uint8Array;
  readonly lifetime: Lifetime;
  readonly extensions: readonly Extension[];
}

/**
 * RFC 9420 section 10, both signatures by the leaf's signature key:
 * `struct { ProtocolVersion version; CipherSuite cipher_suite; HPKEPublicKey init_key; LeafNode leaf_node; Extension extensions<V>; opaque signature<V>; } KeyPackage;`
 */
export async function buildKeyPackage(
  suite: MlsSuite,
  template: KeyPackageTemplate,
  signer: Secret<'signature_private_key'>,
): Promise<KeyPackage> {
  const tbs = {
    version: 'mls10' as const,
    cipherSuite: suiteName(suite.id),
    initKey: template.initKey,
    leafNode: await buildKeyPackageLeaf(suite, template.leaf, template.encryptionKey, template.lifetime, signer),
    extensions: [...template.extensions],
  };
  return { ...tbs, signature: await suite.signWithLabel(signer, KEY_PACKAGE_LABEL, encodeKeyPackageTBS(tbs)) };
}

/** KeyPackageRef (RFC 9420 section 5.2): `RefHash("MLS 1.0 KeyPackage Reference", key_package)`. */
export function keyPackageRef(suite: CipherSuite, keyPackage: KeyPackage): Uint8Array {
  return refHash(suite, 'MLS 1.0 KeyPackage Reference', keyPackageCodec.encode(keyPackage));
}

/**
 * RFC 9420 section 10.1, before a KeyPackage is used for any group: version, suite, both signatures,
 * keys that differ, lifetime. Whether its leaf fits a certain group is `validateLeaf`'s to say.
 * @param now Seconds since 1970, or undefined where a late message must mean the same as a timely one.
 * @throws MlsError `invalid-key-package`, `outside-lifetime`, `invalid-signature`
 */
export async function validateKeyPackage(suite: MlsSuite, keyPackage: KeyPackage, now: bigint | undefined): Promise<void> {
  const { version, cipherSuite, initKey, leafNode, signature } = keyPackage;
  if (version !== 'mls10' || cipherSuite !== suiteName(suite.id)) throw new MlsError('invalid-key-package', 'version or suite');
  if (sameKey(initKey, leafNode.hpkePublicKey)) throw new MlsError('invalid-key-package', 'init key is the encryption key');
  checkLifetime(leafNode, now);
  const [leafSigned, packageSigned] = await Promise.all([
    verifyLeafSignature(suite, leafNode, NO_POSITION),
    suite.verifyWithLabel(leafNode.signaturePublicKey, KEY_PACKAGE_LABEL, encodeKeyPackageTBS(keyPackage), signature),
  ]);
  if (!leafSigned || !packageSigned) throw new MlsError('invalid-signature', 'key package');
}
