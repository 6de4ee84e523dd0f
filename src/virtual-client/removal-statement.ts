import { utf8 } from '../bytes/index.ts';
import { decode, encode } from '../wire/index.ts';

/** ASCII; it keeps the signature apart from all that MLS signs ("MLS 1.0 ...") and from other statements. */
const REMOVAL_LABEL = 'Chorus device removal';
/** As the delivery API's IDs. */
const DEVICE_ID_LENGTH = 16;
/** Ed25519. */
const KEY_LENGTH = 32;
const SIGNATURE_LENGTH = 64;

/** Who asks the server to cut off which device. Siblings follow it, so the server cannot make one up. */
export interface RemovalStatement {
  readonly deviceId: Uint8Array;
  /** Emulation signature key of the device that asks. */
  readonly signatureKey: Uint8Array;
  /** Bare Ed25519 by that key over `removalContent`. */
  readonly signature: Uint8Array;
}

/**
 * ```
 * struct {
 *   opaque label<V> = "Chorus device removal";
 *   opaque group_id<V>;    // the emulation group
 *   opaque device_id<V>;
 * } RemovalTBS;
 * ```
 * No epoch: the statement must hold at whatever place the server gives it. It cannot be used twice,
 * since a device's ID never comes back.
 */
export function removalContent(groupId: Uint8Array, deviceId: Uint8Array): Uint8Array {
  return encode((writer) => writer.opaque(utf8(REMOVAL_LABEL)).opaque(groupId).opaque(deviceId));
}

/**
 *     struct { opaque device_id<V>; opaque signature_key<V>; opaque signature<V>; } RemovalStatement;
 */
export function encodeRemovalStatement({ deviceId, signatureKey, signature }: RemovalStatement): Uint8Array {
  return encode((writer) => writer.opaque(deviceId).opaque(signatureKey).opaque(signature));
}

/** @throws DecodeError */
export function decodeRemovalStatement(bytes: Uint8Array): RemovalStatement {
  return decode(bytes, 'removal statement', (reader) => ({
    deviceId: reader.opaqueOf(DEVICE_ID_LENGTH, 'device_id'),
    signatureKey: reader.opaqueOf(KEY_LENGTH, 'signature_key'),
    signature: reader.opaqueOf(SIGNATURE_LENGTH, 'signature'),
  }));
}
