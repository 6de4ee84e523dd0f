import type { Spending } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { proposalReference } from './framing.ts';
import type { GroupState } from './group-state.ts';
import { validateKeyPackage } from './key-package.ts';
import { verifyLeafSignature } from './leaf-node.ts';
import type { LeafCheck } from './leaf-policy.ts';
import { unprotect, type Unprotected } from './private-message.ts';
import { checkExtensions, checkProposer, MAX_KEPT_PROPOSALS } from './proposals.ts';
import { openPublic } from './public-message.ts';
import {
  decodeExact,
  mlsMessageCodec,
  type AuthenticatedContent,
  type AuthenticatedContentCommit,
  type LeafNode,
  type Proposal,
  type Sender,
} from './ts-mls.ts';
import { equal } from '../bytes/index.ts';

/** Reading what comes in through a group's log (RFC 9420 sections 6, 12.1 and 12.4.2). */

/**
 * A commit with the path of a group of 1,024 accounts takes up to 200 kB; a handful of Adds with large
 * KeyPackages come on top. Beyond this it is no message of any group that we take part in.
 */
export const MAX_MESSAGE_LENGTH = 4 * 1024 * 1024;

/** What a PrivateMessage told besides its content. */
export type Protection = Pick<Unprotected, 'generation' | 'ratchetType' | 'reuseGuard' | 'keyScheduleNonce'>;

interface OpenedMessage {
  readonly sender: Sender;
  /** Of a member its leaf in the message's epoch, of a joiner the leaf that it brings; undefined for an external sender. */
  readonly senderLeaf: LeafNode | undefined;
  /** By our own leaf as it was in the message's epoch: this device, or a sibling. */
  readonly sentByOwnLeaf: boolean;
  readonly epoch: bigint;
  readonly authenticatedData: Uint8Array;
  /** undefined for a PublicMessage. */
  readonly protection: Protection | undefined;
}

export interface OpenedApplication extends OpenedMessage {
  readonly kind: 'application';
  readonly applicationData: Uint8Array;
}

export interface OpenedProposal extends OpenedMessage {
  readonly kind: 'proposal';
  readonly proposal: Proposal;
  /** ProposalRef. */
  readonly reference: Uint8Array;
}

export interface OpenedCommit extends OpenedMessage {
  readonly kind: 'commit';
  /** The committer's new leaf, not judged yet. */
  readonly pathLeaf: LeafNode | undefined;
  /** By a joiner. */
  readonly external: boolean;
  readonly content: AuthenticatedContentCommit;
}

/** A message whose signature is verified; what it asks for is not done and not judged yet. */
export type Opened = OpenedApplication | OpenedProposal | OpenedCommit;

/**
 * Opens an MLSMessage of the current epoch, or a PrivateMessage of a kept past one. A failure leaves
 * the state as it was. Persist `next`, then wipe `spent`: a PrivateMessage cannot be opened again.
 * @throws DecodeError; MlsError 'message-too-long', 'wrong-group', 'unknown-epoch', 'message-key-gone' for a replay, ...
 */
export async function open(suite: MlsSuite, state: GroupState, message: Uint8Array): Promise<Spending<GroupState, Opened>> {
  if (message.length > MAX_MESSAGE_LENGTH) throw new MlsError('message-too-long');
  const decoded = decodeExact(mlsMessageCodec, message);
  switch (decoded.wireformat) {
    case 'mls_private_message': {
      const { next, value, spent } = await unprotect(suite, state, decoded.privateMessage);
      return { next, value: openedPrivate(suite, state, value), spent };
    }
    case 'mls_public_message': {
      const content = await openPublic(suite, state, decoded.publicMessage);
      return { next: state, value: describe(suite, content, openedPublic(state, content)), spent: [] };
    }
    default:
      throw new MlsError('wrong-content-type', 'not a message of a group');
  }
}

function openedPrivate(suite: MlsSuite, state: GroupState, unprotected: Unprotected): Opened {
  const { content, sender, senderLeaf, epoch, generation, ratchetType, reuseGuard, keyScheduleNonce } = unprotected;
  const past = state.pastEpochs.find(({ context }) => context.epoch === epoch);
  return describe(suite, content, {
    senderLeaf,
    sentByOwnLeaf: sender === (past ?? state).ownLeaf,
    protection: { generation, ratchetType, reuseGuard, keyScheduleNonce },
  });
}

