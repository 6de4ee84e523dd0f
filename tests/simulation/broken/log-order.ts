import { toHex } from '../../../src/bytes/index.ts';
import { followGroupEntry as followInOrder } from '../../../src/engine/higher-level-group.ts';

export * from '../../../src/engine/higher-level-group.ts';

/** An entry is followed wherever it stands in the log: what is missing before it is passed over in silence. */
export const followGroupEntry: typeof followInOrder = (turn, entry) => {
  const id = toHex(entry.groupId);
  const conversation = turn.state.conversations.get(id);
  if (conversation?.state === 'member' && entry.position > conversation.position + 1) {
    turn.updateConversation(id, { position: entry.position - 1 });
  }
  return followInOrder(turn, entry);
};
