import { compare } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { verifyLeafSignature } from './leaf-node.ts';
import type { RatchetTree } from './ratchet-tree.ts';
import { leafToNode } from './tree-math.ts';
import {
  decodeExact,
  extensionTypeToNumber,
  requiredCapabilitiesCodec,
  type CredentialTypeName,
  type GroupContext,
  type LeafNode,
} from './ts-mls.ts';

/** Types up to these are defined by RFC 9420 itself and are supported without being listed (section 7.2). */
const LAST_DEFAULT_EXTENSION = 5;
const LAST_DEFAULT_PROPOSAL = 7;

/** The place in a group for which a leaf is judged. */
export interface LeafPlace {
  /** The leaf that it replaces, if any, is found at `leafIndex` and not held against it. */
  readonly tree: RatchetTree;
  /** undefined for the leaf of an Add, which has no place yet. */
  readonly leafIndex: number | undefined;
  /** Whose group ID, ciphersuite and extensions rule. */
  readonly context: GroupContext;
  /** What the leaf must be: of an Add, of an Update, of an UpdatePath. */
  readonly source: LeafNode['leafNodeSource'];
  /** Seconds since 1970 against which a lifetime is held; undefined where a late message must mean the same as a timely one. */
  readonly now: bigint | undefined;
}

/**
 * RFC 9420 section 7.3: a leaf that enters the group or changes in it. Whether its credential is
 * genuine is the caller's to judge, and so is the longest lifetime that an application accepts.
 * @throws MlsError `wrong-leaf-source`, `invalid-signature`, `unsupported-capability`, `outside-lifetime`, `duplicate-key`,
 * `invalid-public-key`
 */
export async function validateLeaf(suite: MlsSuite, leaf: LeafNode, place: LeafPlace): Promise<void> {
  if (leaf.leafNodeSource !== place.source) throw new MlsError('wrong-leaf-source');
  if (leaf.leafNodeSource !== 'key_package' && place.leafIndex === undefined) throw new MlsError('unknown-leaf');
  checkLifetime(leaf, place.now);
  checkCapabilities(leaf, place.context);
  checkCredentialTypes(leaf, place.tree, place.leafIndex);
  checkKeysUnique(leaf, place.tree, place.leafIndex);
  checkEncryptionKey(suite, leaf.hpkePublicKey);
  // A leaf without a place is of source key_package, whose signature covers none.
  const position = { groupId: place.context.groupId, leafIndex: place.leafIndex ?? 0 };
  if (!(await verifyLeafSignature(suite, leaf, position))) throw new MlsError('invalid-signature', 'leaf node');
}

/** A `key_package` leaf counts from not_before to not_after, both included. @throws MlsError `outside-lifetime` */
export function checkLifetime(leaf: LeafNode, now: bigint | undefined): void {
  if (leaf.leafNodeSource !== 'key_package' || now === undefined) return;
  if (now < leaf.lifetime.notBefore || now > leaf.lifetime.notAfter) throw new MlsError('outside-lifetime');
}

/**
 * The leaf supports the group's version and suite, all extensions of itself and of the group, and what
 * required_capabilities names; its own credential type too. @throws MlsError `unsupported-capability`, DecodeError
 */
export function checkCapabilities(leaf: LeafNode, context: GroupContext): void {
  const { versions, ciphersuites, extensions, proposals, credentials } = leaf.capabilities;
  const require = (supported: boolean, what: string): void => {
    if (!supported) throw new MlsError('unsupported-capability', what);
  };
  const supportsExtension = (type: number): boolean => type <= LAST_DEFAULT_EXTENSION || extensions.includes(type);
  require(versions.includes(context.version), 'version');
  require(ciphersuites.includes(context.cipherSuite), 'ciphersuite');
  require(credentials.includes(leaf.credential.credentialType), 'own credential');
  const inUse = [...leaf.extensions, ...context.extensions].map((extension) => extensionTypeToNumber(extension.extensionType));
  require(inUse.every(supportsExtension), 'extension in use');
  for (const extension of context.extensions) {
    if (extension.extensionType !== 'required_capabilities') continue;
    const required = decodeExact(requiredCapabilitiesCodec, extension.extensionData);
    require(required.extensionTypes.every(supportsExtension), 'required extension');
    require(required.proposalTypes.every((type) => type <= LAST_DEFAULT_PROPOSAL || proposals.includes(type)), 'required proposal');
    require(required.credentialTypes.every((type) => credentials.includes(type)), 'required credential');
  }
}

/** Each member supports the credential types of all others. @throws MlsError `unsupported-capability` */
export function checkCredentialTypes(leaf: LeafNode, tree: RatchetTree, leafIndex: number | undefined): void {
  const supports = (member: LeafNode, type: CredentialTypeName): boolean => member.capabilities.credentials.includes(type);
  for (const [index, member] of tree.leaves()) {
    if (index === leafIndex) continue;
    if (!supports(leaf, member.credential.credentialType) || !supports(member, leaf.credential.credentialType)) {
      throw new MlsError('unsupported-capability', 'credential of another member');
    }
  }
}

/**
 * No other leaf has this signature key and no other node this encryption key. (Section 7.3 compares
 * encryption keys of leaves only, but a joiner refuses a tree in which a parent has the key of any
 * other node, section 12.4.3.1.) @throws MlsError `duplicate-key`
 */
export function checkKeysUnique(leaf: LeafNode, tree: RatchetTree, leafIndex: number | undefined): void {
  for (const [index, member] of tree.leaves()) {
    if (index === leafIndex) continue;
    if (sameKey(member.signaturePublicKey, leaf.signaturePublicKey)) throw new MlsError('duplicate-key', 'signature key');
  }
  const ownNode = leafIndex === undefined ? undefined : leafToNode(leafIndex);
  for (let node = 0; node < tree.nodeCount; node++) {
    const key = node === ownNode ? undefined : tree.encryptionKey(node);
    if (key !== undefined && sameKey(key, leaf.hpkePublicKey)) throw new MlsError('duplicate-key', 'encryption key');
  }
}

/**
 * A key in the tree to which nothing can be encrypted would stop every commit that needs it, and with it the messages
 * that wait for the commit. @throws MlsError `invalid-public-key`
 */
export function checkEncryptionKey(suite: MlsSuite, publicKey: Uint8Array): void {
  if (!suite.isEncryptionKey(publicKey)) throw new MlsError('invalid-public-key', 'encryption key');
}

/** Public keys: the comparison may stop at the first difference. */
export function sameKey(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && compare(a, b) === 0;
}
