import { equal, toHex } from '../bytes/index.ts';
import { forgetUnnamedKeys } from './account-keys.ts';
import { followEmulationEntry, isOvertakenByCopy } from './emulation-group.ts';
import { isNamed } from './errors.ts';
import { passEntry } from './external-join.ts';
import { followGroupEntry, leave } from './higher-level-group.ts';
import { linkDone, linkFailed } from './linking.ts';
import { dropPending, pauseEmulation } from './pending-emulation.ts';
import { forgetOldEpochs } from './past-epochs.ts';
import type { SequenceEntry } from './ports.ts';
import { followOutside, NeedGroupInfo, passBy, wantGroupInfo } from './rejoin.ts';
import { forgetExpiredKeyPackages, forgetUnnamedEpochs } from './retention.ts';
import { giveUpEcho } from './sending.ts';
import { noteMark, passReread } from './set-back.ts';
import { isStopped, type Conversation } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * Follows a slice of the account's sequence (reading section 14). An entry that is refused leaves the
 * state as it was, but for the cursor, which goes on: what one sender broke must not stop the others.
 */
export async function followEntries(turn: Turn, entries: readonly SequenceEntry[], last: number): Promise<void> {
  for (const entry of entries) {
    const before = turn.state;
    const { cursor } = before;
    if (isStopped(before)) return;
    if (entry.sequence <= cursor.sequence) continue;
    if (entry.sequence !== cursor.sequence + 1) {
      turn.behind = true;
      return;
    }
    try {
      if (!passReread(turn, entry)) await turn.attempt(() => followEntry(turn, entry));
    } catch (error) {
      if (error instanceof NeedGroupInfo) {
        wantGroupInfo(turn, error);
        break;
      }
      refuse(turn, entry, error);
    }
    turn.update({ cursor: { ...cursor, sequence: entry.sequence, known: Math.max(cursor.known, entry.sequence, last) } });
    noteMark(turn, entry, before);
  }
  if (last > turn.state.cursor.known) turn.update({ cursor: { ...turn.state.cursor, known: last } });
}

async function followEntry(turn: Turn, entry: SequenceEntry): Promise<void> {
  forgetExpiredKeyPackages(turn, entry.acceptedAt);
  forgetOldEpochs(turn, entry.acceptedAt);
  if (equal(entry.groupId, turn.emulation().groupId)) {
    const { pending } = turn.emulation();
    await followEmulationEntry(turn, entry);
    if (pending?.purpose === 'add-device' && isNamedBy(entry, pending.submission.messageId)) linkDone(turn, pending.submission.commit);
  } else if (isOutside(turn, entry)) await followOutside(turn, entry);
  else if (isFollowed(turn, entry)) {
    await followGroupEntry(turn, entry);
    passEntry(turn, entry);
  }
  forgetUnnamedEpochs(turn);
  forgetUnnamedKeys(turn);
}

/** Entries of groups that this device has left are not for it any more, but a new Welcome is. */
function isFollowed(turn: Turn, entry: SequenceEntry): boolean {
  return entry.kind === 'welcome' || turn.state.conversations.get(toHex(entry.groupId))?.state !== 'left';
}

/** Messages of a group that this device is not in, though the account is: only an external commit of ours brings it in. */
function isOutside(turn: Turn, { kind, groupId }: SequenceEntry): boolean {
  if (kind === 'welcome' || kind === 'creation') return false;
  const id = toHex(groupId);
  const state = turn.state.conversations.get(id)?.state;
  if (state === 'left') return turn.state.externalJoins.get(id)?.invitation !== undefined;
  return state === undefined || state === 'out-of-step' || state === 'set-back';
}

/** Errors that say that the group goes on without this device: only joining anew would help. */
const LOST: ReadonlySet<string> = new Set([
  'out-of-order',
  'stale-emulation-epoch',
  'unknown-emulation-epoch',
  'leaf-keys-mismatch',
  'update-not-followed',
  'derivation-info-not-ours',
  'derivation-info-malformed',
  'leaf-punctured',
]);

/** Whether the group goes on without this device. An unknown epoch is ours to miss only where the log has come to a later one. */
function isLost(turn: Turn, { groupId, epoch }: SequenceEntry, code: string): boolean {
  const id = toHex(groupId);
  const current = turn.group(id).context.epoch;
  const named = BigInt(epoch);
  // After a commit that we refused, messages of the epoch that it claims to begin say nothing about us.
  if (turn.conversation(id).refusedCommit !== undefined && named > current) return false;
  return (LOST.has(code) && named >= current) || (code === 'unknown-epoch' && named > current);
}

