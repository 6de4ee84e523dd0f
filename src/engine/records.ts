import { changedRecords, decodeGroup, type GroupState } from '../mls/index.ts';
import { changedEpochRecords, decodeEpochRecords, epochRecords, type EmulationEpoch } from '../virtual-client/index.ts';
import { EMULATION_PROTOCOL } from './protocol.ts';
import { decodeRecord, encodeRecord } from './record-codec.ts';
import {
  EMPTY_STATE,
  type Conversation,
  type EmulationState,
  type EngineState,
  type OutstandingKeyPackage,
  type StoredMessage,
} from './state.ts';
import type { StoreChanges } from './ports.ts';
import type { StoredLine } from './turn.ts';

/**
 * Which part of the state lies in which record. A part is written when its object is another one
 * than before, so a step costs what it changed and not what there is.
 *
 *     device, creating, account, cursor, link, uploads, contacts, notices, unlinked
 *     emulation/state            position, floor, names, the pending message
 *     emulation/group/...        the emulation group's MLS state
 *     emulation/epoch/<epoch>    one per kept emulation epoch: its punctured PPRF and keys
 *     key-package/<ref>          one per outstanding KeyPackage
 *     conversation/<id>          leaf, queue, what is on its way; members/<id> beside it
 *     group/<id>/...             a conversation's MLS state, loaded on demand
 *     message/<id>/<position>    what was said
 */
const SINGLE = ['device', 'creating', 'account', 'cursor', 'link', 'uploads', 'stock', 'contacts', 'notices', 'unlinked'] as const;

const EMULATION_STATE = 'emulation/state';
const EMULATION_GROUP = 'emulation/group/';
const EMULATION_EPOCH = 'emulation/epoch/';
const KEY_PACKAGE = 'key-package/';
const CONVERSATION = 'conversation/';
const MEMBERS = 'members/';

/** Prefix of a conversation's MLS state. */
export function groupPrefix(conversationId: string): string {
  return `group/${conversationId}/`;
}

/** Key of a stored message: positions sort as text. */
export function messageRecordKey(conversationId: string, position: number): string {
  return `message/${conversationId}/${position.toString().padStart(12, '0')}`;
}

/** What to write so that the store holds `next` where it held `previous`. */
export function changesBetween(previous: EngineState, next: EngineState, lines: readonly StoredLine[]): StoreChanges {
  const changes = { puts: new Map<string, Uint8Array>(), deletes: [] as string[] };
  for (const key of SINGLE) put(changes, key, previous[key], next[key]);
  putEmulation(changes, previous.emulation, next.emulation);
  putAll(changes, KEY_PACKAGE, previous.keyPackages, next.keyPackages, (keyPackage) => encodeRecord(keyPackage));
  putAll(changes, CONVERSATION, previous.conversations, next.conversations, encodeConversation);
  for (const [id, conversation] of next.conversations) {
    put(changes, MEMBERS + id, previous.conversations.get(id)?.members, conversation.members);
  }
  for (const id of previous.conversations.keys()) if (!next.conversations.has(id)) changes.deletes.push(MEMBERS + id);
  for (const [id, group] of next.groups) putGroup(changes, groupPrefix(id), previous.groups.get(id), group);
  for (const [id, group] of previous.groups) if (!next.groups.has(id)) putGroup(changes, groupPrefix(id), group, undefined);
  for (const { conversationId, message } of lines) {
    changes.puts.set(messageRecordKey(conversationId, message.position), encodeRecord(message));
  }
  return changes;
}

type Changes = { readonly puts: Map<string, Uint8Array>; readonly deletes: string[] };

function put(changes: Changes, key: string, previous: unknown, next: unknown): void {
  if (previous === next) return;
  if (next === undefined) changes.deletes.push(key);
  else changes.puts.set(key, encodeRecord(next));
}

function putAll<Value>(
  changes: Changes,
  prefix: string,
  previous: ReadonlyMap<string, Value>,
  next: ReadonlyMap<string, Value>,
  encodeValue: (value: Value) => Uint8Array,
): void {
  if (previous === next) return;
  for (const [key, value] of next) if (previous.get(key) !== value) changes.puts.set(prefix + key, encodeValue(value));
  for (const key of previous.keys()) if (!next.has(key)) changes.deletes.push(prefix + key);
}

function putGroup(changes: Changes, prefix: string, previous: GroupState | undefined, next: GroupState | undefined): void {
  if (previous === next) return;
  const { puts, deletes } = changedRecords(previous, next);
  for (const [key, value] of puts) changes.puts.set(prefix + key, value);
  for (const key of deletes) changes.deletes.push(prefix + key);
}

