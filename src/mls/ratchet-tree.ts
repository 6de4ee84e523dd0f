import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { MlsError } from './errors.ts';
import { decodeTreeNodes, encodeTreeNodes } from './ratchet-tree-codec.ts';
import { hashLeaf, hashParent } from './tree-hash.ts';
import { directPath, fullTreeSize, isLeaf, leafCount, leafToNode, left, nodeToLeaf, right, root, sibling } from './tree-math.ts';
import type { LeafNode, Node, ParentNode } from './ts-mls.ts';

/**
 * 16 times the largest group that Chorus is measured with. A blank node takes one byte on the wire,
 * so without a bound a decoder could be made to build trees far larger than their message.
 */
export const MAX_LEAVES = 1 << 14;

/** One node of a filtered direct path (RFC 9420 section 4.1.2) and those to whom its path secret goes. */
export interface PathStep {
  readonly nodeIndex: number;
  /** Its child that is not on the leaf's direct path. */
  readonly copathChild: number;
  /** Node indices of the copath child's resolution; never empty. */
  readonly resolution: readonly number[];
}

/**
 * The ratchet tree of one epoch (RFC 9420 section 7). Immutable: every change returns a new tree that
 * shares the nodes and the tree hashes which did not change. A tree belongs to one group and so to
 * one ciphersuite. Leaves are named by leaf index, nodes by their index in the array of appendix C.
 */
export class RatchetTree {
  readonly #nodes: readonly (Node | undefined)[];
  /** Tree hashes that were asked for; a change clears those above it only. */
  readonly #hashes: (Uint8Array | undefined)[];

  private constructor(nodes: readonly (Node | undefined)[], hashes: (Uint8Array | undefined)[]) {
    this.#nodes = nodes;
    this.#hashes = hashes;
  }

  /**
   * The tree of these nodes, extended with blanks to a full one. Checks only that leaves and parents
   * stand where they may and that the last node is not blank; `validateTree` checks the rest.
   * @throws MlsError `invalid-tree`, `group-full`
   */
  static of(nodes: readonly (Node | undefined)[]): RatchetTree {
    if (nodes.at(-1) === undefined) throw new MlsError('invalid-tree', 'the last node is blank');
    const size = fullTreeSize(nodes.length);
    if (leafCount(size) > MAX_LEAVES) throw new MlsError('group-full');
    nodes.forEach((node, index) => {
      if (node !== undefined && (node.nodeType === 'leaf') !== isLeaf(index)) {
        throw new MlsError('invalid-tree', `node ${index} is a ${node.nodeType}`);
      }
    });
    const full = Array.from({ length: size }, (_, index) => nodes[index]);
    return new RatchetTree(full, new Array<Uint8Array | undefined>(size));
  }

  /** The `ratchet_tree` extension's data (RFC 9420 section 12.4.3.3). @throws DecodeError, MlsError as `of` does */
  static decode(bytes: Uint8Array): RatchetTree {
    return RatchetTree.of(decodeTreeNodes(bytes, 2 * MAX_LEAVES - 1));
  }

