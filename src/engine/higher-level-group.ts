import { equal, toHex } from '../bytes/index.ts';
import {
  applyCommit,
  getComponent,
  joinByWelcome,
  joinFromEpochZero,
  leafAt,
  MlsError,
  open,
  readGroupInfo,
  secretsOfGroup,
  type CommitEffects,
  type GroupState,
  type Opened,
  type OpenedApplication,
  type OpenedCommit,
} from '../mls/index.ts';
import { deriveGroupCreationSecret, type GuardKey, type Operation } from '../virtual-client/index.ts';
import { ownKeyVersion } from './account-keys.ts';
import { CONVERSATION_COMPONENT, decodeText, openTitle, readConversationProfile } from './content.ts';
import { accountsOf, newConversation, pendingOperations } from './conversation.ts';
import { keyPackageKeys } from './emulation-group.ts';
import { EngineError } from './errors.ts';
import { externalInitOf, finishJoin, joinOperations, settleJoin } from './external-join.ts';
import { isForgotten, leftAfterAll } from './forget.ts';
import { checkContext, followInvitation, invitationChange, invitationIn, invitationSeeds, type InvitationChange } from './invitation.ts';
import { checkInvitedJoin, invitationKeyIn } from './invitation-link.ts';
import { accountOf, virtualLeafCheck } from './leaf-check.ts';
import { secondsOf } from './key-package-messages.ts';
import { endedEpochs, wipeDroppedLeaves } from './past-epochs.ts';
import type { SequenceEntry } from './ports.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from './protocol.ts';
import { leaveToSibling } from './renewal-state.ts';
import { dropMootRenewals, finishItem, isOurs, requeueDead, unsentTexts } from './sending.ts';
import type { Conversation, StoredMessage } from './state.ts';
import type { Turn } from './turn.ts';
import { committedUpdate, followProposal, ownUpdateKeys } from './update-proposals.ts';
import { attribute, becomeActive, currentGuardKey, followOwnLeaf, pathSecrets, type Attribution } from './virtual-leaf.ts';

/** One entry of a conversation's log, whoever of the account or of the others sent it. */
export async function followGroupEntry(turn: Turn, entry: SequenceEntry): Promise<void> {
  if (entry.kind === 'creation') return followCreation(turn, entry);
  if (entry.kind === 'welcome') return followWelcome(turn, entry);
  return followMessage(turn, entry);
}

/** Reading section 13: a group that this device or a sibling made; both derive its epoch 0 alike. */
async function followCreation(turn: Turn, entry: SequenceEntry): Promise<void> {
  const known = turn.state.conversations.get(toHex(entry.groupId));
  if (known !== undefined && known.state !== 'creating') throw new EngineError('group-exists');
  if (entry.position !== 0) throw new EngineError('out-of-order');
  const { context, leaves } = readGroupInfo(GROUP_SUITE, entry.message);
  const [leaf] = leaves;
  if (leaf === undefined || leaves.length !== 1 || !equal(context.groupId, entry.groupId)) throw new EngineError('bad-creation');
  const { operation, own } = followOwnLeaf(turn, leaf, GROUP_SUITE, { active: undefined, operations: known?.operations ?? [] });
  const epochSecret = deriveGroupCreationSecret(EMULATION_PROTOCOL, operation, GROUP_SUITE);
  const title = openTitle(GROUP_SUITE, epochSecret, entry.groupId, getComponent(context.extensions, CONVERSATION_COMPONENT));
  turn.spend([...pathSecrets(own), epochSecret]);
  const group = await joinFromEpochZero(GROUP_SUITE, entry.message, {
    encryptionPrivateKey: own.encryptionPrivateKey,
    epochSecret,
    checkLeaf: virtualLeafCheck(turn.account().authenticationKey),
  });
  if (!equal(accountOf(leaf), turn.account().accountId)) throw new EngineError('wrong-credential');
  enter(turn, entry, group, operation, title);
}

