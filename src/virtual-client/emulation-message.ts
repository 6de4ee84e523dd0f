import { Secret } from '../bytes/index.ts';
import { DecodeError, decode, encode } from '../wire/index.ts';

/** Reading section 11: what an application message of the emulation group says first. */
export const RESYNC_MESSAGE = 1;

/** Bytes of `signature_private_key`: an Ed25519 seed, in both suites that accounts use. */
const PRIVATE_KEY_LENGTH = 32;

/**
 * Draft section 4.2 in the frame of reading section 11: the account's new signing key, for the
 * siblings alone. The encoding holds the key in clear; wipe it as soon as it is sealed.
 * ```
 * struct { opaque signature_private_key<V>; } ResyncMessage;
 * struct { uint8 type; select (type) { case 1: ResyncMessage; } } EmulationMessage;
 * ```
 */
export function encodeResyncMessage(signaturePrivateKey: Secret<'signature_private_key'>): Uint8Array {
  return encode((writer) => writer.uint8(RESYNC_MESSAGE).opaque(signaturePrivateKey.reveal()));
}

/** The caller owns the key, and wipes `bytes`. @throws DecodeError, also for another type of EmulationMessage */
export function decodeResyncMessage(bytes: Uint8Array): Secret<'signature_private_key'> {
  return decode(bytes, 'emulation message', (reader) => {
    if (reader.uint8('type') !== RESYNC_MESSAGE) throw new DecodeError('invalid-value', 'type of emulation message');
    return Secret.of('signature_private_key', reader.opaqueOf(PRIVATE_KEY_LENGTH, 'signature_private_key').slice());
  });
}

/** Extended by a further type of ours. */
export const FORGET_MESSAGE = 4;
/** RFC 9420 sets no bound to a group ID; ours have 16 bytes, those of other clients some more. */
const MAX_GROUP_ID = 64;
/** What is deleted in one go, or while offline, mostly fits; the rest follows in a further message. */
export const MAX_FORGOTTEN = 256;

/** Lines of one conversation that every device of the account is to delete, by their places in its log. */
export interface ForgetMessage {
  readonly groupId: Uint8Array;
  /** Ascending. */
  readonly positions: readonly number[];
}

/**
 * ```
 * struct { uint8 type = 4; opaque group_id<V>; uint32 positions<V>; } ForgetMessage;   // 1 to 256, each greater than the one before
 * ```
 */
export function encodeForgetMessage({ groupId, positions }: ForgetMessage): Uint8Array {
  return encode((writer) =>
    writer
      .uint8(FORGET_MESSAGE)
      .opaque(groupId)
      .vector(positions, (inner, position) => inner.uint32(position)),
  );
}

/** @throws DecodeError */
export function decodeForgetMessage(bytes: Uint8Array): ForgetMessage {
  return decode(bytes, 'emulation message', (reader) => {
    if (reader.uint8('type') !== FORGET_MESSAGE) throw new DecodeError('invalid-value', 'type of emulation message');
    const groupId = reader.opaque('group_id', MAX_GROUP_ID);
    const positions = reader.vector('positions', (inner) => inner.uint32('position'), MAX_FORGOTTEN);
    const ascending = positions.every((position, i) => i === 0 || position > positions[i - 1]!);
    if (groupId.length === 0 || positions.length === 0 || !ascending) throw new DecodeError('invalid-value', 'ForgetMessage');
    return { groupId, positions };
  });
}
