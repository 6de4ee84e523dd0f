import { equal, fromHex, toHex } from '../bytes/index.ts';
import {
  decodeGroupTransfer,
  encodeGroupTransfer,
  getComponent,
  joinByWelcome,
  keyPackageRef,
  leafAt,
  type GroupState,
} from '../mls/index.ts';
import {
  decodeAccountBinding,
  decodeGuardKey,
  decodeNewEmulatorClientState,
  encodeGuardKey,
  encodeNewEmulatorClientState,
  verifyAccountBinding,
  type RandomSource,
} from '../virtual-client/index.ts';
import { ownKeyVersion, signingKeysOf } from './account-keys.ts';
import { enterEmulationEpoch } from './emulation-epochs.ts';
import { prepareCommit } from './emulation-group.ts';
import { EngineError } from './errors.ts';
import { accountsOf, newConversation, pendingOperations } from './conversation.ts';
import { hasAnnouncedJoins, newJoin, putJoin } from './external-join.ts';
import { recordEvent } from './higher-level-group.ts';
import { invitationIn } from './invitation.ts';
import { decodeKeyPackage } from './key-package-messages.ts';
import { othersFrom } from './later.ts';
import { emulatorLeafCheck } from './leaf-check.ts';
import { components } from './leaf-templates.ts';
import { decodeLinkAnswer } from './link-code.ts';
import { mailboxOf, requestOf, withoutKeys } from './linking.ts';
import { COMPONENTS, EMULATION_PROTOCOL, EMULATION_SUITE, GROUP_SUITE } from './protocol.ts';
import { readApplicationData, readGroupTransfer, readPlace, type ApplicationData, type GroupTransfer } from './onboarding-records.ts';
import { encodeRecord } from './record-codec.ts';
import { isRemoving, NO_REMOVAL } from './removal-state.ts';
import { NO_PHRASE } from './recovery-phrase.ts';
import { INLINE_BUDGET, isReference, withReferences, wholeGroup, type WholeGroup } from './state-transfer.ts';
import {
  beginningAt,
  NeedGroups,
  type AdderLink,
  type Conversation,
  type EngineState,
  type NewDeviceLink,
  type SigningKey,
} from './state.ts';
import type { Turn } from './turn.ts';
import { sortPending } from './update-proposals.ts';

/** State transfer to a device that is being linked (draft sections 4.1 and 5.4, reading section 10). */

/**
 * No Add while an own group creation or external join is on its way (reading section 10): the newcomer could not
 * follow it. Nor before a removed device is out and the account has its new key; nor, after a recovery, before this device
 * knows of the account's conversations.
 */
export function canAddDevice(state: EngineState): boolean {
  if (hasAnnouncedJoins(state) || (state.rejoining !== undefined && state.rejoining.groups === undefined)) return false;
  if (state.emulation !== undefined && isRemoving(state.emulation)) return false;
  return [...state.conversations.values()].every(
    ({ pending, awaitingEcho }) =>
      ![...awaitingEcho, ...(pending === undefined ? [] : [pending])].some(({ item }) => item.kind === 'create'),
  );
}

/** The commit that adds the linked device, with everything that this device holds inside its Welcome. */
export async function prepareAddDevice(turn: Turn, link: AdderLink): Promise<void> {
  const request = requestOf(link);
  const keyPackage = decodeKeyPackage(request.keyPackage);
  const emulation = turn.emulation();
  turn.updateEmulation({
    deviceNames: new Map(emulation.deviceNames).set(toHex(keyPackage.leafNode.signaturePublicKey), request.deviceName),
  });
  const { state, blobs } = exportState(turn.state, INLINE_BUDGET, turn.random);
  turn.update({
    link: { ...link, blobs: [...blobs].map(([hash, { length }]) => ({ hash: fromHex(hash), length })) },
    linkBlobs: blobs,
  });
  await prepareCommit(turn, {
    purpose: 'add-device',
    proposals: [{ proposalType: 'add', add: { keyPackage } }],
    action: undefined,
    keyPackages: [],
    welcomeExtensions: components([[COMPONENTS.newEmulatorClientState, state]]),
    newDevice: {
      deviceId: request.deviceId,
      deviceKey: request.deviceKey,
      linkId: mailboxOf(link).linkId,
      coversPosition: emulation.position,
    },
  });
  state.fill(0);
}