function openedPublic(
  state: GroupState,
  { content }: AuthenticatedContent,
): Pick<OpenedMessage, 'senderLeaf' | 'sentByOwnLeaf' | 'protection'> {
  const { sender } = content;
  if (sender.senderType === 'member') {
    return { senderLeaf: state.tree.leaf(sender.leafIndex), sentByOwnLeaf: sender.leafIndex === state.ownLeaf, protection: undefined };
  }
  return { senderLeaf: joinerLeaf(content), sentByOwnLeaf: false, protection: undefined };
}

function joinerLeaf(content: AuthenticatedContent['content']): LeafNode | undefined {
  if (content.sender.senderType === 'new_member_commit' && content.contentType === 'commit') return content.commit.path?.leafNode;
  const isJoin = content.sender.senderType === 'new_member_proposal' && content.contentType === 'proposal';
  return isJoin && content.proposal.proposalType === 'add' ? content.proposal.add.keyPackage.leafNode : undefined;
}

function describe(
  suite: MlsSuite,
  authenticated: AuthenticatedContent,
  who: Pick<OpenedMessage, 'senderLeaf' | 'sentByOwnLeaf' | 'protection'>,
): Opened {
  const { content } = authenticated;
  const common = { ...who, sender: content.sender, epoch: content.epoch, authenticatedData: content.authenticatedData };
  switch (content.contentType) {
    case 'application':
      return { ...common, kind: 'application', applicationData: content.applicationData };
    case 'proposal':
      return { ...common, kind: 'proposal', proposal: content.proposal, reference: proposalReference(suite, authenticated) };
    case 'commit':
      return {
        ...common,
        kind: 'commit',
        pathLeaf: content.commit.path?.leafNode,
        external: content.sender.senderType === 'new_member_commit',
        content: { ...authenticated, content },
      };
  }
}

/**
 * Keeps a proposal of the current epoch for commits that name it, our own among them. Judged here is what
 * does not depend on the other proposals of a commit. A proposal that is there already changes nothing.
 * @throws MlsError 'wrong-epoch', 'too-many-proposals', 'unsupported-proposal', 'unknown-leaf', ...; what `checkLeaf` throws
 */
export async function keepProposal(
  suite: MlsSuite,
  state: GroupState,
  { proposal, sender, epoch, reference }: OpenedProposal,
  { checkLeaf, now }: { readonly checkLeaf: LeafCheck; readonly now?: bigint | undefined },
): Promise<GroupState> {
  if (epoch !== state.context.epoch) throw new MlsError('wrong-epoch');
  if (state.proposals.some((kept) => equal(kept.reference, reference))) return state;
  if (state.proposals.length >= MAX_KEPT_PROPOSALS) throw new MlsError('too-many-proposals');
  checkProposer(proposal, sender);
  const { groupId } = state.context;
  switch (proposal.proposalType) {
    case 'add': {
      const { keyPackage } = proposal.add;
      await validateKeyPackage(suite, keyPackage, now);
      await checkLeaf(keyPackage.leafNode, { groupId, leafIndex: undefined, replaces: undefined });
      break;
    }
    case 'update': {
      if (sender.senderType !== 'member') throw new MlsError('unsupported-proposal');
      const { leafIndex } = sender;
      const { leafNode } = proposal.update;
      if (!(await verifyLeafSignature(suite, leafNode, { groupId, leafIndex }))) throw new MlsError('invalid-signature', 'leaf node');
      await checkLeaf(leafNode, { groupId, leafIndex, replaces: state.tree.occupiedLeaf(leafIndex) });
      break;
    }
    case 'remove':
      state.tree.occupiedLeaf(proposal.remove.removed);
      break;
    case 'group_context_extensions':
      checkExtensions(proposal.groupContextExtensions.extensions);
      break;
    default:
      break;
  }
  return { ...state, proposals: [...state.proposals, { reference, proposal, sender }] };
}
