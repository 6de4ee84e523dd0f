import { equal, toHex } from '../bytes/index.ts';
import { followEmulationEntry } from './emulation-group.ts';
import { isNamed } from './errors.ts';
import { followGroupEntry } from './higher-level-group.ts';
import { linkDone } from './linking.ts';
import type { SequenceEntry } from './ports.ts';
import { forgetExpiredKeyPackages, forgetUnnamedEpochs } from './retention.ts';
import type { Turn } from './turn.ts';

/**
 * Follows a slice of the account's sequence (reading section 14). An entry that is refused leaves the
 * state as it was, but for the cursor, which goes on: what one sender broke must not stop the others.
 */
export async function followEntries(turn: Turn, entries: readonly SequenceEntry[], last: number): Promise<void> {
  for (const entry of entries) {
    const { cursor } = turn.state;
    if (entry.sequence <= cursor.sequence) continue;
    if (entry.sequence !== cursor.sequence + 1) {
      turn.behind = true;
      return;
    }
    try {
      await turn.attempt(() => followEntry(turn, entry));
    } catch (error) {
      refuse(turn, entry, error);
    }
    turn.update({ cursor: { sequence: entry.sequence, known: Math.max(cursor.known, entry.sequence, last) } });
  }
  if (last > turn.state.cursor.known) turn.update({ cursor: { ...turn.state.cursor, known: last } });
}

async function followEntry(turn: Turn, entry: SequenceEntry): Promise<void> {
  forgetExpiredKeyPackages(turn, entry.acceptedAt);
  if (equal(entry.groupId, turn.emulation().groupId)) {
    const { pending } = turn.emulation();
    await followEmulationEntry(turn, entry);
    if (pending?.purpose === 'add-device' && entry.messageId !== undefined && equal(entry.messageId, pending.submission.messageId))
      linkDone(turn);
  } else if (isFollowed(turn, entry)) await followGroupEntry(turn, entry);
  forgetUnnamedEpochs(turn);
}

/** Entries of groups that this device has left or lost are not for it any more, but a new Welcome is. */
function isFollowed(turn: Turn, entry: SequenceEntry): boolean {
  const state = turn.state.conversations.get(toHex(entry.groupId))?.state;
  return entry.kind === 'welcome' || (state !== 'left' && state !== 'out-of-step');
}

/** Errors that say that the group goes on without this device: only joining anew would help. */
const LOST: ReadonlySet<string> = new Set([
  'out-of-order',
  'stale-emulation-epoch',
  'unknown-emulation-epoch',
  'leaf-keys-mismatch',
  'derivation-info-not-ours',
  'derivation-info-malformed',
  'leaf-punctured',
  'unknown-epoch',
]);

function refuse(turn: Turn, entry: SequenceEntry, error: unknown): void {
  if (!isNamed(error)) throw error;
  turn.refused.push({ sequence: entry.sequence, code: error.code });
  if (equal(entry.groupId, turn.emulation().groupId)) {
    turn.updateEmulation({ position: Math.max(turn.emulation().position, entry.position) });
    turn.notice('refused-message', '');
    return;
  }
  const id = toHex(entry.groupId);
  const conversation = turn.state.conversations.get(id);
  if (conversation === undefined) return;
  turn.notice('refused-message', conversation.title);
  const lost = conversation.state === 'member' && entry.kind !== 'welcome' && LOST.has(error.code) && !isLate(turn, id, entry);
  turn.updateConversation(id, {
    position: Math.max(conversation.position, entry.position),
    state: lost ? 'out-of-step' : conversation.state,
  });
}

/** A message of an epoch that is over and no longer kept says nothing about being lost. */
function isLate(turn: Turn, id: string, entry: SequenceEntry): boolean {
  const group = turn.state.groups.get(id);
  return group !== undefined && BigInt(entry.epoch) < group.context.epoch;
}
