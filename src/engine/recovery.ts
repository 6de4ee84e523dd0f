import { ed25519 } from '@noble/curves/ed25519.js';
import { equal, Secret, toHex } from '../bytes/index.ts';
import { externalCommit, memberLeaves, open, protectApplication, readGroupInfo, secretsOfGroup, type LeafNode } from '../mls/index.ts';
import { accountKeyContent, recoveryProofContent } from '../virtual-client/account-proof.ts';
import { encodeResyncMessage } from '../virtual-client/emulation-message.ts';
import { encodeActionAad, epochSecrets, signRecovery, type RecoveryKey } from '../virtual-client/index.ts';
import { decodeRemovalStatement, removalContent } from '../virtual-client/removal-statement.ts';
import { DecodeError } from '../wire/index.ts';
import type { CommandProblem } from './command.ts';
import { paddingFor } from './content.ts';
import { deviceKeyOf, isDeviceName, isUsername, newDevice } from './device.ts';
import { enterEmulationEpoch } from './emulation-epochs.ts';
import { EngineError, isNamed } from './errors.ts';
import { deviceIdOf, emulatorLeafCheck, isVouchedFor } from './leaf-check.ts';
import { emulatorLeafTemplate } from './leaf-templates.ts';
import type { DeliveryAnswer, OpenedRecovery, Recovery, RecoveryClaim } from './ports.ts';
import { EMULATION_PROTOCOL, EMULATION_SUITE, GROUP_SUITE } from './protocol.ts';
import { NO_PHRASE, recoveryKeyOf } from './recovery-phrase.ts';
import { NO_REMOVAL } from './removal-state.ts';
import { beginningAt, EMPTY_STATE, type DeviceState, type RecoveringState, type RemovalState } from './state.ts';
import type { Todo } from './todo.ts';
import type { Turn } from './turn.ts';

/**
 * Joining an account from outside with its recovery phrase (draft section 4.2, reading section 11): one
 * request with the external commit, the ResyncMessage in the epoch that it begins, and the account's new
 * key. It is stored before it is sent and is sent until it is answered; what comes after is read off the
 * state (`recovery-rejoin.ts`).
 */

/** This browser's identity; the phrase is not looked at yet. */
export function beginRecovery(turn: Turn, username: string, deviceName: string): CommandProblem | undefined {
  forgetRecovery(turn);
  const { state } = turn;
  if (state.recovering !== undefined) return 'recovery-under-way';
  if (state.device !== undefined || state.link !== undefined) return 'not-ready';
  if (!isUsername(username)) return 'username-invalid';
  if (!isDeviceName(deviceName)) return 'device-name-invalid';
  turn.update({ device: newDevice(turn, deviceName), recovering: { username, pending: undefined } });
  return undefined;
}

/** What R says for this device, to be sent once. */
export function recoveryClaim(device: DeviceState, username: string, { seed }: RecoveryKey): RecoveryClaim {
  const fields = { username, deviceId: device.deviceId, deviceKey: deviceKeyOf(device) };
  return { ...fields, proof: ed25519.sign(recoveryProofContent(fields), seed.reveal()) };
}

/** Everything made for a recovery that is not under way at the server is forgotten, and that it failed: whoever calls this knows. */
export function forgetRecovery(turn: Turn): void {
  const notices = turn.state.notices.filter(({ kind }) => kind !== 'recovery-failed');
  if (notices.length < turn.state.notices.length) turn.update({ notices });
  if (turn.state.recovering !== undefined && turn.state.recovering.pending === undefined) forgetAll(turn);
}

export interface RecoveryMaterial {
  readonly opened: OpenedRecovery;
  readonly claim: RecoveryClaim;
  /** Stays the caller's. */
  readonly key: RecoveryKey;
  /** The authentication service's key, as the server describes itself. */
  readonly authenticationKey: Uint8Array;
}

/** Makes the request from the emulation group's newest GroupInfo; it must name the phrase's own R. */
export async function joinByRecovery(turn: Turn, material: RecoveryMaterial): Promise<CommandProblem | undefined> {
  const { recovering } = turn.state;
  if (recovering === undefined || recovering.pending !== undefined) return 'not-ready';
  if (!equal(material.claim.deviceId, turn.device().deviceId)) return 'not-ready';
  try {
    await turn.attempt(() => join(turn, recovering, material));
    return undefined;
  } catch (error) {
    if (!isNamed(error)) throw error;
    return 'recovery-tampered';
  }
}

