import { OTHERS_AFTER, othersFrom } from './later.ts';
import { isProposed } from './leaf-renewal.ts';
import { isBeforeRenewal, removalProgress } from './removal-state.ts';
import type { EmulationState, EngineState, Floor } from './state.ts';
import type { Turn } from './turn.ts';

/** What the state says of a renewal of keys (`renewal.ts`): when one is due, and how far it is. */

/** A copy of this device's store is worth a week of messages at most. ms */
export const RENEW_EVERY = 7 * 24 * 60 * 60 * 1000;
/** Messages of the account under its present leaves, all conversations together: a busy week's. */
export const RENEW_AFTER_MESSAGES = 2_000;
/** However busy the account is, and however many devices it has: a renewal is a commit in each conversation. ms */
export const RENEW_AT_MOST_EVERY = 60 * 60 * 1000;
/** After much use the first device in the roster renews, each further one waits this much longer. ms */
const NEXT_DEVICE_AFTER = 10 * 60 * 1000;

/** When this device should begin a renewal, ms; 0 when the person has asked for it. */
export function renewalFrom({ conversations }: EngineState, emulation: EmulationState): number {
  const { renewal, renewalAsked, ownPath, epochs, currentEpochId, group } = emulation;
  if (renewalAsked) return 0;
  let sent = 0;
  // What was sent by a leaf that is gone needs no renewal any more, and by one that the last renewal replaces, no further one.
  for (const conversation of conversations.values()) {
    if (conversation.leaf !== undefined && !isBeforeRenewal(emulation, conversation)) sent += conversation.sentByLeaf;
  }
  const earliest = renewal.at + RENEW_AT_MOST_EVERY;
  const regular = Math.max(ownPath.carriedAt + RENEW_EVERY, earliest);
  if (sent < RENEW_AFTER_MESSAGES) return regular;
  const roster = epochs.get(currentEpochId)?.roster ?? [];
  const rank = roster.findIndex(({ emulatorLeaf }) => emulatorLeaf === group.ownLeaf);
  return Math.min(regular, earliest + rank * NEXT_DEVICE_AFTER);
}

/** Every leaf of an older emulation epoch is to be renewed from now on; what was wished for is under way. */
export function beginRenewal(turn: Turn, floor: Floor, leisurely: boolean): void {
  const { ownPath } = turn.emulation();
  turn.updateEmulation({
    renewal: { ...floor, at: turn.now, leisurely },
    renewalAsked: false,
    ownPath: { ...ownPath, carriedAt: ownPath.at },
  });
}

/**
 * A sibling has renewed one more leaf. However many conversations there are, this device leaves the rest to it for as
 * long as it gets on, unless it has begun to help. Stored once in OTHERS_AFTER at most, not with every leaf.
 */
export function leaveToSibling(turn: Turn): void {
  const { renewal } = turn.emulation();
  const left = renewal.othersFrom - turn.now;
  if (left > 0 && left <= OTHERS_AFTER) turn.updateEmulation({ renewal: { ...renewal, othersFrom: othersFrom(turn) } });
}

/** A commit of this device's in the emulation group: whatever keys it had there before are of no use any more. */
export function noteOwnPath(turn: Turn): void {
  turn.updateEmulation({ ownPath: { ...turn.emulation().ownPath, at: turn.now } });
}

export interface RenewalProgress {
  readonly done: number;
  readonly total: number;
}

/** Conversations renewed, or with an Update in their log that does it, of all; undefined when nothing is left to do, or a removal tells of it. */
export function renewalProgress(state: EngineState): RenewalProgress | undefined {
  const { account, emulation, conversations } = state;
  if (account === undefined || emulation === undefined || removalProgress(state) !== undefined) return undefined;
  const members = [...conversations.values()].filter((conversation) => conversation.state === 'member');
  const left = emulation.renewalAsked
    ? members
    : members.filter((conversation) => isBeforeRenewal(emulation, conversation) && !isProposed(account, emulation, conversation));
  if (left.length === 0 && !emulation.renewalAsked) return undefined;
  return { done: members.length - left.length, total: members.length };
}
