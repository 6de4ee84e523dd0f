import { Secret, utf8, type Spending } from '../bytes/index.ts';
import type { CipherSuite } from './ciphersuite.ts';
import { VirtualClientError } from './errors.ts';

/**
 * Puncturable pseudorandom function over a binary tree of secrets (reading sections 2 and 4).
 *
 *     left  = ExpandWithLabel(node, "tree", "left",  Nh)
 *     right = ExpandWithLabel(node, "tree", "right", Nh)
 *
 * The bits of the leaf number choose the way down, most significant first, 0 = left. A state is
 * immutable. It is a trie in which only the roots of subtrees that were never touched hold secrets,
 * so that a puncture copies one path and shares everything else with the state before it.
 */

/** 32 for an epoch's base secret, 16 for the safe exporter. */
export type PprfDepth = 16 | 32;

/** Secret of a whole subtree: of the leaves `first` to `first + 2^(depth - prefixLength) - 1`. */
export interface PprfNode {
  readonly first: number;
  readonly prefixLength: number;
  readonly secret: Secret<'pprf_node'>;
}

interface PprfBranch {
  readonly left: PprfTree;
  readonly right: PprfTree;
}

/** `undefined` where every leaf below was evaluated. */
export type PprfTree = PprfNode | PprfBranch | undefined;

export interface PprfState {
  readonly depth: PprfDepth;
  readonly tree: PprfTree;
}

const LABEL = 'tree';
const LEFT = utf8('left');
const RIGHT = utf8('right');

export function isPprfNode(tree: PprfTree): tree is PprfNode {
  return tree !== undefined && 'secret' in tree;
}

/** The whole tree under `root`, nothing punctured. Takes over `root`, whose kind it changes; `root` itself is wiped. */
export function createPprf(root: Secret<string>, depth: PprfDepth): PprfState {
  const secret = Secret.of('pprf_node', root.reveal().slice());
  root.wipe();
  return { depth, tree: { first: 0, prefixLength: 0, secret } };
}

/** Whether `leaf` can still be evaluated. Leaves the state alone. @throws VirtualClientError 'leaf-out-of-range' */
export function canEvaluate(state: PprfState, leaf: number): boolean {
  return find(state, leaf) !== undefined;
}

/** Whether `leaf` was evaluated before. @throws VirtualClientError 'leaf-out-of-range' */
export function isPunctured(state: PprfState, leaf: number): boolean {
  return !canEvaluate(state, leaf);
}

/**
 * The secret of one leaf; deletes the leaf and all nodes above it and keeps the copath.
 * Persist `next` before anything derived from `value` leaves the device, then wipe `spent`: it holds
 * the node that the old state still refers to.
 * @throws VirtualClientError 'leaf-punctured', 'leaf-out-of-range'
 */
export function evaluate<Kind extends string>(
  suite: CipherSuite,
  state: PprfState,
  leaf: number,
  kind: Kind,
): Spending<PprfState, Secret<Kind>> {
  const { depth } = state;
  const found = find(state, leaf);
  if (found === undefined) throw new VirtualClientError('leaf-punctured');

  const copath: PprfNode[] = [];
  let own: Uint8Array = found.secret.reveal().slice();
  for (let level = found.prefixLength; level < depth; level++) {
    const left = suite.expandWithLabel(own, LABEL, LEFT, suite.nh);
    const right = suite.expandWithLabel(own, LABEL, RIGHT, suite.nh);
    own.fill(0);
    const goesRight = isRight(leaf, level, depth);
    own = goesRight ? right : left;
    const shift = depth - 1 - level;
    const siblingFirst = (((leaf >>> shift) ^ 1) << shift) >>> 0;
    copath.push({ first: siblingFirst, prefixLength: level + 1, secret: Secret.of('pprf_node', goesRight ? left : right) });
  }

  let replacement: PprfTree;
  for (const sibling of copath.reverse()) {
    replacement = isRight(leaf, sibling.prefixLength - 1, depth)
      ? { left: sibling, right: replacement }
      : { left: replacement, right: sibling };
  }
  return {
    next: { depth, tree: replace(state.tree, leaf, 0, depth, replacement) },
    value: Secret.of(kind, own),
    spent: [found.secret],
  };
}

/** All nodes that hold a secret, in the order of their leaves. */
export function* pprfNodes(state: PprfState): Generator<PprfNode> {
  yield* walk(state.tree);
}

/** The subtree whose leaves begin with the `length` bits of `prefix`; shared between states that agree on it. */
export function subtree(state: PprfState, prefix: number, length: number): PprfTree {
  let tree = state.tree;
  for (let bit = length - 1; bit >= 0; bit--) {
    if (tree === undefined || isPprfNode(tree)) return undefined;
    tree = (prefix >>> bit) & 1 ? tree.right : tree.left;
  }
  return tree;
}

/** The nodes of `tree`, in the order of their leaves. */
export function* walk(tree: PprfTree): Generator<PprfNode> {
  if (tree === undefined) return;
  if (isPprfNode(tree)) {
    yield tree;
    return;
  }
  yield* walk(tree.left);
  yield* walk(tree.right);
}

/** The state that holds exactly these nodes, which are prefix-free and in the order of their leaves. */
export function pprfFromNodes(depth: PprfDepth, nodes: readonly PprfNode[]): PprfState {
  let position = 0;
  const build = (level: number, end: number): PprfTree => {
    const next = nodes[position];
    if (next === undefined || next.first >= end) return undefined;
    if (next.prefixLength === level) {
      position++;
      return next;
    }
    const left = build(level + 1, end - 2 ** (depth - level - 1));
    const right = build(level + 1, end);
    return { left, right };
  };
  return { depth, tree: build(0, 2 ** depth) };
}

function find(state: PprfState, leaf: number): PprfNode | undefined {
  if (!Number.isInteger(leaf) || leaf < 0 || leaf >= 2 ** state.depth) throw new VirtualClientError('leaf-out-of-range');
  let tree = state.tree;
  for (let level = 0; tree !== undefined; level++) {
    if (isPprfNode(tree)) return tree;
    tree = isRight(leaf, level, state.depth) ? tree.right : tree.left;
  }
  return undefined;
}

function isRight(leaf: number, level: number, depth: number): boolean {
  return ((leaf >>> (depth - 1 - level)) & 1) === 1;
}

/** `tree` with the node that covers `leaf` replaced; branches without a node left below them vanish. */
function replace(tree: PprfTree, leaf: number, level: number, depth: number, replacement: PprfTree): PprfTree {
  if (tree === undefined || isPprfNode(tree)) return replacement;
  const goesRight = isRight(leaf, level, depth);
  const child = replace(goesRight ? tree.right : tree.left, leaf, level + 1, depth, replacement);
  const sibling = goesRight ? tree.left : tree.right;
  if (child === undefined && sibling === undefined) return undefined;
  return goesRight ? { left: sibling, right: child } : { left: child, right: sibling };
}