async function join(turn: Turn, recovering: RecoveringState, { opened, claim, key, authenticationKey }: RecoveryMaterial): Promise<void> {
  const device = turn.device();
  const { context, leaves } = readGroupInfo(EMULATION_SUITE, opened.groupInfo);
  const { groupId, epoch } = context;
  if (epoch !== BigInt(opened.epoch) || !equal(recoveryKeyOf(context.extensions), key.publicKey)) throw new EngineError('malformed-entry');
  const signature = signRecovery(key, { groupId, epoch, signatureKey: device.emulatorSignatureKey });
  const encryption = EMULATION_SUITE.deriveKeyPair(turn.random(EMULATION_SUITE.nh));
  const own = {
    encryptionPrivateKey: Secret.of('encryption_private_key', encryption.privateKey),
    pathSecret: Secret.of('path_secret', turn.random(EMULATION_SUITE.nh)),
  };
  const externalInit = EMULATION_SUITE.deriveKeyPair(turn.random(EMULATION_SUITE.nh));
  const made = await externalCommit(EMULATION_SUITE, opened.groupInfo, {
    leaf: emulatorLeafTemplate(device, signature),
    signer: device.emulatorSigner,
    own,
    externalInit,
    checkLeaf: emulatorLeafCheck,
    authenticatedData: encodeActionAad(EMULATION_PROTOCOL, undefined),
    random: turn.random,
    useSafeExporter: true,
  });
  externalInit.privateKey.fill(0);
  turn.spend([own.encryptionPrivateKey, own.pathSecret]);
  const entered = enterEmulationEpoch(turn, made.state);
  const accountKey = GROUP_SUITE.signatureKeyPair(turn.random(32));
  const told = await tellKey(turn, entered.group, accountKey.privateKey);
  const { accountId, keyVersion } = opened;
  const fields = { accountId, keyVersion, signatureKey: accountKey.publicKey };
  const request: Recovery = {
    ...claim,
    keyVersion,
    signatureKey: accountKey.publicKey,
    keyProof: ed25519.sign(accountKeyContent(fields), accountKey.privateKey.reveal()),
    epoch: opened.epoch,
    commit: { messageId: turn.random(16), message: made.message, groupInfo: made.groupInfo },
    resync: { messageId: turn.random(16), message: told.message },
  };
  const epochId = toHex(entered.epoch.epochId);
  const floor = { epoch: entered.epoch.epoch, by: told.group.ownLeaf, othersFrom: turn.now };
  const self = { signatureKey: device.emulatorSignatureKey, name: device.deviceName };
  turn.update({
    recovering: { ...recovering, pending: { request, accountId, signer: accountKey.privateKey, authenticationKey } },
    emulation: {
      groupId,
      group: told.group,
      position: opened.position,
      mark: undefined,
      joinedAt: opened.position,
      refusedCommit: undefined,
      endedEpochs: [],
      currentEpochId: epochId,
      epochs: new Map([[epochId, entered.epoch]]),
      floor,
      renewal: { ...floor, at: turn.now, leisurely: false },
      renewalAsked: false,
      ownPath: { at: turn.now, carriedAt: turn.now },
      deviceNames: new Map([[toHex(self.signatureKey), self.name]]),
      pending: undefined,
      hold: undefined,
      announceDevices: [self],
      removal: { ...NO_REMOVAL, cutOff: cutOffOf(groupId, leaves, opened.removals, turn.now) },
      phrase: { ...NO_PHRASE, status: 'set' },
    },
  });
}

/** The ResyncMessage. It is not waited for in the log, so it is read at once: its key is used up. */
async function tellKey(
  turn: Turn,
  group: Parameters<typeof protectApplication>[1],
  accountKey: Secret<'signature_private_key'>,
): Promise<{ group: Parameters<typeof protectApplication>[1]; message: Uint8Array }> {
  const content = encodeResyncMessage(accountKey);
  const sealed = await protectApplication(EMULATION_SUITE, group, content, {
    signer: turn.device().emulatorSigner,
    authenticatedData: encodeActionAad(EMULATION_PROTOCOL, undefined),
    padding: paddingFor(content.length),
    guard: () => turn.random(4),
  });
  const { message } = sealed.value;
  const read = await open(EMULATION_SUITE, sealed.next, message);
  if (read.value.kind === 'application') read.value.applicationData.fill(0);
  content.fill(0);
  turn.spend([...sealed.spent, ...read.spent]);
  return { group: read.next, message };
}

