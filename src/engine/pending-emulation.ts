import type { Secret } from '../bytes/index.ts';
import { longerPause } from './later.ts';
import type { PendingEmulationMessage } from './state.ts';
import type { Turn } from './turn.ts';

/** Burns what the pending message used up; whoever wanted it makes it anew. */
export function dropPending(turn: Turn, pending: PendingEmulationMessage): void {
  turn.spend(secretsOf(pending));
  turn.spend(pending.keyPackages.map(({ operation }) => operation.operationSecret));
  turn.updateEmulation({ pending: undefined });
  if (pending.purpose === 'key-packages') turn.update({ uploads: undefined });
}

/** What applying it would have needed. */
export function secretsOf(pending: PendingEmulationMessage): Secret<string>[] {
  return [pending.encryptionPrivateKey, pending.pathSecret].filter((secret) => secret !== undefined);
}

/** What did not work out is made anew: the first time at once, then after a pause, and a longer one each time. */
export function pauseEmulation(turn: Turn): void {
  const { hold } = turn.emulation();
  const pause = hold === undefined ? 0 : longerPause(hold.pause);
  turn.updateEmulation({ hold: { position: undefined, notBefore: turn.now + pause, pause } });
}
