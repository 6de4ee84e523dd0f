import { toHex } from '../bytes/index.ts';
import { exportComponentSecret, leafCountOf, memberLeaves, type GroupState } from '../mls/index.ts';
import { deriveEmulationEpoch, type EmulationEpoch } from '../virtual-client/index.ts';
import { endedEpochs } from './past-epochs.ts';
import { COMPONENTS, EMULATION_PROTOCOL, EMULATION_SUITE } from './protocol.ts';
import type { Turn } from './turn.ts';

/**
 * Draft section 5.2 at the start of every epoch of the emulation group: takes
 * SafeExportSecret(0x8A00) out of the exporter (once) and derives the emulation epoch from it.
 * `group` must be stored with the epoch.
 */
export function enterEmulationEpoch(turn: Turn, group: GroupState): { group: GroupState; epoch: EmulationEpoch } {
  const exported = exportComponentSecret(EMULATION_SUITE, group, COMPONENTS.emulatorEpochSecret);
  const roster = memberLeaves(group).map(({ leafIndex, leaf }) => ({ emulatorLeaf: leafIndex, signatureKey: leaf.signaturePublicKey }));
  const { next, spent } = deriveEmulationEpoch(EMULATION_PROTOCOL, exported.value, {
    epoch: group.context.epoch,
    leafCount: leafCountOf(group),
    roster,
    ownEmulatorLeaf: group.ownLeaf,
  });
  turn.spend(exported.spent);
  turn.spend(spent);
  return { group: exported.next, epoch: next };
}

/** The emulation group's new state with its epoch made current; the one before it ended at `endedAt`, ms by the server's clock. */
export function adoptEmulationGroup(turn: Turn, applied: GroupState, endedAt: number): EmulationEpoch {
  const { group, epoch } = enterEmulationEpoch(turn, applied);
  const epochId = toHex(epoch.epochId);
  const before = turn.emulation();
  turn.updateEmulation({
    group,
    endedEpochs: endedEpochs(before, before.group, group, endedAt),
    refusedCommit: undefined,
    currentEpochId: epochId,
    epochs: new Map(before.epochs).set(epochId, epoch),
  });
  return epoch;
}
