import { toHex } from '../../../src/bytes/index.ts';
import * as real from '../../../src/engine/higher-level-group.ts';

export * from '../../../src/engine/higher-level-group.ts';

/** An operation stays after its leaf has become active. */
export const followGroupEntry: typeof real.followGroupEntry = async (turn, entry) => {
  const id = toHex(entry.groupId);
  const before = turn.state.conversations.get(id)?.operations ?? [];
  await real.followGroupEntry(turn, entry);
  const after = turn.state.conversations.get(id)?.operations ?? [];
  const dropped = before.filter((operation) => !after.includes(operation));
  if (dropped.length === 0) return;
  const secrets = new Set<unknown>(dropped.map(({ operationSecret }) => operationSecret));
  turn.spent = turn.spent.filter((secret) => !secrets.has(secret));
  turn.updateConversation(id, { operations: [...after, ...dropped] });
};
