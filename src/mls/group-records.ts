import { Secret } from '../bytes/index.ts';
import type { CipherSuiteId } from '../virtual-client/ciphersuite.ts';
import { readPprfState, writePprfState } from '../virtual-client/pprf-codec.ts';
import { decode, DecodeError, encode, type Reader, type Writer } from '../wire/index.ts';
import type { EpochSecrets, GroupState, OwnKeys, PastEpoch } from './group-state.ts';
import { MAX_PAST_EPOCHS } from './past-epochs.ts';
import { MAX_KEPT_PROPOSALS } from './proposals.ts';
import { MAX_LEAVES, RatchetTree } from './ratchet-tree.ts';
import type { SafeExporter } from './safe-exporter.ts';
import { MAX_SKIPPED_KEYS, type Ratchet, type SecretTree } from './secret-tree.ts';
import { getSuite } from './suite.ts';
import {
  decodeExact,
  groupContextCodec,
  leafNodeCodec,
  proposalCodec,
  suiteId,
  type GroupContext,
  type LeafNode,
  type ProposalMessage,
  type Sender,
} from './ts-mls.ts';

/** The single records of a stored group (see `group-codec.ts`). Each begins with the version of its layout. */

const VERSION = 1;
/** A parent for each level above a leaf, in the largest tree. */
const MAX_PATH_KEYS = 32;

function record(write: (writer: Writer) => void): Uint8Array {
  return encode((writer) => {
    writer.uint8(VERSION);
    write(writer);
  });
}

function read<Value>(bytes: Uint8Array, what: string, body: (reader: Reader) => Value): Value {
  return decode(bytes, what, (reader) => {
    if (reader.uint8('version') !== VERSION) throw new DecodeError('invalid-value', `version of ${what}`);
    return body(reader);
  });
}

/** The state without its trees, and how many past epochs it keeps. */
export type Header = Omit<GroupState, 'tree' | 'secretTree' | 'pastEpochs'> & { readonly pastEpochs: number };

/*
 * struct { uint32 node_index; opaque private_key<V>; } PathKey;
 * struct { opaque reference<V>; opaque proposal<V>; Sender sender; } ProposalMessage;
 * struct { uint8 version; opaque group_context<V>; uint32 own_leaf; opaque encryption_private_key<V>; PathKey path_keys<V>;
 *   opaque sender_data_secret<V>; opaque exporter_secret<V>; opaque external_secret<V>; opaque confirmation_key<V>;
 *   opaque membership_key<V>; opaque resumption_psk<V>; opaque epoch_authenticator<V>; opaque init_secret<V>;
 *   optional<PprfState> safe_exporter; opaque confirmation_tag<V>; opaque interim_transcript_hash<V>;
 *   ProposalMessage proposals<V>; uint8 past_epochs; } Header;
 */
export function encodeHeader(state: GroupState): Uint8Array {
  return record((writer) => {
    writer.opaque(groupContextCodec.encode(state.context)).uint32(state.ownLeaf);
    writeKeys(writer, state.keys);
    writeSchedule(writer, state.schedule);
    writer
      .optional(state.exporter, (inner, exporter) => writePprfState(inner, exporter.tree))
      .opaque(state.confirmationTag)
      .opaque(state.interimTranscriptHash)
      .vector(state.proposals, writeProposal)
      .uint8(state.pastEpochs.length);
  });
}

/** @throws DecodeError */
export function decodeHeader(bytes: Uint8Array): Header {
  return read(bytes, 'group header', (reader) => {
    const context = readContext(reader);
    const suite = suiteOf(context);
    return {
      suite,
      context,
      ownLeaf: reader.uint32('own_leaf'),
      keys: readKeys(reader),
      schedule: readSchedule(reader),
      exporter: reader.optional('safe_exporter', (inner): SafeExporter => ({ tree: readPprfState(inner, getSuite(suite), 16) })),
      confirmationTag: reader.opaque('confirmation_tag'),
      interimTranscriptHash: reader.opaque('interim_transcript_hash'),
      proposals: reader.vector('proposals', readProposal, MAX_KEPT_PROPOSALS),
      pastEpochs: readCount(reader),
    };
  });
}

/** `struct { uint8 version; optional<Node> ratchet_tree<V>; }` */
export function encodeTree(tree: RatchetTree): Uint8Array {
  return record((writer) => writer.bytes(tree.encode()));
}

/** @throws DecodeError, MlsError */
export function decodeTree(bytes: Uint8Array): RatchetTree {
  return read(bytes, 'stored ratchet tree', (reader) => RatchetTree.decode(reader.bytes(reader.remaining, 'ratchet_tree')));
}

