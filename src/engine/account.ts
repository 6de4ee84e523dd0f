import { ed25519 } from '@noble/curves/ed25519.js';
import { Secret, toHex } from '../bytes/index.ts';
import { buildKeyPackageLeaf, createGroup, groupInfoOf } from '../mls/index.ts';
import { accountProofContent } from '../virtual-client/account-proof.ts';
import { deriveRecoveryKey } from '../virtual-client/index.ts';
import type { CommandProblem } from './command.ts';
import { enterEmulationEpoch } from './emulation-epochs.ts';
import { lifetimeFrom } from './key-package-messages.ts';
import { isVouchedFor } from './leaf-check.ts';
import { emulationGroupExtensions, emulatorLeafTemplate } from './leaf-templates.ts';
import type { DeliveryAnswer, DeliveryCalls } from './ports.ts';
import { EMULATION_PROTOCOL, EMULATION_SUITE, GROUP_SUITE } from './protocol.ts';
import { deviceKeyOf, isDeviceName, isUsername, newDevice } from './device.ts';
import { forgetClosedLink } from './linking.ts';
import { NO_REMOVAL } from './removal-state.ts';
import { beginningAt, EMPTY_STATE, type EngineState } from './state.ts';
import { NO_PHRASE } from './recovery-phrase.ts';
import { forgetRecovery } from './recovery.ts';
import type { Turn } from './turn.ts';

/** Every account is a virtual client from its first device on. */

/** Makes the device, the account key and the emulation group; the server is asked afterwards. */
export async function createAccount(turn: Turn, username: string, deviceName: string): Promise<CommandProblem | undefined> {
  forgetClosedLink(turn);
  forgetRecovery(turn);
  if (turn.state.device !== undefined) return 'not-ready';
  if (!isUsername(username)) return 'username-invalid';
  if (!isDeviceName(deviceName)) return 'device-name-invalid';
  const device = newDevice(turn, deviceName);
  const accountKey = GROUP_SUITE.signatureKeyPair(turn.random(32));
  const encryption = EMULATION_SUITE.deriveKeyPair(turn.random(32));
  const leaf = await buildKeyPackageLeaf(
    EMULATION_SUITE,
    emulatorLeafTemplate(device),
    encryption.publicKey,
    lifetimeFrom(turn.now),
    device.emulatorSigner,
  );
  const groupId = turn.random(16);
  const created = createGroup(EMULATION_SUITE, {
    groupId,
    extensions: emulationGroupExtensions(unusedRecoveryKey(turn)),
    leaf,
    encryptionPrivateKey: Secret.of('encryption_private_key', encryption.privateKey),
    useSafeExporter: true,
    random: turn.random,
  });
  const emulationGroupInfo = await groupInfoOf(EMULATION_SUITE, created, device.emulatorSigner);
  const { group, epoch } = enterEmulationEpoch(turn, created);
  const epochId = toHex(epoch.epochId);
  turn.update({
    device,
    creating: {
      username,
      signatureKey: accountKey.publicKey,
      signer: accountKey.privateKey,
      emulationGroupInfo,
      authenticationKey: undefined,
    },
    emulation: {
      groupId,
      group,
      position: 0,
      mark: undefined,
      joinedAt: 0,
      refusedCommit: undefined,
      endedEpochs: [],
      currentEpochId: epochId,
      epochs: new Map([[epochId, epoch]]),
      floor: { epoch: 0n, by: group.ownLeaf, othersFrom: turn.now },
      renewal: { epoch: 0n, by: group.ownLeaf, othersFrom: turn.now, at: turn.now, leisurely: false },
      renewalAsked: false,
      ownPath: { at: turn.now, carriedAt: turn.now },
      deviceNames: new Map([[toHex(device.emulatorSignatureKey), deviceName]]),
      pending: undefined,
      hold: undefined,
      announceDevices: [],
      removal: NO_REMOVAL,
      phrase: NO_PHRASE,
    },
  });
  return undefined;
}

/**
 * An emulation group must name a recovery key (reading section 11). Until the person confirms a phrase
 * it is one whose entropy nobody keeps, so that nobody can join from outside.
 */
function unusedRecoveryKey(turn: Turn): Uint8Array {
  const entropy = Secret.of('phrase_entropy', turn.random(32));
  const { publicKey, seed } = deriveRecoveryKey(EMULATION_PROTOCOL, entropy);
  entropy.wipe();
  seed.wipe();
  return publicKey;
}

/** The request that asks the server for the account; can be made again as often as needed. */
export function accountRequest(state: EngineState): DeliveryCalls['create-account']['request'] | undefined {
  const { device, creating, emulation } = state;
  if (device === undefined || creating === undefined || emulation === undefined) return undefined;
  const emulationGroupId = emulation.groupId;
  const { username } = creating;
  const deviceKey = deviceKeyOf(device);
  const content = accountProofContent({ username, deviceId: device.deviceId, deviceKey, emulationGroupId });
  const proof = ed25519.sign(content, creating.signer.reveal());
  return {
    username,
    deviceId: device.deviceId,
    deviceKey,
    signatureKey: creating.signatureKey,
    proof,
    emulationGroupId,
    emulationGroupInfo: creating.emulationGroupInfo,
  };
}

export function onServerDescribed(turn: Turn, answer: DeliveryAnswer<'describe-server'>): void {
  const { creating } = turn.state;
  if (creating === undefined || answer.outcome !== 'done') return;
  turn.update({ creating: { ...creating, authenticationKey: answer.value.authenticationKey } });
}

/** The account is there, or it is not to be and everything made for it is forgotten. */
export async function onAccountAnswer(turn: Turn, answer: DeliveryAnswer<'create-account'>): Promise<void> {
  const { creating } = turn.state;
  if (creating?.authenticationKey === undefined || answer.outcome === 'unreachable') return;
  if (answer.outcome === 'refused') {
    const { type, retryAfter } = answer.problem;
    if (retryAfter === undefined) giveUp(turn, creating, type === 'username-taken' ? 'username-taken' : 'internal');
    return;
  }
  const { accountId, keyVersion, binding, sequence } = answer.value;
  const { username, signatureKey, signer, authenticationKey } = creating;
  // Nobody would take a leaf of an account that is not vouched for.
  const leaf = { accountId, signatureKey, replacedKeyVersion: undefined };
  if (!(await isVouchedFor(authenticationKey, keyVersion, binding, leaf))) return giveUp(turn, creating, 'internal');
  turn.update({
    creating: undefined,
    account: { accountId, username, keyVersion, binding, signatureKey, signer, formerKeys: [], authenticationKey },
    cursor: beginningAt(sequence),
    contacts: new Map([[toHex(accountId), username]]),
  });
  turn.outcome = { command: 'createAccount', problem: undefined };
}

function giveUp(turn: Turn, { signer }: NonNullable<EngineState['creating']>, problem: CommandProblem): void {
  turn.spend([signer, turn.device().deviceKeySeed, turn.device().emulatorSigner]);
  turn.state = EMPTY_STATE;
  turn.outcome = { command: 'createAccount', problem };
}
