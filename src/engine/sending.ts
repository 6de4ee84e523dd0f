import { equal, toHex } from '../bytes/index.ts';
import {
  buildKeyPackageLeaf,
  commit,
  createGroup,
  findLeaf,
  groupInfoOf,
  keyPackageRef,
  protectApplication,
  type GroupState,
  type Proposal,
} from '../mls/index.ts';
import { deriveGroupCreationSecret } from '../virtual-client/index.ts';
import { signerIn } from './account-keys.ts';
import { CONVERSATION_COMPONENT, encodeConversationProfile, encodeText, paddingFor, sealTitle } from './content.ts';
import { EngineError, isNamed } from './errors.ts';
import { invitationKeyOf, withInvitationKey } from './invitation-link.ts';
import { decodeKeyPackage, isFresh, lifetimeFrom, secondsOf } from './key-package-messages.ts';
import { isPaused, longerPause } from './later.ts';
import { accountOf, virtualLeafCheck } from './leaf-check.ts';
import { howToRenew, isRenewal } from './leaf-renewal.ts';
import { components, conversationExtensions } from './leaf-templates.ts';
import type { CommitRouting, DeliveryAnswer, SequenceEntry, Submission } from './ports.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from './protocol.ts';
import { isUnsafe, needsRenewal } from './removal-state.ts';
import type { ClaimedForAdd, Conversation, Hold, PendingSubmission, WorkItem } from './state.ts';
import { fence, retain, submissionOf } from './submission.ts';
import type { Turn } from './turn.ts';
import { makeUpdate } from './update-proposals.ts';
import { allocate, pathSecrets, prepareLeaf, sendingPorts } from './virtual-leaf.ts';

/**
 * A conversation's outgoing side. What the person asked for waits in `queue`; the first item is made
 * into bytes (`pending`, stored before it is sent), accepted by the server (`awaitingEcho`) and done
 * when it comes back in the log.
 */

/** Makes the bytes of the queue's first item; the turn's state then holds all that they used up. */
export async function prepareNext(turn: Turn, id: string): Promise<void> {
  const conversation = turn.conversation(id);
  const next = nextItem(conversation, turn.now);
  if (next === undefined || conversation.pending !== undefined) throw new EngineError('not-ready');
  const item = madeFor(turn, id, next);
  if (item === undefined) {
    turn.updateConversation(id, { queue: conversation.queue.filter((other) => other !== next) });
    return;
  }
  let submission: Submission | undefined;
  try {
    await turn.attempt(async () => {
      submission = await makeSubmission(turn, id, item);
    });
  } catch (error) {
    if (!isNamed(error)) throw error;
  }
  if (submission === undefined) {
    fail(turn, id, item, 'cannot-be-made');
    return;
  }
  const made = submission;
  const now = turn.conversation(id);
  turn.updateConversation(id, { queue: without(now.queue, item), pending: { item, submission: made } });
}

/** Everything that was asked for and is not in the log yet, oldest first. */
export function pendingItems({ queue, pending, awaitingEcho }: Conversation): WorkItem[] {
  return [...awaitingEcho.map(({ item }) => item), ...(pending === undefined ? [] : [pending.item]), ...queue];
}

/**
 * What is made next: in the order of the queue, but renewals last, without what waits for the person's
 * decision, and without people who cannot be added yet: those who are there must not wait for them.
 */
export function nextItem({ queue, hold, members }: Conversation, now: number): WorkItem | undefined {
  const addsWait = hold?.notBefore !== undefined && isPaused(now, hold.notBefore) && members.length > 1;
  const sendable = queue.filter((item) => (item.kind === 'text' ? item.problem === undefined : item.kind !== 'add' || !addsWait));
  return sendable.find((item) => !isRenewal(item)) ?? sendable[0];
}

/** What is made for `item` now; undefined when it is done without. */
function madeFor(turn: Turn, id: string, item: WorkItem): WorkItem | undefined {
  if (item.kind === 'text') return commitFirst(turn, id, item);
  if (item.kind !== 'update') return item;
  const how = howToRenew(turn.account(), turn.emulation(), turn.conversation(id), turn.group(id));
  if (how === 'nothing') return undefined;
  return how === 'path' ? { ...item, kind: 'renew' } : item;
}

/**
 * RFC 9420 section 12.4: no application message while proposals wait for a commit, be they our own leaf's
 * (the path of the commit then does what the Update was for); after a refused commit the server takes none of
 * this epoch before a further one; and none goes through a leaf that a removed device knows (reading section 12.4).
 */
