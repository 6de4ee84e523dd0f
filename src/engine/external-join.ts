import { equal, toHex } from '../bytes/index.ts';
import { deriveExternalInitKeyPair, type HpkeKeyPair, type Operation, type SecretKeyPair } from '../virtual-client/index.ts';
import { EngineError } from './errors.ts';
import { isPaused, later, longerPause, othersFrom } from './later.ts';
import type { DeliveryAnswer, SequenceEntry, Submission } from './ports.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from './protocol.ts';
import { isKeyPending } from './removal-state.ts';
import type { Conversation, EmulationState, EngineState, ExternalJoin, Rejoined } from './state.ts';
import type { Todo } from './todo.ts';
import type { Turn } from './turn.ts';
import { maySend } from './virtual-leaf.ts';

/**
 * External joins of the virtual client (draft section 5.5.2): a device wishes one, announces it in the
 * emulation group, makes the external commit, and is done when that is in the group's log. What has been
 * announced any device finishes. The bytes are made and followed in `rejoin.ts`; here is what is known
 * of each join and what is to do for it.
 */

/** All devices of an account lose step at the same entry; of those that do, one should be first. At most this long, ms. */
const WISH_SPREAD = 4_000;
/** Reading section 8: a newcomer whose leaf nobody has renewed for this long after the others could have, ms. */
const NEWCOMER_JOINS_AFTER = 60_000;
/** Losing step within this after a return is no coincidence, ms: longer than all that devices of one account wait for each other. */
const SOON_AGAIN = 20 * 60_000;
/**
 * After a recovery there is one join per conversation. So many are announced one after the other, then they are made:
 * at once, from one emulation epoch, which is all that is kept for them, and before siblings think them forgotten.
 */
const MAX_ANNOUNCED = 8;

/** Whether this device needs the conversation joined anew: it cannot follow the group, or cannot send in it. */
function needsJoin({ emulation }: EngineState, conversation: Conversation, now: number): boolean {
  if (conversation.state === 'out-of-step') return true;
  if (emulation === undefined || isKeyPending(emulation.removal)) return false;
  return cannotSend(emulation, conversation) && now >= newcomerJoinsFrom(emulation, conversation);
}

/** A newcomer: the virtual client is in the group by a leaf of an emulation epoch without this device. */
function cannotSend({ epochs }: EmulationState, conversation: Conversation): boolean {
  return conversation.state === 'member' && !maySend(epochs, conversation);
}

function newcomerJoinsFrom(emulation: EmulationState, conversation: Conversation): number {
  const { renewal, group } = emulation;
  if (isRenewable(emulation, conversation)) return renewal.othersFrom + NEWCOMER_JOINS_AFTER;
  return renewal.by === group.ownLeaf ? 0 : renewal.othersFrom;
}

/** Whether any device of today was in the leaf's emulation epoch; if none was, only an external commit replaces the leaf. */
function isRenewable({ epochs, currentEpochId }: EmulationState, { leaf }: Conversation): boolean {
  const then = leaf && epochs.get(toHex(leaf.epochId));
  const now = epochs.get(currentEpochId)?.roster ?? [];
  return now.some((member) => then?.roster.some(({ signatureKey }) => equal(signatureKey, member.signatureKey)) === true);
}

/** What external joins call for now, but for the announcement, which is the emulation group's turn; `announcing`: it comes next there. */
export function joinTodos(state: EngineState, emulation: EmulationState, announcing: boolean, now: number): Todo[] {
  const todos: Todo[] = [];
  for (const [id, conversation] of state.conversations) {
    if (state.externalJoins.has(id)) continue;
    if (needsJoin(state, conversation, now)) todos.push(plan(id));
    else if (cannotSend(emulation, conversation))
      todos.push({ lane: lane(id), do: 'wait', until: newcomerJoinsFrom(emulation, conversation) });
  }
  const mayBegin = !announcing && !isEndingEpoch(emulation);
  for (const [id, join] of state.externalJoins) {
    const todo = joinTodo(state, emulation, id, join, mayBegin, now);
    if (todo !== undefined) todos.push(todo);
  }
  return todos;
}

