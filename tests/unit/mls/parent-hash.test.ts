import { describe, expect, it } from 'vitest';
import { verifyParentHashes } from '../../../src/mls/parent-hash.ts';
import { RatchetTree } from '../../../src/mls/ratchet-tree.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { counting, makeFullTree, unsignedLeaf, withLeaf, withMadeUpPath, withNode } from '../../support/mls-tree.ts';

const suite = getSuite(1);
const SIZE = 1024;
const LEVELS = 10;

/** Every second leaf is unmerged in every parent above it. */
function halfUnmerged(size: number): RatchetTree {
  let tree = makeFullTree(suite, size);
  for (let leaf = 1; leaf < size - 1; leaf += 2) tree = tree.remove(leaf);
  for (let leaf = 0; leaf < size; leaf += 2) tree = withMadeUpPath(suite, tree, leaf);
  for (let leaf = 1; leaf < size - 1; leaf += 2) tree = tree.add(unsignedLeaf(suite, leaf)).tree;
  return tree;
}

describe('parent hashes', () => {
  it('of 1024 leaves without unmerged ones are verified with at most four hashes per leaf', () => {
    const tree = RatchetTree.decode(makeFullTree(suite, SIZE).encode());
    const { suite: counted, hashes } = counting(suite);
    expect(verifyParentHashes(counted, tree)).toBe(true);
    expect(hashes()).toBeLessThanOrEqual(4 * SIZE);
  });

  it('of 1024 leaves, half of them unmerged everywhere, are verified with O(N log N) hashes', () => {
    const tree = halfUnmerged(SIZE);
    expect(tree.parentNode(tree.root)?.unmergedLeaves.length).toBe(SIZE / 2 - 1);
    const { suite: counted, hashes } = counting(suite);
    expect(verifyParentHashes(counted, RatchetTree.decode(tree.encode()))).toBe(true);
    expect(hashes()).toBeLessThanOrEqual(2 * SIZE * (LEVELS + 1));
  });

  it('hold through removals, additions and paths in any part of the tree', () => {
    let tree = makeFullTree(suite, 16);
    for (const leaf of [3, 4, 9, 15]) tree = tree.remove(leaf);
    for (const leaf of [2, 8, 14]) tree = withMadeUpPath(suite, tree, leaf);
    for (const leaf of [3, 4, 9, 15]) tree = tree.add(unsignedLeaf(suite, leaf)).tree;
    expect(verifyParentHashes(suite, tree)).toBe(true);
    tree = withMadeUpPath(suite, tree, 12);
    expect(verifyParentHashes(suite, tree)).toBe(true);
    expect(verifyParentHashes(suite, withMadeUpPath(suite, tree, 3))).toBe(true);
  });

  it('fail when a parent’s key, parent hash or unmerged leaves are changed', () => {
    const tree = halfUnmerged(8);
    expect(verifyParentHashes(suite, tree)).toBe(true);
    for (const [node, parent] of tree.parents()) {
      const changes = [
        { hpkePublicKey: parent.hpkePublicKey.map((byte) => byte ^ 1) },
        { parentHash: new Uint8Array(32) },
        ...(parent.unmergedLeaves.length > 0 ? [{ unmergedLeaves: parent.unmergedLeaves.slice(1) }, { unmergedLeaves: [] }] : []),
      ];
      for (const change of changes) {
        const changed = withNode(tree, node, { nodeType: 'parent', parent: { ...parent, ...change } });
        expect(verifyParentHashes(suite, changed)).toBe(false);
      }
    }
  });

  it('fail when the committer’s leaf holds another hash or is of another source', () => {
    const tree = makeFullTree(suite, 8);
    expect(verifyParentHashes(suite, withLeaf(tree, 6, { parentHash: new Uint8Array(32) }))).toBe(false);
    expect(verifyParentHashes(suite, withLeaf(tree, 6, unsignedLeaf(suite, 6)))).toBe(false);
  });

  it('fail when a merged leaf beside the path is exchanged', () => {
    const tree = makeFullTree(suite, 8);
    expect(verifyParentHashes(suite, withLeaf(tree, 1, unsignedLeaf(suite, 1)))).toBe(false);
  });
});
