import type { GroupState } from './group-state.ts';
import type { StagedProposals } from './stage-proposals.ts';
import type { ProposalMessage } from './ts-mls.ts';

/** Which of the kept proposals a commit of ours takes by reference. */
export type References = 'all' | 'none' | ((proposal: ProposalMessage) => boolean);

/**
 * The references that go together, in order of arrival (RFC 9420 section 12.2). Updates of our own leaf
 * and its removal are never among them: a committer renews its leaf by the path, and Update proposals of
 * siblings are left to others (reading section 6). If the rest does not make a valid list, it is built up
 * one by one, a Remove before an Update of the same leaf and a newer Update before an older one.
 * @param stage Tries a list of references together with what is committed by value.
 */
export async function selectProposals(
  state: GroupState,
  references: References,
  stage: (chosen: readonly ProposalMessage[]) => Promise<StagedProposals>,
): Promise<{ readonly staged: StagedProposals; readonly selected: readonly ProposalMessage[] }> {
  const wanted = state.proposals.filter(
    (message) => references !== 'none' && (references === 'all' || references(message)) && !touchesLeaf(message, state.ownLeaf),
  );
  const whole = wanted.length === 0 ? undefined : await attempt(() => stage(wanted));
  if (whole !== undefined) return { staged: whole, selected: wanted };
  let staged = await stage([]);
  let selected: readonly ProposalMessage[] = [];
  for (const candidate of byPrecedence(wanted)) {
    const chosen = wanted.filter((message) => message === candidate || selected.includes(message));
    const better = await attempt(() => stage(chosen));
    if (better === undefined) continue;
    staged.pskSecret.wipe();
    [staged, selected] = [better, chosen];
  }
  return { staged, selected };
}

function touchesLeaf({ proposal, sender }: ProposalMessage, leafIndex: number): boolean {
  if (proposal.proposalType === 'remove') return proposal.remove.removed === leafIndex;
  return proposal.proposalType === 'update' && sender.senderType === 'member' && sender.leafIndex === leafIndex;
}

function byPrecedence(proposals: readonly ProposalMessage[]): ProposalMessage[] {
  const ofType = (type: string): ProposalMessage[] => proposals.filter(({ proposal }) => proposal.proposalType === type);
  const removes = ofType('remove');
  const updates = ofType('update').reverse();
  return [...removes, ...updates, ...proposals.filter((message) => !removes.includes(message) && !updates.includes(message))];
}

/** A list that does not stand says nothing but that: the reason is the proposals' own. */
async function attempt<Value>(task: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await task();
  } catch {
    return undefined;
  }
}