function joinTodo(
  state: EngineState,
  emulation: EmulationState,
  id: string,
  join: ExternalJoin,
  mayBegin: boolean,
  now: number,
): Todo | undefined {
  const conversation = state.conversations.get(id);
  const { groupId } = join;
  const missing = missingGroupInfo(id, join);
  if (missing !== undefined) return missing;
  if (isIdle(state, id, join, now)) return plan(id);
  if (join.pending !== undefined) {
    if (join.accepted) return undefined;
    return { lane: lane(id), background: true, do: 'send', call: 'submit', request: join.pending, conversationId: id };
  }
  if (isPaused(now, join.notBefore)) return { lane: lane(id), do: 'wait', until: join.notBefore };
  if (join.announcedBy === undefined || !mayBegin) return undefined;
  if (isJoinBehind(emulation, conversation, join)) return undefined;
  if (join.invitation === undefined || join.invitation.over === true) return { ...fetch(id, groupId, undefined), background: true };
  return { lane: lane(id), do: 'send', call: 'open-invitation', request: { groupId, proof: join.invitation.proof }, conversationId: id };
}

/** It waits for entries that this device has yet to follow. */
export function isJoinBehind(
  { group }: EmulationState,
  conversation: Conversation | undefined,
  { afterEmulationEpoch, afterPosition }: ExternalJoin,
): boolean {
  if (afterEmulationEpoch !== undefined && group.context.epoch <= afterEmulationEpoch) return true;
  return afterPosition !== undefined && conversation !== undefined && conversation.position < afterPosition;
}

/** What the sequence stands before: asked for even while nothing else is to be done. */
export function missingGroupInfos({ externalJoins }: EngineState): Todo[] {
  return [...externalJoins].flatMap(([id, join]) => missingGroupInfo(id, join) ?? []);
}

function missingGroupInfo(id: string, { groupId, wanted }: ExternalJoin): Todo | undefined {
  return wanted === undefined || wanted.refused ? undefined : fetch(id, groupId, wanted.epoch);
}

/** Whether the sequence stands before an entry that cannot be followed yet. */
export function waitsForGroupInfo({ externalJoins }: EngineState): boolean {
  return [...externalJoins.values()].some(({ wanted }) => wanted?.refused === false);
}

/** A commit of ours in the emulation group is on its way: what is made now would be of an epoch that is over. */
export function isEndingEpoch({ pending }: EmulationState): boolean {
  return pending?.submission.kind === 'commit';
}

const lane = (id: string): string => `external-join/${id}`;
const plan = (id: string): Todo => ({ lane: lane(id), do: 'prepare', what: { kind: 'plan-join', conversationId: id } });

function fetch(id: string, groupId: Uint8Array, epoch: number | undefined): Todo {
  return { lane: lane(id), do: 'send', call: 'fetch-group', request: { groupId, epoch }, conversationId: id };
}

/** Nothing is to be done for it any more: we are out of the group, or a wish has become needless. */
function isIdle(state: EngineState, id: string, { announcedBy, wanted, base, invitation, pending }: ExternalJoin, now: number): boolean {
  const conversation = state.conversations.get(id);
  if (conversation === undefined) return false;
  if (conversation.state === 'left') return invitation === undefined;
  if (conversation.state === 'set-back' && base !== undefined) return false; // a sibling's join is followed from it
  return announcedBy === undefined && wanted === undefined && pending === undefined && !needsJoin(state, conversation, now);
}

/** The join whose announcement is due. An announcement ends an emulation epoch, and with it external commits that are on their way. */
export function joinToAnnounce(state: EngineState, now: number): string | undefined {
  const announced = [...state.externalJoins.values()].filter(
    ({ announcedBy, notBefore }) => announcedBy !== undefined && !isPaused(now, notBefore),
  );
  if (announced.length >= MAX_ANNOUNCED || announced.some(({ pending }) => pending !== undefined)) return undefined;
  for (const [id, join] of state.externalJoins) {
    const { announcedBy, wanted, notBefore, invitation, pending } = join;
    if (state.conversations.get(id)?.state === 'set-back') continue; // only the person brings it back
    const due = announcedBy === undefined && pending === undefined && (wanted === undefined || wanted.refused) && !isPaused(now, notBefore);
    if (due && invitation?.told !== false && !isIdle(state, id, join, now)) return id;
  }
  return undefined;
}

