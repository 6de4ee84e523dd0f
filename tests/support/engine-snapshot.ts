import { toHex } from '../../src/bytes/index.ts';
import type { Input } from '../../src/engine/input.ts';
import type { SequenceEntry, StorePort } from '../../src/engine/ports.ts';
import { changesBetween, decodeGroupRecords, decodeState, STATE_PREFIXES } from '../../src/engine/records.ts';
import type { Conversation, EngineState } from '../../src/engine/state.ts';
import { step, type StepResult } from '../../src/engine/step.ts';
import { todosOf } from '../../src/engine/todo.ts';
import type { GroupState } from '../../src/mls/index.ts';
import type { EngineWorld, TestDevice } from './engine-world.ts';
import { PATIENCE } from './eventually.ts';

/** Steps of the engine over what real devices had stored: what comes in is the test's own choice. */
export type Records = ReadonlyMap<string, Uint8Array>;

export const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

/** The stored state with every MLS state in it, made anew: no secret is shared with another reading. */
export function stateOf(records: Records): EngineState {
  const state = decodeState(records);
  const byGroup = new Map<string, Map<string, Uint8Array>>();
  for (const [key, value] of records) {
    const [prefix, id = ''] = key.split('/');
    if (prefix === 'group') byGroup.set(id, (byGroup.get(id) ?? new Map<string, Uint8Array>()).set(key, value));
  }
  const groups = new Map<string, GroupState>();
  for (const id of state.conversations.keys()) {
    const group = decodeGroupRecords(id, byGroup.get(id) ?? new Map());
    if (group !== undefined) groups.set(id, group);
  }
  return { ...state, groups };
}

/** The stored state without MLS states: for what is asked again and again. */
export async function smallStateOf(store: StorePort): Promise<EngineState> {
  const records = new Map<string, Uint8Array>();
  for (const prefix of STATE_PREFIXES) for (const [key, value] of await store.load(prefix)) records.set(key, value);
  return decodeState(records);
}

export function take(state: EngineState, input: Input, now = Date.now()): Promise<StepResult> {
  return step(state, input, { random, now });
}

/** A step of which nothing was refused. */
export async function taken(state: EngineState, input: Input, now = Date.now()): Promise<EngineState> {
  const { state: next, refused, problem } = await take(state, input, now);
  if (refused.length > 0 || problem !== undefined) throw new Error(`refused: ${problem ?? refused[0]?.code}`);
  return next;
}

export interface Incoming {
  readonly kind: SequenceEntry['kind'];
  readonly epoch: number;
  readonly message: Uint8Array;
  readonly position?: number;
  readonly messageId?: Uint8Array;
  readonly keyPackageRef?: Uint8Array;
}

/** The sequence's next entry, as the server would hand it to the device with `state`. */
export function entryFor(state: EngineState, groupId: Uint8Array, incoming: Incoming): Extract<Input, { type: 'entries' }> {
  const position = state.conversations.get(toHex(groupId))?.position ?? state.emulation!.position;
  const entry: SequenceEntry = {
    sequence: state.cursor.sequence + 1,
    groupId,
    position: position + 1,
    messageId: undefined,
    keyPackageRef: undefined,
    acceptedAt: Date.now(),
    ...incoming,
  };
  return { type: 'entries', entries: [entry], last: entry.sequence };
}

/** A text made by the device with `state`, as far as bytes that could be sent, and the state that goes with them. */
export async function written(
  state: EngineState,
  conversationId: string,
  text: string,
): Promise<{ readonly state: EngineState; readonly sent: Incoming & { readonly messageId: Uint8Array } }> {
  const asked = await taken(state, { type: 'command', command: { command: 'send', conversationId, messageId: random(16), text } });
  const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId } });
  const { submission } = made.conversations.get(conversationId)!.pending!;
  const { kind, epoch, message, messageId } = submission;
  const value = { position: 0, sequence: 0, checked: true };
  const answer = { outcome: 'done', value: { ...value, position: Number.MAX_SAFE_INTEGER } } as const;
  const accepted = await taken(made, { type: 'answer', call: 'submit', request: submission, answer, conversationId });
  return { state: accepted, sent: { kind, epoch, message, messageId } };
}