/**
 * Draft section 5.9: through an eventually consistent service messages come whose generation another one has used, or
 * whose epoch is no longer kept. Nobody has to know: whoever sent them sends them again.
 */
function isOvertaken(turn: Turn, { state }: Conversation, { groupId, kind, epoch }: SequenceEntry, code: string): boolean {
  if (state !== 'member' || kind === 'commit') return false;
  return code === 'message-key-gone' || (code === 'unknown-epoch' && BigInt(epoch) < turn.group(toHex(groupId)).context.epoch);
}

function refuse(turn: Turn, entry: SequenceEntry, error: unknown): void {
  if (!isNamed(error)) throw error;
  turn.refused.push({ sequence: entry.sequence, code: error.code });
  if (equal(entry.groupId, turn.emulation().groupId)) refuseEmulationEntry(turn, entry);
  else refuseGroupEntry(turn, entry, error.code);
}

/** The group's log goes on, and this device follows it no further than to its own return. */
function isWithoutUs({ state }: Conversation): boolean {
  return state === 'out-of-step' || state === 'set-back';
}

function refuseEmulationEntry(turn: Turn, entry: SequenceEntry): void {
  const { position, pending, group } = turn.emulation();
  if (isOvertakenByCopy(turn.emulation(), entry)) {
    if (pending !== undefined) dropPending(turn, pending);
    turn.update({ copied: true });
    return;
  }
  turn.notice('refused-message', '');
  if (entry.position === position + 1) {
    const refusedCommit = entry.kind === 'commit' && BigInt(entry.epoch) === group.context.epoch ? entry.position : undefined;
    turn.updateEmulation({ position: entry.position, ...(refusedCommit !== undefined && { refusedCommit }) });
  }
  // The server has raised the floor and revoked all KeyPackages: new ones can be announced in another epoch only.
  if (entry.kind === 'begin-removal') turn.updateEmulation({ renewalAsked: true });
  if (pending === undefined) return;
  if (isNamedBy(entry, pending.submission.messageId)) {
    dropPending(turn, pending);
    pauseEmulation(turn);
    if (pending.purpose === 'add-device') linkFailed(turn, pending.submission.commit, 'code-tampered');
  } else if (turn.emulation().refusedCommit === entry.position) {
    // The server's epoch is over: it has refused ours, or will. What takes its place names the refused commit.
    dropPending(turn, pending);
  }
}

function refuseGroupEntry(turn: Turn, entry: SequenceEntry, code: string): void {
  if (entry.kind === 'welcome') {
    spendKeyPackage(turn, entry.keyPackageRef);
    return;
  }
  const id = toHex(entry.groupId);
  const conversation = turn.state.conversations.get(id);
  if (conversation === undefined) {
    passEntry(turn, entry);
    return;
  }
  const overtaken = isOvertaken(turn, conversation, entry, code);
  if (!overtaken) turn.notice('refused-message', conversation.title);
  if (conversation.state === 'member' && isLost(turn, entry, code)) leave(turn, id, 'out-of-step');
  if (isWithoutUs(turn.conversation(id))) {
    passBy(turn, entry);
    return;
  }
  if (entry.position === conversation.position + 1) turn.updateConversation(id, { position: entry.position });
  giveUpEcho(turn, id, entry, overtaken);
  if (entry.kind !== 'commit') return;
  passEntry(turn, entry);
  if (conversation.state === 'member' && BigInt(entry.epoch) === turn.group(id).context.epoch) {
    turn.updateConversation(id, { refusedCommit: entry.position });
  }
}

/** Reading section 7: a KeyPackage's secrets go at the first Welcome, a broken one too: the server has spent it. */
function spendKeyPackage(turn: Turn, keyPackageRef: Uint8Array | undefined): void {
  const ref = keyPackageRef === undefined ? '' : toHex(keyPackageRef);
  const spent = turn.state.keyPackages.get(ref);
  if (spent === undefined) return;
  const keyPackages = new Map(turn.state.keyPackages);
  keyPackages.delete(ref);
  turn.spend([spent.operation.operationSecret]);
  turn.update({ keyPackages });
}

function isNamedBy(entry: SequenceEntry, messageId: Uint8Array): boolean {
  return entry.messageId !== undefined && equal(entry.messageId, messageId);
}
