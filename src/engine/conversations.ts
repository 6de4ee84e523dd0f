import { equal, toHex, utf8 } from '../bytes/index.ts';
import type { Command, CommandProblem } from './command.ts';
import { MAX_TEXT, MAX_TITLE } from './content.ts';
import { newConversation } from './conversation.ts';
import { takeBack, wasTakenBack } from './forget.ts';
import { isLeisurely, queueLeafUpdate } from './leaf-renewal.ts';
import { fail, nextItem, pausedFrom, pendingItems } from './sending.ts';
import type { DeliveryAnswer } from './ports.ts';
import type { Conversation, WorkItem } from './state.ts';
import type { Turn } from './turn.ts';

/** What a person does in conversations. Nothing here needs the network: the wish is stored and carried out when it can be. */

type CommandOf<Name extends Command['command']> = Extract<Command, { command: Name }>;

/** More than fit on any screen; it bounds one commit's Welcome. */
const MAX_MEMBERS_AT_ONCE = 100;

/** Returns the conversation's ID: a new one, or the one of two that already exists. */
export function startConversation(
  turn: Turn,
  { groupId, members, title }: CommandOf<'startConversation'>,
): CommandProblem | { conversationId: string } {
  const own = turn.account();
  if (turn.state.conversations.has(toHex(groupId))) return { conversationId: toHex(groupId) };
  const others = members.filter(({ accountId }, i) => members.findIndex((other) => equal(other.accountId, accountId)) === i);
  if (others.some(({ accountId }) => equal(accountId, own.accountId))) return 'own-account';
  if (others.length === 0 || others.length > MAX_MEMBERS_AT_ONCE) return 'unknown-account';
  if (utf8(title).length > MAX_TITLE) return 'text-too-long';
  const [only] = others;
  if (others.length === 1 && title === '' && only !== undefined) {
    const existing = [...turn.state.conversations].find(([, conversation]) => isDirectWith(conversation, only.accountId));
    if (existing !== undefined) return { conversationId: existing[0] };
  }
  const queue: WorkItem[] = [
    { kind: 'create', messageId: turn.random(16) },
    { kind: 'add', messageId: turn.random(16), members: others },
  ];
  turn.setConversation({
    ...newConversation(groupId, turn.now),
    title: others.length === 1 ? title : title || others.map(({ username }) => username).join(', '),
    members: [own.accountId],
    queue,
  });
  learnNames(turn, others);
  return { conversationId: toHex(groupId) };
}

function isDirectWith(conversation: Conversation, accountId: Uint8Array): boolean {
  const { title, state, members } = conversation;
  if (title !== '' || state === 'left') return false;
  if (members.length === 2) return members.some((member) => equal(member, accountId));
  return pendingItems(conversation).some(
    (item) => item.kind === 'add' && item.members.length === 1 && equal(item.members[0]!.accountId, accountId),
  );
}

export function addMember(turn: Turn, { conversationId, messageId, member }: CommandOf<'addMember'>): CommandProblem | undefined {
  const conversation = turn.state.conversations.get(conversationId);
  if (conversation === undefined || conversation.state !== 'member') return 'unknown-conversation';
  if (wasAsked(conversation, messageId)) return undefined;
  if (conversation.members.some((accountId) => equal(accountId, member.accountId))) return 'already-member';
  enqueue(turn, conversationId, { kind: 'add', messageId, members: [member] });
  learnNames(turn, [member]);
  return undefined;
}

export function removeMember(turn: Turn, { conversationId, accountId }: CommandOf<'removeMember'>): CommandProblem | undefined {
  const conversation = turn.state.conversations.get(conversationId);
  const removed = conversation?.members.find((member) => toHex(member) === accountId);
  if (conversation === undefined || conversation.state !== 'member' || removed === undefined) return 'unknown-conversation';
  if (equal(removed, turn.account().accountId)) return 'own-account';
  if (pendingItems(conversation).some((item) => item.kind === 'remove' && equal(item.accountId, removed))) return undefined;
  const username = turn.state.contacts.get(accountId) ?? '';
  enqueue(turn, conversationId, { kind: 'remove', messageId: turn.random(16), accountId: removed, username });
  return undefined;
}

/** `messageId` names the message from the tab on, so that asking twice sends once. */
export function send(turn: Turn, { conversationId, messageId, text }: CommandOf<'send'>): CommandProblem | { messageKey: string } {
  const conversation = turn.state.conversations.get(conversationId);
  if (conversation === undefined || conversation.state === 'left') return 'unknown-conversation';
  if (text.trim() === '') return 'text-empty';
  if (utf8(text).length > MAX_TEXT) return 'text-too-long';
  if (wasAsked(conversation, messageId) || wasTakenBack(turn, conversationId, messageId)) return { messageKey: toHex(messageId) };
  enqueue(turn, conversationId, { kind: 'text', messageId, text, at: turn.now, problem: undefined });
  turn.updateConversation(conversationId, { draft: '' });
  return { messageKey: toHex(messageId) };
}

