import { equal, type Spending } from '../bytes/index.ts';
import { DecodeError } from '../wire/index.ts';
import type { CipherSuite } from './ciphersuite.ts';
import { isInRoster, type EmulationEpoch } from './emulation-epoch.ts';
import { epochIdOf, type EpochId } from './epoch-id.ts';
import { VirtualClientError } from './errors.ts';
import { deriveEncryptionKeyPair } from './operation-keys.ts';
import { evaluateOperation, type Operation } from './operation-secrets.ts';
import type { DerivationInfoFields, EpochInfo, Protocol } from './revision.ts';

/** DerivationInfoComponent of a LeafNode (draft section 5.3). */
export interface DerivationInfo extends DerivationInfoFields {
  readonly epochId: EpochId;
}

/**
 * Component 0x8A01 for the LeafNode with the HPKE public key `encryptionKey` (its bytes, no prefix):
 *
 *     ciphertext = AEAD.Seal(key, nonce, epoch_id, EpochInfoTBE { leaf_index, random })
 *
 * with key and nonce of reading section 5, both bound to `encryptionKey`, so that no nonce is used
 * twice: an operation, and with it a leaf key, exists once.
 * @throws VirtualClientError 'unknown-emulation-epoch' when the operation is of another epoch
 */
export function sealDerivationInfo(
  { suite, revision }: Protocol,
  epoch: EmulationEpoch,
  operation: Operation,
  encryptionKey: Uint8Array,
): Uint8Array {
  if (!equal(operation.epochId, epoch.epochId)) throw new VirtualClientError('unknown-emulation-epoch');
  const { key, nonce } = revision.derivationInfoKey(suite, epoch.epochEncryptionKey, encryptionKey);
  const ciphertext = suite.seal(key, nonce, epoch.epochId, revision.encodeEpochInfo(operation));
  key.fill(0);
  return revision.encodeDerivationInfo({ epochId: epoch.epochId, ciphertext });
}

/** Reads the component; its `epochId` says which epoch opens it. @throws DecodeError */
export function decodeDerivationInfo({ suite, revision }: Protocol, component: Uint8Array): DerivationInfo {
  const { epochId, ciphertext } = revision.decodeDerivationInfo(suite, component);
  return { epochId: epochIdOf(suite, epochId), ciphertext };
}

/**
 * Who made the LeafNode, and with which random value. Changes nothing.
 * @throws VirtualClientError 'unknown-emulation-epoch', 'derivation-info-not-ours', 'derivation-info-malformed',
 * 'leaf-not-in-roster'
 */
export function openDerivationInfo(
  { suite, revision }: Protocol,
  epoch: EmulationEpoch,
  info: DerivationInfo,
  encryptionKey: Uint8Array,
): EpochInfo {
  if (!equal(info.epochId, epoch.epochId)) throw new VirtualClientError('unknown-emulation-epoch');
  const { key, nonce } = revision.derivationInfoKey(suite, epoch.epochEncryptionKey, encryptionKey);
  const plaintext = suite.open(key, nonce, epoch.epochId, info.ciphertext);
  key.fill(0);
  if (plaintext === undefined) throw new VirtualClientError('derivation-info-not-ours');
  let opened: EpochInfo;
  try {
    opened = revision.decodeEpochInfo(suite, plaintext);
  } catch (error) {
    if (error instanceof DecodeError) throw new VirtualClientError('derivation-info-malformed', error.code);
    throw error;
  }
  if (!isInRoster(epoch, opened.emulatorLeaf)) throw new VirtualClientError('leaf-not-in-roster');
  return opened;
}

/**
 * A sibling's side of a LeafNode: opens its DerivationInfo, evaluates the operation and checks that it
 * gives the LeafNode's `encryption_key` for a group of suite `target`. As with `evaluateOperation`,
 * `next` is stored in one transaction with what the leaf changes, after the last check. On a throw
 * nothing is spent and the operation secret is wiped.
 * @throws VirtualClientError as `openDerivationInfo` and `evaluateOperation`, and 'derived-key-mismatch'
 */
export function followLeaf(
  protocol: Protocol,
  epoch: EmulationEpoch,
  info: DerivationInfo,
  encryptionKey: Uint8Array,
  target: CipherSuite,
): Spending<EmulationEpoch, Operation> {
  const { emulatorLeaf, random } = openDerivationInfo(protocol, epoch, info, encryptionKey);
  const followed = evaluateOperation(protocol, epoch, emulatorLeaf, random);
  const derived = deriveEncryptionKeyPair(protocol, followed.value, target);
  derived.privateKey.wipe();
  if (!equal(derived.publicKey, encryptionKey)) {
    followed.value.operationSecret.wipe();
    throw new VirtualClientError('derived-key-mismatch');
  }
  return followed;
}
