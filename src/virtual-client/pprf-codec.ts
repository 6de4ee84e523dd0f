import { Secret } from '../bytes/index.ts';
import { DecodeError, decode, encode, type Reader, type Writer } from '../wire/index.ts';
import type { CipherSuite } from './ciphersuite.ts';
import {
  isPprfNode,
  pprfFromNodes,
  pprfNodes,
  subtree,
  walk,
  type PprfDepth,
  type PprfNode,
  type PprfState,
  type PprfTree,
} from './pprf.ts';

/**
 * Reading section 10:
 *
 *     struct { uint8 prefix_length; opaque prefix<V>; opaque node_secret<V>; } PprfNode;
 *     struct { PprfNode nodes<V>; } PprfState;
 *
 * `prefix` has ceil(prefix_length / 8) bytes from the most significant bit, unused bits zero. The
 * nodes are prefix-free and sorted as bit strings.
 */

/** An evaluation adds at most 31 nodes, so this is room for 33,000 operations in one emulation epoch: more than any account makes. */
const MAX_PPRF_NODES = 1 << 20;

export function writePprfState(writer: Writer, state: PprfState): void {
  writeNodes(writer, state.depth, [...pprfNodes(state)]);
}

/** @throws DecodeError when nodes are unsorted, overlap, or have bits set past their prefix. */
export function readPprfState(reader: Reader, suite: CipherSuite, depth: PprfDepth): PprfState {
  return pprfFromNodes(depth, readNodes(reader, suite, depth));
}

export function encodePprfState(state: PprfState): Uint8Array {
  return encode((w) => writePprfState(w, state));
}

export function decodePprfState(suite: CipherSuite, depth: PprfDepth, bytes: Uint8Array): PprfState {
  return decode(bytes, 'PprfState', (r) => readPprfState(r, suite, depth));
}

/**
 * For storage a state is cut at this level into subtrees, each one record in the form of a
 * PprfState: 256 records of about 3 kB after a thousand operations, of which an operation
 * rewrites one (and the few nodes above the cut, a record of their own, while those still change).
 */
const CUT = 8;
const TOP = 'top';

/** Record name by subtree: `top` for the nodes above the cut, two hex digits below it. Empty subtrees have none. */
export function pprfRecords(state: PprfState): Map<string, Uint8Array> {
  return changedPprfRecords(undefined, state).puts;
}

/** What to write and delete when `previous` is stored and `next` takes its place; unchanged subtrees cost nothing. */
export function changedPprfRecords(
  previous: PprfState | undefined,
  next: PprfState,
): { readonly puts: Map<string, Uint8Array>; readonly deletes: string[] } {
  const puts = new Map<string, Uint8Array>();
  const deletes: string[] = [];
  const place = (name: string, before: readonly PprfNode[], after: readonly PprfNode[]): void => {
    if (before.length === after.length && before.every((node, i) => node === after[i])) return;
    if (after.length === 0) deletes.push(name);
    else
      puts.set(
        name,
        encode((w) => writeNodes(w, next.depth, after)),
      );
  };
  place(TOP, previous === undefined ? [] : topNodes(previous.tree, 0), topNodes(next.tree, 0));
  for (let prefix = 0; prefix < 1 << CUT; prefix++) {
    const before = previous === undefined ? undefined : subtree(previous, prefix, CUT);
    const after = subtree(next, prefix, CUT);
    if (before !== after) place(prefix.toString(16).padStart(2, '0'), [...walk(before)], [...walk(after)]);
  }
  return { puts, deletes };
}

/** @throws DecodeError when the records together are no state. */
export function decodePprfRecords(suite: CipherSuite, depth: PprfDepth, records: Iterable<Uint8Array>): PprfState {
  const nodes: PprfNode[] = [];
  for (const record of records) nodes.push(...decode(record, 'PPRF record', (r) => readNodes(r, suite, depth)));
  nodes.sort((a, b) => a.first - b.first);
  checkOrder(nodes, depth);
  return pprfFromNodes(depth, nodes);
}

function topNodes(tree: PprfTree, level: number): PprfNode[] {
  if (tree === undefined || level === CUT) return [];
  if (isPprfNode(tree)) return [tree];
  return [...topNodes(tree.left, level + 1), ...topNodes(tree.right, level + 1)];
}

function writeNodes(writer: Writer, depth: PprfDepth, nodes: readonly PprfNode[]): void {
  writer.vector(nodes, (w, node) => {
    const bits = new Uint8Array(4);
    new DataView(bits.buffer).setUint32(0, node.first * 2 ** (32 - depth));
    w.uint8(node.prefixLength)
      .opaque(bits.subarray(0, Math.ceil(node.prefixLength / 8)))
      .opaque(node.secret.reveal());
  });
}

function readNodes(reader: Reader, suite: CipherSuite, depth: PprfDepth): PprfNode[] {
  const nodes = reader.vector('nodes', (r) => readNode(r, suite, depth), MAX_PPRF_NODES);
  checkOrder(nodes, depth);
  return nodes;
}

function readNode(reader: Reader, suite: CipherSuite, depth: PprfDepth): PprfNode {
  const prefixLength = reader.uint8('prefix_length');
  if (prefixLength > depth) throw new DecodeError('invalid-value', 'prefix_length');
  const prefix = reader.opaqueOf(Math.ceil(prefixLength / 8), 'prefix');
  const bits = new Uint8Array(4);
  bits.set(prefix);
  const first = new DataView(bits.buffer).getUint32(0) / 2 ** (32 - depth);
  if (first % 2 ** (depth - prefixLength) !== 0) throw new DecodeError('invalid-value', 'unused bits of prefix');
  return { first, prefixLength, secret: Secret.of('pprf_node', reader.opaqueOf(suite.nh, 'node_secret')) };
}

/** Each subtree ends before the next begins: sorted and prefix-free in one. */
function checkOrder(nodes: readonly PprfNode[], depth: PprfDepth): void {
  let end = 0;
  for (const node of nodes) {
    if (node.first < end) throw new DecodeError('invalid-value', 'nodes unsorted or one a prefix of another');
    end = node.first + 2 ** (depth - node.prefixLength);
  }
}
