import { equal, toHex, type Secret } from '../bytes/index.ts';
import { getComponent, type LeafNode, type LeafTemplate, type MlsSuite, type OwnPath } from '../mls/index.ts';
import {
  activate,
  allocateOperation,
  createReuseGuard,
  decodeDerivationInfo,
  deriveEncryptionKeyPair,
  derivePathSecret,
  evaluateOperation,
  generationId,
  guardKey,
  isInRoster,
  openDerivationInfo,
  recoverSender,
  sealDerivationInfo,
  VirtualClientError,
  type EmulationEpoch,
  type GuardKey,
  type LiveLeaf,
  type Operation,
  type RatchetType,
} from '../virtual-client/index.ts';
import { EngineError } from './errors.ts';
import { virtualLeafTemplate } from './leaf-templates.ts';
import type { GenerationClaim } from './ports.ts';
import { COMPONENTS, EMULATION_PROTOCOL } from './protocol.ts';
import type { Conversation } from './state.ts';
import type { Turn } from './turn.ts';

/** The virtual client's leaf in a higher-level group: made by us, followed when a sibling made it, sent through. */

/** An operation of ours in the newest emulation epoch; punctured in the turn's state. */
export function allocate(turn: Turn): Operation {
  const epoch = currentEpoch(turn);
  const { next, value, spent } = allocateOperation(EMULATION_PROTOCOL, epoch, turn.random);
  putEpoch(turn, next);
  turn.spend(spent);
  return value;
}

/** The leaf and path secrets of a new operation, for a key package, a creation or a commit of a group of `suite`. */
export function prepareLeaf(
  turn: Turn,
  operation: Operation,
  suite: MlsSuite,
): { template: LeafTemplate; encryptionKey: Uint8Array; own: OwnPath } {
  const keys = deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, suite);
  const derivationInfo = sealDerivationInfo(EMULATION_PROTOCOL, currentEpoch(turn), operation, keys.publicKey);
  return {
    template: virtualLeafTemplate(turn.account(), derivationInfo),
    encryptionKey: keys.publicKey,
    own: { encryptionPrivateKey: keys.privateKey, pathSecret: derivePathSecret(EMULATION_PROTOCOL, operation, suite) },
  };
}

/**
 * The operation behind an own leaf that came in through the log, ours or a sibling's: from the kept
 * ones, else evaluated, which punctures the turn's state. All checks come before the puncture.
 * @throws EngineError, VirtualClientError
 */
export function followOwnLeaf(
  turn: Turn,
  leaf: LeafNode,
  suite: MlsSuite,
  context: { readonly active: LiveLeaf | undefined; readonly operations: readonly Operation[] },
): { operation: Operation; own: OwnPath } {
  const info = derivationInfoOf(leaf);
  const epoch = epochOf(turn, toHex(info.epochId));
  if (epoch === undefined) throw new EngineError('unknown-emulation-epoch');
  const { floor } = turn.emulation();
  if (epoch.epoch < floor.epoch) throw new EngineError('stale-emulation-epoch');
  const activeEpoch = context.active && epochOf(turn, toHex(context.active.epochId));
  if (activeEpoch !== undefined && epoch.epoch < activeEpoch.epoch) throw new EngineError('stale-emulation-epoch');
  const { emulatorLeaf, random } = openDerivationInfo(EMULATION_PROTOCOL, epoch, info, leaf.hpkePublicKey);
  const kept = context.operations.find(
    (operation) => operation.emulatorLeaf === emulatorLeaf && equal(operation.epochId, epoch.epochId) && equal(operation.random, random),
  );
  const operation = kept ?? evaluate(turn, epoch, emulatorLeaf, random);
  const keys = deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, suite);
  if (!equal(keys.publicKey, leaf.hpkePublicKey)) throw new EngineError('leaf-keys-mismatch');
  return { operation, own: { encryptionPrivateKey: keys.privateKey, pathSecret: derivePathSecret(EMULATION_PROTOCOL, operation, suite) } };
}

/** Punctures the turn's state at the operation that a sibling made known. @throws VirtualClientError */
export function evaluate(turn: Turn, epoch: EmulationEpoch, emulatorLeaf: number, random: Uint8Array): Operation {
  const { next, value, spent } = evaluateOperation(EMULATION_PROTOCOL, epoch, emulatorLeaf, random);
  putEpoch(turn, next);
  turn.spend(spent);
  return value;
}

