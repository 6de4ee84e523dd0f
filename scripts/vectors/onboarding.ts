import { Secret, toHex } from '../../src/bytes/index.ts';
import { sealStateBlob, type StateTransfer } from '../../src/virtual-client/group-transfer.ts';
import { encodeLiveLeaf } from '../../src/virtual-client/live-leaf.ts';
import { encodeNewEmulatorClientState } from '../../src/virtual-client/onboarding.ts';
import { activate } from '../../src/virtual-client/operation-keys.ts';
import type { Operation } from '../../src/virtual-client/operation-secrets.ts';
import { describeInputs, hex, protocol, suite, type VectorEpoch } from './operations.ts';
import type { VectorRandom } from './random.ts';
import type { OnboardingVector, TransferVector } from './types.ts';

/** Operations by what they serve; the indices of the vector. */
const KEY_PACKAGE = 0;
const LEAF = 1;
const PENDING = 2;
const LEAF_IN_BLOB = 3;

/** A NewEmulatorClientState with one of everything: all three ways into a group among it. */
export function describeOnboarding(random: VectorRandom, vectorEpoch: VectorEpoch): OnboardingVector {
  const bytes = (length: number): Uint8Array => random.distinct('bytes', () => random.bytes(length));
  const operations = [KEY_PACKAGE, LEAF, PENDING, LEAF_IN_BLOB].map(() => vectorEpoch.allocate());
  const { leafCount } = vectorEpoch.state;
  const occupied = Array.from({ length: leafCount }, (_, leaf) => leaf).filter(
    (leaf) => random.below(2) === 0 || operations.some(({ emulatorLeaf }) => emulatorLeaf === leaf),
  );
  const epoch = {
    ...vectorEpoch.state,
    epoch: BigInt(1 + random.below(2 ** 16)),
    roster: occupied.map((emulatorLeaf) => ({ emulatorLeaf, signatureKey: bytes(32) })),
  };

  const transfer = (operation: Operation, pendingOperations: readonly Operation[]) => ({
    groupId: bytes(16),
    transfer: {
      logPosition: BigInt(random.below(2 ** 32)),
      groupState: bytes(64 + random.below(64)),
      leaf: activate(protocol, operation, suite).next,
      pendingOperations,
    },
  });
  const whole = transfer(operations[LEAF]!, [operations[PENDING]!]);
  const inBlob = transfer(operations[LEAF_IN_BLOB]!, []);
  const { reference, blob } = sealStateBlob(protocol, inBlob.groupId, inBlob.transfer, bytes);
  const externally = bytes(16 + random.below(32));
  const signingKeys = [2, 1].map((keyVersion) => ({
    keyVersion,
    signaturePrivateKey: Secret.of('signature_private_key', bytes(32)),
  }));
  const keyPackageRef = bytes(suite.nh);
  const sequence = random.below(2 ** 32);
  const applicationData = bytes(1 + random.below(64)); // an empty one could be drawn once only

  const state = encodeNewEmulatorClientState({
    sequence: BigInt(sequence),
    signingKeys,
    activeKeyPackages: [{ keyPackageRef, operation: operations[KEY_PACKAGE]! }],
    pastEmulationEpochs: [epoch],
    higherLevelGroups: [
      { groupId: whole.groupId, type: 'state_transfer', ...whole.transfer },
      { groupId: externally, type: 'external_commit' },
      { groupId: inBlob.groupId, type: 'state_reference', ...reference },
    ],
    applicationData,
  });

  return {
    operations: operations.map(describeInputs),
    sequence,
    signing_keys: signingKeys.map((key) => ({ key_version: key.keyVersion, signature_private_key: hex(key.signaturePrivateKey) })),
    active_key_packages: [{ key_package_ref: toHex(keyPackageRef), operation: KEY_PACKAGE }],
    emulation_epoch: {
      epoch: Number(epoch.epoch),
      leaves: epoch.roster.map((leaf) => ({ leaf_index: leaf.emulatorLeaf, signature_key: toHex(leaf.signatureKey) })),
    },
    state_transfer: describeTransfer(whole.groupId, whole.transfer, LEAF, [PENDING]),
    external_commit: { group_id: toHex(externally) },
    state_reference: {
      ...describeTransfer(inBlob.groupId, inBlob.transfer, LEAF_IN_BLOB, []),
      blob_key: hex(reference.blobKey),
      blob: toHex(blob),
      blob_hash: toHex(reference.blobHash),
      blob_length: Number(reference.blobLength),
    },
    application_data: toHex(applicationData),
    new_emulator_client_state: toHex(state),
  };
}

function describeTransfer(groupId: Uint8Array, transfer: StateTransfer, leaf: number, pending: number[]): TransferVector {
  return {
    group_id: toHex(groupId),
    log_position: Number(transfer.logPosition),
    group_state: toHex(transfer.groupState),
    leaf_operation: leaf,
    live_leaf: toHex(encodeLiveLeaf(transfer.leaf)),
    pending_operations: pending,
  };
}
