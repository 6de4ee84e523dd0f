import { toHex } from '../bytes/index.ts';
import { epochSecrets, forgettableEpochs } from '../virtual-client/index.ts';
import { pendingOperations } from './conversation.ts';
import { EngineError } from './errors.ts';
import type { Turn } from './turn.ts';

/**
 * Reading section 4, Retention: an emulation epoch goes when it is not current and nothing names it.
 * The sequence is followed in order, so whatever was accepted before the commit that ended an epoch
 * has been processed by the time that commit is.
 */
export function forgetUnnamedEpochs(turn: Turn): void {
  const { emulation, conversations, keyPackages } = turn.state;
  // A newcomer follows what came before it with the epochs of that time.
  if (emulation === undefined || emulation.position < emulation.joinedAt) return;
  const all = [...conversations.values()];
  const joining = [...turn.state.externalJoins.values()].flatMap(({ operation }) => (operation === undefined ? [] : [operation]));
  const outstanding = [...keyPackages.values(), ...(emulation.pending?.keyPackages ?? [])];
  const current = emulation.epochs.get(emulation.currentEpochId);
  if (current === undefined) throw new EngineError('unknown-emulation-epoch');
  const gone = forgettableEpochs(
    emulation.epochs.values(),
    {
      current: current.epochId,
      liveLeaves: all.flatMap(({ leaf }) => (leaf === undefined ? [] : [leaf.epochId])),
      keyPackages: outstanding.map(({ operation }) => operation.epochId),
      pendingOperations: [...all.flatMap(pendingOperations), ...joining].map(({ epochId }) => epochId),
      keptPastEpochs: all.flatMap(({ pastLeaves }) => pastLeaves.map(({ guardKey }) => guardKey.epochId)),
    },
    () => true,
  );
  if (gone.length === 0) return;
  const epochs = new Map(emulation.epochs);
  for (const epoch of gone) {
    epochs.delete(toHex(epoch.epochId));
    turn.spend(epochSecrets(epoch));
  }
  turn.updateEmulation({ epochs });
}

/** Reading section 7: a KeyPackage's secrets go 30 days after its announcement, by the sequence's own clock. */
export const KEY_PACKAGE_LIFETIME = 30 * 24 * 60 * 60 * 1000;

/** `at` is the server's time of the entry being processed, so that a device that was away judges as the others did. */
export function forgetExpiredKeyPackages(turn: Turn, at: number): void {
  const expired = [...turn.state.keyPackages].filter(([, { announcedAt }]) => announcedAt > 0 && announcedAt + KEY_PACKAGE_LIFETIME <= at);
  if (expired.length === 0) return;
  const keyPackages = new Map(turn.state.keyPackages);
  for (const [ref, { operation }] of expired) {
    keyPackages.delete(ref);
    turn.spend([operation.operationSecret]);
  }
  turn.update({ keyPackages });
}
