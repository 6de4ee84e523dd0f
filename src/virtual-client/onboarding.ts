import { Secret, toHex } from '../bytes/index.ts';
import { DecodeError, decode, encode, type Reader } from '../wire/index.ts';
import type { EmulationEpoch } from './emulation-epoch.ts';
import { readEmulationEpochState, writeEmulationEpochState } from './emulation-epoch-codec.ts';
import type { EpochId } from './epoch-id.ts';
import { readHigherLevelGroupState, writeHigherLevelGroupState, type HigherLevelGroupState } from './group-transfer.ts';
import { readRetainedOperation, writeRetainedOperation, type Operation } from './operation-secrets.ts';
import type { Protocol } from './revision.ts';

/** An account key that a live leaf or an outstanding KeyPackage still names. */
export interface SigningKeyMaterial {
  readonly keyVersion: number;
  readonly signaturePrivateKey: Secret<'signature_private_key'>;
}

/** An announced KeyPackage that a Welcome may still use. */
export interface ActiveKeyPackage {
  readonly keyPackageRef: Uint8Array;
  readonly operation: Operation;
}

/**
 * All that a device being linked is told (draft sections 4.1 and 5.4, reading section 10): what the
 * sender holds, nothing that it has deleted. Component 0x8A03, **only inside the encrypted GroupInfo
 * of a Welcome**, never in a published one.
 */
export interface NewEmulatorClientState {
  /** The sender's position in the account's sequence; the newcomer goes on from there. */
  readonly sequence: bigint;
  readonly signingKeys: readonly SigningKeyMaterial[];
  readonly activeKeyPackages: readonly ActiveKeyPackage[];
  /** Includes the epoch in which the Add commit is made; without own leaves. */
  readonly pastEmulationEpochs: readonly EmulationEpoch[];
  readonly higherLevelGroups: readonly HigherLevelGroupState[];
  readonly applicationData: Uint8Array;
}

/** One key per key version in use; versions change when a device is removed. */
const MAX_SIGNING_KEYS = 256;
/** 32 uploads of 128, far above what one account keeps outstanding. */
const MAX_ACTIVE_KEY_PACKAGES = 4096;
/** Epochs that anything still names; a leaf renewal per device and day for ten years is less. */
const MAX_EPOCHS = 4096;
/** Chorus is made for some hundred conversations. */
const MAX_GROUPS = 4096;
const MAX_KEY_PACKAGE_REF = 64;
const SIGNATURE_PRIVATE_KEY_LENGTH = 32; // Ed25519 seed

/**
 *     struct { uint32 key_version; opaque signature_private_key<V>; } SigningKeyMaterial;
 *     struct { opaque key_package_ref<V>; RetainedOperation operation; } ActiveKeyPackage;
 *     struct { uint64 sequence; SigningKeyMaterial signing_keys<V>; ActiveKeyPackage active_key_packages<V>;
 *              EmulationEpochState past_emulation_epochs<V>; HigherLevelGroupState higher_level_groups<V>;
 *              opaque application_data<V>; } NewEmulatorClientState;
 *
 * The bytes hold every secret of the account: wipe them when the Welcome is sealed.
 */
export function encodeNewEmulatorClientState(state: NewEmulatorClientState): Uint8Array {
  return encode((w) =>
    w
      .uint64(state.sequence)
      .vector(state.signingKeys, (inner, key) => inner.uint32(key.keyVersion).opaque(key.signaturePrivateKey.reveal()))
      .vector(state.activeKeyPackages, (inner, keyPackage) =>
        writeRetainedOperation(inner.opaque(keyPackage.keyPackageRef), keyPackage.operation),
      )
      .vector(state.pastEmulationEpochs, writeEmulationEpochState)
      .vector(state.higherLevelGroups, writeHigherLevelGroupState)
      .opaque(state.applicationData),
  );
}

/**
 * Refuses a state that contradicts itself: anything named twice, or an emulation epoch that a leaf or
 * an operation names and the state does not bring.
 * @throws DecodeError
 */
export function decodeNewEmulatorClientState(protocol: Protocol, bytes: Uint8Array): NewEmulatorClientState {
  const state = decode(bytes, 'NewEmulatorClientState', (r) => ({
    sequence: r.uint64('sequence'),
    signingKeys: r.vector('signing_keys', readSigningKey, MAX_SIGNING_KEYS),
    activeKeyPackages: r.vector('active_key_packages', (inner) => readActiveKeyPackage(inner, protocol), MAX_ACTIVE_KEY_PACKAGES),
    pastEmulationEpochs: r.vector('past_emulation_epochs', (inner) => readEmulationEpochState(inner, protocol), MAX_EPOCHS),
    higherLevelGroups: r.vector('higher_level_groups', (inner) => readHigherLevelGroupState(inner, protocol), MAX_GROUPS),
    applicationData: r.opaque('application_data'),
  }));
  checkDistinct(state.signingKeys, (key) => key.keyVersion, 'key_version');
  checkDistinct(state.activeKeyPackages, (keyPackage) => toHex(keyPackage.keyPackageRef), 'key_package_ref');
  checkDistinct(state.pastEmulationEpochs, (epoch) => toHex(epoch.epochId), 'epoch_id');
  checkDistinct(state.higherLevelGroups, (group) => toHex(group.groupId), 'group_id');
  const known = new Set(state.pastEmulationEpochs.map((epoch) => toHex(epoch.epochId)));
  for (const epochId of epochsNamedIn(state)) {
    if (!known.has(toHex(epochId))) throw new DecodeError('invalid-value', 'an emulation epoch is named and not brought along');
  }
  return state;
}

function* epochsNamedIn(state: NewEmulatorClientState): Generator<EpochId> {
  for (const { operation } of state.activeKeyPackages) yield operation.epochId;
  for (const group of state.higherLevelGroups) {
    if (group.type !== 'state_transfer') continue;
    yield group.leaf.epochId;
    for (const operation of group.pendingOperations) yield operation.epochId;
  }
}

function readSigningKey(reader: Reader): SigningKeyMaterial {
  return {
    keyVersion: reader.uint32('key_version'),
    signaturePrivateKey: Secret.of('signature_private_key', reader.opaqueOf(SIGNATURE_PRIVATE_KEY_LENGTH, 'signature_private_key')),
  };
}

function readActiveKeyPackage(reader: Reader, protocol: Protocol): ActiveKeyPackage {
  return { keyPackageRef: reader.opaque('key_package_ref', MAX_KEY_PACKAGE_REF), operation: readRetainedOperation(reader, protocol) };
}

function checkDistinct<Item>(items: readonly Item[], name: (item: Item) => unknown, what: string): void {
  if (new Set(items.map(name)).size !== items.length) throw new DecodeError('invalid-value', `${what} doubled`);
}
