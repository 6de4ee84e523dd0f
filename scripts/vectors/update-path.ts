import { Secret, toHex } from '../../src/bytes/index.ts';
import { pathSecretsOf } from '../../src/mls/own-path.ts';
import { buildKeyPackageLeaf } from '../../src/mls/index.ts';
import { RatchetTree } from '../../src/mls/ratchet-tree.ts';
import { groupContextCodec, suiteName, updatePathCodec, type GroupContext } from '../../src/mls/ts-mls.ts';
import { createUpdatePath, openUpdatePath, type PathKeys, type PathSetting } from '../../src/mls/update-path.ts';
import { derivePathSecret } from '../../src/virtual-client/operation-keys.ts';
import { accountTemplate, LIFETIME, ordinaryMember, type Account, type OrdinaryMember } from './account.ts';
import { describeInputs, hex, protocol, suite, type VectorEpoch } from './operations.ts';
import type { VectorRandom } from './random.ts';
import type { UpdatePathVector } from './types.ts';

const OWN_LEAF = 0;

/**
 * The virtual client at leaf 0 of a group with two to five others makes a path (draft section 5.3). The last of them
 * has made one before, so that some parent nodes have keys and others are blank.
 */
export async function describeUpdatePath(random: VectorRandom, epoch: VectorEpoch, account: Account): Promise<UpdatePathVector> {
  const seed = (): Uint8Array => random.distinct('bytes', () => random.bytes(32));
  const others = Array.from({ length: 2 + random.below(4) }, (_, i) => ordinaryMember(random, `member ${i + 1}`));
  const before = epoch.leafOf(epoch.allocate());
  const own = await buildKeyPackageLeaf(
    suite,
    accountTemplate(account, before.derivationInfo),
    before.publicKey,
    LIFETIME,
    account.signer.privateKey,
  );
  const leaves = await Promise.all(
    others.map((each) => buildKeyPackageLeaf(suite, each.template, each.encryptionKey, LIFETIME, each.signer.privateKey)),
  );
  const start = leaves.reduce((tree, leaf) => tree.add(leaf).tree, RatchetTree.of([{ nodeType: 'leaf', leaf: own }]));
  const groupId = random.distinct('bytes', () => random.bytes(16));
  const settingOf = (tree: RatchetTree, sender: number, known: PathKeys): PathSetting => {
    const context: GroupContext = {
      version: 'mls10',
      cipherSuite: suiteName(suite.id),
      groupId,
      epoch: BigInt(1 + random.below(2 ** 16)),
      treeHash: tree.hash(suite),
      confirmedTranscriptHash: seed(),
      extensions: [],
    };
    return { tree, sender, added: new Set(), context, known };
  };

  // The path before: everybody but its sender opens it.
  const first = settingOf(start, others.length, new Map());
  const sender = others.at(-1)!;
  const key = suite.deriveKeyPair(seed());
  const firstOwn = pathSecretsOf({
    encryptionPrivateKey: Secret.of('encryption_private_key', key.privateKey),
    pathSecret: Secret.of('path_secret', seed()),
  });
  const made = await createUpdatePath(suite, first, firstOwn, sender.template, sender.signer.privateKey, random.bytes);
  const keysOf = async (leafIndex: number, { encryptionPrivateKey }: Pick<OrdinaryMember, 'encryptionPrivateKey'>) =>
    (await openUpdatePath(suite, first, made.path, leafIndex, encryptionPrivateKey)).pathPrivateKeys;
  const members = await Promise.all(
    others.map(async (each, i) => {
      const isSender = each === sender;
      return {
        leaf_index: i + 1,
        encryption_private_key: hex(isSender ? firstOwn.encryptionPrivateKey : each.encryptionPrivateKey),
        path_private_keys: describeKeys(isSender ? made.pathPrivateKeys : await keysOf(i + 1, each)),
      };
    }),
  );

  // The virtual client's own.
  const operation = epoch.allocate();
  const leaf = epoch.leafOf(operation);
  const setting = settingOf(made.tree, OWN_LEAF, await keysOf(OWN_LEAF, { encryptionPrivateKey: before.privateKey }));
  const prescribed = pathSecretsOf({
    encryptionPrivateKey: leaf.privateKey,
    pathSecret: derivePathSecret(protocol, operation, suite),
  });
  const signer = account.signer.privateKey;
  const { path, tree, commitSecret, spent } = await createUpdatePath(
    suite,
    setting,
    prescribed,
    accountTemplate(account, leaf.derivationInfo),
    signer,
    random.bytes,
  );
  return {
    operation: describeInputs(operation),
    ratchet_tree_before: toHex(made.tree.encode()),
    leaf_index: OWN_LEAF,
    members,
    path_secrets: spent.filter(({ kind }) => kind === 'path_secret').map(hex),
    group_context: toHex(groupContextCodec.encode({ ...setting.context, treeHash: tree.hash(suite) })),
    update_path: toHex(updatePathCodec.encode(path)),
    commit_secret: hex(commitSecret),
    ratchet_tree_after: toHex(tree.encode()),
  };
}

function describeKeys(keys: PathKeys): { node_index: number; private_key: string }[] {
  return [...keys].sort(([a], [b]) => a - b).map(([node, key]) => ({ node_index: node, private_key: hex(key) }));
}