function commitFirst(turn: Turn, id: string, item: WorkItem): WorkItem {
  const conversation = turn.conversation(id);
  const maySpeak = turn.group(id).proposals.length === 0 && conversation.refusedCommit === undefined;
  if (maySpeak && !isUnsafe(turn.emulation(), conversation)) return item;
  return conversation.queue.find(({ kind }) => kind === 'renew') ?? { kind: 'renew', messageId: turn.random(16) };
}

function makeSubmission(turn: Turn, id: string, item: WorkItem): Promise<Submission> {
  switch (item.kind) {
    case 'create':
      return makeCreation(turn, id, item);
    case 'text':
      return makeText(turn, id, item);
    case 'add':
      return makeAdd(turn, id, item);
    case 'remove':
      return makeRemove(turn, id, item);
    case 'invite':
      return makeInvitation(turn, id, item);
    case 'renew':
      return makeCommit(turn, id, item, NO_PLAN);
    case 'update':
      return makeUpdate(turn, id, item);
  }
}

/** Reading section 13: the epoch-0 GroupInfo is what siblings, and this device, derive the group from. */
async function makeCreation(turn: Turn, id: string, item: WorkItem): Promise<Submission> {
  const conversation = turn.conversation(id);
  const operation = allocate(turn);
  const { template, encryptionKey, own } = prepareLeaf(turn, operation, GROUP_SUITE);
  const { signer } = turn.account();
  const epochSecret = deriveGroupCreationSecret(EMULATION_PROTOCOL, operation, GROUP_SUITE);
  const group = createGroup(GROUP_SUITE, {
    groupId: conversation.groupId,
    extensions: conversationExtensions(sealTitle(GROUP_SUITE, epochSecret, conversation.groupId, conversation.title)),
    leaf: await buildKeyPackageLeaf(GROUP_SUITE, template, encryptionKey, lifetimeFrom(turn.now), signer),
    encryptionPrivateKey: own.encryptionPrivateKey,
    epochSecret,
    useSafeExporter: false,
    random: turn.random,
  });
  const message = await groupInfoOf(GROUP_SUITE, group, signer);
  turn.spend([...pathSecrets(own), epochSecret]);
  retain(turn, id, operation);
  return submissionOf(conversation, item, { kind: 'creation', epoch: 0, message, fence: fence(turn) });
}

async function makeText(turn: Turn, id: string, item: Extract<WorkItem, { kind: 'text' }>): Promise<Submission> {
  const conversation = turn.conversation(id);
  const group = turn.group(id);
  const content = encodeText(item.text);
  const { guard, claim } = sendingPorts(turn, conversation);
  const { next, value, spent } = await protectApplication(GROUP_SUITE, group, content, {
    signer: signerIn(turn, group),
    authenticatedData: new Uint8Array(),
    padding: paddingFor(content.length),
    guard,
  });
  turn.spend(spent);
  turn.setGroup(id, next);
  return submissionOf(conversation, item, {
    kind: 'application',
    epoch: Number(group.context.epoch),
    message: value.message,
    generation: claim(value.generation, 'application'),
  });
}

async function makeAdd(turn: Turn, id: string, item: Extract<WorkItem, { kind: 'add' }>): Promise<Submission> {
  const { claim } = turn.conversation(id);
  if (claim?.keyPackages === undefined) throw new EngineError('not-ready');
  const claimed = claim.keyPackages;
  if (!isClaimOf(claimed, item.members)) throw new EngineError('wrong-credential');
  const proposals = claimed.map(({ accountId, keyPackageRef: ref, keyPackage: bytes }): Proposal => {
    const keyPackage = decodeKeyPackage(bytes);
    if (!equal(accountOf(keyPackage.leafNode), accountId)) throw new EngineError('wrong-credential');
    if (!equal(keyPackageRef(GROUP_SUITE, keyPackage), ref)) throw new EngineError('unknown-key-package');
    if (!isFresh(keyPackage, turn.now)) throw new EngineError('unknown-key-package');
    return { proposalType: 'add', add: { keyPackage } };
  });
  const submission = await makeCommit(turn, id, item, {
    ...NO_PLAN,
    proposals,
    adds: item.members.map(({ accountId }) => accountId),
    uses: claimed.map(({ accountId, keyPackageRef }) => ({ accountId, keyPackageRef })),
  });
  return submission;
}

