import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { encodeTreeHashInput, type LeafNode, type ParentNode } from './ts-mls.ts';

/*
 * struct { NodeType node_type; select (node_type) { case leaf: LeafNodeHashInput; case parent: ParentNodeHashInput; } } TreeHashInput;
 * struct { uint32 leaf_index; optional<LeafNode> leaf_node; } LeafNodeHashInput;
 * struct { optional<ParentNode> parent_node; opaque left_hash<V>; opaque right_hash<V>; } ParentNodeHashInput;
 */

/** RFC 9420 section 7.8: the tree hash of a leaf, blank or not. */
export function hashLeaf(suite: CipherSuite, leafIndex: number, leafNode: LeafNode | undefined): Uint8Array {
  return suite.hash(encodeTreeHashInput({ nodeType: 'leaf', leafIndex, leafNode }));
}

/** RFC 9420 section 7.8: the tree hash of a parent, blank or not, from those of its children. */
export function hashParent(
  suite: CipherSuite,
  parentNode: ParentNode | undefined,
  leftHash: Uint8Array,
  rightHash: Uint8Array,
): Uint8Array {
  return suite.hash(encodeTreeHashInput({ nodeType: 'parent', parentNode, leftHash, rightHash }));
}
