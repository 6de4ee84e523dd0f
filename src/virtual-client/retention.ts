import { toHex } from '../bytes/index.ts';
import type { EmulationEpoch } from './emulation-epoch.ts';
import type { EpochId } from './epoch-id.ts';

/** Everything that can name an emulation epoch (reading section 4, Retention). */
export interface EpochNames {
  /** Newest epoch of the emulation group. */
  readonly current: EpochId;
  /** Of the active leaf in every group. */
  readonly liveLeaves: Iterable<EpochId>;
  /** Of every outstanding KeyPackage. */
  readonly keyPackages: Iterable<EpochId>;
  /** Sent and not yet in the log; for Update proposals siblings' ones too. */
  readonly pendingOperations: Iterable<EpochId>;
  /** Of the leaf in every kept past epoch of a group. */
  readonly keptPastEpochs: Iterable<EpochId>;
}

/** The emulation epochs that something still names, as lower-case hex. */
export function namedEpochs(names: EpochNames): ReadonlySet<string> {
  const named = new Set([toHex(names.current)]);
  for (const ids of [names.liveLeaves, names.keyPackages, names.pendingOperations, names.keptPastEpochs]) {
    for (const id of ids) named.add(toHex(id));
  }
  return named;
}

/**
 * The epochs of `held` whose state must go now: nothing names them, and `processedPast` says that this
 * device has, in every group, processed past the commit that ended them, so that no message still on
 * its way can name them. Delete them in the store, then wipe their secrets (`epochSecrets`).
 */
export function forgettableEpochs(
  held: Iterable<EmulationEpoch>,
  names: EpochNames,
  processedPast: (epoch: EmulationEpoch) => boolean,
): EmulationEpoch[] {
  const named = namedEpochs(names);
  return [...held].filter((epoch) => !named.has(toHex(epoch.epochId)) && processedPast(epoch));
}
