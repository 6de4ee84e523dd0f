import { Secret, toHex } from '../../src/bytes/index.ts';
import { getSuite } from '../../src/mls/suite.ts';
import { encodeAction, encodeActionAad, type VirtualClientAction } from '../../src/virtual-client/actions.ts';
import { sealDerivationInfo } from '../../src/virtual-client/derivation-info.ts';
import { deriveEmulationEpoch, type EmulationEpoch } from '../../src/virtual-client/emulation-epoch.ts';
import { encodeResyncMessage } from '../../src/virtual-client/emulation-message.ts';
import { generationId, RATCHET_TYPE, type RatchetType } from '../../src/virtual-client/generation-id.ts';
import {
  deriveEncryptionKeyPair,
  deriveEncryptionKeySecret,
  deriveExternalInitKeyPair,
  deriveExternalInitSeed,
  deriveGroupCreationSecret,
  deriveInitKeyPair,
  deriveInitKeySecret,
  deriveLeafNodeSecret,
  derivePathSecret,
  deriveSignatureKeySecret,
  expandPath,
} from '../../src/virtual-client/operation-keys.ts';
import { allocateOperation, operationLeaf, type Operation } from '../../src/virtual-client/operation-secrets.ts';
import { encodePprfState } from '../../src/virtual-client/pprf-codec.ts';
import { createPprf, evaluate, pprfNodes } from '../../src/virtual-client/pprf.ts';
import { deriveRecoveryKey, signRecovery } from '../../src/virtual-client/recovery.ts';
import { drawPreimage, encodeReuseGuard } from '../../src/virtual-client/reuse-guard.ts';
import { draft00 } from '../../src/virtual-client/revisions/draft-00.ts';
import { describeAccount } from './account.ts';
import { describeExternalCommit, describeGroupCreation } from './groups.ts';
import { describeOnboarding } from './onboarding.ts';
import { hex, protocol, suite, VectorEpoch } from './operations.ts';
import { VectorRandom } from './random.ts';
import type { OperationVector, Vector } from './types.ts';
import { describeUpdatePath } from './update-path.ts';

const target3 = getSuite(3);
const PATH_NODES = 3;

/** `count` vectors, made by the project's own code from random values that `seed` fixes. */
export async function generateVectors(seed: bigint, count: number): Promise<Vector[]> {
  const random = new VectorRandom(seed);
  const more = new VectorRandom(seed, 'Chorus test vectors of whole groups');
  const vectors: Vector[] = [];
  for (let i = 0; i < count; i++) vectors.push(await generateVector(random, more));
  return vectors;
}

async function generateVector(random: VectorRandom, more: VectorRandom): Promise<Vector> {
  const secret = (length: number = suite.nh): Uint8Array => random.distinct('bytes', () => random.bytes(length));
  const leafCount = 2 ** random.below(6);
  const applicationExportSecret = secret();

  const exporter = createPprf(Secret.of('application_export_secret', applicationExportSecret.slice()), 16);
  const exported = evaluate(suite, exporter, draft00.components.emulatorEpochSecret, 'component_secret');
  const emulatorEpochSecret = toHex(exported.value.reveal());
  const epoch = deriveEmulationEpoch(protocol, exported.value, {
    epoch: 0n,
    leafCount,
    roster: Array.from({ length: leafCount }, (_, emulatorLeaf) => ({ emulatorLeaf, signatureKey: new Uint8Array() })),
    ownEmulatorLeaf: undefined,
  }).next;
  const [root] = pprfNodes(epoch.pprf);
  const epochBaseSecret = hex(root!.secret);

  const operations: OperationVector[] = [];
  let current = epoch;
  for (let i = 0; i < 2 + random.below(2); i++) {
    const acting: EmulationEpoch = { ...current, ownEmulatorLeaf: random.below(leafCount) };
    const { next, value } = allocateOperation(protocol, acting, () => secret());
    current = next;
    operations.push(describeOperation(value, next));
  }

  return {
    cipher_suite: 1,
    application_export_secret: toHex(applicationExportSecret),
    emulator_epoch_secret: emulatorEpochSecret,
    exporter_tree_after: toHex(encodePprfState(exported.next)),
    epoch_id: toHex(epoch.epochId),
    epoch_base_secret: epochBaseSecret,
    epoch_encryption_key: hex(epoch.epochEncryptionKey),
    generation_id_secret: hex(epoch.generationIdSecret),
    leaf_count: leafCount,
    operations,
    pprf: describePprf(random, secret()),
    reuse_guards: [0, 1].map(() => describeGuard(random, secret(), secret(suite.nn))),
    generation_ids: (['application', 'handshake'] as const).map((type) => describeGenerationId(random, epoch, type)),
    key_package_upload: describeUpload(
      epoch,
      [0, 1, 2].map(() => ({ keyPackageRef: secret(), random: secret() })),
    ),
    external_join: describeJoin(secret(16 + random.below(32))),
    recovery: describeRecovery(random, secret),
    ...(await describeGroups(more, current)),
  };
}

