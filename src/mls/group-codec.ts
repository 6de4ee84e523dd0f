import { equal, utf8 } from '../bytes/index.ts';
import { decode, DecodeError, encode } from '../wire/index.ts';
import {
  decodeHeader,
  decodeLeafChanges,
  decodeNodes,
  decodePast,
  decodeRatchet,
  decodeTree,
  encodeHeader,
  encodeLeafChanges,
  encodeNodes,
  encodePast,
  encodeRatchet,
  encodeTree,
  type DecodedPast,
} from './group-records.ts';
import { MlsError } from './errors.ts';
import type { GroupState, PastEpoch } from './group-state.ts';
import type { LeafRatchets, Ratchet, RatchetType, SecretTree } from './secret-tree.ts';
import { getSuite } from './suite.ts';
import type { LeafNode } from './ts-mls.ts';

/**
 * A group's state as records, so that a step stores what it changed and no more:
 *
 *     header                                       context, own keys, key schedule, proposals
 *     tree                                         the ratchet tree
 *     epoch/<epoch>/nodes                          unopened nodes of the epoch's secret tree
 *     epoch/<epoch>/ratchet/<leaf>/application     one per ratchet, handshake alike
 *     past/<epoch>/header                          what is kept of an ended epoch
 *     past/<epoch>/leaves                          its leaves, as differences from the epoch after it
 *
 * The current epoch's secret tree keeps its records when the epoch ends. Whether a record must be
 * written again is told by reference: states share what did not change.
 */

const TRANSFER_VERSION = 1;
const HEADER = 'header';
const TREE = 'tree';
const RATCHET_TYPES: readonly RatchetType[] = ['application', 'handshake'];

export type GroupRecords = ReadonlyMap<string, Uint8Array>;

/** All records of a state. They hold secrets in clear: what stores them encrypts them. */
export function encodeGroup(state: GroupState): GroupRecords {
  return changedRecords(undefined, state).puts;
}

/** What to write and delete when `previous` is stored and `next` takes its place; undefined stands for nothing. */
export function changedRecords(
  previous: GroupState | undefined,
  next: GroupState | undefined,
): { readonly puts: Map<string, Uint8Array>; readonly deletes: string[] } {
  const unchanged = sharedTrees(previous, next);
  const before = previous === undefined ? new Map<string, Part>() : partsOf(previous, unchanged);
  const after = next === undefined ? new Map<string, Part>() : partsOf(next, unchanged);
  const puts = new Map<string, Uint8Array>();
  for (const [key, part] of after) {
    const stored = before.get(key);
    if (stored === undefined || !sameSources(stored, part)) puts.set(key, part.encode());
  }
  return { puts, deletes: [...before.keys()].filter((key) => !after.has(key)) };
}

/** One record: the objects that it is made of, compared by reference, and how. */
interface Part {
  readonly sources: readonly unknown[];
  readonly encode: () => Uint8Array;
}

function sameSources(a: Part, b: Part): boolean {
  return a.sources.length === b.sources.length && a.sources.every((source, i) => source === b.sources[i]);
}

/** Secret trees that both states have: their ratchets need not be looked at. */
function sharedTrees(a: GroupState | undefined, b: GroupState | undefined): ReadonlySet<SecretTree> {
  const trees = (state: GroupState | undefined): SecretTree[] =>
    state === undefined ? [] : [state.secretTree, ...state.pastEpochs.map(({ secretTree }) => secretTree)];
  const known = new Set(trees(a));
  return new Set(trees(b).filter((tree) => known.has(tree)));
}

function partsOf(state: GroupState, unchanged: ReadonlySet<SecretTree>): Map<string, Part> {
  const parts = new Map<string, Part>();
  const { context, ownLeaf, keys, schedule, exporter, confirmationTag, interimTranscriptHash, proposals, pastEpochs } = state;
  parts.set(HEADER, {
    sources: [context, ownLeaf, keys, schedule, exporter, confirmationTag, interimTranscriptHash, proposals, pastEpochs.length],
    encode: () => encodeHeader(state),
  });
  parts.set(TREE, { sources: [state.tree], encode: () => encodeTree(state.tree) });
  if (!unchanged.has(state.secretTree)) putSecretTree(parts, context.epoch, state.secretTree);
  pastEpochs.forEach((past, i) => {
    const { epoch } = past.context;
    const newer = pastEpochs[i - 1]?.leaves;
    parts.set(`past/${epoch}/header`, {
      sources: [past.context, past.senderDataSecret, past.resumptionPsk],
      encode: () => encodePast(past),
    });
    // The difference between two ended epochs, or an ended one and the one after it, never changes.
    parts.set(leavesKey(epoch), {
      sources: [past.leaves],
      encode: () => encodeLeafChanges(newer ?? new Map(state.tree.leaves()), past.leaves),
    });
    if (!unchanged.has(past.secretTree)) putSecretTree(parts, epoch, past.secretTree);
  });
  return parts;
}

