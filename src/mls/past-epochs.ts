import type { Secret, Spending } from '../bytes/index.ts';
import type { GroupState, PastEpoch } from './group-state.ts';
import { pprfNodes } from '../virtual-client/pprf.ts';
import type { SecretTree } from './secret-tree.ts';

/**
 * Ended epochs whose late messages can still be read, and whose resumption PSKs can be named. The
 * delivery service keeps one order per group, so a message is late only when its sender had not seen the
 * newest commits yet; five are more than happen while a message is on its way.
 */
export const MAX_PAST_EPOCHS = 5;

/** The current epoch put in front of the past ones. What drops out, and what a past epoch has no use for, is spent. */
export function endEpoch(state: GroupState): { readonly pastEpochs: readonly PastEpoch[]; readonly spent: readonly Secret<string>[] } {
  const { context, schedule, secretTree, tree, ownLeaf } = state;
  const ended: PastEpoch = {
    context,
    senderDataSecret: schedule.senderDataSecret,
    resumptionPsk: schedule.resumptionPsk,
    secretTree,
    leaves: new Map(tree.leaves()),
    ownLeaf,
  };
  const all = [ended, ...state.pastEpochs];
  const dropped = all.slice(MAX_PAST_EPOCHS).flatMap(secretsOfPast);
  return { pastEpochs: all.slice(0, MAX_PAST_EPOCHS), spent: [...currentOnly(state), ...dropped] };
}

/** The state without the past epochs before `from`, which the caller keeps for a stated time. Persist `next`, then wipe what is spent. */
export function forgetPastEpochs(state: GroupState, from: bigint): Spending<GroupState, undefined> {
  const isKept = ({ context }: PastEpoch): boolean => context.epoch >= from;
  const dropped = state.pastEpochs.filter((past) => !isKept(past));
  if (dropped.length === 0) return { next: state, value: undefined, spent: [] };
  return { next: { ...state, pastEpochs: state.pastEpochs.filter(isKept) }, value: undefined, spent: dropped.flatMap(secretsOfPast) };
}

/** Every secret of a group, for one that we are no member of any more. */
export function secretsOfGroup(state: GroupState): readonly Secret<string>[] {
  const { keys, pastEpochs } = state;
  const ended = pastEpochs.flatMap(secretsOfPast);
  const { senderDataSecret, resumptionPsk } = state.schedule;
  const current = [...currentOnly(state), senderDataSecret, resumptionPsk, ...secretsOfTree(state.secretTree)];
  return [keys.encryptionPrivateKey, ...keys.pathPrivateKeys.values(), ...current, ...ended];
}

/** What a past epoch has no use for. */
function currentOnly({ schedule, exporter }: GroupState): Secret<string>[] {
  const exporterNodes = exporter === undefined ? [] : [...pprfNodes(exporter.tree)].map(({ secret }) => secret);
  const { exporterSecret, externalSecret, confirmationKey, membershipKey, initSecret } = schedule;
  return [exporterSecret, externalSecret, confirmationKey, membershipKey, initSecret, ...exporterNodes];
}

function secretsOfPast({ senderDataSecret, resumptionPsk, secretTree }: PastEpoch): Secret<string>[] {
  return [senderDataSecret, resumptionPsk, ...secretsOfTree(secretTree)];
}

function secretsOfTree(tree: SecretTree): Secret<string>[] {
  const ratchets = [...tree.ratchets.values()].flatMap(({ application, handshake }) => [application, handshake]);
  return [
    ...tree.nodes.values(),
    ...ratchets.flatMap(({ secret, skipped }) => [secret, ...[...skipped.values()].flatMap(({ key, nonce }) => [key, nonce])]),
  ];
}
