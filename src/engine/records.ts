import { toHex } from '../bytes/index.ts';
import { changedRecords, decodeGroup, type GroupState } from '../mls/index.ts';
import { changedEpochRecords, decodeEpochRecords, epochRecords, type EmulationEpoch } from '../virtual-client/index.ts';
import { DecodeError } from '../wire/index.ts';
import { EMULATION_PROTOCOL } from './protocol.ts';
import { decodeRecord, encodeRecord } from './record-codec.ts';
import {
  EMPTY_STATE,
  type Conversation,
  type EmulationState,
  type EngineState,
  type ExternalJoin,
  type Forgotten,
  type OutstandingKeyPackage,
  type PendingEmulationMessage,
  type PendingSubmission,
  type StoredMessage,
  type WorkItem,
} from './state.ts';
import type { StoreChanges } from './ports.ts';
import type { LinePlace, StoredLine } from './turn.ts';

/**
 * Which part of the state lies in which record. A part is written when its object is another one
 * than before, so a step costs what it changed and not what there is.
 *
 *     device, creating, recovering, account, rejoining, cursor, rewound, link, uploads, stock, contacts, notices, unlinked,
 *     setBack, copied, notifiesWords, leaving
 *     link-blob/<hash>           one per sealed conversation on its way to a new device; loaded with link
 *     external-join/<id>         one per external join that is wished or under way
 *     forgotten/<id>             one per conversation: messages deleted here of which something is left to do
 *     emulation/state            position, floor, names
 *     emulation/pending          the message that is on its way
 *     emulation/group/...        the emulation group's MLS state
 *     emulation/epoch/<epoch>    one per kept emulation epoch: its punctured PPRF and keys
 *     key-package/<ref>          one per outstanding KeyPackage
 *     conversation/<id>          leaf, positions, the last line; members/<id> and draft/<id> beside it
 *     outgoing/<id>/pending      the message that is on its way; claim beside it
 *     outgoing/<id>/queue/...    one per thing asked for, echo/... one per message accepted: see putChain
 *     group/<id>/...             a conversation's MLS state, loaded on demand
 *     message/<id>/<position>    what was said
 */
const SINGLE = [
  'device',
  'creating',
  'recovering',
  'account',
  'rejoining',
  'cursor',
  'rewound',
  'link',
  'uploads',
  'stock',
  'contacts',
  'notices',
  'unlinked',
  'setBack',
  'copied',
  'notifiesWords',
  'leaving',
] as const;

/** What versions of Chorus before this one wrote and none reads any more. */
export const RETIRED: readonly string[] = ['externalJoins'];

const LINK_BLOB = 'link-blob/';
const EXTERNAL_JOIN = 'external-join/';
const FORGOTTEN = 'forgotten/';
const EMULATION_STATE = 'emulation/state';
const EMULATION_PENDING = 'emulation/pending';
const EMULATION_GROUP = 'emulation/group/';
const EMULATION_EPOCH = 'emulation/epoch/';
const KEY_PACKAGE = 'key-package/';
const CONVERSATION = 'conversation/';
const MEMBERS = 'members/';
const DRAFT = 'draft/';
const OUTGOING = 'outgoing/';

/** Parts with records of their own, so that what changes often does not rewrite what is large. */
type EmulationRecord = Omit<EmulationState, 'group' | 'epochs' | 'pending'>;
type ConversationRecord = Omit<Conversation, 'members' | 'draft' | 'queue' | 'claim' | 'pending' | 'awaitingEcho'>;

/** Prefix of a conversation's MLS state. */
export function groupPrefix(conversationId: string): string {
  return `group/${conversationId}/`;
}

/** Key of a stored message: positions sort as text. */
export function messageRecordKey(conversationId: string, position: number): string {
  return `message/${conversationId}/${position.toString().padStart(12, '0')}`;
}