/**
 * Records that differ between two states, without those that say how far the device has read: the cursor, notices,
 * and of a conversation its place and which commit it refused.
 */
export function differences(before: EngineState, { state: after, lines }: StepResult): string[] {
  const { puts, deletes } = changesBetween(before, after, lines);
  return [...puts.keys(), ...deletes].filter((name) => {
    if (name === 'cursor' || name === 'notices') return false;
    if (name === 'emulation/state')
      return fieldsOf(before.emulation!, after.emulation!).some((field) => field !== 'position' && field !== 'mark');
    const id = name.startsWith('conversation/') ? name.slice('conversation/'.length) : undefined;
    const [old, now] = [id && before.conversations.get(id), id && after.conversations.get(id)];
    return !old || !now || fieldsOf<Conversation>(old, now).some((field) => !['position', 'mark', 'refusedCommit'].includes(field));
  });
}

function fieldsOf<Value extends object>(before: Value, after: Value): (keyof Value)[] {
  return (Object.keys(after) as (keyof Value)[]).filter((field) => before[field] !== after[field]);
}

/** Waits until nobody has anything left to do or to read. @throws Error after PATIENCE */
export async function settle(...devices: readonly TestDevice[]): Promise<void> {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const restless = await Promise.all(devices.map(whatIsLeft));
    if (restless.every((left) => left === undefined)) return;
    if (Date.now() > deadline) throw new Error(`never at rest: ${restless.join(', ')}`);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

async function whatIsLeft(device: TestDevice): Promise<string | undefined> {
  const state = await smallStateOf(device.store);
  const todo = todosOf(state, Date.now()).find((each) => each.do !== 'wait');
  if (todo !== undefined) return todo.lane;
  if (state.emulation?.pending !== undefined) return 'emulation group';
  if ([...state.conversations.values()].some(({ awaitingEcho }) => awaitingEcho.length > 0)) return 'echo';
  const { last } = await (await device.hands()).ask('fetch-sequence', { after: state.cursor.sequence, limit: 1 });
  return last > state.cursor.sequence ? 'sequence' : undefined;
}

/** A linked pair of devices of anna's in one conversation with ben, at rest; all are stopped. */
export interface Scene {
  readonly id: string;
  readonly groupId: Uint8Array;
  readonly laptop: Records;
  readonly phone: Records;
  readonly ben: Records;
  /** A KeyPackage of anna that ben has claimed. */
  readonly claimed: { readonly keyPackage: Uint8Array; readonly keyPackageRef: Uint8Array };
}

export async function playScene(world: EngineWorld): Promise<Scene> {
  await world.start();
  const laptop = await world.person('anna');
  const ben = await world.person('ben');
  await settle(laptop, ben);
  const id = await laptop.startConversation(['ben']);
  await laptop.send(id, 'one');
  await ben.texts(id, 1);
  const phone = await world.link(laptop, 'phone');
  await phone.send(id, 'two');
  await ben.texts(id, 2);
  await settle(laptop, phone, ben);
  const { account } = await laptop.runtime.state();
  const claim = { claimId: random(16), accountIds: [new Uint8Array(Buffer.from(account!.accountId, 'hex'))] };
  const [claimed] = (await (await ben.hands()).ask('claim-key-packages', claim)).keyPackages;
  for (const device of [laptop, phone, ben]) device.stop();
  return {
    id,
    groupId: new Uint8Array(Buffer.from(id, 'hex')),
    laptop: await laptop.store.load(''),
    phone: await phone.store.load(''),
    ben: await ben.store.load(''),
    claimed: claimed!,
  };
}