/** What came with a later issue: a stream of its own, so that the values above stay what they were. */
async function describeGroups(random: VectorRandom, after: EmulationEpoch) {
  const epoch = new VectorEpoch(after, random);
  const onboarding = describeOnboarding(random, epoch);
  const { account, vector } = await describeAccount(random);
  const key = random.distinct('bytes', () => random.bytes(32));
  const message = encodeResyncMessage(Secret.of('signature_private_key', key));
  return {
    resync_message: { signature_private_key: toHex(key), emulation_message: toHex(message) },
    onboarding,
    account: vector,
    group_creation: await describeGroupCreation(random, epoch, account),
    update_path: await describeUpdatePath(random, epoch, account),
    external_commit: await describeExternalCommit(random, epoch, account),
  };
}

function describeOperation(operation: Operation, after: EmulationEpoch): OperationVector {
  const encryptionKey = deriveEncryptionKeyPair(protocol, operation, suite).publicKey;
  const derivation = draft00.derivationInfoKey(suite, after.epochEncryptionKey, encryptionKey);
  const path = (nodes: number): ReturnType<typeof expandPath> => expandPath(suite, derivePathSecret(protocol, operation, suite), nodes);
  return {
    leaf_index: operation.emulatorLeaf,
    random: toHex(operation.random),
    pprf_input: toHex(draft00.pprfInput(suite, operation.emulatorLeaf, operation.random)),
    pprf_leaf: operationLeaf(protocol, operation.emulatorLeaf, operation.random),
    operation_secret: hex(operation.operationSecret),
    signature_key_secret: hex(deriveSignatureKeySecret(protocol, operation, suite)),
    encryption_key_secret: hex(deriveEncryptionKeySecret(protocol, operation, suite)),
    init_key_secret: hex(deriveInitKeySecret(protocol, operation, suite)),
    path_generation_secret: hex(derivePathSecret(protocol, operation, suite)),
    leaf_node_secret: hex(deriveLeafNodeSecret(protocol, operation)),
    external_init_seed: hex(deriveExternalInitSeed(protocol, operation, suite)),
    group_creation_secret: hex(deriveGroupCreationSecret(protocol, operation, suite)),
    encryption_public_key: toHex(encryptionKey),
    init_public_key: toHex(deriveInitKeyPair(protocol, operation, suite).publicKey),
    external_init_public_key: toHex(deriveExternalInitKeyPair(protocol, operation, suite).publicKey),
    path_public_keys: path(PATH_NODES).publicKeys.map(toHex),
    commit_secrets: Array.from({ length: PATH_NODES + 1 }, (_, nodes) => hex(path(nodes).commitSecret)),
    epoch_info_tbe: toHex(draft00.encodeEpochInfo(operation)),
    derivation_key: toHex(derivation.key),
    derivation_nonce: toHex(derivation.nonce),
    derivation_info: toHex(sealDerivationInfo(protocol, after, operation, encryptionKey)),
    target_suite_3: {
      encryption_key_secret: hex(deriveEncryptionKeySecret(protocol, operation, target3)),
      init_key_secret: hex(deriveInitKeySecret(protocol, operation, target3)),
      path_generation_secret: hex(derivePathSecret(protocol, operation, target3)),
      encryption_public_key: toHex(deriveEncryptionKeyPair(protocol, operation, target3).publicKey),
      init_public_key: toHex(deriveInitKeyPair(protocol, operation, target3).publicKey),
    },
    pprf_state_after: toHex(encodePprfState(after.pprf)),
  };
}