/** What to write so that the store holds `next` where it held `previous`. */
export function changesBetween(
  previous: EngineState,
  next: EngineState,
  lines: readonly StoredLine[],
  dropped: readonly LinePlace[] = [],
): StoreChanges {
  const changes = { puts: new Map<string, Uint8Array>(), deletes: [] as string[] };
  for (const key of SINGLE) put(changes, key, previous[key], next[key]);
  putEmulation(changes, previous.emulation, next.emulation);
  putAll(changes, LINK_BLOB, previous.linkBlobs, next.linkBlobs, (blob) => encodeRecord(blob));
  putAll(changes, EXTERNAL_JOIN, previous.externalJoins, next.externalJoins, (join) => encodeRecord(join));
  putAll(changes, FORGOTTEN, previous.forgotten, next.forgotten, (forgotten) => encodeRecord(forgotten));
  putAll(changes, KEY_PACKAGE, previous.keyPackages, next.keyPackages, (keyPackage) => encodeRecord(keyPackage));
  putConversations(changes, previous.conversations, next.conversations);
  for (const [id, group] of next.groups) putGroup(changes, groupPrefix(id), previous.groups.get(id), group);
  for (const [id, group] of previous.groups) if (!next.groups.has(id)) putGroup(changes, groupPrefix(id), group, undefined);
  for (const { conversationId, message } of lines) {
    changes.puts.set(messageRecordKey(conversationId, message.position), encodeRecord(message));
  }
  for (const { conversationId, position } of dropped) changes.deletes.push(messageRecordKey(conversationId, position));
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
  putFields(changes, EMULATION_STATE, previous && withoutParts(previous), next && withoutParts(next));
  put(changes, EMULATION_PENDING, previous?.pending, next?.pending);
}

function putConversations(changes: Changes, previous: ReadonlyMap<string, Conversation>, next: ReadonlyMap<string, Conversation>): void {
  if (previous === next) return;
  for (const [id, conversation] of next) putConversation(changes, id, previous.get(id), conversation);
  for (const [id, conversation] of previous) if (!next.has(id)) putConversation(changes, id, conversation, undefined);
}

function putConversation(changes: Changes, id: string, previous: Conversation | undefined, next: Conversation | undefined): void {
  if (previous === next) return;
  const outgoing = `${OUTGOING}${id}/`;
  putFields(changes, CONVERSATION + id, previous && ownFields(previous), next && ownFields(next));
  put(changes, MEMBERS + id, previous?.members, next?.members);
  put(changes, DRAFT + id, previous?.draft || undefined, next?.draft || undefined);
  put(changes, `${outgoing}claim`, previous?.claim, next?.claim);
  put(changes, `${outgoing}pending`, previous?.pending, next?.pending);
  putChain(changes, `${outgoing}queue/`, previous?.queue ?? [], next?.queue ?? [], ({ messageId }) => messageId);
  putChain(changes, `${outgoing}echo/`, previous?.awaitingEcho ?? [], next?.awaitingEcho ?? [], ({ item }) => item.messageId);
}

/** One record of several fields, written when any of them is another one. */
function putFields<Fields extends object>(changes: Changes, key: string, previous: Fields | undefined, next: Fields | undefined): void {
  const fields = next === undefined ? [] : (Object.keys(next) as (keyof Fields)[]);
  if (previous !== undefined && next !== undefined && fields.every((field) => previous[field] === next[field])) return;
  put(changes, key, previous, next);
}

/** An item of a list with the hex name of the one before it. */
interface Link<Item> {
  readonly item: Item;
  readonly after: string | undefined;
}

/**
 * A list as one record per item, each naming the one before it: an item put in or taken out at either
 * end writes two records at most, however long the list is.
 */
function putChain<Item>(
  changes: Changes,
  prefix: string,
  previous: readonly Item[],
  next: readonly Item[],
  nameOf: (item: Item) => Uint8Array,
): void {
  if (previous === next) return;
  const before = chainOf(previous, nameOf);
  const after = chainOf(next, nameOf);
  for (const [name, link] of after) {
    const old = before.get(name);
    if (old?.item !== link.item || old.after !== link.after) changes.puts.set(prefix + name, encodeRecord(link));
  }
  for (const name of before.keys()) if (!after.has(name)) changes.deletes.push(prefix + name);
}

function chainOf<Item>(items: readonly Item[], nameOf: (item: Item) => Uint8Array): Map<string, Link<Item>> {
  const names = items.map((item) => toHex(nameOf(item)));
  return new Map(items.map((item, index) => [names[index]!, { item, after: names[index - 1] }]));
}