function putSecretTree(parts: Map<string, Part>, epoch: bigint, tree: SecretTree): void {
  parts.set(`epoch/${epoch}/nodes`, { sources: [tree.nodes], encode: () => encodeNodes(tree) });
  for (const [leafIndex, ratchets] of tree.ratchets) {
    for (const type of RATCHET_TYPES) {
      const ratchet = ratchets[type];
      parts.set(ratchetKey(epoch, leafIndex, type), { sources: [ratchet], encode: () => encodeRatchet(ratchet) });
    }
  }
}

function ratchetKey(epoch: bigint, leafIndex: number, type: RatchetType): string {
  return `epoch/${epoch}/ratchet/${leafIndex}/${type}`;
}

function leavesKey(epoch: bigint): string {
  return `past/${epoch}/leaves`;
}

/**
 * The state of all its records, with no memory shared.
 * @throws DecodeError when a record is malformed, missing or superfluous; MlsError when the tree is none
 */
export function decodeGroup(records: GroupRecords): GroupState {
  const reader = new RecordReader(records);
  const header = decodeHeader(reader.take(HEADER));
  const tree = decodeTree(reader.take(TREE));
  const { epoch } = header.context;
  const secretTree = readSecretTree(reader, epoch);
  const pastEpochs: PastEpoch[] = [];
  let leaves: ReadonlyMap<number, LeafNode> = new Map(tree.leaves());
  for (let back = 1; back <= header.pastEpochs; back++) {
    const ended = epoch - BigInt(back);
    const past: DecodedPast = decodePast(reader.take(`past/${ended}/header`));
    if (past.context.epoch !== ended) throw new DecodeError('invalid-value', 'epoch of a past epoch');
    leaves = decodeLeafChanges(reader.take(leavesKey(ended)), leaves);
    pastEpochs.push({ ...past, leaves, secretTree: readSecretTree(reader, ended) });
  }
  reader.end();
  const { pastEpochs: _count, ...rest } = header;
  return { ...rest, tree, secretTree, pastEpochs };
}

function readSecretTree(reader: RecordReader, epoch: bigint): SecretTree {
  const { leafCount, nodes, opened } = decodeNodes(reader.take(`epoch/${epoch}/nodes`));
  const ratchets = new Map<number, LeafRatchets>();
  const read = (leafIndex: number, type: RatchetType): Ratchet => decodeRatchet(reader.take(ratchetKey(epoch, leafIndex, type)));
  for (const leafIndex of opened)
    ratchets.set(leafIndex, { application: read(leafIndex, 'application'), handshake: read(leafIndex, 'handshake') });
  return { leafCount, nodes, ratchets };
}

class RecordReader {
  readonly #records: Map<string, Uint8Array>;

  constructor(records: GroupRecords) {
    this.#records = new Map(records);
  }

  take(key: string): Uint8Array {
    const record = this.#records.get(key);
    if (record === undefined) throw new DecodeError('truncated', 'group state lacks a record');
    this.#records.delete(key);
    return record;
  }

  end(): void {
    if (this.#records.size > 0) throw new DecodeError('trailing-bytes', 'group state has a record too many');
  }
}

/** Two ratchets for each leaf that sent in the current epoch or a kept one: more than any group reaches. */
const MAX_RECORDS = 1 << 18;

/**
 * All records in one piece, for state transfer to a new device (reading section 10, `group_state`).
 * Holds secrets in clear.
 *
 *     struct { opaque key<V>; opaque value<V>; } Record;
 *     struct { uint8 version; Record records<V>; } GroupTransfer;   // keys ascending
 */
export function encodeGroupTransfer(state: GroupState): Uint8Array {
  const records = [...encodeGroup(state)].sort(([a], [b]) => (a < b ? -1 : 1));
  return encode((writer) => writer.uint8(TRANSFER_VERSION).vector(records, (inner, [key, value]) => inner.opaque(utf8(key)).opaque(value)));
}

/** @throws DecodeError; MlsError 'wrong-tree-hash' when the tree is not the one that the context names */
export function decodeGroupTransfer(bytes: Uint8Array): GroupState {
  const records = decode(bytes, 'GroupTransfer', (reader) => {
    if (reader.uint8('version') !== TRANSFER_VERSION) throw new DecodeError('invalid-value', 'version of a GroupTransfer');
    return reader.vector('records', (inner) => [inner.text('key'), inner.opaque('value')] as const, MAX_RECORDS);
  });
  if (records.some(([key], i) => i > 0 && records[i - 1]![0] >= key)) throw new DecodeError('invalid-value', 'order of records');
  const state = decodeGroup(new Map(records));
  if (!equal(state.tree.hash(getSuite(state.suite)), state.context.treeHash)) throw new MlsError('wrong-tree-hash');
  return state;
}
