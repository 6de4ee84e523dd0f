import type { Secret } from '../bytes/index.ts';
import { decode, encode } from '../wire/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import type { EpochSecrets } from './group-state.ts';
import { deriveExternalKeyPair } from './key-schedule.ts';
import type { LeafCheck } from './leaf-policy.ts';
import { checkExtensions } from './proposals.ts';
import { RatchetTree } from './ratchet-tree.ts';
import {
  decodeExact,
  encodeGroupInfoTBS,
  mlsMessageCodec,
  suiteName,
  type Extension,
  type ExtensionType,
  type GroupContext,
  type GroupInfo,
  type LeafNode,
} from './ts-mls.ts';
import { validateTree } from './validate-tree.ts';

/*
 * struct { GroupContext group_context; Extension extensions<V>; MAC confirmation_tag; uint32 signer; opaque signature<V>; } GroupInfo;
 * GroupInfoTBS is the same without the signature (RFC 9420 section 12.4.3).
 */

const LABEL = 'GroupInfoTBS';

/** One epoch of a group, as its GroupInfo tells it. */
export interface DescribedEpoch {
  readonly context: GroupContext;
  readonly tree: RatchetTree;
  readonly confirmationTag: Uint8Array;
}

/** @param signer Private key of the leaf at `leafIndex`. */
export async function signGroupInfo(
  suite: MlsSuite,
  { context, confirmationTag }: Pick<DescribedEpoch, 'context' | 'confirmationTag'>,
  extensions: readonly Extension[],
  leafIndex: number,
  signer: Secret<'signature_private_key'>,
): Promise<GroupInfo> {
  const tbs = { groupContext: context, extensions: [...extensions], confirmationTag, signer: leafIndex };
  return { ...tbs, signature: await suite.signWithLabel(signer, LABEL, encodeGroupInfoTBS(tbs)) };
}

/** GroupInfo for siblings and for external commits: it is published, and so holds nothing but tree and external_pub. */
export async function publishedGroupInfo(
  suite: MlsSuite,
  epoch: DescribedEpoch & { readonly schedule: EpochSecrets; readonly ownLeaf: number },
  signer: Secret<'signature_private_key'>,
): Promise<Uint8Array> {
  const { publicKey, privateKey } = deriveExternalKeyPair(suite, epoch.schedule.externalSecret);
  privateKey.fill(0);
  const externalPub: Extension = { extensionType: 'external_pub', extensionData: encode((writer) => writer.opaque(publicKey)) };
  const groupInfo = await signGroupInfo(suite, epoch, [treeExtension(epoch.tree), externalPub], epoch.ownLeaf, signer);
  return mlsMessageCodec.encode({ version: 'mls10', wireformat: 'mls_group_info', groupInfo });
}

/** Extension `ratchet_tree`. */
export function treeExtension(tree: RatchetTree): Extension {
  return { extensionType: 'ratchet_tree', extensionData: tree.encode() };
}

/** A GroupInfo as it stands, nothing of it verified: for finding out which group it is about. */
export interface GroupInfoView {
  readonly context: GroupContext;
  readonly signer: number;
  /** Occupied leaves from left to right; empty when the GroupInfo holds no tree. */
  readonly leaves: readonly LeafNode[];
  /** Where these stand, in the same order. */
  readonly leafIndexes: readonly number[];
  readonly extensions: readonly Extension[];
}

/** @throws DecodeError; MlsError 'invalid-group-info' */
export function readGroupInfo(suite: MlsSuite, message: Uint8Array): GroupInfoView {
  const groupInfo = decodeGroupInfo(suite, message);
  const tree = extensionData(groupInfo, 'ratchet_tree');
  const leaves = tree === undefined ? [] : [...RatchetTree.decode(tree).leaves()];
  return {
    context: groupInfo.groupContext,
    signer: groupInfo.signer,
    leaves: leaves.map(([, leaf]) => leaf),
    leafIndexes: leaves.map(([leafIndex]) => leafIndex),
    extensions: groupInfo.extensions,
  };
}

/** The GroupInfo in an MLSMessage. @throws DecodeError; MlsError 'invalid-group-info' */
export function decodeGroupInfo(suite: MlsSuite, bytes: Uint8Array): GroupInfo {
  const message = decodeExact(mlsMessageCodec, bytes);
  if (message.wireformat !== 'mls_group_info') throw new MlsError('invalid-group-info', 'another kind of message');
  checkGroupInfo(suite, message.groupInfo);
  return message.groupInfo;
}

/** @throws MlsError 'invalid-group-info', 'invalid-extensions' */
export function checkGroupInfo(suite: MlsSuite, groupInfo: GroupInfo): void {
  const { groupContext, extensions } = groupInfo;
  if (groupContext.version !== 'mls10') throw new MlsError('invalid-group-info', 'version');
  if (groupContext.cipherSuite !== suiteName(suite.id)) throw new MlsError('invalid-group-info', 'ciphersuite');
  checkExtensions(groupContext.extensions);
  checkExtensions(extensions);
}

/**
 * RFC 9420 section 12.4.3.1, what a joiner checks without secrets: the tree (in the GroupInfo or given
 * beside it), the signature, and the application's judgement of every leaf.
 * @throws MlsError as `validateTree` does, 'invalid-group-info', 'invalid-signature'; what `checkLeaf` throws
 */
export async function verifyGroupInfo(
  suite: MlsSuite,
  groupInfo: GroupInfo,
  { checkLeaf, ratchetTree }: { readonly checkLeaf: LeafCheck; readonly ratchetTree?: Uint8Array | undefined },
): Promise<RatchetTree> {
  const { groupContext, signer } = groupInfo;
  const encoded = extensionData(groupInfo, 'ratchet_tree') ?? ratchetTree;
  if (encoded === undefined) throw new MlsError('invalid-group-info', 'no ratchet tree');
  const tree = RatchetTree.decode(encoded);
  const signerLeaf = tree.leaf(signer);
  if (signerLeaf === undefined) throw new MlsError('invalid-group-info', 'signer');
  await verifyGroupInfoSignature(suite, groupInfo, signerLeaf.signaturePublicKey);
  await validateTree(suite, tree, groupContext);
  const { groupId } = groupContext;
  await Promise.all([...tree.leaves()].map(([leafIndex, leaf]) => checkLeaf(leaf, { groupId, leafIndex, replaces: undefined })));
  return tree;
}

/** @throws MlsError 'invalid-signature' */
export async function verifyGroupInfoSignature(suite: MlsSuite, groupInfo: GroupInfo, signatureKey: Uint8Array): Promise<void> {
  if (!(await suite.verifyWithLabel(signatureKey, LABEL, encodeGroupInfoTBS(groupInfo), groupInfo.signature))) {
    throw new MlsError('invalid-signature', 'group info');
  }
}

/** Extension `external_pub`: `struct { HPKEPublicKey external_pub; } ExternalPub;` @throws MlsError 'invalid-group-info', DecodeError */
export function externalPubOf(groupInfo: GroupInfo): Uint8Array {
  const data = extensionData(groupInfo, 'external_pub');
  if (data === undefined) throw new MlsError('invalid-group-info', 'no external_pub');
  return decode(data, 'external_pub', (reader) => reader.opaque('external_pub'));
}

function extensionData({ extensions }: GroupInfo, type: ExtensionType): Uint8Array | undefined {
  return extensions.find(({ extensionType }) => extensionType === type)?.extensionData;
}
