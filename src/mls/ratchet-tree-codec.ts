import { decode, DecodeError, encode } from '../wire/index.ts';
import { decodePrefix, nodeCodec, type Node } from './ts-mls.ts';

/*
 * struct { NodeType node_type; select (node_type) { case leaf: LeafNode; case parent: ParentNode; } } Node;
 * optional<Node> ratchet_tree<V>;
 *
 * The list is walked here and only its nodes are left to ts-mls, whose list encoder calls itself once
 * per item and so runs out of stack in large trees.
 */

const ABSENT = 0;
const PRESENT = 1;

/** `ratchet_tree` (RFC 9420 section 12.4.3.3): blank nodes at the end are left out. */
export function encodeTreeNodes(nodes: readonly (Node | undefined)[]): Uint8Array {
  const last = nodes.findLastIndex((node) => node !== undefined);
  const encoded = nodes.slice(0, last + 1).map((node) => (node === undefined ? undefined : nodeCodec.encode(node)));
  const list = new Uint8Array(encoded.reduce((length, node) => length + 1 + (node?.length ?? 0), 0));
  let offset = 0;
  for (const node of encoded) {
    list[offset] = node === undefined ? ABSENT : PRESENT;
    offset += 1;
    if (node === undefined) continue;
    list.set(node, offset);
    offset += node.length;
  }
  return encode((writer) => writer.opaque(list));
}

/**
 * The nodes of a `ratchet_tree`, at most `maxNodes`, sharing no memory with `bytes`. Only the canonical
 * form is taken. @throws DecodeError
 */
export function decodeTreeNodes(bytes: Uint8Array, maxNodes: number): (Node | undefined)[] {
  const list = decode(bytes, 'ratchet_tree', (reader) => reader.opaque('ratchet_tree'));
  const nodes: (Node | undefined)[] = [];
  for (let offset = 0; offset < list.length;) {
    if (nodes.length === maxNodes) throw new DecodeError('vector-too-long', 'ratchet_tree');
    const presence = list[offset]!;
    if (presence !== ABSENT && presence !== PRESENT) throw new DecodeError('invalid-value', 'ratchet_tree');
    offset += 1;
    if (presence === ABSENT) {
      nodes.push(undefined);
      continue;
    }
    const [node, length] = decodePrefix(nodeCodec, list.subarray(offset));
    offset += length;
    nodes.push(node);
  }
  return nodes;
}
