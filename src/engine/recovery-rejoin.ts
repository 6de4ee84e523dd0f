import { equal, toHex } from '../bytes/index.ts';
import { readGroupInfo } from '../mls/index.ts';
import type { CommandProblem } from './command.ts';
import { isNamed } from './errors.ts';
import { newJoin, putJoin } from './external-join.ts';
import { accountOf } from './leaf-check.ts';
import type { DeliveryAnswer } from './ports.ts';
import { GROUP_SUITE } from './protocol.ts';
import type { EngineState, RejoinedGroup } from './state.ts';
import type { Todo } from './todo.ts';
import type { Turn } from './turn.ts';

/**
 * After a recovery (draft section 4.2): the account's conversations are joined externally, one by one. What
 * is left to do is read off the joins themselves, so it goes on after any crash.
 */

const LANE = 'rejoin';

export function rejoiningTodos(state: EngineState): Todo[] {
  const { rejoining } = state;
  if (rejoining === undefined) return [];
  const { groups } = rejoining;
  if (groups === undefined) return [{ lane: LANE, do: 'send', call: 'list-groups', request: {}, conversationId: undefined }];
  const unknown = groups.find(({ wish, members }) => wish === 'ask' && members === undefined);
  if (unknown !== undefined) {
    const { groupId } = unknown;
    return [{ lane: LANE, do: 'send', call: 'fetch-group', request: { groupId, epoch: undefined }, conversationId: toHex(groupId) }];
  }
  return groups.every((group) => isSettled(state, group)) ? [{ lane: LANE, do: 'prepare', what: { kind: 'rejoined' } }] : [];
}

/** Joined, found closed to us, or not wanted. */
function isSettled({ externalJoins }: EngineState, { groupId, wish }: RejoinedGroup): boolean {
  return wish === 'discard' || (wish === 'join' && !externalJoins.has(toHex(groupId)));
}

/** Members of conversations that the person is asked about: shown by name. */
export function askedMembers({ rejoining }: EngineState): readonly Uint8Array[] {
  return (rejoining?.groups ?? []).flatMap(({ wish, members }) => (wish === 'ask' ? (members ?? []) : []));
}

/**
 * The server's list. Welcomes that no device has read are discarded with the KeyPackages that they used; where
 * the account has never answered, the person is asked before it joins (draft section 4.2).
 */
export function onGroupsListed(turn: Turn, answer: DeliveryAnswer<'list-groups'>): void {
  if (turn.state.rejoining?.groups !== undefined || turn.state.rejoining === undefined || answer.outcome !== 'done') return;
  const { conversations } = turn.state;
  const groups = answer.value.groups
    .filter(({ groupId }) => !conversations.has(toHex(groupId)))
    .map(({ groupId, answered }): RejoinedGroup => ({ groupId, wish: answered ? 'join' : 'ask', members: undefined }));
  turn.update({ rejoining: { groups } });
  for (const { groupId, wish } of groups) if (wish === 'join') wishJoin(turn, groupId);
}

/** @returns whether the GroupInfo was asked for to tell the person who is in the group */
export function onAskedGroup(turn: Turn, id: string, answer: DeliveryAnswer<'fetch-group'>): boolean {
  const group = turn.state.rejoining?.groups?.find(({ groupId }) => toHex(groupId) === id);
  if (group?.wish !== 'ask' || group.members !== undefined) return false;
  if (answer.outcome === 'unreachable' || (answer.outcome === 'refused' && answer.problem.retryAfter !== undefined)) return true;
  const members = answer.outcome === 'done' ? membersIn(answer.value.groupInfo) : undefined;
  // Removed meanwhile, or nothing that could be joined.
  change(turn, id, members === undefined ? { wish: 'discard' } : { members });
  return true;
}

function membersIn(groupInfo: Uint8Array): Uint8Array[] | undefined {
  try {
    return readGroupInfo(GROUP_SUITE, groupInfo).leaves.map(accountOf);
  } catch (error) {
    if (isNamed(error)) return undefined;
    throw error;
  }
}

/** The person's word on a conversation that somebody added the account to. */
export function decideRejoin(turn: Turn, id: string, join: boolean): CommandProblem | undefined {
  const group = turn.state.rejoining?.groups?.find(({ groupId }) => toHex(groupId) === id);
  if (group?.wish !== 'ask') return 'unknown-conversation';
  change(turn, id, { wish: join ? 'join' : 'discard' });
  if (join) wishJoin(turn, group.groupId);
  return undefined;
}

export function endRejoining(turn: Turn): void {
  turn.update({ rejoining: undefined });
  turn.notice('recovered', '');
}

function wishJoin(turn: Turn, groupId: Uint8Array): void {
  const id = toHex(groupId);
  // A sibling that is there may have announced it already.
  if (!turn.state.externalJoins.has(id) && !turn.state.conversations.has(id)) putJoin(turn, id, newJoin(groupId));
}

function change(turn: Turn, id: string, to: Partial<RejoinedGroup>): void {
  const groups = (turn.state.rejoining?.groups ?? []).map((group) => (toHex(group.groupId) === id ? { ...group, ...to } : group));
  turn.update({ rejoining: { groups } });
}

export interface RejoinProgress {
  readonly listed: boolean;
  readonly done: number;
  readonly total: number;
  readonly asks: readonly { readonly groupId: Uint8Array; readonly members: readonly Uint8Array[] }[];
}

/** undefined when no recovery is under way here. */
export function rejoinProgress(state: EngineState): RejoinProgress | undefined {
  const { rejoining, account } = state;
  if (rejoining === undefined || account === undefined) return undefined;
  const groups = rejoining.groups ?? [];
  const wished = groups.filter(({ wish }) => wish === 'join');
  const asks = groups.flatMap(({ groupId, wish, members }) =>
    wish === 'ask' && members !== undefined ? [{ groupId, members: members.filter((id) => !equal(id, account.accountId)) }] : [],
  );
  return {
    listed: rejoining.groups !== undefined,
    done: wished.filter((group) => isSettled(state, group)).length,
    total: wished.length,
    asks,
  };
}