/** Whether a join is under way that a device which is added now would not know of (reading section 10). */
export function hasAnnouncedJoins({ externalJoins }: EngineState): boolean {
  return [...externalJoins.values()].some(
    ({ announcedBy, operation, invitation }) => announcedBy !== undefined || operation !== undefined || invitation !== undefined,
  );
}

/** ms; undefined when it is long ago. */
function pauseAfter(last: Rejoined | undefined, now: number): number | undefined {
  return last !== undefined && Math.abs(now - last.at) < SOON_AGAIN ? last.pause : undefined;
}

/**
 * The account is back by an external commit, which ends the group's epoch for all of its members. Devices that cannot follow
 * each other, as where one was copied, would take turns at network speed: each return soon after another one is a later one.
 */
export function rejoinedNow(turn: Turn, last: Rejoined | undefined): Rejoined {
  const pause = pauseAfter(last, turn.now);
  return { at: turn.now, pause: pause === undefined ? 0 : longerPause(pause) };
}

/** After a pause, if there is to be one, and at most `spread` ms later. */
export function nextJoin(turn: Turn, id: string, groupId: Uint8Array, spread: number): ExternalJoin {
  const pause = pauseAfter(turn.state.conversations.get(id)?.rejoined, turn.now) ?? 0;
  return { ...newJoin(groupId), notBefore: later(turn, pause, spread) };
}

/** Makes the wish, or forgets the one that has become needless. */
export function planJoin(turn: Turn, id: string): void {
  const join = turn.state.externalJoins.get(id);
  if (join === undefined) putJoin(turn, id, nextJoin(turn, id, turn.conversation(id).groupId, WISH_SPREAD));
  else if (isIdle(turn.state, id, join, turn.now)) finishJoin(turn, id);
}

/**
 * The ExternalJoin action of a commit in the emulation group's log. The emulation group is no group of the
 * virtual client. @throws EngineError 'bad-action'
 */
export function followAnnouncement(turn: Turn, emulatorLeaf: number, groupId: Uint8Array): void {
  const { emulation } = turn.state;
  if (emulation === undefined || groupId.length === 0 || equal(groupId, emulation.groupId)) throw new EngineError('bad-action');
  const id = toHex(groupId);
  // Who is out of the group by its log stays out: a device that has not followed so far may err.
  if (turn.state.conversations.get(id)?.state === 'left' && turn.state.externalJoins.get(id)?.invitation === undefined) return;
  const own = emulatorLeaf === emulation.group.ownLeaf;
  const notBefore = own ? turn.now : othersFrom(turn);
  const known = turn.state.externalJoins.get(id) ?? newJoin(groupId);
  putJoin(turn, id, { ...known, announcedBy: emulatorLeaf, notBefore });
}

export function newJoin(groupId: Uint8Array): ExternalJoin {
  return {
    groupId,
    announcedBy: undefined,
    notBefore: 0,
    pause: 0,
    afterEmulationEpoch: undefined,
    afterPosition: undefined,
    operation: undefined,
    pending: undefined,
    accepted: false,
    base: undefined,
    wanted: undefined,
    invitation: undefined,
  };
}

export function putJoin(turn: Turn, id: string, join: ExternalJoin): void {
  turn.update({ externalJoins: new Map(turn.state.externalJoins).set(id, join) });
}

/** The virtual client is in the group by a new leaf, or out of it for good. */
export function finishJoin(turn: Turn, id: string): void {
  const join = turn.state.externalJoins.get(id);
  if (join === undefined) return;
  if (join.operation !== undefined) turn.spend([join.operation.operationSecret]);
  if (join.invitation !== undefined) turn.spend([join.invitation.seed]);
  const externalJoins = new Map(turn.state.externalJoins);
  externalJoins.delete(id);
  turn.update({ externalJoins });
}

/** Burns the commit that was made: one operation serves one external commit to one `external_pub`. */
export function burnJoin(turn: Turn, id: string, change: Partial<ExternalJoin>): void {
  const join = turn.state.externalJoins.get(id);
  if (join === undefined) return;
  if (join.operation !== undefined) turn.spend([join.operation.operationSecret]);
  putJoin(turn, id, { ...join, operation: undefined, pending: undefined, accepted: false, ...change });
}

