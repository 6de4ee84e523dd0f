import { equal, toHex, type Secret } from '../bytes/index.ts';
import {
  buildUpdateLeaf,
  keepProposal,
  propose,
  type CommitEffects,
  type GroupState,
  type LeafNode,
  type OpenedProposal,
} from '../mls/index.ts';
import { deriveEncryptionKeyPair, type Operation } from '../virtual-client/index.ts';
import { signerIn } from './account-keys.ts';
import { isNamed } from './errors.ts';
import { secondsOf } from './key-package-messages.ts';
import { virtualLeafCheck } from './leaf-check.ts';
import type { SequenceEntry, Submission } from './ports.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from './protocol.ts';
import type { Conversation, PendingUpdate, WorkItem } from './state.ts';
import { fence, retain, submissionOf } from './submission.ts';
import type { Turn } from './turn.ts';
import { allocate, followOwnLeaf, pathSecrets, prepareLeaf, sendingPorts } from './virtual-leaf.ts';

/**
 * Update proposals (draft section 5.3). One by our own leaf, whichever device of the account made it, is
 * evaluated when it comes in and pending until a member commits it by reference or the group's epoch ends
 * (reading section 4). Commits of our own leave it out (reading section 6), and end it.
 */

/**
 * Own Updates followed in one epoch: two for each of the 32 devices that an account may have. An honest device
 * proposes none while one waits, so that there are more only if somebody means harm; those are not followed.
 */
export const MAX_PENDING_UPDATES = 64;

/** An Update of our leaf from a new operation of the newest emulation epoch. */
export async function makeUpdate(turn: Turn, id: string, item: WorkItem): Promise<Submission> {
  const conversation = turn.conversation(id);
  const group = turn.group(id);
  const operation = allocate(turn);
  const { template, encryptionKey, own } = prepareLeaf(turn, operation, GROUP_SUITE);
  const place = { groupId: conversation.groupId, leafIndex: group.ownLeaf };
  const leafNode = await buildUpdateLeaf(GROUP_SUITE, template, encryptionKey, place, turn.account().signer);
  const { guard, claim } = sendingPorts(turn, conversation);
  const { next, value, spent } = await propose(
    GROUP_SUITE,
    group,
    { proposalType: 'update', update: { leafNode } },
    { signer: signerIn(turn, group), authenticatedData: new Uint8Array(), guard, wireFormat: 'private' },
  );
  turn.spend([...spent, ...pathSecrets(own)]);
  turn.setGroup(id, next);
  retain(turn, id, operation);
  return submissionOf(conversation, item, {
    kind: 'proposal',
    epoch: Number(group.context.epoch),
    message: value.message,
    generation: claim(value.generation, 'handshake'),
    fence: fence(turn),
  });
}

/**
 * A proposal is kept for whoever commits it. An Update of our leaf that cannot be followed is kept all the
 * same, since the others keep it: only if somebody commits it does the group go on without us.
 * @throws MlsError and what the leaf check throws, for what no member keeps
 */
export async function followProposal(turn: Turn, entry: SequenceEntry, opened: OpenedProposal): Promise<void> {
  const id = toHex(entry.groupId);
  const checkLeaf = virtualLeafCheck(turn.account().authenticationKey);
  turn.setGroup(id, await keepProposal(GROUP_SUITE, turn.group(id), opened, { checkLeaf, now: secondsOf(entry.acceptedAt) }));
  const { proposal } = opened;
  if (!opened.sentByOwnLeaf || proposal.proposalType !== 'update') return;
  const { updates, title } = turn.conversation(id);
  if (updates.length >= MAX_PENDING_UPDATES) return;
  const { leafNode } = proposal.update;
  try {
    await turn.attempt(() => Promise.resolve(takeUpdate(turn, id, leafNode)));
  } catch (error) {
    if (!isNamed(error)) throw error;
    turn.refused.push({ sequence: entry.sequence, code: error.code });
    turn.notice('refused-message', title);
  }
}

function takeUpdate(turn: Turn, id: string, leaf: LeafNode): void {
  const { leaf: active, operations, updates } = turn.conversation(id);
  const { operation, own } = followOwnLeaf(turn, leaf, GROUP_SUITE, { active, operations });
  turn.spend(pathSecrets(own));
  turn.updateConversation(id, {
    operations: operations.filter((sent) => sent !== operation),
    updates: [...updates, { operation, encryptionKey: leaf.hpkePublicKey, at: turn.now }],
  });
}

/** For `applyCommit`: the key of an own leaf that a commit takes from a pending Update. It goes with the turn's spent ones. */
export function ownUpdateKeys(turn: Turn, conversation: Conversation): (leaf: LeafNode) => Secret<'encryption_private_key'> | undefined {
  return (leaf) => {
    const update = pendingUpdateOf(conversation, leaf);
    if (update === undefined) return undefined;
    const { privateKey } = deriveEncryptionKeyPair(EMULATION_PROTOCOL, update.operation, GROUP_SUITE);
    turn.spend([privateKey]);
    return privateKey;
  };
}

/** The operation of the pending Update that an applied commit of another member has made our leaf at `ownLeaf`. */
export function committedUpdate(conversation: Conversation, ownLeaf: number, { updated }: CommitEffects): Operation | undefined {
  const renewed = updated.find(({ leafIndex }) => leafIndex === ownLeaf);
  return renewed && pendingUpdateOf(conversation, renewed.leaf)?.operation;
}

function pendingUpdateOf({ updates }: Conversation, leaf: LeafNode): PendingUpdate | undefined {
  return updates.find(({ encryptionKey }) => equal(encryptionKey, leaf.hpkePublicKey));
}

/**
 * A newcomer's: of the operations that it was given, those whose Update is among the group's proposals already.
 * The others may still come in. @param at ms; the newcomer's patience begins here
 */
export function sortPending(group: GroupState, pending: readonly Operation[], at: number): Pick<Conversation, 'operations' | 'updates'> {
  const proposed = new Set(
    group.proposals.flatMap(({ proposal, sender }) =>
      proposal.proposalType === 'update' && sender.senderType === 'member' && sender.leafIndex === group.ownLeaf
        ? [toHex(proposal.update.leafNode.hpkePublicKey)]
        : [],
    ),
  );
  const updates: PendingUpdate[] = [];
  for (const operation of pending) {
    const { publicKey, privateKey } = deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE);
    privateKey.wipe();
    if (proposed.has(toHex(publicKey))) updates.push({ operation, encryptionKey: publicKey, at });
  }
  return { operations: pending.filter((operation) => !updates.some((update) => update.operation === operation)), updates };
}