/*
 * struct { uint32 node_index; opaque secret<V>; } TreeNode;
 * struct { uint8 version; uint32 leaf_count; TreeNode nodes<V>; uint32 opened_leaves<V>; } Nodes;
 */
export function encodeNodes(tree: SecretTree): Uint8Array {
  return record((writer) =>
    writer
      .uint32(tree.leafCount)
      .vector([...tree.nodes], (inner, [node, secret]) => inner.uint32(node).opaque(secret.reveal()))
      .vector([...tree.ratchets.keys()], (inner, leafIndex) => inner.uint32(leafIndex)),
  );
}

export interface Nodes extends Pick<SecretTree, 'leafCount' | 'nodes'> {
  readonly opened: readonly number[];
}

/** @throws DecodeError */
export function decodeNodes(bytes: Uint8Array): Nodes {
  return read(bytes, 'secret tree', (reader) => ({
    leafCount: reader.uint32('leaf_count'),
    nodes: readMap(reader, 'nodes', (inner) => [inner.uint32('node_index'), readSecret(inner, 'tree_node_secret')], 2 * MAX_LEAVES),
    opened: reader.vector('opened_leaves', (inner) => inner.uint32('leaf_index'), MAX_LEAVES),
  }));
}

/*
 * struct { uint32 generation; opaque key<V>; opaque nonce<V>; } SkippedKey;
 * struct { uint8 version; uint32 generation; opaque secret<V>; SkippedKey skipped<V>; } Ratchet;
 */
export function encodeRatchet({ generation, secret, skipped }: Ratchet): Uint8Array {
  return record((writer) =>
    writer
      .uint32(generation)
      .opaque(secret.reveal())
      .vector([...skipped], (inner, [skippedGeneration, { key, nonce }]) =>
        inner.uint32(skippedGeneration).opaque(key.reveal()).opaque(nonce.reveal()),
      ),
  );
}

/** @throws DecodeError */
export function decodeRatchet(bytes: Uint8Array): Ratchet {
  return read(bytes, 'ratchet', (reader) => ({
    generation: reader.uint32('generation'),
    secret: readSecret(reader, 'ratchet_secret'),
    skipped: readMap(
      reader,
      'skipped',
      (inner) => [inner.uint32('generation'), { key: readSecret(inner, 'message_key'), nonce: readSecret(inner, 'message_nonce') }],
      MAX_SKIPPED_KEYS,
    ),
  }));
}

export type DecodedPast = Omit<PastEpoch, 'secretTree' | 'leaves'>;

/** `struct { uint8 version; opaque group_context<V>; uint32 own_leaf; opaque sender_data_secret<V>; opaque resumption_psk<V>; }` */
export function encodePast({ context, ownLeaf, senderDataSecret, resumptionPsk }: PastEpoch): Uint8Array {
  return record((writer) =>
    writer.opaque(groupContextCodec.encode(context)).uint32(ownLeaf).opaque(senderDataSecret.reveal()).opaque(resumptionPsk.reveal()),
  );
}

/** @throws DecodeError */
export function decodePast(bytes: Uint8Array): DecodedPast {
  return read(bytes, 'past epoch', (reader) => ({
    context: readContext(reader),
    ownLeaf: reader.uint32('own_leaf'),
    senderDataSecret: readSecret(reader, 'sender_data_secret'),
    resumptionPsk: readSecret(reader, 'resumption_psk'),
  }));
}

/**
 * What distinguishes the leaves of an epoch from those of the epoch after it; leaves are compared by reference.
 *
 *     struct { uint32 leaf_index; optional<opaque> leaf_node<V>; } LeafChange;   // absent: blank in the older epoch
 *     struct { uint8 version; LeafChange changes<V>; }
 */
export function encodeLeafChanges(newer: ReadonlyMap<number, LeafNode>, older: ReadonlyMap<number, LeafNode>): Uint8Array {
  const indices = [...new Set([...newer.keys(), ...older.keys()])].filter((index) => newer.get(index) !== older.get(index));
  return record((writer) =>
    writer.vector(indices, (inner, index) =>
      inner.uint32(index).optional(older.get(index), (leaf, node) => leaf.opaque(leafNodeCodec.encode(node))),
    ),
  );
}

/** The older epoch's leaves. @throws DecodeError */
export function decodeLeafChanges(bytes: Uint8Array, newer: ReadonlyMap<number, LeafNode>): ReadonlyMap<number, LeafNode> {
  const leaves = new Map(newer);
  const changes = read(bytes, 'leaves of a past epoch', (reader) => reader.vector('changes', readLeafChange, 2 * MAX_LEAVES));
  for (const [index, leaf] of changes) {
    if (leaf === undefined) leaves.delete(index);
    else leaves.set(index, leaf);
  }
  return leaves;
}