/** @throws NeedGroups when a conversation's MLS state is not in memory */
function exportState(
  state: EngineState,
  budget: number,
  random: RandomSource,
): { state: Uint8Array; blobs: ReadonlyMap<string, Uint8Array> } {
  const { account, emulation } = state;
  if (account === undefined || emulation === undefined) throw new EngineError('not-ready');
  const members = [...state.conversations].filter(([, conversation]) => conversation.state === 'member');
  const missing = members.filter(([id]) => !state.groups.has(id)).map(([id]) => id);
  if (missing.length > 0) throw new NeedGroups(missing);
  const application: ApplicationData = {
    accountId: account.accountId,
    username: account.username,
    binding: account.binding,
    authenticationKey: account.authenticationKey,
    emulationPosition: emulation.position,
    floorEpoch: emulation.floor.epoch,
    renewalEpoch: emulation.renewal.epoch,
    phrase: emulation.phrase.status,
    deviceNames: emulation.deviceNames,
    contacts: state.contacts,
    announcedAt: new Map([...state.keyPackages].map(([ref, { announcedAt }]) => [ref, announcedAt])),
  };
  const { groups: told, blobs } = withReferences(
    members.map(([id, conversation]) => exportGroup(conversation, state.groups.get(id)!)),
    budget,
    random,
  );
  const groups = [...told, ...yetToJoin(state).map((groupId) => ({ groupId, type: 'external_commit' }) as const)];
  const encoded = encodeNewEmulatorClientState({
    sequence: BigInt(state.cursor.sequence),
    signingKeys: signingKeysOf(account).map(({ keyVersion, signer }) => ({ keyVersion, signaturePrivateKey: signer })),
    activeKeyPackages: [...state.keyPackages.values()],
    pastEmulationEpochs: [...emulation.epochs.values()],
    higherLevelGroups: groups,
    applicationData: encodeRecord(application),
  });
  for (const group of groups) if (isReference(group)) group.blobKey.wipe();
  return { state: encoded, blobs };
}

/**
 * Conversations of the account that this device cannot follow, or has yet to join after a recovery. It may never come to
 * it: the newcomer joins them by itself then.
 */
function yetToJoin({ conversations, externalJoins }: EngineState): Uint8Array[] {
  // What was set back comes back by the person's word alone.
  const isNone = (id: string): boolean => ['member', 'set-back'].includes(conversations.get(id)?.state ?? '');
  const lost = [...conversations.values()].filter(({ state }) => state === 'out-of-step');
  const wished = [...externalJoins].flatMap(([id, join]) => (isNone(id) ? [] : [join]));
  return [...new Map([...lost, ...wished].map(({ groupId }) => [toHex(groupId), groupId])).values()];
}

function exportGroup(conversation: Conversation, group: GroupState): WholeGroup {
  if (conversation.leaf === undefined) throw new EngineError('not-ready');
  const transfer: GroupTransfer = {
    group: encodeGroupTransfer(group),
    title: conversation.title,
    startedAt: conversation.startedAt,
    endedEpochs: conversation.endedEpochs,
    pastLeaves: conversation.pastLeaves.map(({ groupEpoch, guardKey }) => ({
      groupEpoch,
      guardKey: encodeGuardKey({ ...guardKey, ownEmulatorLeaf: undefined }),
    })),
  };
  return {
    type: 'state_transfer',
    groupId: conversation.groupId,
    logPosition: BigInt(conversation.position),
    groupState: encodeRecord(transfer),
    leaf: conversation.leaf,
    pendingOperations: pendingOperations(conversation),
  };
}

