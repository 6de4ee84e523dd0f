import { memberLeaves, type GroupState } from '../mls/index.ts';
import type { Operation } from '../virtual-client/index.ts';
import { accountOf } from './leaf-check.ts';
import type { Conversation } from './state.ts';

/** A conversation of which nothing is known yet. */
export function newConversation(groupId: Uint8Array, startedAt: number): Conversation {
  return {
    groupId,
    title: '',
    state: 'creating',
    members: [],
    invitation: undefined,
    position: -1,
    mark: undefined,
    lineBase: 0,
    lostEpoch: undefined,
    joinsOlder: false,
    rejoined: undefined,
    since: 0n,
    leaf: undefined,
    keyVersion: 0,
    sentByLeaf: 0,
    pastLeaves: [],
    endedEpochs: [],
    operations: [],
    updates: [],
    passedOver: false,
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

/** Accounts in the group, in leaf order. */
export function accountsOf(group: GroupState): Uint8Array[] {
  return memberLeaves(group).map(({ leaf }) => accountOf(leaf));
}

/** Everything whose secret is kept until the log, or the epoch's end, decides on it. */
export function pendingOperations({ operations, updates }: Conversation): Operation[] {
  return [...operations, ...updates.map(({ operation }) => operation)];
}