/** Draft section 5.5.1: a Welcome through a KeyPackage of any device of the account. */
async function followWelcome(turn: Turn, entry: SequenceEntry): Promise<void> {
  const ref = entry.keyPackageRef === undefined ? undefined : toHex(entry.keyPackageRef);
  const keyPackage = ref === undefined ? undefined : turn.state.keyPackages.get(ref);
  if (ref === undefined || keyPackage === undefined) throw new EngineError('unknown-key-package');
  const known = turn.state.conversations.get(toHex(entry.groupId));
  if (known?.state === 'member') throw new EngineError('group-exists');
  const { init, encryption } = keyPackageKeys(keyPackage);
  const { state: group, groupInfoExtensions } = await joinByWelcome(GROUP_SUITE, entry.message, {
    keyPackageRef: keyPackage.keyPackageRef,
    initPrivateKey: init.privateKey,
    encryptionPrivateKey: encryption.privateKey,
    checkLeaf: virtualLeafCheck(turn.account().authenticationKey),
    useSafeExporter: false,
  });
  if (!equal(group.context.groupId, entry.groupId)) throw new EngineError('malformed-entry');
  const ownLeaf = leafAt(group, group.ownLeaf);
  const { accountId, signatureKey } = turn.account();
  if (!equal(accountOf(ownLeaf), accountId) || !equal(ownLeaf.signaturePublicKey, signatureKey)) throw new EngineError('wrong-credential');
  const keyPackages = new Map(turn.state.keyPackages);
  keyPackages.delete(ref);
  turn.update({ keyPackages });
  turn.spend([init.privateKey, encryption.privateKey]);
  const title = readConversationProfile(getComponent(groupInfoExtensions, CONVERSATION_COMPONENT));
  enter(turn, entry, group, keyPackage.operation, title);
  record(turn, entry, { kind: 'event', text: 'joined', sender: turn.account().accountId });
}

/** The virtual client is in the group now, by `operation`'s leaf. */
export function enter(turn: Turn, entry: SequenceEntry, group: GroupState, operation: Operation, title: string): void {
  const id = toHex(entry.groupId);
  const known = turn.state.conversations.get(id);
  const base = known ?? newConversation(entry.groupId, entry.acceptedAt);
  turn.setGroup(id, group);
  turn.setConversation({
    ...base,
    title,
    members: accountsOf(group),
    invitation: invitationIn(group),
    keyVersion: ownKeyVersion(group),
    sentByLeaf: 0,
    state: 'member',
    refusedCommit: undefined,
    position: entry.position,
    lostEpoch: undefined,
    joinsOlder: false,
    since: group.context.epoch,
    leaf: becomeActive(turn, operation, GROUP_SUITE),
    pastLeaves: [],
    endedEpochs: [],
    operations: base.operations.filter((kept) => !sameOperation(kept, operation)),
    updates: [],
    passedOver: false,
    hold: undefined,
  });
  finishItem(turn, id, entry);
}

async function followMessage(turn: Turn, entry: SequenceEntry): Promise<void> {
  const id = toHex(entry.groupId);
  const conversation = turn.conversation(id);
  if (entry.position <= conversation.position) return;
  if (conversation.state !== 'member') throw new EngineError('unknown-group');
  if (entry.position !== conversation.position + 1) throw new EngineError('out-of-order');
  turn.updateConversation(id, { position: entry.position });
  const opened = await open(GROUP_SUITE, turn.group(id), entry.message);
  if (opened.value.kind !== entry.kind) throw new EngineError('wrong-kind');
  turn.spend(opened.spent);
  turn.setGroup(id, opened.next);
  const from = senderOf(turn, conversation, opened.value, entry);
  switch (opened.value.kind) {
    case 'application':
      followApplication(turn, entry, opened.value, from);
      break;
    case 'proposal':
      await followProposal(turn, entry, opened.value);
      break;
    case 'commit':
      await followCommit(turn, entry, opened.value, from);
      break;
  }
  // Draft section 5.3: every commit of the virtual client brings a new leaf, and it proposes nothing but Updates.
  if (opened.value.kind !== 'application' && from.ours && !isOurs(conversation, entry)) leaveToSibling(turn);
  finishItem(turn, id, entry);
}

interface Sender {
  readonly accountId: Uint8Array;
  /** Of our own virtual client. */
  readonly ours: boolean;
  readonly device: Attribution | undefined;
  readonly alarm: boolean;
}

/** Who sent it, and if it was our own virtual client, which device (draft section 5.8). */
function senderOf(turn: Turn, conversation: Conversation, opened: Opened, entry: SequenceEntry): Sender {
  if (opened.senderLeaf === undefined) throw new EngineError('unexpected-sender');
  const accountId = accountOf(opened.senderLeaf);
  if (!opened.sentByOwnLeaf) return { accountId, ours: false, device: undefined, alarm: false };
  const key = guardKeyAt(turn, conversation, opened.epoch);
  const { protection } = opened;
  if (key === undefined || protection === undefined) {
    return { accountId, ours: true, device: { name: '', known: false, own: false }, alarm: false };
  }
  const device = attribute(turn, key, protection.keyScheduleNonce, protection.reuseGuard);
  const alarm = device.own && !isOurs(conversation, entry) && !isForgotten(turn, entry);
  if (alarm) turn.notice('cloned-device', conversation.title);
  if (!device.known) turn.notice('unknown-device', conversation.title);
  return { accountId, ours: true, device, alarm };
}