/** Siblings in the tree, neighbours that are none, and a leaf on its own. */
function describePprf(random: VectorRandom, root: Uint8Array): Vector['pprf'] {
  const leaf = (choose: (drawn: number) => number): number => random.distinct('pprf leaf', () => choose(random.below(2 ** 32)));
  const right = leaf((drawn) => (drawn | 1) >>> 0);
  const odd = leaf((drawn) => ((drawn & 0x7fffffff) | 1) >>> 0);
  const leaves = [right, right - 1, odd, odd + 1];
  const alone = leaf((drawn) => (leaves.includes(drawn) ? right : drawn));
  let state = createPprf(Secret.of('pprf_root', root.slice()), 32);
  const secrets: string[] = [];
  for (const number of [...leaves, alone]) {
    const { next, value } = evaluate(suite, state, number, 'operation_secret');
    state = next;
    secrets.push(hex(value));
  }
  return { root: toHex(root), leaves: [...leaves, alone], secrets, state_after: toHex(encodePprfState(state)) };
}

function describeGuard(random: VectorRandom, leafNodeSecret: Uint8Array, nonce: Uint8Array): Vector['reuse_guards'][number] {
  const leafCount = 2 ** random.below(16);
  const leafIndex = random.below(leafCount);
  const x = random.distinct('x', () => drawPreimage(leafCount, leafIndex, random.bytes));
  const key = { leafNodeSecret: Secret.of('leaf_node_secret', leafNodeSecret) };
  return {
    leaf_node_secret: toHex(leafNodeSecret),
    key_schedule_nonce: toHex(nonce),
    leaf_count: leafCount,
    leaf_index: leafIndex,
    x,
    prp_key: toHex(draft00.prpKey(suite, key.leafNodeSecret, nonce)),
    reuse_guard: toHex(encodeReuseGuard(protocol, key, nonce, x)),
  };
}

function describeGenerationId(random: VectorRandom, epoch: EmulationEpoch, type: RatchetType): Vector['generation_ids'][number] {
  const generation = random.distinct('generation', () => random.below(2 ** 32));
  return { generation, ratchet_type: RATCHET_TYPE[type], generation_id: toHex(generationId(protocol, epoch, generation, type)) };
}

function describeUpload(
  epoch: EmulationEpoch,
  keyPackages: readonly { keyPackageRef: Uint8Array; random: Uint8Array }[],
): Vector['key_package_upload'] {
  return {
    epoch_id: toHex(epoch.epochId),
    key_packages: keyPackages.map((info) => ({ key_package_ref: toHex(info.keyPackageRef), random: toHex(info.random) })),
    ...describeAction({ type: 'key_package_upload', epochId: epoch.epochId, keyPackages }),
  };
}

function describeJoin(groupId: Uint8Array): Vector['external_join'] {
  return { group_id: toHex(groupId), ...describeAction({ type: 'external_join', groupId }) };
}

function describeAction(action: VirtualClientAction): { virtual_client_action: string; safe_aad: string } {
  return { virtual_client_action: toHex(encodeAction(action)), safe_aad: toHex(encodeActionAad(protocol, action)) };
}

function describeRecovery(random: VectorRandom, secret: (length?: number) => Uint8Array): Vector['recovery'] {
  const entropy = secret();
  const key = deriveRecoveryKey(protocol, Secret.of('phrase_entropy', entropy));
  const epoch = random.distinct('recovery epoch', () => random.below(2 ** 21) * 2 ** 32 + random.below(2 ** 32)); // below 2^53
  const grant = { groupId: secret(16 + random.below(32)), epoch: BigInt(epoch), signatureKey: secret() };
  return {
    phrase_entropy: toHex(entropy),
    public_key: toHex(key.publicKey),
    group_id: toHex(grant.groupId),
    epoch,
    signature_key: toHex(grant.signatureKey),
    signature: toHex(signRecovery(key, grant)),
  };
}