function readLeafChange(reader: Reader): readonly [number, LeafNode | undefined] {
  const index = reader.uint32('leaf_index');
  return [index, reader.optional('leaf_node', (inner) => decodeExact(leafNodeCodec, inner.opaque('leaf_node')))];
}

function writeKeys(writer: Writer, { encryptionPrivateKey, pathPrivateKeys }: OwnKeys): void {
  writer
    .opaque(encryptionPrivateKey.reveal())
    .vector([...pathPrivateKeys], (inner, [node, key]) => inner.uint32(node).opaque(key.reveal()));
}

function readKeys(reader: Reader): OwnKeys {
  return {
    encryptionPrivateKey: readSecret(reader, 'encryption_private_key'),
    pathPrivateKeys: readMap(
      reader,
      'path_keys',
      (inner) => [inner.uint32('node_index'), readSecret(inner, 'path_private_key')],
      MAX_PATH_KEYS,
    ),
  };
}

function writeSchedule(writer: Writer, schedule: EpochSecrets): void {
  writer
    .opaque(schedule.senderDataSecret.reveal())
    .opaque(schedule.exporterSecret.reveal())
    .opaque(schedule.externalSecret.reveal())
    .opaque(schedule.confirmationKey.reveal())
    .opaque(schedule.membershipKey.reveal())
    .opaque(schedule.resumptionPsk.reveal())
    .opaque(schedule.epochAuthenticator)
    .opaque(schedule.initSecret.reveal());
}

function readSchedule(reader: Reader): EpochSecrets {
  return {
    senderDataSecret: readSecret(reader, 'sender_data_secret'),
    exporterSecret: readSecret(reader, 'exporter_secret'),
    externalSecret: readSecret(reader, 'external_secret'),
    confirmationKey: readSecret(reader, 'confirmation_key'),
    membershipKey: readSecret(reader, 'membership_key'),
    resumptionPsk: readSecret(reader, 'resumption_psk'),
    epochAuthenticator: reader.opaque('epoch_authenticator'),
    initSecret: readSecret(reader, 'init_secret'),
  };
}

function writeProposal(writer: Writer, { reference, proposal, sender }: ProposalMessage): void {
  writer.opaque(reference).opaque(proposalCodec.encode(proposal));
  writeSender(writer, sender);
}

function readProposal(reader: Reader): ProposalMessage {
  const reference = reader.opaque('reference');
  const proposal = decodeExact(proposalCodec, reader.opaque('proposal'));
  return { reference, proposal, sender: readSender(reader) };
}

const MEMBER = 1;
const EXTERNAL = 2;
const NEW_MEMBER_PROPOSAL = 3;

/** As RFC 9420 section 6 has it: `enum { member(1), external(2), new_member_proposal(3) }` and an index for the first two. */
function writeSender(writer: Writer, sender: Sender): void {
  if (sender.senderType === 'member') writer.uint8(MEMBER).uint32(sender.leafIndex);
  else if (sender.senderType === 'external') writer.uint8(EXTERNAL).uint32(sender.senderIndex);
  else writer.uint8(NEW_MEMBER_PROPOSAL);
}

function readSender(reader: Reader): Sender {
  switch (reader.uint8('sender_type')) {
    case MEMBER:
      return { senderType: 'member', leafIndex: reader.uint32('leaf_index') };
    case EXTERNAL:
      return { senderType: 'external', senderIndex: reader.uint32('sender_index') };
    case NEW_MEMBER_PROPOSAL:
      return { senderType: 'new_member_proposal' };
    default:
      throw new DecodeError('invalid-value', 'sender_type');
  }
}

function readCount(reader: Reader): number {
  const count = reader.uint8('past_epochs');
  if (count > MAX_PAST_EPOCHS) throw new DecodeError('invalid-value', 'past_epochs');
  return count;
}

function readContext(reader: Reader): GroupContext {
  return decodeExact(groupContextCodec, reader.opaque('group_context'));
}

function suiteOf({ cipherSuite }: GroupContext): CipherSuiteId {
  const id = suiteId(cipherSuite);
  if (id === undefined) throw new DecodeError('invalid-value', 'cipher_suite');
  return id;
}

/** All secrets of both suites have the same few lengths; none is longer than this. */
const MAX_SECRET = 32;

function readSecret<Kind extends string>(reader: Reader, kind: Kind): Secret<Kind> {
  return Secret.of(kind, reader.opaque(kind, MAX_SECRET));
}

function readMap<Value>(
  reader: Reader,
  what: string,
  readEntry: (reader: Reader) => readonly [number, Value],
  max: number,
): ReadonlyMap<number, Value> {
  const entries = reader.vector(what, readEntry, max);
  const map = new Map(entries);
  if (map.size !== entries.length) throw new DecodeError('invalid-value', `${what} doubled`);
  return map;
}