function guardKeyAt(turn: Turn, conversation: Conversation, groupEpoch: bigint): GuardKey | undefined {
  const past = conversation.pastLeaves.find((leaf) => leaf.groupEpoch === groupEpoch);
  return past?.guardKey ?? currentGuardKey(turn, conversation);
}

function followApplication(turn: Turn, entry: SequenceEntry, opened: OpenedApplication, from: Sender): void {
  const text = decodeText(opened.applicationData);
  const common = { sender: from.accountId, device: from.device, alarm: from.alarm };
  if (from.device?.own === true && isForgotten(turn, entry)) leftAfterAll(turn, entry);
  else record(turn, entry, text === undefined ? { kind: 'event', text: 'unreadable', ...common } : { kind: 'text', text, ...common });
  if (!opened.sentByOwnLeaf) return;
  const id = toHex(entry.groupId);
  turn.updateConversation(id, { sentByLeaf: turn.conversation(id).sentByLeaf + 1 });
}

async function followCommit(turn: Turn, entry: SequenceEntry, opened: OpenedCommit, from: Sender): Promise<void> {
  const id = toHex(entry.groupId);
  const before = turn.conversation(id);
  const previous = turn.group(id);
  const checkLeaf = virtualLeafCheck(turn.account().authenticationKey);
  // An external commit in our account's name is a resync by a sibling, or by this device: the leaf moves.
  const moves = opened.external && equal(from.accountId, turn.account().accountId);
  const leaf = opened.sentByOwnLeaf || moves ? opened.pathLeaf : undefined;
  const operations = [...before.operations, ...joinOperations(turn.state, id)];
  const followed = leaf && followOwnLeaf(turn, leaf, GROUP_SUITE, { active: before.leaf, operations });
  const externalInit = moves && followed !== undefined ? externalInitOf(followed.operation) : undefined;
  const applied = await applyCommit(GROUP_SUITE, previous, opened, {
    ...(followed && { ownPath: followed.own }),
    ...(externalInit && { externalInit: externalInit.pair }),
    ownUpdates: ownUpdateKeys(turn, before),
    checkLeaf,
    now: secondsOf(entry.acceptedAt),
  }).catch((error: unknown) => {
    // What of an own path only our devices can check says nothing to the others: they went on.
    if (followed !== undefined && error instanceof MlsError && error.code === 'path-key-mismatch') {
      throw new EngineError('leaf-keys-mismatch');
    }
    if (error instanceof MlsError && error.code === 'own-secrets-missing') throw new EngineError('update-not-followed');
    throw error;
  });
  turn.spend(applied.spent);
  if (externalInit !== undefined) turn.spend([externalInit.secret]);
  if (followed !== undefined) turn.spend(pathSecrets(followed.own));
  const effects = applied.value;
  if (opened.external) checkExternal(previous, opened, effects);
  checkContext(previous, applied.next);
  if (effects.removedSelf) {
    finishJoin(turn, id);
    leave(turn, id, 'left');
    recordEffects(turn, entry, effects, from, 'as-before');
    return;
  }
  const group = applied.next;
  const operation = followed?.operation ?? committedUpdate(before, previous.ownLeaf, effects);
  const membersChanged = effects.added.length + effects.removed.length > 0;
  turn.setGroup(id, group);
  const guardKey = currentGuardKey(turn, before);
  const ended = guardKey === undefined ? [] : [{ groupEpoch: previous.context.epoch, guardKey }];
  const endings = endedEpochs(before, previous, group, entry.acceptedAt);
  const kept = new Set(endings.map(({ groupEpoch }) => groupEpoch));
  const pastLeaves = [...ended, ...before.pastLeaves];
  const leafNow = operation === undefined ? before.leaf : becomeActive(turn, operation, GROUP_SUITE);
  const next = turn.updateConversation(id, {
    members: membersChanged ? accountsOf(group) : before.members,
    invitation: followInvitation(turn, before, group),
    refusedCommit: undefined,
    leaf: leafNow,
    ...(operation && { keyVersion: ownKeyVersion(group), sentByLeaf: 0 }),
    pastLeaves: pastLeaves.filter(({ groupEpoch }) => kept.has(groupEpoch)),
    endedEpochs: endings,
    operations: [],
    updates: [],
    passedOver: operation === undefined && (before.passedOver || before.updates.length > 0),
    hold: before.hold && { ...before.hold, textsToo: false, commitAwaited: false }, // what stood in their way has gone with the epoch
  });
  // Whatever else was made in the epoch that has ended is dead.
  turn.spend(
    pendingOperations(before)
      .filter((kept) => operation === undefined || !sameOperation(kept, operation))
      .map(({ operationSecret }) => operationSecret),
  );
  wipeDroppedLeaves(turn, before, next);
  if (effects.ownLeafMoved) settleJoin(turn, id, entry);
  requeueDead(turn, id, entry);
  if (operation !== undefined) dropMootRenewals(turn, id);
  recordEffects(turn, entry, effects, from, invitationChange(previous, group));
}

