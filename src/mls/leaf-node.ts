import type { Secret } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import {
  encodeLeafNodeTBS,
  type Capabilities,
  type Credential,
  type Extension,
  type LeafNode,
  type LeafNodeCommit,
  type LeafNodeKeyPackage,
  type LeafNodeTBS,
  type LeafNodeUpdate,
  type Lifetime,
} from './ts-mls.ts';

/*
 * struct { HPKEPublicKey encryption_key; SignaturePublicKey signature_key; Credential credential; Capabilities capabilities;
 *   LeafNodeSource leaf_node_source;
 *   select (leaf_node_source) { case key_package: Lifetime lifetime; case update: struct{}; case commit: opaque parent_hash<V>; }
 *   Extension extensions<V>; opaque signature<V>; } LeafNode;
 * LeafNodeTBS is the same without the signature and, for update and commit, with group_id<V> and leaf_index behind it.
 */

const LEAF_NODE_LABEL = 'LeafNodeTBS';

/** What a LeafNode says besides its encryption key and its source. */
export interface LeafTemplate {
  readonly signaturePublicKey: Uint8Array;
  readonly credential: Credential;
  readonly capabilities: Capabilities;
  readonly extensions: readonly Extension[];
}

/** Where a LeafNode of source `update` or `commit` stands; its signature covers it. */
export interface LeafPosition {
  readonly groupId: Uint8Array;
  readonly leafIndex: number;
}

type Signer = Secret<'signature_private_key'>;

/** RFC 9420 section 7.2, source `key_package`. `signer` is the private key of the template's signature key. */
export async function buildKeyPackageLeaf(
  suite: MlsSuite,
  template: LeafTemplate,
  encryptionKey: Uint8Array,
  lifetime: Lifetime,
  signer: Signer,
): Promise<LeafNodeKeyPackage> {
  const leaf = { ...dataOf(template, encryptionKey), leafNodeSource: 'key_package' as const, lifetime };
  return { ...leaf, signature: await sign(suite, signer, leaf) };
}

/** RFC 9420 section 7.2, source `update`: the leaf of an Update proposal. */
export async function buildUpdateLeaf(
  suite: MlsSuite,
  template: LeafTemplate,
  encryptionKey: Uint8Array,
  position: LeafPosition,
  signer: Signer,
): Promise<LeafNodeUpdate> {
  const leaf = { ...dataOf(template, encryptionKey), leafNodeSource: 'update' as const };
  return { ...leaf, signature: await sign(suite, signer, { ...leaf, ...position }) };
}

/** RFC 9420 section 7.2, source `commit`: the leaf of an UpdatePath. */
export async function buildCommitLeaf(
  suite: MlsSuite,
  template: LeafTemplate,
  encryptionKey: Uint8Array,
  parentHash: Uint8Array,
  position: LeafPosition,
  signer: Signer,
): Promise<LeafNodeCommit> {
  const leaf = { ...dataOf(template, encryptionKey), leafNodeSource: 'commit' as const, parentHash };
  return { ...leaf, signature: await sign(suite, signer, { ...leaf, ...position }) };
}

/** Whether the leaf's own signature key signed it for this place; `position` says nothing to a leaf of source `key_package`. */
export function verifyLeafSignature(suite: MlsSuite, leaf: LeafNode, position: LeafPosition): Promise<boolean> {
  const tbs: LeafNodeTBS = leaf.leafNodeSource === 'key_package' ? leaf : { ...leaf, ...position };
  return suite.verifyWithLabel(leaf.signaturePublicKey, LEAF_NODE_LABEL, encodeLeafNodeTBS(tbs), leaf.signature);
}

function dataOf(template: LeafTemplate, encryptionKey: Uint8Array) {
  return {
    hpkePublicKey: encryptionKey,
    signaturePublicKey: template.signaturePublicKey,
    credential: template.credential,
    capabilities: template.capabilities,
    extensions: [...template.extensions],
  };
}

function sign(suite: MlsSuite, signer: Signer, tbs: LeafNodeTBS): Promise<Uint8Array> {
  return suite.signWithLabel(signer, LEAF_NODE_LABEL, encodeLeafNodeTBS(tbs));
}
