import { equal, toHex } from '../bytes/index.ts';
import {
  decodeExact,
  externalCommit,
  followExternalCommit,
  memberLeaves,
  mlsMessageCodec,
  MlsError,
  readGroupInfo,
  secretsOfGroup,
  type LeafNode,
} from '../mls/index.ts';
import { prepareCommit } from './emulation-group.ts';
import { EngineError, isNamed } from './errors.ts';
import {
  burnJoin,
  externalInitOf,
  finishJoin,
  isEndingEpoch,
  isJoinSubmission,
  joinOperations,
  nextJoin,
  onJoinAnswer,
  passEntry,
  pauseJoin,
  putJoin,
  rejoinedNow,
  settleJoin,
} from './external-join.ts';
import { enter, record } from './higher-level-group.ts';
import { signInvitedJoin } from './invitation-link.ts';
import { accountOf, virtualLeafCheck } from './leaf-check.ts';
import type { DeliveryAnswer, DeliveryCalls, SequenceEntry, Submission } from './ports.ts';
import { GROUP_SUITE } from './protocol.ts';
import { finishItem, giveUpEcho, isOurs, pendingItems, requeueDead, unsentTexts } from './sending.ts';
import type { Conversation, WorkItem } from './state.ts';
import { setConversationBack } from './set-back.ts';
import type { Turn } from './turn.ts';
import { allocate, followOwnLeaf, pathSecrets, prepareLeaf } from './virtual-leaf.ts';

/** Joining a group externally with the virtual client, and following it out of the group (reading section 11). */

/** Following an external commit needs the GroupInfo of this epoch; the sequence waits for it. Nothing has changed. */
export class NeedGroupInfo extends Error {
  readonly groupId: Uint8Array;
  readonly epoch: number;

  constructor(groupId: Uint8Array, epoch: number) {
    super('a GroupInfo is needed');
    this.groupId = groupId;
    this.epoch = epoch;
  }
}

/** Draft section 5.5.2: "it MUST send an ExternalJoin message to the emulation group". */
export async function prepareAnnouncement(turn: Turn, id: string): Promise<void> {
  const join = turn.state.externalJoins.get(id);
  if (join === undefined || join.announcedBy !== undefined) return;
  await prepareCommit(turn, {
    purpose: 'external-join',
    proposals: [],
    action: { type: 'external_join', groupId: join.groupId },
    keyPackages: [],
    welcomeExtensions: [],
    newDevice: undefined,
  });
}

/** A GroupInfo that was asked for: to follow a commit from, or to make ours from. */
export async function onGroupInfo(
  turn: Turn,
  id: string,
  { epoch: wanted }: DeliveryCalls['fetch-group']['request'],
  answer: DeliveryAnswer<'fetch-group' | 'open-invitation'>,
): Promise<void> {
  const join = turn.state.externalJoins.get(id);
  if (join === undefined || answer.outcome === 'unreachable') return;
  if (wanted !== undefined) {
    if (join.wanted?.epoch !== wanted || (answer.outcome === 'refused' && answer.problem.retryAfter !== undefined)) return;
    turn.behind = true;
    if (answer.outcome === 'refused') putJoin(turn, id, { ...join, wanted: { epoch: wanted, refused: true } });
    else putJoin(turn, id, { ...join, wanted: undefined, base: { epoch: wanted, groupInfo: answer.value.groupInfo } });
    return;
  }
  if (join.pending !== undefined || isEndingEpoch(turn.emulation())) return;
  if (answer.outcome === 'done') return makeExternalCommit(turn, id, answer.value);
  const { type, retryAfter } = answer.problem;
  if (retryAfter !== undefined) return;
  if (type === 'invitation-refused' && join.invitation !== undefined && join.invitation.over !== true) {
    // A sibling may have come in by the link before it was withdrawn: whether we are in, the server says without it.
    putJoin(turn, id, { ...join, invitation: { ...join.invitation, over: true } });
    return;
  }
  if (type === 'not-a-member' || type === 'unknown-group' || type === 'invitation-refused') beOut(turn, id);
  else pauseJoin(turn, id);
}

/** Answers to the external commit's submission. @returns false when it is none */
export function onExternalCommitAnswer(turn: Turn, id: string, sent: Submission, answer: DeliveryAnswer<'submit'>): boolean {
  if (!isJoinSubmission(turn.state, id, sent)) return false;
  if (onJoinAnswer(turn, id, sent, answer)) beOut(turn, id);
  return true;
}

/** The account is no member any more, and what this device did not follow was its removal; or its invitation is not good any more. */
function beOut(turn: Turn, id: string): void {
  const invitation = turn.state.externalJoins.get(id)?.invitation;
  if (invitation?.askedHere === true) turn.notice('invitation-over', invitation.title);
  const conversation = turn.state.conversations.get(id);
  if (conversation?.state === 'out-of-step') {
    turn.updateConversation(id, { state: 'left', queue: unsentTexts(conversation), pending: undefined, awaitingEcho: [] });
  } else turn.behind = true; // the log will tell
  finishJoin(turn, id);
}

