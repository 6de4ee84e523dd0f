import type { Secret } from '../bytes/index.ts';
import { equal } from '../bytes/index.ts';
import type { HpkeKeyPair } from '../virtual-client/ciphersuite.ts';
import type { MlsSuite, Random } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { signContent, verifyContent } from './framing.ts';
import { decodeGroupInfo, externalPubOf, publishedGroupInfo, verifyGroupInfo } from './group-info.ts';
import type { GroupState } from './group-state.ts';
import { encapsulateInitSecret } from './key-schedule.ts';
import type { LeafTemplate } from './leaf-node.ts';
import type { LeafCheck } from './leaf-policy.ts';
import { startNextEpoch, type SignedCommit } from './next-epoch.ts';
import { copyKey, pathSecretsOf, type OwnPath } from './own-path.ts';
import { sortExternalList } from './proposals.ts';
import type { FindPsk } from './psk.ts';
import { framePublic } from './public-message.ts';
import { stageProposals, type StagedProposals } from './stage-proposals.ts';
import { interimTranscriptHash } from './transcript.ts';
import {
  decodeExact,
  mlsMessageCodec,
  type AuthenticatedContent,
  type FramedContentCommit,
  type GroupInfo,
  type LeafNode,
  type PreSharedKeyID,
  type Proposal,
  type ProposalOrRef,
  type PublicMessage,
} from './ts-mls.ts';
import { applyOwnUpdatePath, createUpdatePath, type AppliedPath, type PathSetting } from './update-path.ts';
import { sameKey } from './validate-leaf.ts';
import type { RatchetTree } from './ratchet-tree.ts';

/** RFC 9420 section 12.4.3.2, with prescribed secrets (reading section 11). */

interface JoinerOptions {
  readonly own: OwnPath;
  /** Ephemeral key pair of the encapsulation: it serves one commit to one `external_pub`. */
  readonly externalInit: HpkeKeyPair;
  /** Judges every leaf of the group, and the new one against the one that it replaces. */
  readonly checkLeaf: LeafCheck;
  readonly psks?: FindPsk | undefined;
  readonly useSafeExporter: boolean;
}

export interface ExternalCommitOptions extends JoinerOptions {
  readonly leaf: LeafTemplate;
  /** Private key of the template's signature key. */
  readonly signer: Secret<'signature_private_key'>;
  /** Leaf index of an old leaf of our own, which the commit removes. */
  readonly removes?: number | undefined;
  readonly pskIds?: readonly PreSharedKeyID[] | undefined;
  readonly authenticatedData: Uint8Array;
  readonly random: Random;
}

export interface MadeExternalCommit {
  /** PublicMessage. */
  readonly message: Uint8Array;
  /** MLSMessage: GroupInfo of the new epoch for publication. */
  readonly groupInfo: Uint8Array;
  /** The group if the log takes the commit. */
  readonly state: GroupState;
}

/**
 * A commit by which a client enters a group from its published GroupInfo. It counts when it is in the
 * log: then keep `state`, or derive it anew with `followExternalCommit`. The secrets in `options` stay the caller's.
 * @param groupInfo MLSMessage
 * @throws DecodeError; MlsError as `verifyGroupInfo` and `createUpdatePath` do; what `checkLeaf` throws
 */
export async function externalCommit(suite: MlsSuite, groupInfo: Uint8Array, options: ExternalCommitOptions): Promise<MadeExternalCommit> {
  const base = await baseOf(suite, groupInfo, options);
  const { context } = base.groupInfo;
  const { kemOutput, initSecret } = encapsulateInitSecret(suite, externalPubOf(base.groupInfo), options.externalInit);
  const proposals: Proposal[] = [
    { proposalType: 'external_init', externalInit: { kemOutput } },
    ...(options.removes === undefined ? [] : [{ proposalType: 'remove' as const, remove: { removed: options.removes } }]),
    ...(options.pskIds ?? []).map((preSharedKeyId) => ({ proposalType: 'psk' as const, psk: { preSharedKeyId } })),
  ];
  const listed: ProposalOrRef[] = proposals.map((proposal) => ({ proposalOrRefType: 'proposal', proposal }));
  const { staged, setting, replaces } = await stage(suite, base, listed, options);
  const path = await createUpdatePath(suite, setting, pathSecretsOf(options.own), options.leaf, options.signer, options.random);
  await judgeLeaf(path.path.leafNode, setting, replaces, options);
  const content: FramedContentCommit = {
    groupId: context.groupId,
    epoch: context.epoch,
    sender: { senderType: 'new_member_commit' },
    authenticatedData: options.authenticatedData,
    contentType: 'commit',
    commit: { proposals: listed, path: path.path },
  };
  const wireformat = 'mls_public_message';
  const signature = await signContent(suite, options.signer, content, wireformat, context);
  const state = enter(suite, base, { staged, setting, path, initSecret, commit: { wireformat, content, signature } }, options);
  const auth = { contentType: 'commit', signature, confirmationTag: state.confirmationTag } as const;
  return {
    message: framePublic(suite, undefined, { wireformat, content, auth }),
    groupInfo: await publishedGroupInfo(suite, state, options.signer),
    state,
  };
}

/**
 * A sibling that is not in the group, or the committer itself, follows the account's own external commit
 * (reading section 11): `own` and `externalInit` come from the operation that the new leaf names,
 * `groupInfo` is the one that the commit was made from.
 * @throws DecodeError; MlsError 'wrong-epoch', 'path-key-mismatch', 'invalid-confirmation-tag', ...; what `checkLeaf` throws
 */
