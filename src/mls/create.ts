import { Secret } from '../bytes/index.ts';
import type { MlsSuite, Random } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { checkExtensions } from './proposals.ts';
import { decodeGroupInfo, verifyGroupInfo } from './group-info.ts';
import type { GroupState } from './group-state.ts';
import { startEpoch } from './key-schedule.ts';
import type { LeafCheck } from './leaf-policy.ts';
import { copyKey, publicKeyOf } from './own-path.ts';
import { RatchetTree } from './ratchet-tree.ts';
import { confirmationTag, interimTranscriptHash, verifyConfirmationTag } from './transcript.ts';
import { suiteName, type Extension, type GroupContext, type LeafNode } from './ts-mls.ts';
import { checkCapabilities, sameKey } from './validate-leaf.ts';

/** RFC 9420 section 11: a group of one member at epoch 0. */

const NOTHING = new Uint8Array(0);

export interface CreateOptions {
  readonly groupId: Uint8Array;
  readonly extensions: readonly Extension[];
  /** Signed, of source key_package. */
  readonly leaf: LeafNode;
  /** Private key of the leaf's encryption key; copied. */
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  /** Prescribed (reading section 13, `group_creation_secret`), else random; copied. */
  readonly epochSecret?: Secret<string> | undefined;
  readonly useSafeExporter: boolean;
  readonly random: Random;
}

/** Persist the state before anything of the group is sent. @throws MlsError when the leaf does not fit its own group */
export function createGroup(suite: MlsSuite, options: CreateOptions): GroupState {
  const { groupId, leaf, encryptionPrivateKey, random } = options;
  checkExtensions(options.extensions);
  const tree = RatchetTree.of([{ nodeType: 'leaf', leaf }]);
  const context: GroupContext = {
    version: 'mls10',
    cipherSuite: suiteName(suite.id),
    groupId: groupId.slice(),
    epoch: 0n,
    treeHash: tree.hash(suite),
    confirmedTranscriptHash: NOTHING,
    extensions: [...options.extensions],
  };
  checkCapabilities(leaf, context);
  if (!sameKey(leaf.hpkePublicKey, publicKeyOf(encryptionPrivateKey))) throw new MlsError('path-key-mismatch', 'leaf');
  const epochSecret = options.epochSecret?.reveal().slice() ?? random(suite.nh);
  return epochZero(suite, { context, tree, encryptionPrivateKey, epochSecret, useSafeExporter: options.useSafeExporter });
}

export interface EpochZeroOptions {
  /** The caller derives both from the leaf's DerivationInfo; they are copied. */
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  readonly epochSecret: Secret<string>;
  readonly checkLeaf: LeafCheck;
  readonly useSafeExporter?: boolean | undefined;
}

/**
 * Reading section 13: a sibling, or the creator itself, enters a group from its epoch-0 GroupInfo.
 * Whether the group is known already is the caller's to judge. @param message MLSMessage
 * @throws MlsError 'invalid-group-info', 'invalid-confirmation-tag', 'path-key-mismatch', and as `verifyGroupInfo` does
 */
export async function joinFromEpochZero(suite: MlsSuite, message: Uint8Array, options: EpochZeroOptions): Promise<GroupState> {
  const groupInfo = decodeGroupInfo(suite, message);
  const { groupContext: context, signer } = groupInfo;
  if (context.epoch !== 0n || context.confirmedTranscriptHash.length > 0) throw new MlsError('invalid-group-info', 'not epoch 0');
  const tree = await verifyGroupInfo(suite, groupInfo, options);
  const leaf = tree.leaf(0);
  if (tree.leafCount !== 1 || leaf === undefined || signer !== 0) throw new MlsError('invalid-group-info', 'not one leaf');
  if (leaf.leafNodeSource !== 'key_package') throw new MlsError('wrong-leaf-source');
  if (!sameKey(leaf.hpkePublicKey, publicKeyOf(options.encryptionPrivateKey))) throw new MlsError('path-key-mismatch', 'leaf');
  const state = epochZero(suite, {
    context,
    tree,
    encryptionPrivateKey: options.encryptionPrivateKey,
    epochSecret: options.epochSecret.reveal().slice(),
    useSafeExporter: options.useSafeExporter ?? false,
  });
  verifyConfirmationTag(suite, state.schedule.confirmationKey, context.confirmedTranscriptHash, groupInfo.confirmationTag);
  return state;
}

/** Takes over `epochSecret`. */
function epochZero(
  suite: MlsSuite,
  start: {
    readonly context: GroupContext;
    readonly tree: RatchetTree;
    readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
    readonly epochSecret: Uint8Array;
    readonly useSafeExporter: boolean;
  },
): GroupState {
  const { context, tree, useSafeExporter } = start;
  const keys = startEpoch(suite, Secret.of('epoch_secret', start.epochSecret), { leafCount: 1, useSafeExporter });
  const tag = confirmationTag(suite, keys.schedule.confirmationKey, context.confirmedTranscriptHash);
  return {
    suite: suite.id,
    context,
    tree,
    ownLeaf: 0,
    keys: { encryptionPrivateKey: copyKey(start.encryptionPrivateKey), pathPrivateKeys: new Map() },
    ...keys,
    confirmationTag: tag,
    interimTranscriptHash: interimTranscriptHash(suite, context.confirmedTranscriptHash, tag),
    proposals: [],
    pastEpochs: [],
  };
}
