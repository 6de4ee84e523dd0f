import type { Operation } from '../virtual-client/index.ts';
import type { CommitRouting, Fence, GenerationClaim, Submission } from './ports.ts';
import type { Conversation, WorkItem } from './state.ts';
import type { Turn } from './turn.ts';

/** What every message of a conversation tells the server. */

export function submissionOf(
  { groupId }: Conversation,
  { messageId }: WorkItem,
  what: Pick<Submission, 'kind' | 'epoch' | 'message'> & { generation?: GenerationClaim; fence?: Fence; commit?: CommitRouting },
): Submission {
  return { groupId, messageId, generation: undefined, fence: undefined, commit: undefined, ...what };
}

/** Reading section 14: of everything that carries a leaf of ours. */
export function fence(turn: Turn): Fence {
  return { emulationEpoch: Number(turn.emulation().group.context.epoch), keyVersion: turn.account().keyVersion };
}

/** The operation is sent and not yet in the log: its secret is kept until it comes back. */
export function retain(turn: Turn, id: string, operation: Operation): void {
  turn.updateConversation(id, { operations: [...turn.conversation(id).operations, operation] });
}
