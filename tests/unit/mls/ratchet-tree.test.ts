import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../../src/bytes/index.ts';
import { MlsError } from '../../../src/mls/errors.ts';
import { MAX_LEAVES, RatchetTree } from '../../../src/mls/ratchet-tree.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { leafToNode } from '../../../src/mls/tree-math.ts';
import { nodeCodec } from '../../../src/mls/ts-mls.ts';
import { DecodeError, encode } from '../../../src/wire/index.ts';
import { counting, makeFullTree, unsignedLeaf, withMadeUpPath } from '../../support/mls-tree.ts';

const suite = getSuite(1);

function lone(): RatchetTree {
  return RatchetTree.of([{ nodeType: 'leaf', leaf: unsignedLeaf(suite, 0) }]);
}

describe('ratchet tree', () => {
  it('gives a new leaf the leftmost blank place and lists it, in order, as unmerged in every parent above', () => {
    let full = makeFullTree(suite, 8);
    full = full.remove(1).remove(2);
    for (const leafIndex of [0, 3, 4]) full = withMadeUpPath(suite, full, leafIndex);
    const first = full.add(unsignedLeaf(suite, 1));
    const second = first.tree.add(unsignedLeaf(suite, 2));
    expect([first.leafIndex, second.leafIndex]).toEqual([1, 2]);
    expect(second.tree.directPath(1)).toEqual([1, 3, 7]);
    expect(second.tree.parentNode(1)).toBeUndefined();
    expect(second.tree.parentNode(3)?.unmergedLeaves).toEqual([1, 2]);
    expect(second.tree.parentNode(7)?.unmergedLeaves).toEqual([1, 2]);
    expect(second.tree.resolution(3)).toEqual([3, 2, 4]);
  });

  it('doubles when no place is blank and halves while its right half is blank', () => {
    let tree = lone();
    for (let i = 1; i < 5; i++) tree = tree.add(unsignedLeaf(suite, i)).tree;
    expect(tree.leafCount).toBe(8);
    expect(tree.remove(4).leafCount).toBe(4);
    expect(tree.remove(3).leafCount).toBe(8);
    expect(tree.remove(3).remove(2).remove(4).leafCount).toBe(2);
  });

  it('reserves the place of a joiner without filling it', () => {
    const tree = makeFullTree(suite, 2);
    const reserved = tree.reserve();
    expect(reserved.leafIndex).toBe(2);
    expect(reserved.tree.leafCount).toBe(4);
    expect(reserved.tree.leaf(2)).toBeUndefined();
    expect(reserved.tree.filteredDirectPath(2).map((step) => step.nodeIndex)).toEqual([3]);
  });

  it('takes no leaf beyond the largest tree', () => {
    const leaf = { nodeType: 'leaf' as const, leaf: unsignedLeaf(suite, 0) };
    const nodes = Array.from({ length: 2 * MAX_LEAVES - 1 }, (_, node) => (node % 2 === 0 ? leaf : undefined));
    const full = RatchetTree.of(nodes);
    expect(full.leafCount).toBe(MAX_LEAVES);
    expect(() => full.add(leaf.leaf)).toThrow(new MlsError('group-full'));
    expect(() => RatchetTree.of([...nodes, undefined, leaf])).toThrow(new MlsError('group-full'));
  });

  it('keeps the earlier tree as it was', () => {
    const tree = makeFullTree(suite, 8);
    const bytes = tree.encode();
    const hash = tree.hash(suite);
    tree.remove(3).hash(suite);
    tree.update(4, unsignedLeaf(suite, 4)).hash(suite);
    withMadeUpPath(suite, tree, 5).hash(suite);
    tree.add(unsignedLeaf(suite, 8)).tree.hash(suite);
    expect(tree.encode()).toEqual(bytes);
    expect(RatchetTree.decode(bytes).hash(suite)).toEqual(hash);
    expect(tree.hash(suite)).toEqual(hash);
  });

  it('hashes as one built anew, whatever happened to it before', () => {
    const step = fc.record({ kind: fc.constantFrom('add', 'remove', 'update', 'path'), at: fc.nat(40) });
    fc.assert(
      fc.property(fc.array(step, { maxLength: 30 }), (steps) => {
        let tree = lone();
        for (const { kind, at } of steps) {
          const occupied = [...tree.leaves()].map(([leafIndex]) => leafIndex);
          const leafIndex = occupied[at % occupied.length]!;
          if (kind === 'add') tree = tree.add(unsignedLeaf(suite, at)).tree;
          else if (kind === 'update') tree = tree.update(leafIndex, unsignedLeaf(suite, at));
          else if (kind === 'path') tree = withMadeUpPath(suite, tree, leafIndex);
          else if (occupied.length > 1) tree = tree.remove(leafIndex);
          tree.hash(suite);
        }
        const anew = RatchetTree.decode(tree.encode());
        expect(anew.nodeCount).toBe(tree.nodeCount);
        expect(anew.hash(suite)).toEqual(tree.hash(suite));
      }),
      { numRuns: 40 },
    );
  });

  it('hashes only the leaf and its direct path again after a path, a removal or an addition', () => {
    const tree = makeFullTree(suite, 256);
    tree.hash(suite);
    const path = withMadeUpPath(suite, tree, 77);
    const removed = tree.remove(200);
    const added = removed.add(unsignedLeaf(suite, 200)).tree;
    for (const [changed, most] of [
      [path, 9],
      [removed, 9],
      [added, 9],
    ] as const) {
      const { suite: counted, hashes } = counting(suite);
      changed.hash(counted);
      expect(hashes()).toBeLessThanOrEqual(most);
      expect(changed.hash(suite)).toEqual(RatchetTree.decode(changed.encode()).hash(suite));
    }
  });

  it('refuses to remove or update a leaf that is not there', () => {
    const tree = makeFullTree(suite, 4).remove(2);
    expect(() => tree.remove(2)).toThrow(new MlsError('unknown-leaf'));
    expect(() => tree.remove(9)).toThrow(new MlsError('unknown-leaf'));
    expect(() => tree.update(2, unsignedLeaf(suite, 2))).toThrow(new MlsError('unknown-leaf'));
  });

  it('is one blank leaf when the only one is removed, and hashes as one where that place is taken again', () => {
    const empty = makeFullTree(suite, 2).remove(0).remove(1);
    expect([empty.nodeCount, empty.leaf(0)]).toEqual([1, undefined]);
    const { tree, leafIndex } = empty.add(unsignedLeaf(suite, 7));
    expect(leafIndex).toBe(0);
    expect(tree.hash(suite)).toEqual(RatchetTree.decode(tree.encode()).hash(suite));
  });
});