function makeRemove(turn: Turn, id: string, item: Extract<WorkItem, { kind: 'remove' }>): Promise<Submission> {
  const removed = findLeaf(turn.group(id), (leaf) => equal(accountOf(leaf), item.accountId));
  if (removed === undefined) throw new EngineError('unknown-group');
  const proposal: Proposal = { proposalType: 'remove', remove: { removed } };
  // Who is removed may have the link.
  const hasLink = turn.conversation(id).invitation !== undefined;
  const { proposals, invitation } = hasLink ? invitationPlan(turn.group(id), undefined) : NO_PLAN;
  return makeCommit(turn, id, item, { ...NO_PLAN, proposals: [proposal, ...proposals], removes: [item.accountId], invitation });
}

function makeInvitation(turn: Turn, id: string, item: Extract<WorkItem, { kind: 'invite' }>): Promise<Submission> {
  return makeCommit(turn, id, item, invitationPlan(turn.group(id), item.seed && invitationKeyOf(item.seed)));
}

function invitationPlan(group: GroupState, key: Uint8Array | undefined): CommitPlan {
  const extensions = withInvitationKey(group.context.extensions, key);
  return {
    ...NO_PLAN,
    proposals: [{ proposalType: 'group_context_extensions', groupContextExtensions: { extensions } }],
    invitation: { key },
  };
}

/** Exactly the accounts that the person asked for, each once: the server may not put in others. */
function isClaimOf(claimed: readonly ClaimedForAdd[], members: readonly { readonly accountId: Uint8Array }[]): boolean {
  const asked = new Set(members.map(({ accountId }) => toHex(accountId)));
  return (
    claimed.length === asked.size &&
    new Set(claimed.map(({ accountId }) => toHex(accountId))).size === asked.size &&
    claimed.every(({ accountId }) => asked.has(toHex(accountId)))
  );
}

interface CommitPlan {
  readonly proposals: readonly Proposal[];
  readonly adds: readonly Uint8Array[];
  readonly removes: readonly Uint8Array[];
  readonly uses: readonly { readonly accountId: Uint8Array; readonly keyPackageRef: Uint8Array }[];
  readonly invitation: CommitRouting['invitation'];
}

const NO_PLAN: CommitPlan = { proposals: [], adds: [], removes: [], uses: [], invitation: undefined };

/** Every commit of the virtual client has a path from a new operation of the newest emulation epoch (draft section 5.3). */
async function makeCommit(turn: Turn, id: string, item: WorkItem, plan: CommitPlan): Promise<Submission> {
  const conversation = turn.conversation(id);
  const group = turn.group(id);
  const operation = allocate(turn);
  const { template, own } = prepareLeaf(turn, operation, GROUP_SUITE);
  const { guard, claim } = sendingPorts(turn, conversation);
  const { next, value, spent } = await commit(GROUP_SUITE, group, {
    signer: signerIn(turn, group),
    proposals: plan.proposals,
    // Updates of others ride along; a proposal that changes who is in the group would need routing that only its maker can give.
    references: ({ proposal }) => proposal.proposalType === 'update',
    path: { leaf: template, newSigner: turn.account().signer, own },
    wireFormat: 'private',
    authenticatedData: new Uint8Array(),
    guard,
    welcomeExtensions: plan.adds.length === 0 ? [] : components([[CONVERSATION_COMPONENT, encodeConversationProfile(conversation.title)]]),
    random: turn.random,
    checkLeaf: virtualLeafCheck(turn.account().authenticationKey),
    now: secondsOf(turn.now),
  });
  turn.spend(spent);
  turn.spend(pathSecrets(own));
  turn.setGroup(id, next);
  retain(turn, id, operation);
  const routing: CommitRouting = {
    adds: plan.adds,
    removes: plan.removes,
    welcome: value.welcome === undefined ? undefined : { message: value.welcome, uses: plan.uses },
    groupInfo: value.groupInfo,
    announces: [],
    newDevice: undefined,
    recoveryKey: undefined,
    invitation: plan.invitation,
    invited: undefined,
    devices: undefined,
    refuses: conversation.refusedCommit,
  };
  return submissionOf(conversation, item, {
    kind: 'commit',
    epoch: Number(group.context.epoch),
    message: value.message,
    generation: claim(value.generation, 'handshake'),
    fence: fence(turn),
    commit: routing,
  });
}