function putEmulation(changes: Changes, previous: EmulationState | undefined, next: EmulationState | undefined): void {
  if (previous === next) return;
  putGroup(changes, EMULATION_GROUP, previous?.group, next?.group);
  putEpochs(changes, previous?.epochs ?? new Map(), next?.epochs ?? new Map());
  put(changes, EMULATION_STATE, undefined, next && withoutParts(next));
  if (next === undefined) changes.deletes.push(EMULATION_STATE);
}

function putEpochs(changes: Changes, previous: ReadonlyMap<string, EmulationEpoch>, next: ReadonlyMap<string, EmulationEpoch>): void {
  if (previous === next) return;
  for (const [id, epoch] of next) {
    if (previous.get(id) === epoch) continue;
    const { puts, deletes } = changedEpochRecords(previous.get(id), epoch);
    for (const [name, bytes] of puts) changes.puts.set(`${EMULATION_EPOCH}${id}/${name}`, bytes);
    for (const name of deletes) changes.deletes.push(`${EMULATION_EPOCH}${id}/${name}`);
  }
  for (const [id, epoch] of previous) {
    if (!next.has(id)) for (const name of epochRecords(epoch).keys()) changes.deletes.push(`${EMULATION_EPOCH}${id}/${name}`);
  }
}

function decodeEpochs(records: ReadonlyMap<string, Uint8Array>): Map<string, EmulationEpoch> {
  const ids = new Set([...records.keys()].map((key) => key.slice(0, key.indexOf('/'))));
  return new Map([...ids].map((id) => [id, decodeEpochRecords(EMULATION_PROTOCOL, under(records, `${id}/`))]));
}

function withoutParts(emulation: EmulationState): Omit<EmulationState, 'group' | 'epochs'> {
  const { group: _group, epochs: _epochs, ...rest } = emulation;
  return rest;
}

function encodeConversation(conversation: Conversation): Uint8Array {
  const { members: _members, ...rest } = conversation;
  return encodeRecord(rest);
}

/** The state of all records but those of conversations' MLS states and messages. */
export function decodeState(records: ReadonlyMap<string, Uint8Array>): EngineState {
  const single = Object.fromEntries(SINGLE.filter((key) => records.has(key)).map((key) => [key, decodeRecord(records.get(key)!)]));
  return {
    ...EMPTY_STATE,
    ...single,
    emulation: decodeEmulation(records),
    keyPackages: decodeAll<OutstandingKeyPackage>(records, KEY_PACKAGE, decodeRecord),
    conversations: new Map(
      [...under(records, CONVERSATION)].map(([id, bytes]) => {
        const members = records.get(MEMBERS + id);
        return [
          id,
          { ...decodeRecord<Conversation>(bytes), members: members === undefined ? [] : decodeRecord<Conversation['members']>(members) },
        ];
      }),
    ),
  };
}

/** Prefixes that `decodeState` wants, for loading them. */
export const STATE_PREFIXES: readonly string[] = [...SINGLE, 'emulation/', KEY_PACKAGE, CONVERSATION, MEMBERS];

function decodeEmulation(records: ReadonlyMap<string, Uint8Array>): EmulationState | undefined {
  const state = records.get(EMULATION_STATE);
  if (state === undefined) return undefined;
  return {
    ...decodeRecord<Omit<EmulationState, 'group' | 'epochs'>>(state),
    group: decodeGroup(under(records, EMULATION_GROUP)),
    epochs: decodeEpochs(under(records, EMULATION_EPOCH)),
  };
}

/** A conversation's MLS state from its records, prefix included in their keys. */
export function decodeGroupRecords(conversationId: string, records: ReadonlyMap<string, Uint8Array>): GroupState | undefined {
  const own = under(records, groupPrefix(conversationId));
  return own.size === 0 ? undefined : decodeGroup(own);
}

export function decodeMessage(bytes: Uint8Array): StoredMessage {
  return decodeRecord<StoredMessage>(bytes);
}

function under(records: ReadonlyMap<string, Uint8Array>, prefix: string): Map<string, Uint8Array> {
  const found = new Map<string, Uint8Array>();
  for (const [key, value] of records) if (key.startsWith(prefix)) found.set(key.slice(prefix.length), value);
  return found;
}

function decodeAll<Value>(
  records: ReadonlyMap<string, Uint8Array>,
  prefix: string,
  decodeValue: (bytes: Uint8Array) => Value,
): Map<string, Value> {
  return new Map([...under(records, prefix)].map(([key, bytes]) => [key, decodeValue(bytes)]));
}