export async function followExternalCommit(
  suite: MlsSuite,
  groupInfo: Uint8Array,
  message: Uint8Array,
  options: JoinerOptions,
): Promise<GroupState> {
  const base = await baseOf(suite, groupInfo, options);
  const { content, auth, authenticated, path } = await openExternalCommit(suite, base, message);
  const { kemOutput, initSecret } = encapsulateInitSecret(suite, externalPubOf(base.groupInfo), options.externalInit);
  const { staged, setting, replaces } = await stage(suite, base, content.commit.proposals, options);
  if (staged.kemOutput === undefined || !sameKey(staged.kemOutput, kemOutput)) throw new MlsError('path-key-mismatch', 'kem_output');
  await judgeLeaf(path.leafNode, setting, replaces, options);
  const applied = await applyOwnUpdatePath(suite, setting, path, pathSecretsOf(options.own));
  const commit = { wireformat: authenticated.wireformat, content, signature: auth.signature };
  const state = enter(suite, base, { staged, setting, path: applied, initSecret, commit }, options);
  if (!equal(state.confirmationTag, auth.confirmationTag)) throw new MlsError('invalid-confirmation-tag');
  return state;
}

interface Base {
  readonly groupInfo: GroupInfo & { readonly context: GroupInfo['groupContext'] };
  readonly tree: RatchetTree;
}

async function baseOf(suite: MlsSuite, bytes: Uint8Array, options: JoinerOptions): Promise<Base> {
  const groupInfo = decodeGroupInfo(suite, bytes);
  return { groupInfo: { ...groupInfo, context: groupInfo.groupContext }, tree: await verifyGroupInfo(suite, groupInfo, options) };
}

interface Staged {
  readonly staged: StagedProposals;
  readonly setting: PathSetting;
  readonly replaces: LeafNode | undefined;
}

async function stage(suite: MlsSuite, base: Base, listed: readonly ProposalOrRef[], { checkLeaf, psks }: JoinerOptions): Promise<Staged> {
  const before = { context: base.groupInfo.context, tree: base.tree };
  const judgement = { checkLeaf, findPsk: (id: PreSharedKeyID) => psks?.(id), now: undefined };
  const staged = await stageProposals(suite, before, sortExternalList(listed), judgement);
  const { tree, leafIndex } = staged.tree.reserve();
  const setting = { tree, sender: leafIndex, added: new Set<number>(), context: staged.context, known: new Map() };
  return { staged, setting, replaces: staged.removed[0]?.leaf };
}

function judgeLeaf(
  leaf: LeafNode,
  { sender, context }: PathSetting,
  replaces: LeafNode | undefined,
  options: JoinerOptions,
): Promise<void> {
  return options.checkLeaf(leaf, { groupId: context.groupId, leafIndex: sender, replaces });
}

/** Takes over and wipes the init secret and the path's. */
function enter(
  suite: MlsSuite,
  base: Base,
  joined: {
    readonly staged: StagedProposals;
    readonly setting: PathSetting;
    readonly path: AppliedPath;
    readonly initSecret: Secret<'init_secret'>;
    readonly commit: SignedCommit;
  },
  { own, useSafeExporter }: JoinerOptions,
): GroupState {
  const { staged, setting, path, initSecret, commit } = joined;
  const { confirmationTag, context } = base.groupInfo;
  const { joinerSecret, memberSecret, ...epoch } = startNextEpoch(suite, {
    interimTranscriptHash: interimTranscriptHash(suite, context.confirmedTranscriptHash, confirmationTag),
    initSecret,
    staged,
    tree: path.tree,
    commitSecret: path.commitSecret,
    commit,
    useSafeExporter,
  });
  for (const used of [joinerSecret, memberSecret, initSecret, staged.pskSecret, path.commitSecret, ...path.spent]) used.wipe();
  return {
    suite: suite.id,
    tree: path.tree,
    ownLeaf: setting.sender,
    keys: { encryptionPrivateKey: copyKey(own.encryptionPrivateKey), pathPrivateKeys: path.pathPrivateKeys },
    ...epoch,
    proposals: [],
    pastEpochs: [],
  };
}

type CommitAuth = Extract<PublicMessage['auth'], { contentType: 'commit' }>;

async function openExternalCommit(
  suite: MlsSuite,
  { groupInfo: { context } }: Base,
  bytes: Uint8Array,
): Promise<{
  content: FramedContentCommit;
  auth: CommitAuth;
  authenticated: AuthenticatedContent;
  path: NonNullable<FramedContentCommit['commit']['path']>;
}> {
  const message = decodeExact(mlsMessageCodec, bytes);
  if (message.wireformat !== 'mls_public_message') throw new MlsError('wrong-content-type');
  const { content, auth } = message.publicMessage;
  if (!equal(content.groupId, context.groupId)) throw new MlsError('wrong-group');
  if (content.epoch !== context.epoch) throw new MlsError('wrong-epoch');
  if (content.contentType !== 'commit' || auth.contentType !== 'commit' || content.sender.senderType !== 'new_member_commit') {
    throw new MlsError('wrong-content-type');
  }
  const { path } = content.commit;
  if (path === undefined) throw new MlsError('path-required');
  const authenticated: AuthenticatedContent = { wireformat: message.wireformat, content, auth };
  await verifyContent(suite, path.leafNode.signaturePublicKey, authenticated, context);
  return { content, auth, authenticated, path };
}
