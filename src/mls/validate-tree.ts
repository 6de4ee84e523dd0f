import { equal, toHex } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { verifyLeafSignature } from './leaf-node.ts';
import { verifyParentHashes } from './parent-hash.ts';
import type { RatchetTree } from './ratchet-tree.ts';
import { isInSubtree, leafToNode } from './tree-math.ts';
import type { CredentialTypeName, GroupContext, LeafNode } from './ts-mls.ts';
import { checkCapabilities, checkEncryptionKey } from './validate-leaf.ts';

/**
 * RFC 9420 section 12.4.3.1: a ratchet tree received on joining, against the GroupContext that names
 * it. Lifetimes are not judged: they counted when the leaf entered. Whether the credentials are
 * genuine is the caller's to judge.
 * @throws MlsError `wrong-tree-hash`, `invalid-tree`, `duplicate-key`, `unsupported-capability`,
 * `wrong-parent-hash`, `invalid-signature`, `invalid-public-key`
 */
export async function validateTree(suite: MlsSuite, tree: RatchetTree, context: GroupContext): Promise<void> {
  if (!equal(tree.hash(suite), context.treeHash)) throw new MlsError('wrong-tree-hash');
  checkUnmergedLeaves(tree);
  checkAllKeysUnique(tree);
  for (const [, { hpkePublicKey }] of [...tree.leaves(), ...tree.parents()]) checkEncryptionKey(suite, hpkePublicKey);
  const leaves = [...tree.leaves()];
  for (const [, leaf] of leaves) checkCapabilities(leaf, context);
  checkAllCredentialTypes(leaves.map(([, leaf]) => leaf));
  if (!verifyParentHashes(suite, tree)) throw new MlsError('wrong-parent-hash');
  const signed = await Promise.all(
    leaves.map(([leafIndex, leaf]) => verifyLeafSignature(suite, leaf, { groupId: context.groupId, leafIndex })),
  );
  if (!signed.every(Boolean)) throw new MlsError('invalid-signature', 'leaf node');
}

/**
 * Each parent's unmerged leaves are occupied, below it, ascending without repeats, and also unmerged in
 * every non-blank parent in between. The lists themselves may differ along a path: one further down
 * can still name a leaf that a newer node above it has merged. @throws MlsError `invalid-tree`
 */
export function checkUnmergedLeaves(tree: RatchetTree): void {
  const unmergedAt = new Map([...tree.parents()].map(([node, parent]) => [node, new Set(parent.unmergedLeaves)] as const));
  for (const [node, { unmergedLeaves }] of tree.parents()) {
    unmergedLeaves.forEach((leaf, i) => {
      if (i > 0 && unmergedLeaves[i - 1]! >= leaf) throw new MlsError('invalid-tree', 'unmerged leaves out of order');
      if (tree.leaf(leaf) === undefined || !isInSubtree(leafToNode(leaf), node)) {
        throw new MlsError('invalid-tree', 'unmerged leaf is blank or elsewhere');
      }
      for (const between of tree.directPath(leaf)) {
        if (between === node) break;
        if (unmergedAt.get(between)?.has(leaf) === false) throw new MlsError('invalid-tree', 'unmerged leaf is merged further down');
      }
    });
  }
}

/** @throws MlsError `duplicate-key` */
function checkAllKeysUnique(tree: RatchetTree): void {
  const encryptionKeys = new Set<string>();
  const signatureKeys = new Set<string>();
  const insert = (seen: Set<string>, key: Uint8Array): void => {
    const name = toHex(key);
    if (seen.has(name)) throw new MlsError('duplicate-key');
    seen.add(name);
  };
  for (const [, leaf] of tree.leaves()) {
    insert(encryptionKeys, leaf.hpkePublicKey);
    insert(signatureKeys, leaf.signaturePublicKey);
  }
  for (const [, parent] of tree.parents()) insert(encryptionKeys, parent.hpkePublicKey);
}

/** @throws MlsError `unsupported-capability` */
function checkAllCredentialTypes(leaves: readonly LeafNode[]): void {
  const inUse = new Set<CredentialTypeName>(leaves.map((leaf) => leaf.credential.credentialType));
  for (const leaf of leaves) {
    for (const type of inUse) {
      if (!leaf.capabilities.credentials.includes(type)) throw new MlsError('unsupported-capability', 'credential of another member');
    }
  }
}
