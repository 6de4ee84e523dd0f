/**
 * Array representation of the ratchet tree (RFC 9420, appendix C): leaf `i` is node `2 * i`, parents
 * are the odd nodes in between. Trees are always full, so the number of leaves is a power of two.
 * All indices stay below 2^31, hence the plain bit operations.
 */

/** Height of a node above the leaves: the number of its trailing one bits. */
export function level(node: number): number {
  return 31 - Math.clz32(~node & (node + 1));
}

export function isLeaf(node: number): boolean {
  return (node & 1) === 0;
}

export function leafToNode(leafIndex: number): number {
  return 2 * leafIndex;
}

/** @throws RangeError for a parent node. */
export function nodeToLeaf(node: number): number {
  if (!isLeaf(node)) throw new RangeError('not a leaf');
  return node / 2;
}

/** Nodes of a full tree with `leafCount` leaves. */
export function nodeCount(leafCount: number): number {
  return 2 * leafCount - 1;
}

/** Leaves of a full tree with `nodes` nodes. */
export function leafCount(nodes: number): number {
  return (nodes + 1) / 2;
}

/** Root of a full tree with `leaves` leaves. */
export function root(leaves: number): number {
  return leaves - 1;
}

/** @throws RangeError for a leaf. */
export function left(node: number): number {
  if (isLeaf(node)) throw new RangeError('a leaf has no children');
  return node ^ (1 << (level(node) - 1));
}

/** @throws RangeError for a leaf. */
export function right(node: number): number {
  if (isLeaf(node)) throw new RangeError('a leaf has no children');
  return node ^ (3 << (level(node) - 1));
}

/** @throws RangeError for the root. */
export function parent(node: number, leaves: number): number {
  if (node === root(leaves)) throw new RangeError('the root has no parent');
  const k = level(node);
  return (node | (1 << k)) & ~(1 << (k + 1));
}

/** @throws RangeError for the root. */
export function sibling(node: number, leaves: number): number {
  const above = parent(node, leaves);
  return node < above ? right(above) : left(above);
}

/** Parents of a node from the lowest to the root; empty for the root itself. */
export function directPath(node: number, leaves: number): number[] {
  const path: number[] = [];
  for (let at = node; at !== root(leaves);) {
    at = parent(at, leaves);
    path.push(at);
  }
  return path;
}

/** Whether `node` lies in the subtree under `ancestor`, `ancestor` itself included. */
export function isInSubtree(node: number, ancestor: number): boolean {
  const reach = (1 << level(ancestor)) - 1;
  return node >= ancestor - reach && node <= ancestor + reach;
}

/** Smallest full tree that has at least `nodes` nodes, in nodes. */
export function fullTreeSize(nodes: number): number {
  let size = 1;
  while (size < nodes) size = 2 * size + 1;
  return size;
}