/**
 * By external commit comes in a member, who takes its own old leaf away, or somebody with an invitation: nobody
 * is in twice, and who was removed stays out. @throws EngineError 'unexpected-sender'; DecodeError
 */
function checkExternal(previous: GroupState, opened: OpenedCommit, { added, removed }: CommitEffects): void {
  const [joiner] = added;
  if (joiner === undefined) throw new EngineError('unexpected-sender');
  const accountId = accountOf(joiner.leaf);
  if (removed.some(({ leaf }) => equal(accountOf(leaf), accountId))) return;
  const { groupId, epoch, extensions } = previous.context;
  const key = invitationKeyIn(extensions);
  const isIn = accountsOf(previous).some((member) => equal(member, accountId));
  if (key === undefined || isIn || removed.length > 0) throw new EngineError('unexpected-sender');
  const join = { groupId, epoch, accountId, signatureKey: joiner.leaf.signaturePublicKey };
  checkInvitedJoin(key, join, opened.authenticatedData);
}

/**
 * We are out of the group, or it goes on without us until this device is back: nothing of it can be read or
 * sent from now on, and its secrets go; what was said stays.
 */
export function leave(turn: Turn, id: string, state: 'left' | 'out-of-step' | 'set-back'): void {
  const before = turn.conversation(id);
  const group = turn.group(id);
  turn.spend(secretsOfGroup(group));
  turn.spend(pendingOperations(before).map(({ operationSecret }) => operationSecret));
  turn.spend(invitationSeeds(before));
  const after = turn.updateConversation(id, {
    state,
    lostEpoch: group.context.epoch,
    invitation: undefined,
    leaf: undefined,
    pastLeaves: [],
    endedEpochs: [],
    operations: [],
    updates: [],
    claim: undefined,
    hold: undefined,
    ...(state === 'left' && { queue: unsentTexts(before), pending: undefined, awaitingEcho: [] }),
  });
  wipeDroppedLeaves(turn, before, after);
  turn.setGroup(id, undefined);
}

function recordEffects(turn: Turn, entry: SequenceEntry, effects: CommitEffects, from: Sender, invitation: InvitationChange): void {
  const common = { sender: from.accountId, device: from.device, alarm: from.alarm };
  const joined = effects.added.map(({ leaf }) => accountOf(leaf));
  const gone = effects.removed.map(({ leaf }) => accountOf(leaf));
  // An account whose leaf has only moved was there before and is there now.
  const added = joined.filter((accountId) => !gone.some((other) => equal(other, accountId)));
  const removed = gone.filter((accountId) => !joined.some((other) => equal(other, accountId)));
  if (added.length > 0 || removed.length > 0) record(turn, entry, { kind: 'event', text: 'members', ...common, added, removed });
  else if (invitation !== 'as-before') record(turn, entry, { kind: 'event', text: invitation, ...common });
}

type Line = Pick<StoredMessage, 'kind' | 'text' | 'sender'> & Partial<StoredMessage>;

/** Puts one line into the conversation's history. */
export function record(turn: Turn, entry: SequenceEntry, line: Line): void {
  const id = toHex(entry.groupId);
  const conversation = turn.conversation(id);
  const position = entry.position + conversation.lineBase;
  const message: StoredMessage = {
    ...eventLine(position, entry.acceptedAt),
    messageKey: entry.messageId === undefined ? `at-${position}` : toHex(entry.messageId),
    ...line,
  };
  const own = line.sender !== undefined && equal(line.sender, turn.account().accountId);
  turn.lines.push({ conversationId: id, message });
  if (!own && line.kind === 'text') turn.notifications.push({ conversationId: id, message });
  turn.updateConversation(id, { last: message, unread: conversation.unread + (own || line.kind !== 'text' ? 0 : 1) });
}

/** A line of this device's own, with no entry behind it. */
export function recordEvent(turn: Turn, id: string, position: number, text: string): void {
  const message = { ...eventLine(position, turn.now), messageKey: `${text}-${position}`, text };
  turn.lines.push({ conversationId: id, message });
  turn.updateConversation(id, { last: message });
}

function eventLine(position: number, at: number): Omit<StoredMessage, 'messageKey' | 'text'> {
  return { position, kind: 'event', sender: undefined, added: [], removed: [], device: undefined, alarm: false, at };
}

function sameOperation(a: Operation, b: Operation): boolean {
  return a.emulatorLeaf === b.emulatorLeaf && equal(a.epochId, b.epochId) && equal(a.random, b.random);
}