/** Whether the tab has asked for this before, its worker having been stopped before it could answer. */
export function wasAsked(conversation: Conversation, messageId: Uint8Array): boolean {
  return conversation.finished.includes(toHex(messageId)) || pendingItems(conversation).some((item) => equal(item.messageId, messageId));
}

/** Tries a failed message again, or drops it. */
export function decideOn(turn: Turn, { command, conversationId, messageKey }: CommandOf<'retry' | 'discard'>): CommandProblem | undefined {
  const conversation = turn.state.conversations.get(conversationId);
  if (conversation === undefined) return 'unknown-conversation';
  const isIt = (item: WorkItem): boolean => item.kind === 'text' && item.problem !== undefined && toHex(item.messageId) === messageKey;
  const failed = conversation.queue.find(isIt);
  // It may be in the log yet.
  if (command === 'discard' && failed !== undefined && 'unanswered' in failed) {
    takeBack(turn, conversationId, messageKey);
    return undefined;
  }
  const decided = (item: WorkItem): WorkItem[] => {
    if (item !== failed || item.kind !== 'text') return [item];
    return command === 'retry' ? [{ ...item, problem: undefined }] : [];
  };
  turn.updateConversation(conversationId, { queue: conversation.queue.flatMap(decided) });
  return undefined;
}

export function saveDraft(turn: Turn, { conversationId, text }: CommandOf<'saveDraft'>): CommandProblem | undefined {
  if (!turn.state.conversations.has(conversationId)) return 'unknown-conversation';
  if (utf8(text).length > MAX_TEXT) return 'text-too-long';
  turn.updateConversation(conversationId, { draft: text });
  return undefined;
}

export function markRead(turn: Turn, { conversationId, position }: CommandOf<'markRead'>): CommandProblem | undefined {
  const conversation = turn.state.conversations.get(conversationId);
  if (conversation === undefined) return 'unknown-conversation';
  if (position <= conversation.readPosition) return undefined;
  const unread = position >= (conversation.last?.position ?? -1) ? 0 : conversation.unread;
  turn.updateConversation(conversationId, { readPosition: position, unread });
  return undefined;
}

/** Reserves the name of a claim before the server is asked, so that asking twice costs one KeyPackage. */
export function prepareClaim(turn: Turn, conversationId: string): void {
  turn.updateConversation(conversationId, { claim: { claimId: turn.random(16), keyPackages: undefined } });
}

export function onClaimAnswer(turn: Turn, conversationId: string, claimId: Uint8Array, answer: DeliveryAnswer<'claim-key-packages'>): void {
  const conversation = turn.state.conversations.get(conversationId);
  if (conversation?.claim === undefined || !equal(conversation.claim.claimId, claimId) || answer.outcome === 'unreachable') return;
  if (answer.outcome === 'done') {
    turn.updateConversation(conversationId, { claim: { claimId, keyPackages: answer.value.keyPackages } });
    return;
  }
  if (answer.problem.retryAfter !== undefined) return;
  turn.updateConversation(conversationId, { claim: undefined });
  if (answer.problem.type === 'no-key-package' || answer.problem.type === 'too-many') {
    // Whoever is to be added has to come online first, and mostly does soon; or other invitations of ours to the same
    // account, by this device or a sibling, are about to use theirs.
    turn.updateConversation(conversationId, { hold: pausedFrom(conversation, turn.now) });
    return;
  }
  const item = nextItem({ ...conversation, hold: undefined }, turn.now);
  if (item?.kind === 'add') fail(turn, conversationId, item, answer.problem.type);
}

export function prepareRenewal(turn: Turn, conversationId: string): void {
  if (isLeisurely(turn.account(), turn.emulation(), turn.conversation(conversationId))) queueLeafUpdate(turn, conversationId);
  else enqueue(turn, conversationId, { kind: 'renew', messageId: turn.random(16) });
}

export function enqueue(turn: Turn, conversationId: string, item: WorkItem): void {
  const { queue } = turn.conversation(conversationId);
  turn.updateConversation(conversationId, { queue: [...queue, item] });
}

/** Usernames that the server has just told. */
export function learnNames(turn: Turn, accounts: readonly { readonly accountId: Uint8Array; readonly username: string }[]): void {
  const contacts = new Map(turn.state.contacts);
  for (const { accountId, username } of accounts) contacts.set(toHex(accountId), username);
  turn.update({ contacts });
}