async function makeExternalCommit(turn: Turn, id: string, fetched: DeliveryCalls['fetch-group']['answer']): Promise<void> {
  const join = turn.state.externalJoins.get(id)!;
  const conversation = turn.state.conversations.get(id);
  if (conversation?.state === 'out-of-step' && conversation.position < 0) {
    // Set back: what the log has up to here was read by the device that this one was before, or is lost on it.
    turn.updateConversation(id, { position: fetched.position });
  } else if (conversation !== undefined && conversation.state !== 'left' && conversation.position < fetched.position) {
    // A sibling may have joined already: what the GroupInfo is ahead of us comes first.
    turn.behind = true;
    putJoin(turn, id, { ...join, afterPosition: fetched.position });
    return;
  }
  if (conversation?.state === 'member' && conversation.refusedCommit !== undefined) {
    // The newest GroupInfo is of an epoch that honest members do not enter (reading section 15).
    pauseJoin(turn, id);
    return;
  }
  try {
    await turn.attempt(() => commitExternally(turn, id, fetched));
  } catch (error) {
    if (!isNamed(error)) throw error;
    if (error.code === 'older-group') {
      if (conversation?.joinsOlder === true) turn.notice('older-members', conversation.title);
      return setConversationBack(turn, id);
    }
    const title = turn.state.conversations.get(id)?.title ?? '';
    const isTold = turn.state.notices.some(({ kind, text }) => kind === 'refused-message' && text === title);
    if (!isTold) turn.notice('refused-message', title); // it is tried again and again
    pauseJoin(turn, id);
  }
}

/** The new leaf and path are of a fresh operation of the newest emulation epoch; the old leaf goes. */
async function commitExternally(turn: Turn, id: string, { groupInfo, epoch }: DeliveryCalls['fetch-group']['answer']): Promise<void> {
  const conversation = turn.state.conversations.get(id);
  const { groupId, invitation } = turn.state.externalJoins.get(id)!;
  const { context, leaves, leafIndexes } = readGroupInfo(GROUP_SUITE, groupInfo);
  if (!equal(context.groupId, groupId) || context.epoch !== BigInt(epoch)) throw new EngineError('malformed-entry');
  if (conversation !== undefined) checkNotOlder(conversation, context.epoch, leaves.map(accountOf));
  const { accountId, signer, keyVersion, authenticationKey } = turn.account();
  const [removes, ...others] = leafIndexes.filter((_, i) => equal(accountOf(leaves[i]!), accountId));
  if (others.length > 0) throw new EngineError('malformed-entry');
  // Who is in needs no link.
  const invited = removes === undefined ? invitation : undefined;
  const operation = allocate(turn);
  const { template, own } = prepareLeaf(turn, operation, GROUP_SUITE);
  const externalInit = externalInitOf(operation);
  const made = await externalCommit(GROUP_SUITE, groupInfo, {
    leaf: template,
    signer,
    own,
    externalInit: externalInit.pair,
    removes,
    checkLeaf: virtualLeafCheck(authenticationKey),
    authenticatedData:
      invited === undefined
        ? new Uint8Array()
        : signInvitedJoin(invited.seed, { groupId, epoch: context.epoch, accountId, signatureKey: turn.account().signatureKey }),
    random: turn.random,
    useSafeExporter: false,
  });
  // It counts when it comes back in the log, and is followed then as a sibling's.
  turn.spend([...pathSecrets(own), externalInit.secret, ...secretsOfGroup(made.state)]);
  const pending: Submission = {
    groupId,
    messageId: turn.random(16),
    kind: 'commit',
    epoch,
    message: made.message,
    generation: undefined,
    fence: { emulationEpoch: Number(turn.emulation().group.context.epoch), keyVersion },
    commit: {
      adds: [],
      removes: [],
      welcome: undefined,
      groupInfo: made.groupInfo,
      announces: [],
      newDevice: undefined,
      recoveryKey: undefined,
      invitation: undefined,
      invited: invited?.proof,
      devices: undefined,
      refuses: undefined,
    },
  };
  burnJoin(turn, id, { operation, pending, base: { epoch, groupInfo }, afterPosition: undefined, afterEmulationEpoch: undefined });
}

/**
 * A GroupInfo from before this device lost step is good, and may be from before a member was removed: the server was set
 * back, or lies. So the person is asked, and even then nobody comes in again who was out. @throws EngineError 'older-group'
 */
function checkNotOlder({ lostEpoch, joinsOlder, members }: Conversation, epoch: bigint, present: readonly Uint8Array[]): void {
  const older = joinsOlder
    ? present.some((accountId) => !members.some((member) => equal(member, accountId)))
    : lostEpoch !== undefined && epoch < lostEpoch;
  if (older) throw new EngineError('older-group');
}

