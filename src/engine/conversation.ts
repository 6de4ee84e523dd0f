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
    unread: 0,
    readPosition: -1,
    draft: '',
    last: undefined,
    startedAt,
  };
}

/** What the group's own state says of the conversation: title and accounts, in leaf order. */
export function summaryOf(group: GroupState): Pick<Conversation, 'title' | 'members'> {
  const profile = getComponent(group.context.extensions, CONVERSATION_COMPONENT);
  return {
    title: profile === undefined ? '' : decodeConversationProfile(profile),
    members: memberLeaves(group).map(({ leaf }) => accountOf(leaf)),
  };
}
