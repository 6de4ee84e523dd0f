import { equal, fromHex, toHex } from '../bytes/index.ts';
import { memberLeaves } from '../mls/index.ts';
import { decodeForgetMessage, MAX_FORGOTTEN, type ForgetMessage } from '../virtual-client/emulation-message.ts';
import type { Command, CommandProblem } from './command.ts';
import { EngineError } from './errors.ts';
import type { SequenceEntry } from './ports.ts';
import { pendingItems } from './sending.ts';
import type { EngineState, Forgotten, StoredMessage } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * A person deletes messages for themselves: here at once, and on the account's other devices by a message in the
 * emulation group, which each of them meets behind the messages that it names, however late. Other people keep theirs.
 */

type CommandOf<Name extends Command['command']> = Extract<Command, { command: Name }>;

/** Kept of what was deleted before it came back: more than anybody writes while one request is under way. */
const MAX_NAMES = 256;
/** A message that has come back since the tab asked is among the newest so many lines. */
const MAX_CAME_BACK = 64;

const NOTHING: Forgotten = { positions: [], names: [] };

/** Asking twice does it once; events are not deleted, they hold nothing that anybody wrote. */
export async function forget(turn: Turn, { conversationId, messages }: CommandOf<'forget'>): Promise<CommandProblem | undefined> {
  if (!turn.state.conversations.has(conversationId)) return 'unknown-conversation';
  const lines: StoredMessage[] = [];
  for (const { messageKey, position } of messages.slice(0, MAX_FORGOTTEN)) {
    if (position === undefined && takeBack(turn, conversationId, messageKey)) continue;
    const [before, limit] = position === undefined ? [undefined, MAX_CAME_BACK] : [position + 1, 1];
    const found = (await turn.linesOf(conversationId, before, limit)).find((line) => line.messageKey === messageKey);
    if (found?.kind === 'text' && !lines.some((line) => line.position === found.position)) lines.push(found);
  }
  await drop(turn, conversationId, lines);
  tellSiblings(
    turn,
    conversationId,
    lines.map(({ position }) => position - turn.conversation(conversationId).lineBase),
  );
  return undefined;
}

/**
 * Of what is not in the log: it is not sent any more. If it has left already it comes back, and is not kept then.
 * @returns whether there is such a message
 */
export function takeBack(turn: Turn, id: string, messageKey: string): boolean {
  const conversation = turn.conversation(id);
  const item = pendingItems(conversation).find((other) => other.kind === 'text' && toHex(other.messageId) === messageKey);
  if (item === undefined) return false;
  const { queue, pending, awaitingEcho } = conversation;
  turn.updateConversation(id, {
    queue: queue.filter((other) => other !== item),
    pending: pending?.item === item ? undefined : pending,
    awaitingEcho: awaitingEcho.filter((sent) => sent.item !== item),
  });
  const { positions, names } = forgottenIn(turn, id);
  setForgotten(turn, id, { positions, names: [messageKey, ...names].slice(0, MAX_NAMES) });
  return true;
}

/** Whether the person has deleted what this entry brings back. */
export function isForgotten(turn: Turn, { groupId, messageId }: SequenceEntry): boolean {
  return messageId !== undefined && wasTakenBack(turn, toHex(groupId), messageId);
}

/** Whether the person has deleted it before it was in the log. */
export function wasTakenBack(turn: Turn, id: string, messageId: Uint8Array): boolean {
  return forgottenIn(turn, id).names.includes(toHex(messageId));
}

/** It had left before it was deleted: it is not kept here, and the siblings, who have met it now, delete it. */
export function leftAfterAll(turn: Turn, { groupId, messageId, position }: SequenceEntry): void {
  const id = toHex(groupId);
  const name = messageId && toHex(messageId);
  const { positions, names } = forgottenIn(turn, id);
  setForgotten(turn, id, { positions, names: names.filter((other) => other !== name) });
  tellSiblings(turn, id, [position]);
  turn.notice('left-after-all', turn.conversation(id).title);
}

/**
 * A device that is linked later gets no messages from before, so that there is nothing to tell it. Places in a log that is
 * gone name nothing to others: such lines are deleted here alone.
 */
function tellSiblings(turn: Turn, id: string, positions: readonly number[]): void {
  if (memberLeaves(turn.emulation().group).length < 2) return;
  const before = forgottenIn(turn, id);
  setForgotten(turn, id, {
    ...before,
    positions: [...new Set([...before.positions, ...positions.filter((position) => position >= 0)])].sort((a, b) => a - b),
  });
}

/** A conversation with deleted messages that the siblings do not know of; undefined when there is none. */
export function forgottenToTell({ forgotten }: EngineState): string | undefined {
  for (const [id, { positions }] of forgotten) if (positions.length > 0) return id;
  return undefined;
}

/** What one message tells of them. */
export function toldTogether({ forgotten }: EngineState, id: string): ForgetMessage | undefined {
  const { positions } = forgotten.get(id) ?? NOTHING;
  return positions.length === 0 ? undefined : { groupId: fromHex(id), positions: positions.slice(0, MAX_FORGOTTEN) };
}

/** A device of the account, this one included, has told of deleted messages. @throws DecodeError, EngineError 'bad-content' */
export async function followForgetMessage(turn: Turn, content: Uint8Array): Promise<void> {
  const { groupId, positions } = decodeForgetMessage(content);
  if (equal(groupId, turn.emulation().groupId)) throw new EngineError('bad-content');
  const id = toHex(groupId);
  const told = new Set(positions);
  const before = forgottenIn(turn, id);
  setForgotten(turn, id, { ...before, positions: before.positions.filter((position) => !told.has(position)) });
  // This device may not have come into the conversation yet, or have missed what was said there.
  if (!turn.state.conversations.has(id)) return;
  const lines: StoredMessage[] = [];
  const { lineBase } = turn.conversation(id);
  for (const position of positions.map((place) => place + lineBase)) {
    const [line] = await turn.linesOf(id, position + 1, 1);
    if (line?.position === position && line.kind === 'text') lines.push(line);
  }
  await drop(turn, id, lines);
}

async function drop(turn: Turn, id: string, lines: readonly StoredMessage[]): Promise<void> {
  if (lines.length === 0) return;
  for (const { position } of lines) turn.dropLine({ conversationId: id, position });
  const { unread, readPosition } = turn.conversation(id);
  const { accountId } = turn.account();
  const isUnread = ({ position, sender }: StoredMessage): boolean =>
    position > readPosition && (sender === undefined || !equal(sender, accountId));
  const [last] = await turn.linesOf(id, undefined, 1);
  turn.updateConversation(id, { last, unread: Math.max(0, unread - lines.filter(isUnread).length) });
}

function forgottenIn({ state }: Turn, id: string): Forgotten {
  return state.forgotten.get(id) ?? NOTHING;
}

function setForgotten(turn: Turn, id: string, next: Forgotten): void {
  const { forgotten } = turn.state;
  const isEmpty = next.positions.length === 0 && next.names.length === 0;
  if (isEmpty && !forgotten.has(id)) return;
  const changed = new Map(forgotten);
  if (isEmpty) changed.delete(id);
  else changed.set(id, next);
  turn.update({ forgotten: changed });
}
