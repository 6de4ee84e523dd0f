import { toHex } from '../bytes/index.ts';
import type { GroupState } from '../mls/index.ts';
import { needsRenewal } from './removal-state.ts';
import type { AccountState, Conversation, EmulationState, WorkItem } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * How the virtual client's leaf in a conversation is renewed when nothing presses (draft section 5.3): by an
 * Update proposal, which costs one short message, and which whoever sends next commits along with what is
 * theirs. What presses (a removal, a newcomer that cannot send yet) does not come here: it is a path at once.
 */

/**
 * How long the device that proposed an Update waits for somebody to commit it before it commits a path itself.
 * Long enough that in a conversation where people are writing nobody commits for this alone; short beside the
 * days between two regular renewals. ms
 */
export const UPDATE_PATIENCE = 60 * 60 * 1000;

/** The same for its siblings, which come in only if that device has gone. ms */
const PATIENCE_OF_SIBLINGS = 2 * UPDATE_PATIENCE;

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
 * the leaf must not stay, where the server takes nothing but a commit (reading section 15), and where others'
 * proposals wait for one: then one commit does for all. Nothing while an own Update of the newest emulation
 * epoch waits already.
 */
export function howToRenew(
  account: AccountState,
  emulation: EmulationState,
  conversation: Conversation,
  group: GroupState,
): 'update' | 'path' | 'nothing' {
  const { members, refusedCommit, updates } = conversation;
  if (members.length === 1 || refusedCommit !== undefined || needsRenewal(account, emulation, conversation)) return 'path';
  if (updates.some(({ operation }) => toHex(operation.epochId) === emulation.currentEpochId)) return 'nothing';
  return group.proposals.length > 0 ? 'path' : 'update';
}

/** Whether the leaf is as new as it can be, so that whatever would only have renewed it is done. */
export function isRenewed(account: AccountState, { currentEpochId }: EmulationState, { leaf, keyVersion }: Conversation): boolean {
  return leaf !== undefined && toHex(leaf.epochId) === currentEpochId && keyVersion === account.keyVersion;
}

/** When the device at `ownEmulatorLeaf` stops waiting for a commit of the pending Updates; undefined when there are none. ms */
export function pathDueAt({ updates }: Conversation, ownEmulatorLeaf: number): number | undefined {
  const times = updates.map(
    ({ operation, at }) => at + (operation.emulatorLeaf === ownEmulatorLeaf ? UPDATE_PATIENCE : PATIENCE_OF_SIBLINGS),
  );
  return times.length === 0 ? undefined : Math.min(...times);
}
