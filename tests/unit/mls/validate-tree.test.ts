import { beforeAll, describe, expect, it } from 'vitest';
import { buildKeyPackageLeaf } from '../../../src/mls/leaf-node.ts';
import { RatchetTree } from '../../../src/mls/ratchet-tree.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import type { GroupContext, ParentNode } from '../../../src/mls/ts-mls.ts';
import { checkUnmergedLeaves, validateTree } from '../../../src/mls/validate-tree.ts';
import { commitBy, makeContext, makeGroup, makeJoiner, withLeaf, withNode, type Member, refusal } from '../../support/mls-tree.ts';

const suite = getSuite(1);

const validate = (tree: RatchetTree, context: Partial<GroupContext> = {}) =>
  validateTree(suite, tree, makeContext(suite, { treeHash: tree.hash(suite), ...context }));
const withParent = (tree: RatchetTree, node: number, change: Partial<ParentNode>): RatchetTree =>
  withNode(tree, node, { nodeType: 'parent', parent: { ...tree.parentNode(node)!, ...change } });

describe('a tree received on joining', () => {
  let full: RatchetTree;
  let members: Member[];
  /** Leaves 1 and 2 left; 1 came back before the last path, 2 after it. */
  let tree: RatchetTree;

  beforeAll(async () => {
    const group = await makeGroup(suite, 8);
    ({ tree: full, members } = group);
    for (const sender of [0, 2, 4, 6]) ({ tree: full, members } = await commitBy(suite, full, members, sender));
    const back = await makeJoiner(suite, 'back 1');
    const later = await makeJoiner(suite, 'back 2');
    let rest = members.filter((member) => member.leafIndex !== 1 && member.leafIndex !== 2);
    ({ tree, members: rest } = await commitBy(suite, full.remove(1).remove(2), rest, 0));
    tree = tree.add(back.leaf).tree;
    rest.push({ ...back.member, leafIndex: 1 });
    ({ tree } = await commitBy(suite, tree, rest, 6));
    tree = tree.add(later.leaf).tree;
  });

  it('is taken when all is right', async () => {
    await validate(full);
  });

  it('is taken when unmerged leaves differ along a path', async () => {
    expect(tree.parentNode(3)?.unmergedLeaves).toEqual([1, 2]);
    expect(tree.parentNode(7)?.unmergedLeaves).toEqual([2]);
    await validate(tree);
    await validate(RatchetTree.decode(tree.encode()));
  });

  it('is taken after remove, remove, add, add', async () => {
    const [one, two] = [await makeJoiner(suite, 'one'), await makeJoiner(suite, 'two')];
    await validate(full.remove(3).remove(5).add(one.leaf).tree.add(two.leaf).tree);
  });

  it('is taken with a leaf whose lifetime is over: that counted when it entered', async () => {
    const { member } = await makeJoiner(suite, 'old');
    const lifetime = { notBefore: 0n, notAfter: 1n };
    const leaf = await buildKeyPackageLeaf(suite, member.template, suite.hash(new Uint8Array(1)), lifetime, member.signer.privateKey);
    await validate(full.add(leaf).tree);
  });

  it('is refused when the GroupContext names another tree hash', async () => {
    await expect(validate(full, { treeHash: tree.hash(suite) })).rejects.toThrow(refusal('wrong-tree-hash'));
  });

  it('is refused when a parent hash is wrong', async () => {
    await expect(validate(withParent(full, 3, { parentHash: new Uint8Array(32) }))).rejects.toThrow(refusal('wrong-parent-hash'));
  });

  it('is refused when a leaf is not signed for its place in this group', async () => {
    await expect(validate(full, { groupId: new Uint8Array(3) })).rejects.toThrow(refusal('invalid-signature'));
    await expect(validate(withLeaf(tree, 2, { signature: new Uint8Array(64) }))).rejects.toThrow(refusal('invalid-signature'));
  });

  it('is refused when two leaves share a signature or an encryption key, or a parent shares one', async () => {
    const { hpkePublicKey, signaturePublicKey } = full.occupiedLeaf(5);
    await expect(validate(withLeaf(full, 1, { hpkePublicKey }))).rejects.toThrow(refusal('duplicate-key'));
    await expect(validate(withLeaf(full, 1, { signaturePublicKey }))).rejects.toThrow(refusal('duplicate-key'));
    await expect(validate(withParent(full, 3, { hpkePublicKey }))).rejects.toThrow(refusal('duplicate-key'));
    await expect(validate(withParent(full, 3, { hpkePublicKey: full.encryptionKey(7)! }))).rejects.toThrow(refusal('duplicate-key'));
  });

  it('is refused when nothing can be encrypted to one of its keys', async () => {
    const hpkePublicKey = new Uint8Array(32);
    await expect(validate(withLeaf(full, 1, { hpkePublicKey }))).rejects.toThrow(refusal('invalid-public-key'));
    await expect(validate(withParent(full, 3, { hpkePublicKey }))).rejects.toThrow(refusal('invalid-public-key'));
  });

  it('is refused when a member does not support an extension of the group or another’s credential', async () => {
    const extensions = [{ extensionType: 0xff01, extensionData: new Uint8Array() }];
    await expect(validate(full, { extensions })).rejects.toThrow(refusal('unsupported-capability'));
    const { capabilities } = full.occupiedLeaf(3);
    const certified = withLeaf(full, 3, {
      credential: { credentialType: 'x509', certificates: [] },
      capabilities: { ...capabilities, credentials: ['basic', 'x509'] },
    });
    await expect(validate(certified)).rejects.toThrow(refusal('unsupported-capability'));
  });

  it.each<[string, number, number[]]>([
    ['out of order', 3, [2, 1]],
    ['repeated', 7, [2, 2]],
    ['under another node', 3, [1, 2, 4]],
    ['outside the tree', 7, [2, 8]],
    ['merged further down', 7, [2, 3]],
  ])('is refused when an unmerged leaf is %s', async (_, node, unmergedLeaves) => {
    await expect(validate(withParent(tree, node, { unmergedLeaves }))).rejects.toThrow(refusal('invalid-tree'));
  });

  it('is refused when an unmerged leaf is blank', () => {
    expect(() => checkUnmergedLeaves(withNode(tree, 4, undefined))).toThrow(refusal('invalid-tree'));
  });
});
