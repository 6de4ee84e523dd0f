import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import type { OperationInputs, Vector } from '../../../scripts/vectors/types.ts';
import { fromHex, Secret, toHex } from '../../../src/bytes/index.ts';
import { applyOwnUpdatePath, openUpdatePath, type PathKeys, type PathSetting } from '../../../src/mls/update-path.ts';
import {
  decodeExact,
  followExternalCommit,
  getComponent,
  joinFromEpochZero,
  type LeafCheck,
  type LeafNode,
} from '../../../src/mls/index.ts';
import { pathSecretsOf } from '../../../src/mls/own-path.ts';
import { RatchetTree } from '../../../src/mls/ratchet-tree.ts';
import { groupContextCodec, updatePathCodec } from '../../../src/mls/ts-mls.ts';
import {
  decodeAccountBinding,
  decodeDerivationInfo,
  deriveEncryptionKeyPair,
  deriveExternalInitKeyPair,
  deriveGroupCreationSecret,
  derivePathSecret,
  draft00,
  epochIdOf,
  verifyAccountBinding,
  type HpkeKeyPair,
  type Operation,
} from '../../../src/virtual-client/index.ts';
import { acceptAll, suite } from '../../support/mls-group.ts';

// The groups of the published test vectors, as a sibling and as other members follow them (docs/test-vectors.md).

const protocol = { suite, revision: draft00 };
const file = new URL('../../../test-vectors/virtual-clients-draft-00.json', import.meta.url);
const vectors = JSON.parse(readFileSync(file, 'utf8')) as Vector[];

/** What a sibling has evaluated of the operation that the leaf names. */
function operationOf(vector: Vector, inputs: OperationInputs): Operation {
  return {
    epochId: epochIdOf(suite, fromHex(vector.epoch_id)),
    emulatorLeaf: inputs.leaf_index,
    random: fromHex(inputs.random),
    operationSecret: Secret.of('operation_secret', fromHex(inputs.operation_secret)),
  };
}

const ownPathOf = (operation: Operation) => ({
  encryptionPrivateKey: deriveEncryptionKeyPair(protocol, operation, suite).privateKey,
  pathSecret: derivePathSecret(protocol, operation, suite),
});

/** The virtual client's leaf names our emulation epoch and is vouched for. */
async function expectVirtualLeaf(vector: Vector, leaf: LeafNode): Promise<void> {
  const info = decodeDerivationInfo(protocol, getComponent(leaf.extensions, draft00.components.derivationInfo)!);
  expect(toHex(info.epochId)).toBe(vector.epoch_id);
  const authenticationKey = suite.signatureKeyPair(fromHex(vector.account.authentication_private_key)).publicKey;
  const binding = decodeAccountBinding(getComponent(leaf.extensions, draft00.components.accountBinding)!);
  await verifyAccountBinding(protocol, suite, authenticationKey, binding, {
    accountId: fromHex(vector.account.account_id),
    signatureKey: leaf.signaturePublicKey,
    replacedKeyVersion: undefined,
  });
}

describe.each(vectors.map((vector, index) => ({ vector, index })))('the groups of vector $index', ({ vector }) => {
  it('a created group is entered by a sibling from its GroupInfo and the operation', async () => {
    const { group_creation: creation } = vector;
    const operation = operationOf(vector, creation.operation);
    const state = await joinFromEpochZero(suite, fromHex(creation.group_info), {
      encryptionPrivateKey: deriveEncryptionKeyPair(protocol, operation, suite).privateKey,
      epochSecret: deriveGroupCreationSecret(protocol, operation, suite),
      checkLeaf: (leaf) => expectVirtualLeaf(vector, leaf),
    });
    expect(toHex(state.schedule.epochAuthenticator)).toBe(creation.epoch_authenticator);
    expect(toHex(state.context.groupId)).toBe(creation.group_id);
  });

  it('a path is followed by a sibling without HPKE and by every other member with it', async () => {
    const { update_path: made } = vector;
    const path = decodeExact(updatePathCodec, fromHex(made.update_path));
    await expectVirtualLeaf(vector, path.leafNode);
    const settingFor = (known: PathKeys): PathSetting => ({
      tree: RatchetTree.decode(fromHex(made.ratchet_tree_before)),
      sender: made.leaf_index,
      added: new Set(),
      context: decodeExact(groupContextCodec, fromHex(made.group_context)),
      known,
    });
    const own = pathSecretsOf(ownPathOf(operationOf(vector, made.operation)));
    const outcomes = [await applyOwnUpdatePath(suite, settingFor(new Map()), path, own)];
    for (const member of made.members) {
      const known = new Map(
        member.path_private_keys.map((each) => [each.node_index, Secret.of('path_private_key', fromHex(each.private_key))] as const),
      );
      const key = Secret.of('encryption_private_key', fromHex(member.encryption_private_key));
      outcomes.push(await openUpdatePath(suite, settingFor(known), path, member.leaf_index, key));
    }
    expect(outcomes).toHaveLength(made.members.length + 1);
    for (const { commitSecret, tree } of outcomes) {
      expect(toHex(commitSecret.reveal())).toBe(made.commit_secret);
      expect(toHex(tree.encode())).toBe(made.ratchet_tree_after);
    }
  });

  it('an external commit is followed by a sibling outside of the group, whose encapsulation is the same', async () => {
    const { external_commit: join } = vector;
    const operation = operationOf(vector, join.operation);
    const ephemeral = deriveExternalInitKeyPair(protocol, operation, suite);
    const externalInit: HpkeKeyPair = { publicKey: ephemeral.publicKey, privateKey: ephemeral.privateKey.reveal() };
    const judged: LeafNode[] = [];
    const checkLeaf: LeafCheck = (leaf) => {
      judged.push(leaf);
      return acceptAll();
    };
    const options = { own: ownPathOf(operation), externalInit, checkLeaf, useSafeExporter: false };
    const state = await followExternalCommit(suite, fromHex(join.group_info), fromHex(join.commit), options);
    await expectVirtualLeaf(vector, judged.at(-1)!);
    expect(toHex(state.schedule.epochAuthenticator)).toBe(join.epoch_authenticator);
    expect(toHex(state.confirmationTag)).toBe(join.confirmation_tag);
  });
});
