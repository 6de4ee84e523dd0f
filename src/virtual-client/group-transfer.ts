import { equal, Secret } from '../bytes/index.ts';
import { DecodeError, decode, encode, type Reader, type Writer } from '../wire/index.ts';
import { VirtualClientError } from './errors.ts';
import { readLiveLeaf, writeLiveLeaf, type LiveLeaf } from './live-leaf.ts';
import { readRetainedOperation, writeRetainedOperation, type Operation, type RandomSource } from './operation-secrets.ts';
import type { Protocol } from './revision.ts';

/** A group handed over whole: the newcomer goes on from `logPosition`. */
export interface StateTransfer {
  readonly logPosition: bigint;
  /** The MLS state without its ratchet tree, in the form of src/mls's codec; holds secrets. */
  readonly groupState: Uint8Array;
  readonly leaf: LiveLeaf;
  /** Sent operations that the log may still show. */
  readonly pendingOperations: readonly Operation[];
}

/** A state transfer that lies sealed at the server until the newcomer has imported it. */
export interface StateReference {
  readonly blobKey: Secret<'blob_key'>;
  readonly blobHash: Uint8Array;
  /** Bytes. */
  readonly blobLength: bigint;
}

/** How the newcomer gets into one group of the virtual client (reading section 10). */
export type HigherLevelGroupState = { readonly groupId: Uint8Array } & (
  | ({ readonly type: 'state_transfer' } & StateTransfer)
  | { readonly type: 'external_commit' }
  | ({ readonly type: 'state_reference' } & StateReference)
);

const STATE_TYPE = { state_transfer: 1, external_commit: 2, state_reference: 3 } as const;

const MAX_GROUP_ID = 255;
/** A device keeps a handful of sends in flight per group. */
const MAX_PENDING_OPERATIONS = 256;
/** The longest hash of RFC 9420's suites. */
const MAX_HASH = 64;

/**
 *     enum { reserved(0), state_transfer(1), external_commit(2), state_reference(3), (255) } HigherLevelGroupStateType;
 *     struct { opaque group_id<V>; HigherLevelGroupStateType state_type;
 *       select (state_type) {
 *         case state_transfer:  uint64 log_position; opaque group_state<V>; LiveLeaf leaf; RetainedOperation pending_operations<V>;
 *         case external_commit: struct {};
 *         case state_reference: opaque blob_key<V>; opaque blob_hash<V>; uint64 blob_length;
 *       };
 *     } HigherLevelGroupState;
 */
export function writeHigherLevelGroupState(writer: Writer, state: HigherLevelGroupState): void {
  writer.opaque(state.groupId).uint8(STATE_TYPE[state.type]);
  switch (state.type) {
    case 'state_transfer':
      writeStateTransfer(writer, state);
      return;
    case 'external_commit':
      return;
    case 'state_reference':
      writer.opaque(state.blobKey.reveal()).opaque(state.blobHash).uint64(state.blobLength);
  }
}

/** @throws DecodeError */
export function readHigherLevelGroupState(reader: Reader, protocol: Protocol): HigherLevelGroupState {
  const groupId = reader.opaque('group_id', MAX_GROUP_ID);
  switch (reader.uint8('state_type')) {
    case STATE_TYPE.state_transfer:
      return { groupId, type: 'state_transfer', ...readStateTransfer(reader, protocol) };
    case STATE_TYPE.external_commit:
      return { groupId, type: 'external_commit' };
    case STATE_TYPE.state_reference:
      return {
        groupId,
        type: 'state_reference',
        blobKey: Secret.of('blob_key', reader.opaqueOf(protocol.suite.nk, 'blob_key')),
        blobHash: reader.opaque('blob_hash', MAX_HASH),
        blobLength: reader.uint64('blob_length'),
      };
    default:
      throw new DecodeError('invalid-value', 'state_type');
  }
}

/**
 * Seals a state transfer for the server to hold: the emulation suite's AEAD under a fresh `blob_key`, zero
 * nonce, AAD = group_id. Upload `blob`; `reference` goes into the NewEmulatorClientState.
 */
export function sealStateBlob(
  { suite }: Protocol,
  groupId: Uint8Array,
  transfer: StateTransfer,
  random: RandomSource,
): { readonly reference: StateReference; readonly blob: Uint8Array } {
  const blobKey = Secret.of('blob_key', random(suite.nk));
  const plaintext = encode((w) => writeStateTransfer(w, transfer));
  const blob = suite.seal(blobKey.reveal(), new Uint8Array(suite.nn), groupId, plaintext);
  plaintext.fill(0);
  return { reference: { blobKey, blobHash: suite.hash(blob), blobLength: BigInt(blob.length) }, blob };
}

/** @throws VirtualClientError 'state-blob-invalid' when it is not the announced blob; DecodeError when it is, but malformed */
export function openStateBlob(protocol: Protocol, groupId: Uint8Array, reference: StateReference, blob: Uint8Array): StateTransfer {
  const { suite } = protocol;
  if (BigInt(blob.length) !== reference.blobLength) throw new VirtualClientError('state-blob-invalid', 'length');
  if (!equal(suite.hash(blob), reference.blobHash)) throw new VirtualClientError('state-blob-invalid', 'hash');
  const plaintext = suite.open(reference.blobKey.reveal(), new Uint8Array(suite.nn), groupId, blob);
  if (plaintext === undefined) throw new VirtualClientError('state-blob-invalid', 'seal');
  try {
    return decode(plaintext, 'state transfer', (r) => readStateTransfer(r, protocol));
  } finally {
    plaintext.fill(0);
  }
}

function writeStateTransfer(writer: Writer, transfer: StateTransfer): void {
  writer.uint64(transfer.logPosition).opaque(transfer.groupState);
  writeLiveLeaf(writer, transfer.leaf);
  writer.vector(transfer.pendingOperations, writeRetainedOperation);
}

function readStateTransfer(reader: Reader, protocol: Protocol): StateTransfer {
  return {
    logPosition: reader.uint64('log_position'),
    groupState: reader.opaque('group_state'),
    leaf: readLiveLeaf(reader, protocol),
    pendingOperations: reader.vector('pending_operations', (r) => readRetainedOperation(r, protocol), MAX_PENDING_OPERATIONS),
  };
}
