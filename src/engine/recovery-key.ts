import { setComponent } from '../mls/index.ts';
import { prepareCommit } from './emulation-group.ts';
import { COMPONENTS } from './protocol.ts';
import type { Turn } from './turn.ts';

/** R changes by a commit of a member and, in the same transaction, at the server. */
export async function prepareRecoveryKey(turn: Turn): Promise<void> {
  const { group, phrase } = turn.emulation();
  if (phrase.confirmed === undefined) return;
  const extensions = setComponent(group.context.extensions, COMPONENTS.recovery, phrase.confirmed);
  await prepareCommit(turn, {
    purpose: 'recovery-key',
    proposals: [{ proposalType: 'group_context_extensions', groupContextExtensions: { extensions } }],
    action: undefined,
    keyPackages: [],
    welcomeExtensions: [],
    newDevice: undefined,
    recoveryKey: phrase.confirmed,
  });
}
