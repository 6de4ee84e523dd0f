import { equal, toHex } from '../bytes/index.ts';
import { sequenceMark } from '../virtual-client/sequence-mark.ts';
import type { CommandProblem } from './command.ts';
import { finishJoin } from './external-join.ts';
import { leave, recordEvent } from './higher-level-group.ts';
import { dropPending } from './pending-emulation.ts';
import type { SequenceEntry } from './ports.ts';
import { pendingItems } from './sending.ts';
import type { Conversation, Cursor, EngineState, SequencePlace, WorkItem } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * A server that was restored from a backup has another log than its devices have followed. A device names the last entry
 * that it knows whenever it asks for more, by a mark. If the server has another one there, or none, the device goes back
 * to an entry that both have and reads on from there. Groups whose newest followed entry does not come again, as it was,
 * are set back: MLS cannot go back to an earlier epoch. A conversation is then joined anew if the person says so, since
 * keys and members are those of before; a device whose emulation group is set back can do nothing any more.
 * Until that is known nothing is made and nothing is sent.
 */

/** Entries between two marks that are kept for longer than until the next entry. */
const SPACING = 16;

/** The newest mark, and older ones the fewer the older they are: about two for each doubling of the way back, and where it began. */
export function withMark(marks: Cursor['marks'], newest: SequencePlace): Cursor['marks'] {
  const lasting = ({ sequence, mark }: SequencePlace): boolean =>
    mark === undefined || (sequence % SPACING === 0 && newest.sequence - sequence < 4 * largestPower(sequence));
  return [newest, ...marks.filter((place) => place.sequence < newest.sequence && lasting(place))];
}

/** The largest power of two that divides `sequence`, which is not 0. */
function largestPower(sequence: number): number {
  let power = SPACING;
  while (sequence % (2 * power) === 0) power *= 2;
  return power;
}

/** Notes what the entry is known by, after it was followed, passed by or refused; `before` is the state before that. */
export function noteMark(turn: Turn, entry: SequenceEntry, before: EngineState): void {
  const place = { sequence: entry.sequence, mark: sequenceMark(entry) };
  const { cursor, conversations, emulation } = turn.state;
  turn.update({ cursor: { ...cursor, marks: withMark(cursor.marks, place) } });
  const id = toHex(entry.groupId);
  if (isEmulationGroup(turn, entry)) {
    if (emulation?.position !== before.emulation?.position) turn.updateEmulation({ mark: place });
  } else if (conversations.get(id)?.position !== before.conversations.get(id)?.position) turn.updateConversation(id, { mark: place });
}

/** The server refuses the mark of `after`: back to the one before. */
export function goBack(turn: Turn, after: number): void {
  const { cursor, rewound, conversations } = turn.state;
  if (after !== cursor.sequence) return;
  const marks = cursor.marks.filter(({ sequence }) => sequence < after);
  const [place] = marks;
  if (place === undefined) {
    turn.update({ setBack: true });
    return;
  }
  const { groupId, mark } = turn.emulation();
  const followed = [{ id: toHex(groupId), mark }, ...[...conversations].map(([id, conversation]) => ({ id, mark: conversation.mark }))];
  const doubted = followed.filter((group) => group.mark !== undefined && group.mark.sequence > place.sequence).map(({ id }) => id);
  turn.update({
    cursor: { sequence: place.sequence, known: place.sequence, marks },
    rewound: { from: Math.max(rewound?.from ?? 0, after), doubted: [...new Set([...(rewound?.doubted ?? []), ...doubted])] },
  });
}

/** Whether the entry is one that was followed before, or stands in the place of one; it is then not followed again. */
export function passReread(turn: Turn, entry: SequenceEntry): boolean {
  const { rewound, conversations } = turn.state;
  if (rewound === undefined) return false;
  const id = toHex(entry.groupId);
  const known = isEmulationGroup(turn, entry) ? turn.emulation() : conversations.get(id);
  if (known === undefined || entry.position > known.position) return false;
  if (entry.position < known.position || known.mark === undefined) return true;
  // Its number in the sequence may be another one: what counts is the group's log.
  const here = sequenceMark({ ...entry, sequence: known.mark.sequence });
  if (known.mark.mark !== undefined && equal(here, known.mark.mark)) {
    turn.update({ rewound: { ...rewound, doubted: rewound.doubted.filter((other) => other !== id) } });
  } else setBack(turn, id);
  return true;
}

/** The sequence has been followed to its end: what has not come again is not there any more. */
export function endRewind(turn: Turn): void {
  for (const id of turn.state.rewound?.doubted ?? []) setBack(turn, id);
  turn.update({ rewound: undefined });
}

function setBack(turn: Turn, id: string): void {
  const { rewound } = turn.state;
  if (rewound !== undefined) turn.update({ rewound: { ...rewound, doubted: rewound.doubted.filter((other) => other !== id) } });
  if (id === toHex(turn.emulation().groupId)) turn.update({ setBack: true });
  else setConversationBack(turn, id);
}

/** What was said stays; what was written and is not known to have arrived is the person's to send again. */
export function setConversationBack(turn: Turn, id: string): void {
  const before = turn.conversation(id);
  const gone = { position: -1, mark: undefined };
  if (before.state === 'set-back') {
    finishJoin(turn, id); // what it knows of a sibling's is of the log that is gone
    turn.updateConversation(id, gone);
    return;
  }
  const line = Math.max(before.position + before.lineBase, before.last?.position ?? -1) + 1;
  if (before.state === 'left') {
    turn.updateConversation(id, { ...gone, lineBase: line });
    return;
  }
  if (turn.state.groups.has(id) || before.state === 'member') leave(turn, id, 'set-back');
  finishJoin(turn, id);
  turn.updateConversation(id, {
    ...gone,
    state: 'set-back',
    refusedCommit: undefined,
    lineBase: line + 1,
    queue: unconfirmed(before),
    pending: undefined,
    awaitingEcho: [],
    hold: undefined,
  });
  const forgotten = new Map(turn.state.forgotten);
  forgotten.delete(id); // its places are of the log that is gone
  turn.update({ forgotten });
  // So are those in a message that is made already; what it tells of other conversations is told anew.
  const { pending } = turn.emulation();
  if (pending?.purpose === 'forget') dropPending(turn, pending);
  recordEvent(turn, id, line, 'set-back');
}

function unconfirmed(conversation: Conversation): WorkItem[] {
  return pendingItems(conversation).flatMap((item) => (item.kind === 'text' ? [{ ...item, problem: 'log-changed' }] : []));
}

/** The person wants to go on from where the server's log ends now. */
export function joinAgain(turn: Turn, id: string): CommandProblem | undefined {
  const conversation = turn.state.conversations.get(id);
  if (conversation === undefined) return 'unknown-conversation';
  if (conversation.state === 'set-back')
    turn.updateConversation(id, { state: 'out-of-step', lostEpoch: undefined, joinsOlder: true, rejoined: undefined });
  return undefined;
}

function isEmulationGroup({ state }: Turn, { groupId }: SequenceEntry): boolean {
  return state.emulation !== undefined && equal(groupId, state.emulation.groupId);
}