/** @throws DecodeError when the records do not make one list */
function decodeChain<Item>(records: ReadonlyMap<string, Uint8Array>, prefix: string): Item[] {
  const byPredecessor = new Map<string | undefined, readonly [string, Item]>();
  const own = under(records, prefix);
  for (const [name, bytes] of own) {
    const { item, after } = decodeRecord<Link<Item>>(bytes);
    byPredecessor.set(after, [name, item]);
  }
  const items: Item[] = [];
  for (let link = byPredecessor.get(undefined); link !== undefined && items.length < own.size; link = byPredecessor.get(link[0])) {
    items.push(link[1]);
  }
  if (items.length !== own.size) throw new DecodeError('invalid-value', 'list of records');
  return items;
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

function withoutParts(emulation: EmulationState): EmulationRecord {
  const { group: _group, epochs: _epochs, pending: _pending, ...rest } = emulation;
  return rest;
}

function ownFields(conversation: Conversation): ConversationRecord {
  const { members: _1, draft: _2, queue: _3, claim: _4, pending: _5, awaitingEcho: _6, ...rest } = conversation;
  return rest;
}

/** The state of all records but those of conversations' MLS states and messages. */
export function decodeState(records: ReadonlyMap<string, Uint8Array>): EngineState {
  const single = Object.fromEntries(SINGLE.filter((key) => records.has(key)).map((key) => [key, decodeRecord(records.get(key)!)]));
  return {
    ...EMPTY_STATE,
    ...single,
    emulation: decodeEmulation(records),
    linkBlobs: decodeAll<Uint8Array>(records, LINK_BLOB, decodeRecord),
    externalJoins: decodeAll<ExternalJoin>(records, EXTERNAL_JOIN, decodeRecord),
    forgotten: decodeAll<Forgotten>(records, FORGOTTEN, decodeRecord),
    keyPackages: decodeAll<OutstandingKeyPackage>(records, KEY_PACKAGE, decodeRecord),
    conversations: decodeConversations(records),
  };
}

function decodeConversations(records: ReadonlyMap<string, Uint8Array>): Map<string, Conversation> {
  // Sorted into conversations once: looking through all for each would take the square of their number.
  const outgoing = new Map<string, Map<string, Uint8Array>>();
  for (const [key, bytes] of under(records, OUTGOING)) {
    const [id = '', ...rest] = key.split('/');
    outgoing.set(id, (outgoing.get(id) ?? new Map<string, Uint8Array>()).set(rest.join('/'), bytes));
  }
  return new Map(
    [...under(records, CONVERSATION)].map(([id, bytes]): [string, Conversation] => {
      const own = outgoing.get(id) ?? new Map<string, Uint8Array>();
      return [
        id,
        {
          ...decodeRecord<ConversationRecord>(bytes),
          members: decodeOptional<Conversation['members']>(records, MEMBERS + id) ?? [],
          draft: decodeOptional<string>(records, DRAFT + id) ?? '',
          claim: decodeOptional<NonNullable<Conversation['claim']>>(own, 'claim'),
          pending: decodeOptional<PendingSubmission>(own, 'pending'),
          queue: decodeChain<WorkItem>(own, 'queue/'),
          awaitingEcho: decodeChain<PendingSubmission>(own, 'echo/'),
        },
      ];
    }),
  );
}

function decodeOptional<Value>(records: ReadonlyMap<string, Uint8Array>, key: string): Value | undefined {
  const bytes = records.get(key);
  return bytes === undefined ? undefined : decodeRecord<Value>(bytes);
}

/** Prefixes that `decodeState` wants, for loading them. */
export const STATE_PREFIXES: readonly string[] = [
  ...SINGLE,
  EXTERNAL_JOIN,
  FORGOTTEN,
  'emulation/',
  KEY_PACKAGE,
  CONVERSATION,
  MEMBERS,
  DRAFT,
  OUTGOING,
];

function decodeEmulation(records: ReadonlyMap<string, Uint8Array>): EmulationState | undefined {
  const state = records.get(EMULATION_STATE);
  if (state === undefined) return undefined;
  return {
    ...decodeRecord<EmulationRecord>(state),
    pending: decodeOptional<PendingEmulationMessage>(records, EMULATION_PENDING),
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