/** Tries again after a while, each time a longer one: a sibling's new key is known in seconds, other reasons may not pass at all. */
export function pauseJoin(turn: Turn, id: string): void {
  const pause = longerPause(turn.state.externalJoins.get(id)?.pause ?? 0);
  const notBefore = later(turn, pause, WISH_SPREAD);
  burnJoin(turn, id, { pause, notBefore, afterEmulationEpoch: undefined, afterPosition: undefined });
}

/** Operations of this device's external commit, as far as it is on its way. */
export function joinOperations({ externalJoins }: EngineState, id: string): Operation[] {
  const operation = externalJoins.get(id)?.operation;
  return operation === undefined ? [] : [operation];
}

/** Ephemeral key pair of the encapsulation. Spend its private key. */
export function externalInitOf(operation: Operation): {
  pair: HpkeKeyPair;
  secret: SecretKeyPair<'external_init_private_key'>['privateKey'];
} {
  const { publicKey, privateKey } = deriveExternalInitKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE);
  return { pair: { publicKey, privateKey: privateKey.reveal() }, secret: privateKey };
}

/** Our commit was made from a GroupInfo of a later epoch than the one that `entry` ends. */
function isAheadOf({ pending }: ExternalJoin, { epoch }: SequenceEntry): boolean {
  return pending !== undefined && pending.epoch > epoch;
}

/**
 * The virtual client is in the group by `entry`. A commit of ours that was made when that was in the group already comes
 * behind it, and is followed when it is back.
 */
export function settleJoin(turn: Turn, id: string, entry: SequenceEntry): void {
  const join = turn.state.externalJoins.get(id);
  if (join === undefined) return;
  if (!isAheadOf(join, entry)) return finishJoin(turn, id);
  if (join.invitation !== undefined) turn.spend([join.invitation.seed]);
  putJoin(turn, id, { ...join, announcedBy: undefined, wanted: undefined, invitation: undefined });
}

/** The group's log has gone on by `entry`, followed or not: a commit of ours for the epoch that it ends is dead. */
export function passEntry(turn: Turn, entry: SequenceEntry): void {
  const id = toHex(entry.groupId);
  const join = turn.state.externalJoins.get(id);
  if (join === undefined) return;
  if (entry.kind === 'welcome' && turn.state.conversations.get(id)?.state === 'member') settleJoin(turn, id, entry);
  if (entry.kind !== 'commit') return;
  // Ours may have been made from a GroupInfo that has this commit in it: it is alive.
  if (isAheadOf(join, entry)) return putJoin(turn, id, { ...join, wanted: undefined });
  burnJoin(turn, id, { wanted: undefined, base: undefined });
  // Ours came back and did not bring us in.
  const isOurs = entry.messageId !== undefined && join.pending !== undefined && equal(entry.messageId, join.pending.messageId);
  if (isOurs) pauseJoin(turn, id);
}

export function isJoinSubmission({ externalJoins }: EngineState, id: string, sent: Submission): boolean {
  const pending = externalJoins.get(id)?.pending;
  return pending !== undefined && equal(pending.message, sent.message);
}

/** The server's answer to an external commit. @returns whether the group is closed to us */
export function onJoinAnswer(turn: Turn, id: string, sent: Submission, answer: DeliveryAnswer<'submit'>): boolean {
  const join = turn.state.externalJoins.get(id);
  if (join === undefined || answer.outcome === 'unreachable') return false;
  if (answer.outcome === 'done') {
    putJoin(turn, id, { ...join, accepted: true });
    return false;
  }
  if (answer.problem.retryAfter !== undefined) return false;
  switch (answer.problem.type) {
    case 'stale-epoch':
      turn.behind = true;
      burnJoin(turn, id, {});
      return false;
    case 'stale-key-version':
      turn.behind = true;
      pauseJoin(turn, id);
      return false;
    case 'stale-emulation-epoch':
      turn.behind = true;
      burnJoin(turn, id, { afterEmulationEpoch: BigInt(sent.fence?.emulationEpoch ?? 0) });
      return false;
    case 'not-a-member':
    case 'unknown-group':
    case 'invitation-refused':
      return true;
    case 'too-many': // of a conversation that is full, or of our own
      if (join.invitation !== undefined) return true;
      pauseJoin(turn, id);
      return false;
    default:
      pauseJoin(turn, id);
      return false;
  }
}
