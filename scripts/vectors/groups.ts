import { toHex } from '../../src/bytes/index.ts';
import { encapsulateInitSecret } from '../../src/mls/key-schedule.ts';
import {
  buildKeyPackageLeaf,
  createGroup,
  externalCommit,
  groupInfoOf,
  leafNodeCodec,
  type GroupState,
  type LeafNode,
} from '../../src/mls/index.ts';
import {
  deriveExternalInitKeyPair,
  deriveExternalInitSeed,
  deriveGroupCreationSecret,
  derivePathSecret,
  expandPath,
} from '../../src/virtual-client/operation-keys.ts';
import { accountTemplate, LIFETIME, ordinaryMember, type Account } from './account.ts';
import { describeInputs, hex, protocol, suite, type VectorEpoch } from './operations.ts';
import type { VectorRandom } from './random.ts';
import type { ExternalCommitVector, GroupCreationVector } from './types.ts';

/** Epoch 0 of a group that the virtual client creates (reading section 13). */
export async function describeGroupCreation(random: VectorRandom, epoch: VectorEpoch, account: Account): Promise<GroupCreationVector> {
  const operation = epoch.allocate();
  const { publicKey, privateKey, derivationInfo } = epoch.leafOf(operation);
  const leaf: LeafNode = await buildKeyPackageLeaf(
    suite,
    accountTemplate(account, derivationInfo),
    publicKey,
    LIFETIME,
    account.signer.privateKey,
  );
  const groupId = random.distinct('bytes', () => random.bytes(16));
  const epochSecret = deriveGroupCreationSecret(protocol, operation, suite);
  const group = createGroup(suite, {
    groupId,
    extensions: [],
    leaf,
    encryptionPrivateKey: privateKey,
    epochSecret,
    useSafeExporter: false,
    random: random.bytes,
  });
  return {
    operation: describeInputs(operation),
    group_id: toHex(groupId),
    leaf_node: toHex(leafNodeCodec.encode(leaf)),
    epoch_secret: hex(epochSecret),
    confirmation_tag: toHex(group.confirmationTag),
    epoch_authenticator: toHex(group.schedule.epochAuthenticator),
    group_info: toHex(await groupInfoOf(suite, group, account.signer.privateKey)),
  };
}

/** The virtual client joins a group of one ordinary member from outside (draft section 5.5.2, reading section 11). */
export async function describeExternalCommit(random: VectorRandom, epoch: VectorEpoch, account: Account): Promise<ExternalCommitVector> {
  const base = await groupOfOne(random);
  const external = suite.deriveKeyPair(base.group.schedule.externalSecret.reveal());
  const operation = epoch.allocate();
  const { privateKey, derivationInfo } = epoch.leafOf(operation);
  const ephemeral = deriveExternalInitKeyPair(protocol, operation, suite);
  const externalInit = { publicKey: ephemeral.publicKey, privateKey: ephemeral.privateKey.reveal() };
  const made = await externalCommit(suite, base.groupInfo, {
    own: { encryptionPrivateKey: privateKey, pathSecret: derivePathSecret(protocol, operation, suite) },
    externalInit,
    checkLeaf: () => Promise.resolve(),
    useSafeExporter: false,
    leaf: accountTemplate(account, derivationInfo),
    signer: account.signer.privateKey,
    authenticatedData: new Uint8Array(),
    random: random.bytes,
  });
  const { kemOutput, initSecret } = encapsulateInitSecret(suite, external.publicKey, externalInit);
  return {
    operation: describeInputs(operation),
    group_info: toHex(base.groupInfo),
    external_private_key: toHex(external.privateKey),
    external_pub: toHex(external.publicKey),
    external_init_seed: hex(deriveExternalInitSeed(protocol, operation, suite)),
    kem_output: toHex(kemOutput),
    init_secret: hex(initSecret),
    commit: toHex(made.message),
    commit_secret: hex(expandPath(suite, derivePathSecret(protocol, operation, suite), 1).commitSecret),
    confirmation_tag: toHex(made.state.confirmationTag),
    epoch_authenticator: toHex(made.state.schedule.epochAuthenticator),
  };
}

async function groupOfOne(random: VectorRandom): Promise<{ group: GroupState; groupInfo: Uint8Array }> {
  const { signer, template, encryptionKey, encryptionPrivateKey } = ordinaryMember(random, 'member 0');
  const group = createGroup(suite, {
    groupId: random.distinct('bytes', () => random.bytes(16)),
    extensions: [],
    leaf: await buildKeyPackageLeaf(suite, template, encryptionKey, LIFETIME, signer.privateKey),
    encryptionPrivateKey,
    useSafeExporter: false,
    random: random.bytes,
  });
  return { group, groupInfo: await groupInfoOf(suite, group, signer.privateKey) };
}
