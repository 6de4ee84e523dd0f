import { equal, Secret, type Brand } from '../bytes/index.ts';
import { decode, encode } from '../wire/index.ts';
import { isLeafCount, type EmulationEpoch } from './emulation-epoch.ts';
import { readEpochId, type EpochId } from './epoch-id.ts';
import { VirtualClientError } from './errors.ts';
import type { LiveLeaf } from './live-leaf.ts';
import type { RandomSource } from './operation-secrets.ts';
import type { Protocol } from './revision.ts';
import { prpDecrypt, prpEncrypt } from './small-space-prp.ts';

/** The 4 bytes that MLS XORs onto a message's nonce. */
export type ReuseGuard = Brand<Uint8Array, 'ReuseGuard'>;

/**
 * What makes and reads the guards of one leaf of the virtual client; kept with every past epoch of
 * the group as long as that epoch is kept.
 */
export interface GuardKey {
  /** The emulation epoch that the leaf names. */
  readonly epochId: EpochId;
  /** N_e of that epoch. */
  readonly leafCount: number;
  /** undefined on a device that was no member then: it reads guards and must not send. */
  readonly ownEmulatorLeaf: number | undefined;
  readonly leafNodeSecret: Secret<'leaf_node_secret'>;
}

/** The guard key of an active leaf; shares `leafNodeSecret` with it. @throws VirtualClientError 'unknown-emulation-epoch' */
export function guardKey(epoch: EmulationEpoch, leaf: LiveLeaf): GuardKey {
  if (!equal(epoch.epochId, leaf.epochId)) throw new VirtualClientError('unknown-emulation-epoch');
  return {
    epochId: epoch.epochId,
    leafCount: epoch.leafCount,
    ownEmulatorLeaf: epoch.ownEmulatorLeaf,
    leafNodeSecret: leaf.leafNodeSecret,
  };
}

/**
 * Guard of a PrivateMessage of the virtual client, application or handshake (draft section 5.8):
 *
 *     x           uniform among the uint32 with x mod N_e == leaf_index
 *     prp_key     = ExpandWithLabel(leaf_node_secret, "reuse guard", key_schedule_nonce, 16)
 *     reuse_guard = SmallSpacePRP.Encrypt(prp_key, x), big-endian
 *
 * `keyScheduleNonce` is the secret tree's nonce before any XOR.
 * @throws VirtualClientError 'no-own-leaf' on a device that may not send with this leaf
 */
export function createReuseGuard(protocol: Protocol, key: GuardKey, keyScheduleNonce: Uint8Array, random: RandomSource): ReuseGuard {
  if (key.ownEmulatorLeaf === undefined) throw new VirtualClientError('no-own-leaf');
  return encodeReuseGuard(protocol, key, keyScheduleNonce, drawPreimage(key.leafCount, key.ownEmulatorLeaf, random));
}

/**
 * x: uniform among the 2^32 / N_e values with the leaf's residue. N_e divides 2^32, so the high bits of
 * one uniform uint32 are already uniform and nothing is thrown away.
 */
export function drawPreimage(leafCount: number, emulatorLeaf: number, random: RandomSource): number {
  if (!isLeafCount(leafCount)) throw new VirtualClientError('invalid-leaf-count');
  if (!Number.isInteger(emulatorLeaf) || emulatorLeaf < 0 || emulatorLeaf >= leafCount) throw new VirtualClientError('leaf-out-of-range');
  const drawn = uint32(random(4));
  return drawn - (drawn % leafCount) + emulatorLeaf;
}

/** The guard of a given x, a uint32. */
export function encodeReuseGuard(
  protocol: Protocol,
  key: Pick<GuardKey, 'leafNodeSecret'>,
  keyScheduleNonce: Uint8Array,
  preimage: number,
): ReuseGuard {
  const prpKey = protocol.revision.prpKey(protocol.suite, key.leafNodeSecret, keyScheduleNonce);
  const guard = encode((w) => w.uint32(prpEncrypt(protocol.revision, prpKey, preimage)));
  prpKey.fill(0);
  return guard as ReuseGuard;
}

/**
 * Which device of the account sent the message: `emulatorLeaf = x mod N_e`. The caller compares it with
 * the roster of `key.epochId` (a vacant index is an unknown device) and with its own leaf (on a message
 * that it never sent: a cloned device).
 * @throws VirtualClientError 'wrong-length', 'invalid-leaf-count'
 */
export function recoverSender(
  protocol: Protocol,
  key: Pick<GuardKey, 'leafNodeSecret' | 'leafCount'>,
  keyScheduleNonce: Uint8Array,
  guard: Uint8Array,
): { readonly emulatorLeaf: number; readonly preimage: number } {
  if (guard.length !== 4) throw new VirtualClientError('wrong-length', 'reuse_guard');
  if (!isLeafCount(key.leafCount)) throw new VirtualClientError('invalid-leaf-count');
  const prpKey = protocol.revision.prpKey(protocol.suite, key.leafNodeSecret, keyScheduleNonce);
  const preimage = prpDecrypt(protocol.revision, prpKey, uint32(guard));
  prpKey.fill(0);
  return { emulatorLeaf: preimage % key.leafCount, preimage };
}

/**
 * Storage form, and that of a transferred group state:
 *
 *     struct { opaque epoch_id<V>; uint32 leaf_count; optional<uint32> own_leaf; opaque leaf_node_secret<V>; } GuardKey;
 */
export function encodeGuardKey(key: GuardKey): Uint8Array {
  return encode((w) =>
    w
      .opaque(key.epochId)
      .uint32(key.leafCount)
      .optional(key.ownEmulatorLeaf, (inner, leaf) => inner.uint32(leaf))
      .opaque(key.leafNodeSecret.reveal()),
  );
}

export function decodeGuardKey({ suite }: Protocol, bytes: Uint8Array): GuardKey {
  return decode(bytes, 'GuardKey', (r) => ({
    epochId: readEpochId(r, suite),
    leafCount: r.uint32('leaf_count'),
    ownEmulatorLeaf: r.optional('own_leaf', (inner) => inner.uint32('own_leaf')),
    leafNodeSecret: Secret.of('leaf_node_secret', r.opaqueOf(suite.nh, 'leaf_node_secret')),
  }));
}

function uint32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0);
}
