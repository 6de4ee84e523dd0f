import { equal } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import type { PathStep, RatchetTree } from './ratchet-tree.ts';
import { hashLeaf, hashParent } from './tree-hash.ts';
import { isInSubtree, isLeaf, leafToNode, left, nodeToLeaf, right } from './tree-math.ts';
import { encodeParentHashInput, type ParentNode } from './ts-mls.ts';

/** RFC 9420 section 7.9: the root of a filtered direct path has no parent to commit to. */
const NO_PARENT_HASH = new Uint8Array();

/**
 * RFC 9420 section 7.9: `Hash(ParentHashInput)` with
 * `struct { HPKEPublicKey encryption_key; opaque parent_hash<V>; opaque original_sibling_tree_hash<V>; } ParentHashInput`.
 */
function parentHash(suite: CipherSuite, parent: ParentNode, originalSiblingTreeHash: Uint8Array): Uint8Array {
  return suite.hash(encodeParentHashInput({ encryptionKey: parent.hpkePublicKey, parentHash: parent.parentHash, originalSiblingTreeHash }));
}

/** The parent nodes that an UpdatePath puts into the tree, and what its leaf must hold. */
export interface PathParents {
  /** By node index. */
  readonly parents: ReadonlyMap<number, ParentNode>;
  /** `parent_hash` of the path's leaf. */
  readonly leafParentHash: Uint8Array;
}

/**
 * RFC 9420 section 7.9, from the root down: the new nodes of a path with their parent hashes. The new
 * nodes have no unmerged leaves, so the siblings' tree hashes are those of the tree as it stands.
 */
export function pathParents(
  suite: CipherSuite,
  tree: RatchetTree,
  steps: readonly PathStep[],
  encryptionKeys: readonly Uint8Array[],
): PathParents {
  const parents = new Map<number, ParentNode>();
  let hashAbove: Uint8Array = NO_PARENT_HASH;
  for (let i = steps.length - 1; i >= 0; i--) {
    const step = steps[i]!;
    const parent = { hpkePublicKey: encryptionKeys[i]!, parentHash: hashAbove, unmergedLeaves: [] };
    parents.set(step.nodeIndex, parent);
    hashAbove = parentHash(suite, parent, tree.hash(suite, step.copathChild));
  }
  return { parents, leafParentHash: hashAbove };
}

/**
 * RFC 9420 section 7.9.2, top down: whether for every non-blank parent exactly one of its descendants
 * commits to it. At most two candidates exist per parent, one under each child, and the sibling's hash
 * is taken from the tree's cache except above leaves that are unmerged, so all is O(N log N) hashes
 * at worst and about three per node in a tree without unmerged leaves.
 */
export function verifyParentHashes(suite: CipherSuite, tree: RatchetTree): boolean {
  for (const [nodeIndex, parent] of tree.parents()) {
    const unmerged = new Set(parent.unmergedLeaves);
    const children = [
      [left(nodeIndex), right(nodeIndex)],
      [right(nodeIndex), left(nodeIndex)],
    ] as const;
    const valid = children.filter(([child, other]) => commitsTo(suite, tree, parent, unmerged, child, other));
    if (valid.length !== 1) return false;
  }
  return true;
}

/**
 * Whether a node in the resolution of `child` commits to `parent`: the rest of that resolution must be
 * exactly the parent's unmerged leaves under `child`, so at most one node comes into question.
 */
function commitsTo(
  suite: CipherSuite,
  tree: RatchetTree,
  parent: ParentNode,
  unmerged: ReadonlySet<number>,
  child: number,
  other: number,
): boolean {
  const resolution = tree.resolution(child);
  const merged = resolution.filter((node) => !isLeaf(node) || !unmerged.has(nodeToLeaf(node)));
  const candidate = merged[0];
  if (candidate === undefined || merged.length > 1) return false;
  const unmergedBelow = parent.unmergedLeaves.filter((leaf) => isInSubtree(leafToNode(leaf), child));
  if (unmergedBelow.length !== resolution.length - 1) return false;
  const committed = committedParentHash(tree, candidate);
  if (committed === undefined) return false;
  return equal(committed, parentHash(suite, parent, originalTreeHash(suite, tree, other, parent.unmergedLeaves)));
}

function committedParentHash(tree: RatchetTree, nodeIndex: number): Uint8Array | undefined {
  if (!isLeaf(nodeIndex)) return tree.parentNode(nodeIndex)?.parentHash;
  const leaf = tree.leaf(nodeToLeaf(nodeIndex));
  return leaf?.leafNodeSource === 'commit' ? leaf.parentHash : undefined;
}

/** The tree hash that the subtree had before `removed` leaves were added: they are blank and unlisted. */
function originalTreeHash(suite: CipherSuite, tree: RatchetTree, nodeIndex: number, removed: readonly number[]): Uint8Array {
  const below = removed.filter((leaf) => isInSubtree(leafToNode(leaf), nodeIndex));
  if (below.length === 0) return tree.hash(suite, nodeIndex);
  if (isLeaf(nodeIndex)) return hashLeaf(suite, nodeToLeaf(nodeIndex), undefined);
  const node = tree.parentNode(nodeIndex);
  const original = node && { ...node, unmergedLeaves: node.unmergedLeaves.filter((leaf) => !below.includes(leaf)) };
  return hashParent(
    suite,
    original,
    originalTreeHash(suite, tree, left(nodeIndex), below),
    originalTreeHash(suite, tree, right(nodeIndex), below),
  );
}