/** Answers to the pending submission of a conversation. */
export function onSubmitAnswer(turn: Turn, id: string, sent: Submission, answer: DeliveryAnswer<'submit'>): void {
  const conversation = turn.state.conversations.get(id);
  const pending = conversation?.pending;
  if (conversation === undefined || pending === undefined || !equal(pending.submission.message, sent.message)) return;
  if (answer.outcome === 'unreachable') return;
  if (answer.outcome === 'done') {
    const { position, checked } = answer.value;
    turn.updateConversation(id, {
      pending: undefined,
      awaitingEcho: [...conversation.awaitingEcho, { ...pending, ...(!checked && { unchecked: true }) }],
    });
    // What has come back is not pending any more: a place that we have passed is one of another log (see set-back.ts).
    if (!checked || position <= conversation.position) turn.behind = true;
    return;
  }
  const { problem } = answer;
  if (problem.retryAfter !== undefined) return;
  switch (problem.type) {
    case 'generation-taken':
      requeueUnanswered(turn, id, pending);
      turn.updateConversation(id, { hold: afterCollision(conversation, turn.now) });
      return;
    case 'stale-epoch':
      requeueUnanswered(turn, id, pending);
      turn.behind = true;
      turn.updateConversation(id, { hold: { ...afterRefusedCommit(conversation, turn.now), commitAwaited: true } });
      return;
    case 'stale-key-version':
      // The new key is told without a new epoch: nothing in the log says when to go on.
      requeueUnanswered(turn, id, pending);
      turn.behind = true;
      turn.updateConversation(id, { hold: { ...pausedFrom(conversation, turn.now), textsToo: true } });
      return;
    case 'stale-emulation-epoch':
      requeueUnanswered(turn, id, pending);
      turn.behind = true;
      turn.updateConversation(id, { hold: untilEmulationEpoch(conversation, pending, turn.now) });
      return;
    case 'spent-key-package':
      // Others are asked for, which somebody else may need: not again and again, if the server goes on like that.
      requeueUnanswered(turn, id, pending);
      turn.updateConversation(id, { claim: undefined, hold: pausedFrom(conversation, turn.now) });
      return;
    default:
      fail(turn, id, requeueUnanswered(turn, id, pending), problem.type);
  }
}

/** An item that cannot be done: a message stays, marked, until the person decides; anything else is reported and dropped. */
export function fail(turn: Turn, id: string, item: WorkItem, problem: string): void {
  const { queue } = turn.conversation(id);
  if (item.kind === 'text') {
    turn.updateConversation(id, { queue: queue.map((other) => (other === item ? { ...item, problem } : other)) });
    return;
  }
  if (isRenewal(item)) {
    // Made anew at once for the text that it was to go before, it would not work out again, without end.
    const textsToo = queue.some((other) => other.kind === 'text' && other.problem === undefined);
    turn.updateConversation(id, { queue: without(queue, item), hold: { ...pausedFrom(turn.conversation(id), turn.now), textsToo } });
    return;
  }
  turn.notice('request-failed', problem);
  if (item.kind === 'invite' && item.seed !== undefined) turn.spend([item.seed]);
  if (item.kind !== 'create') turn.updateConversation(id, { queue: queue.filter((other) => other !== item), claim: undefined });
  else
    turn.updateConversation(id, { state: 'left', queue: unsentTexts({ ...turn.conversation(id), pending: undefined }), claim: undefined });
}

/** Burns the pending bytes and puts their item back in front. */
export function requeue(turn: Turn, id: string, pending: PendingSubmission): void {
  const conversation = turn.conversation(id);
  const burned = pending.submission.kind === 'application' ? [] : conversation.operations;
  turn.spend(burned.map(({ operationSecret }) => operationSecret));
  turn.updateConversation(id, {
    pending: undefined,
    queue: [pending.item, ...conversation.queue],
    operations: conversation.operations.filter((operation) => !burned.includes(operation)),
  });
}

/**
 * As `requeue`, of what is on its way, or refused: a service that is not strongly consistent may take it yet, and not what
 * replaces it, and one that lies may have taken what it says that it refuses. @returns the item as it waits now
 */
export function requeueUnanswered(turn: Turn, id: string, pending: PendingSubmission): WorkItem {
  const { item } = pending;
  const waiting: WorkItem = item.kind === 'text' || item.kind === 'update' ? { ...item, unanswered: true } : item;
  requeue(turn, id, { ...pending, item: waiting });
  return waiting;
}

