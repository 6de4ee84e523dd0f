import { equal } from '../../src/bytes/index.ts';
import type { Conversation, EmulationState, EngineState } from '../../src/engine/state.ts';
import type { StepResult } from '../../src/engine/step.ts';

/** What a state may be after something was refused, or after what nobody has sent: no more than a little less than before. */

/** Fields by which a device lets go of a KeyPackage, or of something of its own that was on its way, on the word of its server. */
const LETTING_GO: readonly (keyof EngineState)[] = ['keyPackages', 'cursor', 'externalJoins', 'uploads', 'link', 'linkBlobs'];
/** Fields that are looked into. */
const LOOKED_INTO: readonly (keyof EngineState)[] = ['notices', 'conversations', 'emulation', 'groups'];

/** How far a log was read. */
const PLACE = ['position', 'mark', 'refusedCommit'] as const;
/** What the server says was refused of it is made again. */
const ON_ITS_WAY = ['queue', 'pending', 'awaitingEcho', 'finished', 'hold', 'claim', 'operations'] as const;
/** What goes where only joining anew would help. */
const WITH_THE_GROUP = ['state', 'lostEpoch', 'invitation', 'leaf', 'pastLeaves', 'endedEpochs', 'updates'] as const;
/** What a device that was linked takes over when it comes to the commit that brought it in: it began with what follows from that. */
const WITH_THE_BEGINNING = ['floor', 'renewal', 'ownPath'] as const;

/** Nothing is shown, no group goes on, no member, title, epoch or key comes. @throws Error */
export function expectNothingSaid(before: EngineState, result: StepResult): void {
  const { state, lines, notifications } = result;
  const more = changedFields(before, state).filter((field) => !LETTING_GO.includes(field) && !LOOKED_INTO.includes(field));
  if (more.length > 0) throw new Error(`what was refused changed ${more.join()}`);
  if (lines.some(({ message }) => message.kind === 'text') || notifications.length > 0) throw new Error('what was refused is shown');
  const told = state.notices.filter((notice) => !before.notices.includes(notice));
  const strange = told.filter(({ kind }) => kind !== 'refused-message' && kind !== 'request-failed');
  if (strange.length > 0) throw new Error(`what was refused said ${strange.map(({ kind }) => kind).join()}`);
  for (const [id, group] of state.groups) if (before.groups.get(id) !== group) throw new Error('what was refused changed a group');
  for (const id of before.groups.keys()) {
    const kept = state.groups.has(id) || state.conversations.get(id)?.state !== 'member';
    if (!kept) throw new Error('what was refused took a group away');
  }
  for (const id of new Set([...before.conversations.keys(), ...state.conversations.keys()])) {
    expectConversationKept(before.conversations.get(id), state.conversations.get(id));
  }
  expectEmulationKept(before.emulation, state.emulation);
  for (const ref of state.keyPackages.keys()) if (!before.keyPackages.has(ref)) throw new Error('what was refused brought a KeyPackage');
}

function expectConversationKept(before: Conversation | undefined, after: Conversation | undefined): void {
  if (before === after) return;
  if (before === undefined || after === undefined) throw new Error('what was refused brought a conversation, or took it');
  const isLost = before.state === 'member' && after.state === 'out-of-step';
  const isNotMade = before.state === 'creating' && after.state === 'left';
  const mayChange: readonly (keyof Conversation)[] = [
    ...[...PLACE, ...ON_ITS_WAY],
    ...(isLost ? WITH_THE_GROUP : []),
    ...(isNotMade ? ['state' as const] : []),
  ];
  const more = changedFields(before, after).filter((field) => !mayChange.includes(field));
  if (more.length > 0) throw new Error(`what was refused changed ${more.join()} of a conversation`);
  if (!after.operations.every((operation) => before.operations.includes(operation)))
    throw new Error('what was refused brought an operation');
  if (isLost && (after.leaf !== undefined || after.operations.length > 0)) throw new Error('what was lost keeps its keys');
  if (textsOf(before).join('\n') !== textsOf(after).join('\n')) throw new Error('what was refused lost what a person has written');
}

/** Not sent, or not known to be in the log. */
function textsOf({ queue, pending, awaitingEcho }: Conversation): readonly string[] {
  const items = [...queue, ...[...awaitingEcho, ...(pending === undefined ? [] : [pending])].map(({ item }) => item)];
  return items.flatMap((item) => (item.kind === 'text' ? [item.text] : [])).sort();
}

function expectEmulationKept(before: EmulationState | undefined, after: EmulationState | undefined): void {
  if (before === after) return;
  if (before === undefined || after === undefined) throw new Error('what was refused brought an emulation group, or took it');
  const hasBegun = after.position === before.joinedAt;
  const mayChange: readonly (keyof EmulationState)[] = [
    ...[...PLACE, 'pending' as const, 'renewalAsked' as const, 'hold' as const], // what is dropped is made anew after a pause
    ...(hasBegun ? WITH_THE_BEGINNING : []),
  ];
  const more = changedFields(before, after).filter((field) => !mayChange.includes(field));
  if (more.length > 0) throw new Error(`what was refused changed ${more.join()} of the emulation group`);
  if (after.pending !== undefined && after.pending !== before.pending) throw new Error('what was refused is sent on');
}

/** A device that was told a state with which it cannot go on has nothing of it. @throws Error */
export function expectNothingLinked(before: EngineState, { state, lines, notifications }: StepResult): void {
  const more = changedFields(before, state).filter((field) => !['link', 'linkBlobs', 'device'].includes(field));
  if (more.length > 0) throw new Error(`a link that was refused brought ${more.join()}`);
  if (lines.length > 0 || notifications.length > 0) throw new Error('a link that was refused is shown');
}

/** Fields with another value, or with another instance of what cannot be told to be the same. */
export function changedFields<Value extends object>(before: Value, after: Value): (keyof Value)[] {
  return (Object.keys(after) as (keyof Value)[]).filter((field) => !isSame(before[field], after[field]));
}

function isSame(one: unknown, other: unknown): boolean {
  if (one instanceof Uint8Array && other instanceof Uint8Array) return equal(one, other);
  if (Array.isArray(one) && Array.isArray(other)) return one.length === other.length && one.every((item, i) => isSame(item, other[i]));
  return one === other;
}
