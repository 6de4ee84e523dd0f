import { Secret, type Spending } from '../bytes/index.ts';
import { VirtualClientError } from './errors.ts';
import { epochIdOf, type EpochId } from './epoch-id.ts';
import { createPprf, pprfNodes, type PprfState } from './pprf.ts';
import type { Protocol } from './revision.ts';

/** An occupied leaf of the emulation group and the device's signature key in it. */
export interface EmulatorLeaf {
  readonly emulatorLeaf: number;
  readonly signatureKey: Uint8Array;
}

/** Who was in the emulation group at an epoch. */
export interface EpochMembership {
  /** The emulation group's MLS epoch. */
  readonly epoch: bigint;
  /** N_e: leaves of the emulation group's ratchet tree, blanks included; a power of two. */
  readonly leafCount: number;
  /** Occupied leaves, by rising index. */
  readonly roster: readonly EmulatorLeaf[];
  /**
   * This device's leaf in that epoch, from its own membership alone and never from another device's
   * word; undefined in epochs from before it joined.
   */
  readonly ownEmulatorLeaf: number | undefined;
}

/** What a device keeps of one epoch of the emulation group until nothing names it (see retention.ts). Immutable. */
export interface EmulationEpoch extends EpochMembership {
  readonly epochId: EpochId;
  /** Depth 32, under `epoch_base_secret`. */
  readonly pprf: PprfState;
  readonly epochEncryptionKey: Secret<'epoch_encryption_key'>;
  readonly generationIdSecret: Secret<'generation_id_secret'>;
}

/** More devices than this no account has; it bounds what a decoder builds. */
export const MAX_EMULATOR_LEAVES = 4096;

/**
 * Draft section 5.2:
 *
 *     epoch_id             = DeriveSecret(emulator_epoch_secret, "Epoch ID")
 *     epoch_base_secret    = DeriveSecret(emulator_epoch_secret, "Base Secret")
 *     epoch_encryption_key = DeriveSecret(emulator_epoch_secret, "Encryption Key")
 *     generation_id_secret = DeriveSecret(emulator_epoch_secret, "Generation ID Secret")
 *
 * `emulatorEpochSecret` is the epoch's SafeExportSecret(0x8A00). Persist `next` together with the
 * punctured exporter, then wipe `spent`, which is that secret.
 * @throws VirtualClientError 'wrong-length', 'invalid-leaf-count', 'invalid-roster', 'leaf-not-in-roster'
 */
export function deriveEmulationEpoch(
  protocol: Protocol,
  emulatorEpochSecret: Secret<'component_secret'>,
  membership: EpochMembership,
): Spending<EmulationEpoch, EpochId> {
  const { suite, revision } = protocol;
  checkMembership(membership);
  const root = emulatorEpochSecret.reveal();
  if (root.length !== suite.nh) throw new VirtualClientError('wrong-length', 'emulator_epoch_secret');
  const labels = revision.epochLabels;
  const epochId = epochIdOf(suite, suite.deriveSecret(root, labels.epochId));
  const baseSecret = Secret.of('epoch_base_secret', suite.deriveSecret(root, labels.epochBaseSecret));
  const next: EmulationEpoch = {
    epochId,
    epoch: membership.epoch,
    leafCount: membership.leafCount,
    roster: membership.roster,
    ownEmulatorLeaf: membership.ownEmulatorLeaf,
    pprf: createPprf(baseSecret, 32),
    epochEncryptionKey: Secret.of('epoch_encryption_key', suite.deriveSecret(root, labels.epochEncryptionKey)),
    generationIdSecret: Secret.of('generation_id_secret', suite.deriveSecret(root, labels.generationIdSecret)),
  };
  return { next, value: epochId, spent: [emulatorEpochSecret] };
}

/** Every secret of an epoch that is forgotten: wipe them once the store holds none of it. */
export function epochSecrets(epoch: EmulationEpoch): readonly Secret<string>[] {
  return [...Array.from(pprfNodes(epoch.pprf), (node) => node.secret), epoch.epochEncryptionKey, epoch.generationIdSecret];
}

/** Whether `leafCount` can be the number of leaves of a ratchet tree. */
export function isLeafCount(leafCount: number): boolean {
  return Number.isInteger(leafCount) && leafCount >= 1 && leafCount <= 2 ** 32 && Number.isInteger(Math.log2(leafCount));
}

/** Whether the leaf was occupied in that epoch. */
export function isInRoster(epoch: EpochMembership, emulatorLeaf: number): boolean {
  return epoch.roster.some((member) => member.emulatorLeaf === emulatorLeaf);
}

/** @throws VirtualClientError 'invalid-leaf-count', 'invalid-roster', 'leaf-not-in-roster' */
export function checkMembership(membership: EpochMembership): void {
  const { leafCount, roster, ownEmulatorLeaf } = membership;
  if (!isLeafCount(leafCount) || leafCount > MAX_EMULATOR_LEAVES) throw new VirtualClientError('invalid-leaf-count');
  let previous = -1;
  for (const { emulatorLeaf } of roster) {
    if (!Number.isInteger(emulatorLeaf) || emulatorLeaf <= previous || emulatorLeaf >= leafCount)
      throw new VirtualClientError('invalid-roster');
    previous = emulatorLeaf;
  }
  if (roster.length === 0) throw new VirtualClientError('invalid-roster', 'empty');
  if (ownEmulatorLeaf !== undefined && !isInRoster(membership, ownEmulatorLeaf)) throw new VirtualClientError('leaf-not-in-roster');
}