/** The operation's leaf is active now: what is kept of it. The operation secret goes with the turn's spent ones. */
export function becomeActive(turn: Turn, operation: Operation, suite: MlsSuite): LiveLeaf {
  const { next, spent } = activate(EMULATION_PROTOCOL, operation, suite);
  turn.spend(spent);
  return next;
}

/** The conversation's current guard key; undefined when its leaf's emulation epoch is not known any more. */
export function currentGuardKey(turn: Turn, conversation: Conversation): GuardKey | undefined {
  if (conversation.leaf === undefined) return undefined;
  const epoch = epochOf(turn, toHex(conversation.leaf.epochId));
  return epoch && guardKey(epoch, conversation.leaf);
}

/** Draws the reuse guard of one message (draft section 5.8) and names its generation to the server (5.9). */
export function sendingPorts(
  turn: Turn,
  conversation: Conversation,
): { guard: (keyScheduleNonce: Uint8Array) => Uint8Array; claim: (generation: number, ratchetType: RatchetType) => GenerationClaim } {
  const key = currentGuardKey(turn, conversation);
  const epoch = conversation.leaf && epochOf(turn, toHex(conversation.leaf.epochId));
  if (key === undefined || epoch === undefined) throw new EngineError('unknown-emulation-epoch');
  return {
    guard: (keyScheduleNonce) => createReuseGuard(EMULATION_PROTOCOL, key, keyScheduleNonce, turn.random),
    claim: (generation, ratchetType) => ({ ratchetType, generationId: generationId(EMULATION_PROTOCOL, epoch, generation, ratchetType) }),
  };
}

/** Which of the account's devices sent a message of the virtual client. */
export interface Attribution {
  readonly name: string;
  readonly known: boolean;
  readonly own: boolean;
}

/** Inverts the reuse guard. A vacant leaf is an unknown device. */
export function attribute(turn: Turn, key: GuardKey, keyScheduleNonce: Uint8Array, reuseGuard: Uint8Array): Attribution {
  const { emulatorLeaf } = recoverSender(EMULATION_PROTOCOL, key, keyScheduleNonce, reuseGuard);
  const epoch = epochOf(turn, toHex(key.epochId));
  if (epoch === undefined || !isInRoster(epoch, emulatorLeaf)) return { name: '', known: false, own: false };
  const { signatureKey } = epoch.roster.find((member) => member.emulatorLeaf === emulatorLeaf)!;
  return {
    name: turn.emulation().deviceNames.get(toHex(signatureKey)) ?? '',
    known: true,
    own: emulatorLeaf === key.ownEmulatorLeaf,
  };
}

/** Whether this device may send through the conversation's leaf (reading section 8: it was a member at the leaf's epoch). */
export function maySend(epochs: ReadonlyMap<string, EmulationEpoch>, conversation: Conversation): boolean {
  const epoch = conversation.leaf && epochs.get(toHex(conversation.leaf.epochId));
  return epoch?.ownEmulatorLeaf !== undefined;
}

export function currentEpoch(turn: Turn): EmulationEpoch {
  const epoch = epochOf(turn, turn.emulation().currentEpochId);
  if (epoch === undefined) throw new EngineError('not-ready');
  return epoch;
}

export function epochOf(turn: Turn, epochId: string): EmulationEpoch | undefined {
  return turn.emulation().epochs.get(epochId);
}

export function putEpoch(turn: Turn, epoch: EmulationEpoch): void {
  turn.updateEmulation({ epochs: new Map(turn.emulation().epochs).set(toHex(epoch.epochId), epoch) });
}

/** The secrets of an own path once it is applied or given up. */
export function pathSecrets(own: OwnPath): Secret<string>[] {
  return [own.encryptionPrivateKey, own.pathSecret];
}

function derivationInfoOf(leaf: LeafNode): ReturnType<typeof decodeDerivationInfo> {
  const component = getComponent(leaf.extensions, COMPONENTS.derivationInfo);
  if (component === undefined) throw new VirtualClientError('derivation-info-not-ours');
  return decodeDerivationInfo(EMULATION_PROTOCOL, component);
}
