import { toHex } from '../bytes/index.ts';
import type { GroupState } from '../mls/index.ts';
import { mustGo } from './removal-state.ts';
import type { AccountState, Conversation, EmulationState, PendingUpdate, WorkItem } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * How the virtual client's leaf in a conversation is renewed when nobody waits for it (draft section 5.3), as in
 * the weekly renewal: by an Update proposal, which costs one short message, and which whoever sends next commits
 * along with what is theirs. What presses does not come here and is a path at once: a removal, a newcomer that
 * cannot send yet, a person's wish for new keys.
 */

/**
 * How long the device that proposed an Update waits for somebody to commit it before it commits a path itself.
 * Long enough that in a conversation where people are writing nobody commits for this alone; short beside the
 * week between two regular renewals. ms
 */
export const UPDATE_PATIENCE = 60 * 60 * 1000;

/** The same for its siblings, which come in only if that device has gone. ms */
const PATIENCE_OF_SIBLINGS = 2 * UPDATE_PATIENCE;

/**
 * Whether the renewal that the conversation is due may begin with an Update; one that waits already has had its time.
 * Where one was passed over, others might be too, without end: nobody has to commit them.
 */
export function isLeisurely(account: AccountState, emulation: EmulationState, conversation: Conversation): boolean {
  return (
    emulation.renewal.leisurely &&
    conversation.updates.length === 0 &&
    !conversation.passedOver &&
    !mustGo(account, emulation, conversation)
  );
}

/** Whether an Update is in the log that does what the newest renewal asks for. */
export function isProposed(account: AccountState, emulation: EmulationState, conversation: Conversation): boolean {
  return !mustGo(account, emulation, conversation) && conversation.updates.some((update) => isRecent(emulation, update));
}

function isRecent({ epochs, renewal }: EmulationState, { operation }: PendingUpdate): boolean {
  const epoch = epochs.get(toHex(operation.epochId));
  return epoch !== undefined && epoch.epoch >= renewal.epoch;
}

/** Renews the leaf of a conversation at leisure; asking again before it is done changes nothing. */
export function queueLeafUpdate(turn: Turn, conversationId: string): void {
  const { state, queue, pending, awaitingEcho } = turn.conversation(conversationId);
  const asked = [...queue, ...[pending, ...awaitingEcho].flatMap((sent) => (sent === undefined ? [] : [sent.item]))];
  // Where this device has lost step, the external commit that brings it back brings a new leaf too.
  if (state !== 'member' || asked.some(isRenewal)) return;
  turn.updateConversation(conversationId, { queue: [...queue, { kind: 'update', messageId: turn.random(16) }] });
}

/** What is asked for in the background and does no more than renew the leaf. */
export function isRenewal({ kind }: WorkItem): boolean {
  return kind === 'renew' || kind === 'update';
}

/**
 * What an `update` item becomes when its turn comes. A path where nobody else could commit an Update, where
 * the leaf must not stay, where an Update was passed over, where the server takes nothing but a commit (reading section 15), and where others'
 * proposals wait for one: then one commit does for all. Nothing while an own Update waits that does it.
 */
export function howToRenew(
  account: AccountState,
  emulation: EmulationState,
  conversation: Conversation,
  group: GroupState,
): 'update' | 'path' | 'nothing' {
  const { members, refusedCommit, passedOver } = conversation;
  if (members.length === 1 || refusedCommit !== undefined || passedOver || mustGo(account, emulation, conversation)) return 'path';
  if (isProposed(account, emulation, conversation)) return 'nothing';
  return group.proposals.length > 0 ? 'path' : 'update';
}

/** When the device at `ownEmulatorLeaf` stops waiting for a commit of the pending Updates; undefined when there are none. ms */
export function pathDueAt({ updates }: Conversation, ownEmulatorLeaf: number): number | undefined {
  const times = updates.map(
    ({ operation, at }) => at + (operation.emulatorLeaf === ownEmulatorLeaf ? UPDATE_PATIENCE : PATIENCE_OF_SIBLINGS),
  );
  return times.length === 0 ? undefined : Math.min(...times);
}