describe('ratchet_tree extension', () => {
  const leaf = { nodeType: 'leaf' as const, leaf: unsignedLeaf(suite, 0) };
  const parent = {
    nodeType: 'parent' as const,
    parent: { hpkePublicKey: new Uint8Array(32), parentHash: new Uint8Array(), unmergedLeaves: [] },
  };
  const present = (node: typeof leaf | typeof parent): Uint8Array => concat(Uint8Array.of(1), nodeCodec.encode(node));
  const list = (...nodes: Uint8Array[]): Uint8Array => encode((writer) => writer.opaque(concat(...nodes)));
  const blank = Uint8Array.of(0);

  it('keeps every node through a round trip of a large tree', () => {
    const tree = makeFullTree(suite, 1024).remove(1023);
    const decoded = RatchetTree.decode(tree.encode());
    expect(decoded.nodeCount).toBe(2047);
    expect(decoded.hash(suite)).toEqual(tree.hash(suite));
  });

  it('shares no memory with the bytes that it came from', () => {
    const bytes = makeFullTree(suite, 4).encode();
    const tree = RatchetTree.decode(bytes);
    const hash = RatchetTree.decode(bytes).hash(suite);
    bytes.fill(0);
    expect(tree.hash(suite)).toEqual(hash);
  });

  it.each([
    ['a blank last node', list(present(leaf), blank)],
    ['no node at all', list()],
    ['a parent in a leaf’s place', list(present(parent))],
    ['a leaf in a parent’s place', list(present(leaf), present(leaf))],
  ])('refuses %s', (_, bytes) => {
    expect(() => RatchetTree.decode(bytes)).toThrow(expect.objectContaining({ code: 'invalid-tree' }));
  });

  it.each([
    ['trailing bytes', concat(list(present(leaf)), blank)],
    ['a presence octet of 2', list(present(leaf), Uint8Array.of(2), present(leaf))],
    ['a truncated node', list(present(leaf).slice(0, -1))],
    ['a length prefix that is not minimal', concat(Uint8Array.of(0x80, 0, 0), list(present(leaf)).slice(1))],
    ['a node that is not in canonical form', list(concat(Uint8Array.of(1, 2, 0x40, 0x01, 0xaa), new Uint8Array(2)))],
    ['more nodes than the largest tree has', list(present(leaf), new Uint8Array(2 * MAX_LEAVES))],
  ])('refuses %s', (_, bytes) => {
    expect(() => RatchetTree.decode(bytes)).toThrow(DecodeError);
  });

  it('knows every node by its place', () => {
    const tree = makeFullTree(suite, 4);
    expect(tree.encryptionKey(leafToNode(2))).toEqual(tree.leaf(2)?.hpkePublicKey);
    expect(tree.encryptionKey(3)).toEqual(tree.parentNode(3)?.hpkePublicKey);
    expect(tree.encryptionKey(7)).toBeUndefined();
    expect([...tree.parents()].map(([node]) => node)).toEqual([1, 3, 5]);
  });
});
