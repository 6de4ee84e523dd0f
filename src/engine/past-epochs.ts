import { forgetPastEpochs, type GroupState } from '../mls/index.ts';
import type { LiveLeaf } from '../virtual-client/index.ts';
import { waitsForGroupInfo } from './external-join.ts';
import type { Conversation, EndedEpoch, EngineState } from './state.ts';
import type { Turn } from './turn.ts';

/** Past epochs of groups, kept for late messages: bounded by number (`MAX_PAST_EPOCHS`) and by time (reading section 4). */

/**
 * A message is late only for as long as a device takes from encrypting it to handing it over, which is a
 * moment, or a night when its network went away in between. ms
 */
export const PAST_EPOCH_LIFETIME = 24 * 60 * 60 * 1000;

/** What is kept of `group`'s past after the commit that was accepted at `endedAt` and ended `previous`' epoch. */
export function endedEpochs(
  { endedEpochs: known }: { readonly endedEpochs: readonly EndedEpoch[] },
  previous: GroupState,
  group: GroupState,
  endedAt: number,
): EndedEpoch[] {
  const kept = new Set(group.pastEpochs.map((past) => past.context.epoch));
  return [{ groupEpoch: previous.context.epoch, endedAt }, ...known].filter(({ groupEpoch }) => kept.has(groupEpoch));
}

/** When the next past epoch's time is over; undefined when none is kept. */
export function pastEpochsUntil({ conversations, emulation }: EngineState): number | undefined {
  const oldest = [...conversations.values(), ...(emulation === undefined ? [] : [emulation])].flatMap(({ endedEpochs: ended }) =>
    ended.slice(-1),
  );
  return oldest.length === 0 ? undefined : Math.min(...oldest.map(({ endedAt }) => endedAt)) + PAST_EPOCH_LIFETIME;
}

/** Past epochs are to be forgotten, as soon as the sequence has been followed to its end: it may hold late messages. */
export function isPastOver(state: EngineState, now: number): boolean {
  return !state.unlinked && !waitsForGroupInfo(state) && (pastEpochsUntil(state) ?? Infinity) <= now;
}

/**
 * Forgets whatever ended a lifetime before `at`: the server's time of the entry being followed, so that a
 * device that was away reads late messages as the others did; its own time once it has come to the end.
 * @throws NeedGroups
 */
export function forgetOldEpochs(turn: Turn, at: number): void {
  const isOver = ({ endedAt }: EndedEpoch): boolean => endedAt + PAST_EPOCH_LIFETIME <= at;
  const { emulation } = turn.state;
  const over = emulation?.endedEpochs.find(isOver);
  if (emulation !== undefined && over !== undefined) {
    const { next, spent } = forgetPastEpochs(emulation.group, over.groupEpoch + 1n);
    turn.spend(spent);
    turn.updateEmulation({ group: next, endedEpochs: emulation.endedEpochs.filter((ended) => !isOver(ended)) });
  }
  for (const [id, conversation] of turn.state.conversations) {
    // The newest that is over: all before it are too.
    const last = conversation.endedEpochs.find(isOver);
    if (last !== undefined) forgetIn(turn, id, last.groupEpoch);
  }
}

function forgetIn(turn: Turn, id: string, through: bigint): void {
  const before = turn.conversation(id);
  const { next, spent } = forgetPastEpochs(turn.group(id), through + 1n);
  turn.spend(spent);
  turn.setGroup(id, next);
  const isKept = ({ groupEpoch }: { readonly groupEpoch: bigint }): boolean => groupEpoch > through;
  const change = { pastLeaves: before.pastLeaves.filter(isKept), endedEpochs: before.endedEpochs.filter(isKept) };
  wipeDroppedLeaves(turn, before, turn.updateConversation(id, change));
}

/** Leaf secrets that nothing of the conversation refers to any more. */
export function wipeDroppedLeaves(turn: Turn, before: Conversation, after: Conversation): void {
  const used = new Set([after.leaf?.leafNodeSecret, ...after.pastLeaves.map(({ guardKey }) => guardKey.leafNodeSecret)]);
  for (const secret of leafNodeSecrets(before)) if (!used.has(secret)) turn.spend([secret]);
  if (before.leaf !== undefined && before.leaf !== after.leaf) turn.spend([before.leaf.encryptionPrivateKey]);
}

function leafNodeSecrets({ leaf, pastLeaves }: Conversation): LiveLeaf['leafNodeSecret'][] {
  return [...(leaf === undefined ? [] : [leaf.leafNodeSecret]), ...pastLeaves.map(({ guardKey }) => guardKey.leafNodeSecret)];
}