/** Whether this device sent the entry: the same bytes, or the name of something whose first bytes are burned. */
export function isOurs(conversation: Conversation, { message, messageId }: SequenceEntry): boolean {
  const { pending, awaitingEcho } = conversation;
  const sent = [...awaitingEcho, ...(pending === undefined ? [] : [pending])];
  if (sent.some(({ submission }) => equal(submission.message, message))) return true;
  return pendingItems(conversation).some((item) => 'unanswered' in item && messageId !== undefined && equal(item.messageId, messageId));
}

/** A tab repeats a call within seconds; nobody sends more than this in that time. */
const MAX_FINISHED = 64;

function withFinished({ finished }: Pick<Conversation, 'finished'>, messageId: Uint8Array): string[] {
  return [toHex(messageId), ...finished].slice(0, MAX_FINISHED);
}

/** The entry came back: whatever of ours it was is done. */
export function finishItem(turn: Turn, id: string, entry: SequenceEntry): void {
  const { messageId } = entry;
  if (messageId === undefined) return;
  const { pending, awaitingEcho, queue, claim, hold, finished: names } = turn.conversation(id);
  const isIt = (item: WorkItem): boolean => equal(item.messageId, messageId);
  const finished = [...awaitingEcho, ...(pending === undefined ? [] : [pending])].find(({ item }) => isIt(item));
  // What was to be made anew is done as well, and a tab may ask for it once more.
  const wasAsked = finished !== undefined || queue.some(isIt);
  turn.updateConversation(id, {
    pending: pending !== undefined && isIt(pending.item) ? undefined : pending,
    awaitingEcho: awaitingEcho.filter(({ item }) => !isIt(item)),
    queue: queue.filter((item) => !isIt(item)),
    claim: finished?.item.kind === 'add' ? undefined : claim,
    hold: finished === undefined ? hold : afterSuccess(hold, finished),
    finished: wasAsked ? withFinished({ finished: names }, messageId) : names,
  });
}

/**
 * The group has entered a new epoch by `entry`. What was pending in the old one and has not come back
 * before it is dead: the server has refused it, or will. It is made anew.
 */
export function requeueDead(turn: Turn, id: string, entry: SequenceEntry): void {
  const isIt = ({ item }: PendingSubmission): boolean => entry.messageId !== undefined && equal(item.messageId, entry.messageId);
  const { pending, awaitingEcho } = turn.conversation(id);
  if (pending !== undefined && !isIt(pending)) requeueUnanswered(turn, id, pending);
  // Accepted, and not in the log before the epoch's end: the server has lost it by a restore.
  for (const dead of awaitingEcho.filter((sent) => sent.submission.kind !== 'application' && !isIt(sent))) {
    turn.updateConversation(id, { awaitingEcho: turn.conversation(id).awaitingEcho.filter((sent) => sent !== dead) });
    requeue(turn, id, dead);
  }
}

/** A commit has given us a new leaf: what would only have renewed it is done. */
export function dropMootRenewals(turn: Turn, id: string): void {
  const conversation = turn.conversation(id);
  if (needsRenewal(turn.account(), turn.emulation(), conversation)) return;
  if (conversation.queue.some(isRenewal)) turn.updateConversation(id, { queue: conversation.queue.filter((item) => !isRenewal(item)) });
}

function without(queue: readonly WorkItem[], { messageId }: WorkItem): WorkItem[] {
  return queue.filter((item) => !equal(item.messageId, messageId));
}

/** The conversation's hold after one more thing that did not work out: each time twice as long. */
export function pausedFrom({ hold }: Conversation, now: number): Hold {
  const pause = longerPause(hold?.pause ?? 0);
  return { ...NO_HOLD, notBefore: now + pause, pause };
}

/**
 * Beside a commit that we have refused, nothing in the log tells when ours may go: another that we have not heard of was
 * first, or the server lies. All that is to be sent comes after that commit, and waits with it.
 */
function afterRefusedCommit(conversation: Conversation, now: number): Hold {
  return conversation.refusedCommit === undefined ? NO_HOLD : { ...pausedFrom(conversation, now), textsToo: true };
}

/** A text names no emulation epoch that could be over: there is nothing in the log to wait for. */
function untilEmulationEpoch(conversation: Conversation, { submission: { fence } }: PendingSubmission, now: number): Hold {
  if (fence === undefined) return { ...pausedFrom(conversation, now), textsToo: true };
  return { ...NO_HOLD, emulationEpochOver: BigInt(fence.emulationEpoch) };
}