/** Devices that others of the account had asked to cut off and that nobody has removed: this device goes on with it. */
function cutOffOf(
  groupId: Uint8Array,
  leaves: readonly LeafNode[],
  statements: readonly Uint8Array[],
  now: number,
): RemovalState['cutOff'] {
  const cutOff = new Map<string, Uint8Array>();
  for (const bytes of statements) {
    const statement = readStatement(bytes);
    if (statement === undefined) continue;
    const { deviceId, signatureKey, signature } = statement;
    const isThere = leaves.some((leaf) => equal(deviceIdOf(leaf), deviceId));
    const isAsked = leaves.some((leaf) => equal(leaf.signaturePublicKey, signatureKey));
    if (isThere && isAsked && ed25519.verify(signature, removalContent(groupId, deviceId), signatureKey, { zip215: false })) {
      cutOff.set(toHex(deviceId), deviceId);
    }
  }
  return [...cutOff.values()].map((deviceId) => ({ deviceId, name: '', askedHere: true, othersFrom: now }));
}

function readStatement(bytes: Uint8Array): ReturnType<typeof decodeRemovalStatement> | undefined {
  try {
    return decodeRemovalStatement(bytes);
  } catch (error) {
    if (error instanceof DecodeError) return undefined;
    throw error;
  }
}

export function recoveringTodos(recovering: RecoveringState | undefined): Todo[] {
  const request = recovering?.pending?.request;
  return request === undefined ? [] : [{ lane: 'recovery', do: 'send', call: 'recover', request, conversationId: undefined }];
}

/** The device is in the account; or the account had moved on, and the phrase is needed again; or it is not to be. */
export async function onRecoverAnswer(turn: Turn, answer: DeliveryAnswer<'recover'>): Promise<void> {
  const { recovering } = turn.state;
  const pending = recovering?.pending;
  if (pending === undefined || recovering === undefined || answer.outcome === 'unreachable') return;
  if (answer.outcome === 'refused') {
    if (answer.problem.retryAfter === undefined) giveUp(turn, recovering, recoveryProblem(answer.problem));
    return;
  }
  const { keyVersion, binding, position, sequence } = answer.value;
  const { accountId, signer, authenticationKey, request } = pending;
  const leaf = { accountId, signatureKey: request.signatureKey, replacedKeyVersion: request.keyVersion };
  const isVouched = keyVersion === request.keyVersion + 1 && (await isVouchedFor(authenticationKey, keyVersion, binding, leaf));
  if (!isVouched) return giveUp(turn, recovering, 'recovery-tampered');
  const { username } = recovering;
  turn.update({
    recovering: undefined,
    rejoining: { groups: undefined },
    account: { accountId, username, keyVersion, binding, signatureKey: request.signatureKey, signer, formerKeys: [], authenticationKey },
    cursor: beginningAt(sequence),
    contacts: new Map([[toHex(accountId), username]]),
  });
  turn.updateEmulation({ position, joinedAt: position });
  turn.notice('devices-found', String(memberLeaves(turn.emulation().group).length - 1));
  turn.outcome = { command: 'recover', problem: undefined };
}

/** What a refusal of the server's means to the person. */
export function recoveryProblem({ type, retryAfter }: { readonly type: string; readonly retryAfter?: number | undefined }): CommandProblem {
  switch (type) {
    case 'stale-epoch':
    case 'stale-key-version':
      return 'recovery-moved';
    case 'recovery-refused':
      return 'recovery-refused';
    case 'too-many':
      return 'too-many-devices';
    default:
      return retryAfter === undefined ? 'internal' : 'recovery-later';
  }
}

function giveUp(turn: Turn, recovering: RecoveringState, problem: CommandProblem): void {
  turn.outcome = { command: 'recover', problem };
  if (problem !== 'recovery-moved') {
    forgetAll(turn);
    turn.notice('recovery-failed', problem);
    return;
  }
  spendMade(turn);
  turn.update({ recovering: { ...recovering, pending: undefined }, emulation: undefined });
}

function forgetAll(turn: Turn): void {
  spendMade(turn);
  const { device } = turn.state;
  if (device !== undefined) turn.spend([device.deviceKeySeed, device.emulatorSigner]);
  turn.state = EMPTY_STATE;
}

function spendMade(turn: Turn): void {
  const { emulation, recovering } = turn.state;
  if (emulation !== undefined) {
    turn.spend([...secretsOfGroup(emulation.group), ...[...emulation.epochs.values()].flatMap((epoch) => [...epochSecrets(epoch)])]);
  }
  if (recovering?.pending !== undefined) turn.spend([recovering.pending.signer]);
}