  /** The `ratchet_tree` extension's data, without the blank nodes at the end. */
  encode(): Uint8Array {
    return encodeTreeNodes(this.#nodes);
  }

  /** Nodes of the full tree, blanks included. */
  get nodeCount(): number {
    return this.#nodes.length;
  }

  /** Leaves of the full tree, blanks included: a power of two. */
  get leafCount(): number {
    return leafCount(this.#nodes.length);
  }

  get root(): number {
    return root(this.leafCount);
  }

  /** undefined when the node is blank or outside the tree. */
  node(nodeIndex: number): Node | undefined {
    return this.#nodes[nodeIndex];
  }

  /** undefined when the leaf is blank or outside the tree. */
  leaf(leafIndex: number): LeafNode | undefined {
    const node = this.#nodes[leafToNode(leafIndex)];
    return node?.nodeType === 'leaf' ? node.leaf : undefined;
  }

  /** @throws MlsError `unknown-leaf` */
  occupiedLeaf(leafIndex: number): LeafNode {
    const leaf = this.leaf(leafIndex);
    if (leaf === undefined) throw new MlsError('unknown-leaf');
    return leaf;
  }

  /** undefined when the node is blank, a leaf or outside the tree. */
  parentNode(nodeIndex: number): ParentNode | undefined {
    const node = this.#nodes[nodeIndex];
    return node?.nodeType === 'parent' ? node.parent : undefined;
  }

  /** The HPKE public key of a leaf or parent. */
  encryptionKey(nodeIndex: number): Uint8Array | undefined {
    const node = this.#nodes[nodeIndex];
    if (node === undefined) return undefined;
    return node.nodeType === 'leaf' ? node.leaf.hpkePublicKey : node.parent.hpkePublicKey;
  }

  /** Occupied leaves with their leaf indices, from left to right. */
  *leaves(): Generator<readonly [leafIndex: number, leaf: LeafNode]> {
    for (let index = 0; index < this.#nodes.length; index += 2) {
      const node = this.#nodes[index];
      if (node?.nodeType === 'leaf') yield [nodeToLeaf(index), node.leaf];
    }
  }

  /** Non-blank parents with their node indices, from left to right. */
  *parents(): Generator<readonly [nodeIndex: number, parent: ParentNode]> {
    for (let index = 1; index < this.#nodes.length; index += 2) {
      const node = this.#nodes[index];
      if (node?.nodeType === 'parent') yield [index, node.parent];
    }
  }

  /** Parents above a leaf, from the lowest to the root. */
  directPath(leafIndex: number): number[] {
    return directPath(leafToNode(leafIndex), this.leafCount);
  }

  /**
   * RFC 9420 section 7.7: the tree in which the leftmost blank leaf exists, doubled if there was none.
   * The leaf stays blank: this is where an external commit's path goes.
   * @throws MlsError `group-full`
   */
  reserve(): { readonly tree: RatchetTree; readonly leafIndex: number } {
    for (let index = 0; index < this.#nodes.length; index += 2) {
      if (this.#nodes[index] === undefined) return { tree: this, leafIndex: nodeToLeaf(index) };
    }
    if (this.leafCount === MAX_LEAVES) throw new MlsError('group-full');
    const blanks = new Array<undefined>(this.#nodes.length + 1).fill(undefined);
    const tree = new RatchetTree([...this.#nodes, ...blanks], [...this.#hashes, ...blanks]);
    return { tree, leafIndex: this.leafCount };
  }

  /**
   * RFC 9420 section 12.1.1: puts the leaf into the leftmost blank place and lists it as unmerged in
   * every non-blank node above it.
   * @throws MlsError `group-full`
   */
  add(leaf: LeafNode): { readonly tree: RatchetTree; readonly leafIndex: number } {
    const { tree, leafIndex } = this.reserve();
    const changes = new Map<number, Node | undefined>([[leafToNode(leafIndex), { nodeType: 'leaf', leaf }]]);
    for (const nodeIndex of tree.directPath(leafIndex)) {
      const parent = tree.parentNode(nodeIndex);
      if (parent === undefined) continue;
      const unmergedLeaves = [...parent.unmergedLeaves, leafIndex].sort((a, b) => a - b);
      changes.set(nodeIndex, { nodeType: 'parent', parent: { ...parent, unmergedLeaves } });
    }
    return { tree: tree.#with(leafIndex, changes), leafIndex };
  }

  /** RFC 9420 section 12.1.2: replaces the leaf and blanks its direct path. @throws MlsError `unknown-leaf` */
  update(leafIndex: number, leaf: LeafNode): RatchetTree {
    this.occupiedLeaf(leafIndex);
    return this.withPath(leafIndex, leaf, new Map());
  }

  /**
   * RFC 9420 section 12.1.3: blanks the leaf and its direct path, then halves the tree as long as its
   * right half is blank. Without the only leaf one blank leaf is left: whoever is alone in a group may replace its leaf by
   * an external commit. @throws MlsError `unknown-leaf`
   */
  remove(leafIndex: number): RatchetTree {
    this.occupiedLeaf(leafIndex);
    const changes = new Map<number, Node | undefined>([[leafToNode(leafIndex), undefined]]);
    for (const nodeIndex of this.directPath(leafIndex)) changes.set(nodeIndex, undefined);
    return this.#with(leafIndex, changes).#truncated();
  }

  /**
   * RFC 9420 section 7.5: puts the leaf and the given parents onto the leaf's direct path and blanks
   * its other nodes. The leaf's place may have been blank (see `reserve`).
   */
  withPath(leafIndex: number, leaf: LeafNode, parents: ReadonlyMap<number, ParentNode>): RatchetTree {
    const changes = new Map<number, Node | undefined>([[leafToNode(leafIndex), { nodeType: 'leaf', leaf }]]);
    for (const nodeIndex of this.directPath(leafIndex)) {
      const parent = parents.get(nodeIndex);
      changes.set(nodeIndex, parent === undefined ? undefined : { nodeType: 'parent', parent });
    }
    return this.#with(leafIndex, changes);
  }

  /** RFC 9420 section 4.1.1: the node indices that together cover all leaves under `nodeIndex`. */
  resolution(nodeIndex: number): number[] {
    const found: number[] = [];
    this.#resolve(nodeIndex, found);
    return found;
  }

  /** RFC 9420 section 4.1.2: the direct path without the nodes whose copath child has an empty resolution. */
  filteredDirectPath(leafIndex: number): PathStep[] {
    const steps: PathStep[] = [];
    let below = leafToNode(leafIndex);
    for (const nodeIndex of this.directPath(leafIndex)) {
      const copathChild = sibling(below, this.leafCount);
      const resolution = this.resolution(copathChild);
      if (resolution.length > 0) steps.push({ nodeIndex, copathChild, resolution });
      below = nodeIndex;
    }
    return steps;
  }

  /** RFC 9420 section 7.8: the hash of the whole tree, or of the subtree under `nodeIndex`. */
  hash(suite: CipherSuite, nodeIndex: number = this.root): Uint8Array {
    const known = this.#hashes[nodeIndex];
    if (known !== undefined) return known;
    const hash = isLeaf(nodeIndex)
      ? hashLeaf(suite, nodeToLeaf(nodeIndex), this.leaf(nodeToLeaf(nodeIndex)))
      : hashParent(suite, this.parentNode(nodeIndex), this.hash(suite, left(nodeIndex)), this.hash(suite, right(nodeIndex)));
    this.#hashes[nodeIndex] = hash;
    return hash;
  }

  #resolve(nodeIndex: number, found: number[]): void {
    const node = this.#nodes[nodeIndex];
    if (node !== undefined) {
      found.push(nodeIndex);
      if (node.nodeType === 'parent') for (const unmerged of node.parent.unmergedLeaves) found.push(leafToNode(unmerged));
    } else if (!isLeaf(nodeIndex)) {
      this.#resolve(left(nodeIndex), found);
      this.#resolve(right(nodeIndex), found);
    }
  }

  /** The tree with other nodes at a leaf and above it; the hashes there are forgotten. */
  #with(leafIndex: number, changes: ReadonlyMap<number, Node | undefined>): RatchetTree {
    const nodes = this.#nodes.slice();
    const hashes = this.#hashes.slice();
    for (const [nodeIndex, node] of changes) nodes[nodeIndex] = node;
    hashes[leafToNode(leafIndex)] = undefined;
    for (const nodeIndex of this.directPath(leafIndex)) hashes[nodeIndex] = undefined;
    return new RatchetTree(nodes, hashes);
  }

  #truncated(): RatchetTree {
    const last = this.#nodes.findLastIndex((node) => node !== undefined);
    const size = fullTreeSize(Math.max(last, 0) + 1);
    if (size === this.#nodes.length) return this;
    return new RatchetTree(this.#nodes.slice(0, size), this.#hashes.slice(0, size));
  }
}
