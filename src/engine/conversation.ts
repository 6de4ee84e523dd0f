import { getComponent, memberLeaves, type GroupState } from '../mls/index.ts';
import { CONVERSATION_COMPONENT, decodeConversationProfile } from './content.ts';
import { accountOf } from './leaf-check.ts';
import type { Conversation } from './state.ts';

/** A conversation of which nothing is known yet. */
export function newConversation(groupId: Uint8Array, startedAt: number): Conversation {
  return {
    groupId,
    title: '',
    state: 'creating',
    members: [],
    position: -1,
    leaf: undefined,
    pastLeaves: [],
    operations: [],
    queue: [],
    claim: undefined,
    pending: undefined,
    awaitingEcho: [],
    hold: undefined,
    finished: [],
    refusedCommit: undefined,
    unread: 0,
    readPosition: -1,
    draft: '',
    last: undefined,
    startedAt,
  };
}

/** What the group's own state says of the conversation: title and accounts, in leaf order. */
export function summaryOf(group: GroupState, previousTitle: string): Pick<Conversation, 'title' | 'members'> {
  return { title: titleOf(group, previousTitle), members: memberLeaves(group).map(({ leaf }) => accountOf(leaf)) };
}

/** Any member can set the profile; one that cannot be read changes nothing. */
export function titleOf(group: GroupState, previousTitle: string): string {
  const profile = getComponent(group.context.extensions, CONVERSATION_COMPONENT);
  if (profile === undefined) return '';
  try {
    return decodeConversationProfile(profile);
  } catch {
    return previousTitle;
  }
}
