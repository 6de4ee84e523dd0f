import type { Secret } from '../bytes/index.ts';
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
