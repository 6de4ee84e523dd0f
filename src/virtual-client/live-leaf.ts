import { Secret } from '../bytes/index.ts';
import { decode, encode, type Reader, type Writer } from '../wire/index.ts';
import { readEpochId, type EpochId } from './epoch-id.ts';
import type { Protocol } from './revision.ts';

/** The virtual client's active leaf in one group; made by `activate`. */
export interface LiveLeaf {
  /** The emulation epoch that the leaf's operation belongs to. */
  readonly epochId: EpochId;
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  readonly leafNodeSecret: Secret<'leaf_node_secret'>;
}

/** Both suites that Chorus knows use X25519. */
const ENCRYPTION_PRIVATE_KEY_LENGTH = 32;

/**
 * Reading section 10:
 *
 *     struct { opaque epoch_id<V>; opaque encryption_private_key<V>; opaque leaf_node_secret<V>; } LiveLeaf;
 */
export function writeLiveLeaf(writer: Writer, leaf: LiveLeaf): void {
  writer.opaque(leaf.epochId).opaque(leaf.encryptionPrivateKey.reveal()).opaque(leaf.leafNodeSecret.reveal());
}

export function readLiveLeaf(reader: Reader, { suite }: Protocol): LiveLeaf {
  return {
    epochId: readEpochId(reader, suite),
    encryptionPrivateKey: Secret.of('encryption_private_key', reader.opaqueOf(ENCRYPTION_PRIVATE_KEY_LENGTH, 'encryption_private_key')),
    leafNodeSecret: Secret.of('leaf_node_secret', reader.opaqueOf(suite.nh, 'leaf_node_secret')),
  };
}

export function encodeLiveLeaf(leaf: LiveLeaf): Uint8Array {
  return encode((w) => writeLiveLeaf(w, leaf));
}

export function decodeLiveLeaf(protocol: Protocol, bytes: Uint8Array): LiveLeaf {
  return decode(bytes, 'LiveLeaf', (r) => readLiveLeaf(r, protocol));
}