/** New device: joins the emulation group by the Welcome and takes over what it brings. @throws on anything that does not fit */
export async function importState(turn: Turn, link: NewDeviceLink, welcome: Uint8Array): Promise<void> {
  if (link.answer === undefined || link.keys === undefined) throw new EngineError('not-ready');
  const answer = decodeLinkAnswer(link.answer);
  const device = turn.device();
  const joined = await joinByWelcome(EMULATION_SUITE, welcome, {
    keyPackageRef: keyPackageRef(EMULATION_SUITE, decodeKeyPackage(link.keyPackage)),
    ...link.keys,
    checkLeaf: emulatorLeafCheck,
    useSafeExporter: true,
  });
  const ownLeaf = leafAt(joined.state, joined.state.ownLeaf);
  if (!equal(ownLeaf.signaturePublicKey, device.emulatorSignatureKey)) throw new EngineError('bad-onboarding-state');
  if (!equal(joined.state.context.groupId, answer.emulationGroupId)) throw new EngineError('bad-onboarding-state');
  const component = getComponent(joined.groupInfoExtensions, COMPONENTS.newEmulatorClientState);
  if (component === undefined) throw new EngineError('bad-onboarding-state');
  const told = decodeNewEmulatorClientState(EMULATION_PROTOCOL, component);
  component.fill(0);
  const references = told.higherLevelGroups.filter(isReference);
  if (references.some(({ blobHash }) => !turn.state.linkBlobs.has(toHex(blobHash)))) {
    const blobs = references.map(({ blobHash, blobLength }) => ({ hash: blobHash, length: Number(blobLength) }));
    turn.spend([...told.signingKeys.map(({ signaturePrivateKey }) => signaturePrivateKey), ...references.map(({ blobKey }) => blobKey)]);
    turn.update({ link: { ...link, welcome, blobs } });
    return;
  }
  const outside = told.higherLevelGroups.filter(({ type }) => type === 'external_commit');
  const inside = told.higherLevelGroups.filter(({ type }) => type !== 'external_commit');
  const groups = inside.map((group) => wholeGroup(group, turn.state.linkBlobs));
  turn.spend(references.map(({ blobKey }) => blobKey));
  const brought = new Set(told.pastEmulationEpochs.map((past) => toHex(past.epochId)));
  const named = groups.flatMap(({ leaf, pendingOperations }) => [leaf.epochId, ...pendingOperations.map((operation) => operation.epochId)]);
  if (named.some((epoch) => !brought.has(toHex(epoch)))) throw new EngineError('bad-onboarding-state');
  const application = readApplicationData(told.applicationData);
  const binding = decodeAccountBinding(application.binding);
  const sequence = readPlace(told.sequence);
  const keys = told.signingKeys.map(({ keyVersion, signaturePrivateKey }): SigningKey => {
    const { publicKey, privateKey } = GROUP_SUITE.signatureKeyPair(signaturePrivateKey.reveal().slice());
    return { keyVersion, signatureKey: publicKey, signer: privateKey };
  });
  const signing = keys.find(({ keyVersion }) => keyVersion === binding.keyVersion);
  if (signing === undefined) throw new EngineError('bad-onboarding-state');
  if (!equal(application.accountId, answer.accountId) || !equal(application.authenticationKey, answer.authenticationKey)) {
    throw new EngineError('bad-onboarding-state');
  }
  await verifyAccountBinding(EMULATION_PROTOCOL, GROUP_SUITE, application.authenticationKey, binding, {
    accountId: answer.accountId,
    signatureKey: signing.signatureKey,
    replacedKeyVersion: undefined,
  });
  const { group, epoch } = enterEmulationEpoch(turn, joined.state);
  const epochId = toHex(epoch.epochId);
  turn.spend(told.signingKeys.map(({ signaturePrivateKey }) => signaturePrivateKey));
  turn.update({
    account: {
      accountId: application.accountId,
      username: application.username,
      ...signing,
      binding: application.binding,
      formerKeys: keys.filter((key) => key !== signing),
      authenticationKey: application.authenticationKey,
    },
    cursor: beginningAt(sequence),
    contacts: application.contacts,
    emulation: {
      groupId: joined.state.context.groupId,
      group,
      position: application.emulationPosition,
      mark: undefined,
      joinedAt: application.emulationPosition + 1,
      refusedCommit: undefined,
      endedEpochs: [],
      currentEpochId: epochId,
      epochs: new Map([...told.pastEmulationEpochs.map((past) => [toHex(past.epochId), past] as const), [epochId, epoch]]),
      // It rises when the sequence comes to the commit that added this device: what was accepted before counts.
      floor: { epoch: application.floorEpoch, by: -1, othersFrom: turn.now },
      renewal: { epoch: application.renewalEpoch, by: -1, othersFrom: turn.now, at: turn.now, leisurely: false },
      renewalAsked: false,
      ownPath: { at: turn.now, carriedAt: turn.now },
      deviceNames: new Map(application.deviceNames).set(toHex(device.emulatorSignatureKey), device.deviceName),
      pending: undefined,
      hold: undefined,
      announceDevices: [],
      removal: NO_REMOVAL,
      phrase: { ...NO_PHRASE, status: application.phrase },
    },
    keyPackages: new Map(
      told.activeKeyPackages.map((keyPackage) => {
        const ref = toHex(keyPackage.keyPackageRef);
        return [ref, { ...keyPackage, announcedAt: application.announcedAt.get(ref) ?? turn.now }];
      }),
    ),
    link: { ...withoutKeys(turn, link), step: 'done', toPut: [], toDelete: true },
    linkBlobs: new Map(),
  });
  for (const transferred of groups) importGroup(turn, transferred);
  // The device that told of them is to be first.
  for (const { groupId } of outside) putJoin(turn, toHex(groupId), { ...newJoin(groupId), notBefore: othersFrom(turn) });
}

function importGroup(turn: Turn, state: WholeGroup): void {
  const transfer = readGroupTransfer(state.groupState);
  const group = decodeGroupTransfer(transfer.group);
  const position = readPlace(state.logPosition);
  if (!equal(group.context.groupId, state.groupId)) throw new EngineError('bad-onboarding-state');
  const id = toHex(state.groupId);
  turn.setGroup(id, group);
  turn.setConversation({
    ...newConversation(state.groupId, transfer.startedAt),
    title: transfer.title,
    members: accountsOf(group),
    invitation: invitationIn(group),
    keyVersion: ownKeyVersion(group),
    state: 'member',
    position,
    readPosition: position,
    leaf: state.leaf,
    endedEpochs: transfer.endedEpochs,
    pastLeaves: transfer.pastLeaves.map(({ groupEpoch, guardKey }) => ({
      groupEpoch,
      guardKey: decodeGuardKey(EMULATION_PROTOCOL, guardKey),
    })),
    ...sortPending(group, state.pendingOperations, turn.now),
  });
  recordEvent(turn, id, position, 'linked');
}