/** The new leaf of an external commit by our own account; undefined for any other entry. */
function ownExternalLeaf(turn: Turn, entry: SequenceEntry): LeafNode | undefined {
  if (entry.kind !== 'commit') return undefined;
  const message = decodeExact(mlsMessageCodec, entry.message);
  if (message.wireformat !== 'mls_public_message') return undefined;
  const { content } = message.publicMessage;
  if (content.sender.senderType !== 'new_member_commit' || content.contentType !== 'commit') return undefined;
  const leaf = content.commit.path?.leafNode;
  return leaf !== undefined && equal(accountOf(leaf), turn.account().accountId) ? leaf : undefined;
}

/**
 * An entry of a group that this device is not in, or cannot follow: an external commit of the account
 * brings it in, whichever device made it; anything else passes by.
 * @throws NeedGroupInfo; EngineError, VirtualClientError, MlsError, DecodeError
 */
export async function followOutside(turn: Turn, entry: SequenceEntry): Promise<void> {
  const id = toHex(entry.groupId);
  const before = turn.state.conversations.get(id);
  if (before !== undefined && entry.position <= before.position) return;
  const leaf = ownExternalLeaf(turn, entry);
  if (leaf === undefined && before === undefined) throw new EngineError('unknown-group');
  if (leaf !== undefined) await followIn(turn, entry, leaf, before);
  else if (before?.state !== 'left') passBy(turn, entry);
}

async function followIn(turn: Turn, entry: SequenceEntry, leaf: LeafNode, before: Conversation | undefined): Promise<void> {
  const id = toHex(entry.groupId);
  const join = turn.state.externalJoins.get(id);
  const { operation, own } = followOwnLeaf(turn, leaf, GROUP_SUITE, {
    active: undefined,
    operations: joinOperations(turn.state, id),
  });
  if (join?.base?.epoch !== entry.epoch) {
    if (join?.wanted?.epoch === entry.epoch && join.wanted.refused) throw new MlsError('unknown-epoch');
    throw new NeedGroupInfo(entry.groupId, entry.epoch);
  }
  const { accountId, authenticationKey } = turn.account();
  const externalInit = externalInitOf(operation);
  const group = await followExternalCommit(GROUP_SUITE, join.base.groupInfo, entry.message, {
    own,
    externalInit: externalInit.pair,
    checkLeaf: virtualLeafCheck(authenticationKey),
    useSafeExporter: false,
  });
  turn.spend([...pathSecrets(own), externalInit.secret]);
  const ownLeaves = memberLeaves(group).filter((member) => equal(accountOf(member.leaf), accountId));
  if (!equal(group.context.groupId, entry.groupId) || ownLeaves.length !== 1) throw new EngineError('unexpected-sender');
  if (before !== undefined) {
    const queue = [...unconfirmed(before), ...before.queue];
    const rejoined = before.state === 'out-of-step' ? rejoinedNow(turn, before.rejoined) : undefined;
    turn.updateConversation(id, { awaitingEcho: [], queue, rejoined });
  }
  enter(turn, entry, group, operation, join.invitation?.title ?? before?.title ?? '');
  if (before !== undefined) requeueDead(turn, id, entry);
  settleJoin(turn, id, entry);
  record(turn, entry, { kind: 'event', text: wayIn(before), sender: accountId });
}

/** Of a conversation that was set back all devices of the account have missed what came before they joined it anew. */
function wayIn(before: Conversation | undefined): 'joined' | 'rejoined' | 'went-on' {
  if (before === undefined || before.state === 'left') return 'joined';
  return before.joinsOlder || before.state === 'set-back' ? 'went-on' : 'rejoined';
}

/** Accepted once and never seen in the log: the person decides whether to send it again. */
function unconfirmed({ awaitingEcho }: Conversation): WorkItem[] {
  return awaitingEcho.flatMap(({ item }) => (item.kind === 'text' ? [{ ...item, problem: 'internal' }] : []));
}

/** What this device sent itself it knows without reading it; the rest of the log is lost on it until it is back. */
export function passBy(turn: Turn, entry: SequenceEntry): void {
  const id = toHex(entry.groupId);
  const conversation = turn.state.conversations.get(id);
  if (conversation !== undefined) {
    const { messageId } = entry;
    const item = pendingItems(conversation).find((it) => messageId !== undefined && equal(it.messageId, messageId));
    const ours = isOurs(conversation, entry);
    if (item?.kind === 'text' && ours) {
      const device = { name: turn.device().deviceName, own: true, known: true };
      record(turn, entry, { kind: 'text', text: item.text, sender: turn.account().accountId, device });
    }
    // Under the name of a text stands something that is not it: the person is told that it was not sent.
    if (item?.kind === 'text' && !ours) giveUpEcho(turn, id, entry, false);
    else finishItem(turn, id, entry);
    turn.updateConversation(id, { position: Math.max(turn.conversation(id).position, entry.position) });
  }
  passEntry(turn, entry);
}

/** The sequence stops before the entry until the GroupInfo is here. */
export function wantGroupInfo(turn: Turn, { groupId, epoch }: NeedGroupInfo): void {
  const id = toHex(groupId);
  const join = turn.state.externalJoins.get(id) ?? nextJoin(turn, id, groupId, 0);
  if (join.wanted?.epoch !== epoch) putJoin(turn, id, { ...join, wanted: { epoch, refused: false } });
}
