import { sha256 } from '@noble/hashes/sha2.js';
import { utf8 } from '../bytes/index.ts';
import { encode } from '../wire/index.ts';

const LABEL = 'Chorus sequence mark 1';
/** Bytes. It tells logs apart that came apart by accident; whoever forges one could as well tell lies about the log. */
export const MARK_LENGTH = 16;

export interface MarkedEntry {
  readonly sequence: number;
  readonly groupId: Uint8Array;
  readonly position: number;
  readonly message: Uint8Array;
}

/**
 * By what a device names the last entry of its account's sequence that it has followed, so that a server which was
 * restored from a backup of before can tell: the first 16 bytes of SHA-256 over
 * ```
 * struct {
 *   opaque label<V> = "Chorus sequence mark 1";
 *   uint64 sequence;
 *   opaque group_id<V>;
 *   uint64 position;
 *   opaque message<V>;
 * } SequenceMark;
 * ```
 */
export function sequenceMark({ sequence, groupId, position, message }: MarkedEntry): Uint8Array {
  const marked = encode((writer) =>
    writer.opaque(utf8(LABEL)).uint64(BigInt(sequence)).opaque(groupId).uint64(BigInt(position)).opaque(message),
  );
  return sha256(marked).slice(0, MARK_LENGTH);
}
