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