/** In a crowd of siblings that all write, each loses so many races to the others. */
const MOST_RACES = 16;

/** Whoever was not first goes again at once. Who is never first hears of a server that lies, and burns keys for nothing. */
function afterCollision(conversation: Conversation, now: number): Hold {
  const collisions = (conversation.hold?.collisions ?? 0) + 1;
  if (collisions <= MOST_RACES) return { ...(conversation.hold ?? NO_HOLD), collisions };
  return { ...pausedFrom(conversation, now), textsToo: true, collisions };
}

/** Ours has come back. After a commit, or a text that had to wait, the next trouble begins with a short pause. */
function afterSuccess(hold: Hold | undefined, { submission }: PendingSubmission): Hold | undefined {
  if (hold === undefined || submission.kind === 'commit') return undefined;
  if (hold.textsToo && !hold.commitAwaited) return undefined;
  return { ...hold, collisions: 0 };
}

/** Nothing that the next message has to wait for. */
export const NO_HOLD: Hold = { commitAwaited: false, emulationEpochOver: undefined, notBefore: undefined, textsToo: false, pause: 0 };

/** What was written and can no longer be sent stays on screen, marked. */
export function unsentTexts({ pending, awaitingEcho, queue }: Conversation): WorkItem[] {
  const items = [...awaitingEcho.map(({ item }) => item), ...(pending === undefined ? [] : [pending.item]), ...queue];
  return items.flatMap((item) => (item.kind === 'text' ? [{ ...item, problem: 'not-a-member' }] : []));
}

/**
 * Our own message was refused by ourselves when it came back, and so by everybody, since all read one log. One that
 * `overtaken` says was only too late, or second to a sibling's of the same generation (draft section 5.9, eventually
 * consistent service), is encrypted anew and sent again, under a new name: the server has used the old one. Any other
 * is over, and a text is shown as not sent. So is one of an epoch before this device lost step and came back: the
 * others may have read it, and the person decides whether to send it again.
 */
export function giveUpEcho(turn: Turn, id: string, { messageId, epoch }: SequenceEntry, overtaken: boolean): void {
  if (messageId === undefined) return;
  const conversation = turn.conversation(id);
  const { pending, awaitingEcho, queue } = conversation;
  const isUnknown = BigInt(epoch) < conversation.since;
  const isIt = ({ item }: PendingSubmission): boolean => equal(item.messageId, messageId);
  const given = [...awaitingEcho, ...(pending === undefined ? [] : [pending])].find(isIt);
  if (given === undefined) {
    // What is to be sent in its place must not go by the name that the server has used.
    const waiting = queue.find((item) => equal(item.messageId, messageId));
    if (waiting === undefined) return;
    const renamed = { ...waiting, messageId: turn.random(16) };
    turn.updateConversation(id, {
      queue: queue.map((item) => (item === waiting ? renamed : item)),
      finished: withFinished(conversation, messageId),
    });
    if (isUnknown && renamed.kind === 'text') fail(turn, id, renamed, 'internal');
    return;
  }
  const item = { ...given.item, messageId: turn.random(16) };
  const isCommit = given.submission.kind !== 'application';
  if (isCommit) turn.spend(conversation.operations.map(({ operationSecret }) => operationSecret));
  turn.updateConversation(id, {
    pending: pending !== undefined && isIt(pending) ? undefined : pending,
    awaitingEcho: awaitingEcho.filter((sent) => !isIt(sent)),
    queue: [item, ...queue],
    operations: isCommit ? [] : conversation.operations,
    finished: withFinished(conversation, messageId),
  });
  if (!overtaken) fail(turn, id, item, 'refused-by-ourselves');
  else if (isUnknown && item.kind === 'text') fail(turn, id, item, 'internal');
}

/** Whether the conversation waits for other news before it may make its next message. */
export function isHeld({ hold, refusedCommit }: Conversation, emulationEpoch: bigint): boolean {
  if (hold === undefined) return false;
  // What the server took for the next epoch's beginning was none: ours goes on. A commit that is followed ends the hold.
  if (hold.commitAwaited) return refusedCommit === undefined;
  return hold.emulationEpochOver !== undefined && emulationEpoch <= hold.emulationEpochOver;
}
