import { describe, expect, it } from 'vitest';
import { Secret, toHex } from '../../../src/bytes/index.ts';
import { verifyLeafSignature } from '../../../src/mls/leaf-node.ts';
import { verifyParentHashes } from '../../../src/mls/parent-hash.ts';
import { RatchetTree } from '../../../src/mls/ratchet-tree.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { isInSubtree, isLeaf, leafToNode, left, level, nodeCount, parent, right, root, sibling } from '../../../src/mls/tree-math.ts';
import { decodeExact, proposalCodec, suiteName, updatePathCodec, type GroupContext, type Proposal } from '../../../src/mls/ts-mls.ts';
import { applyOwnUpdatePath, createUpdatePath, mergeUpdatePath, openUpdatePath, type PathKeys } from '../../../src/mls/update-path.ts';
import { validateTree } from '../../../src/mls/validate-tree.ts';
import { loadSuiteVectors, loadVectors, vectorsPresent, type Vector } from '../../support/mls-vectors.ts';

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

function contextOf(id: 1 | 3, groupId: Uint8Array, rest: Partial<GroupContext> = {}): GroupContext {
  return {
    version: 'mls10',
    cipherSuite: suiteName(id),
    groupId,
    epoch: 0n,
    treeHash: new Uint8Array(),
    confirmedTranscriptHash: new Uint8Array(),
    extensions: [],
    ...rest,
  };
}

describe.skipIf(!vectorsPresent)('working group vectors: tree-math', () => {
  const vectors = loadVectors('tree-math');

  it('are there', () => expect(vectors.length).toBeGreaterThan(0));

  it.each(vectors)('$name: our tree math agrees', (vector) => {
    const leaves = vector.number('n_leaves');
    const top = root(leaves);
    expect(nodeCount(leaves)).toBe(vector.number('n_nodes'));
    expect(top).toBe(vector.number('root'));
    const nodes = Array.from({ length: nodeCount(leaves) }, (_, node) => node);
    expect(nodes.map((node) => (isLeaf(node) ? null : left(node)))).toEqual(vector.list('left'));
    expect(nodes.map((node) => (isLeaf(node) ? null : right(node)))).toEqual(vector.list('right'));
    expect(nodes.map((node) => (node === top ? null : parent(node, leaves)))).toEqual(vector.list('parent'));
    expect(nodes.map((node) => (node === top ? null : sibling(node, leaves)))).toEqual(vector.list('sibling'));
    expect(level(top)).toBe(Math.log2(leaves));
  });
});

function changed(tree: RatchetTree, proposal: Proposal, sender: number): RatchetTree {
  switch (proposal.proposalType) {
    case 'add':
      return tree.add(proposal.add.keyPackage.leafNode).tree;
    case 'update':
      return tree.update(sender, proposal.update.leafNode);
    case 'remove':
      return tree.remove(proposal.remove.removed);
    default:
      throw new TypeError(`a vector with ${String(proposal.proposalType)}`);
  }
}

describe.skipIf(!vectorsPresent)('working group vectors: tree-operations', () => {
  const suite = getSuite(1);
  const vectors = loadSuiteVectors('tree-operations', 1);

  it('are there', () => expect(vectors.length).toBeGreaterThan(0));

  it.each(vectors)('$name: add, update and remove give the tree and the hash', (vector) => {
    const before = RatchetTree.decode(vector.bytes('tree_before'));
    expect(before.hash(suite)).toEqual(vector.bytes('tree_hash_before'));
    const after = changed(before, decodeExact(proposalCodec, vector.bytes('proposal')), vector.number('proposal_sender'));
    expect(toHex(after.encode())).toBe(vector.text('tree_after'));
    expect(after.hash(suite)).toEqual(vector.bytes('tree_hash_after'));
    expect(toHex(before.encode())).toBe(vector.text('tree_before'));
    expect(RatchetTree.decode(before.encode()).hash(suite)).toEqual(vector.bytes('tree_hash_before'));
  });
});

describe.each([1, 3] as const)('ciphersuite %i', (id) => {
  const suite = getSuite(id);

  describe.skipIf(!vectorsPresent)('working group vectors: tree-validation', () => {
    const vectors = loadSuiteVectors('tree-validation', id);

    it('are there', () => expect(vectors.length).toBeGreaterThan(0));

    it.each(vectors)('$name: hashes, resolutions, parent hashes and signatures are right', async (vector) => {
      const tree = RatchetTree.decode(vector.bytes('tree'));
      const groupId = vector.bytes('group_id');
      expect(toHex(tree.encode())).toBe(vector.text('tree'));
      const nodes = Array.from({ length: tree.nodeCount }, (_, node) => node);
      expect(nodes.map((node) => toHex(tree.hash(suite, node)))).toEqual(vector.list('tree_hashes'));
      expect(nodes.map((node) => tree.resolution(node))).toEqual(vector.list('resolutions'));
      expect(verifyParentHashes(suite, tree)).toBe(true);
      for (const [leafIndex, leaf] of tree.leaves()) expect(await verifyLeafSignature(suite, leaf, { groupId, leafIndex })).toBe(true);
      await validateTree(suite, tree, contextOf(id, groupId, { treeHash: tree.hash(suite) }));
    });
  });

  describe.skipIf(!vectorsPresent)('working group vectors: treekem', () => {
    const vectors = loadSuiteVectors('treekem', id);

    it('are there', () => expect(vectors.length).toBeGreaterThan(0));

    it.each(vectors)('$name: every member opens every path, and those that we make', async (vector) => {
      const tree = RatchetTree.decode(vector.bytes('ratchet_tree'));
      const members = vector.vectors('leaves_private').map((leaf) => memberOf(tree, leaf));
      const context = contextOf(id, vector.bytes('group_id'), {
        epoch: BigInt(vector.number('epoch')),
        confirmedTranscriptHash: vector.bytes('confirmed_transcript_hash'),
      });
      for (const given of vector.vectors('update_paths')) {
        const sender = given.number('sender');
        const setting = (known: PathKeys) => ({ tree, sender, added: new Set<number>(), context, known });
        const path = decodeExact(updatePathCodec, given.bytes('update_path'));
        expect((await mergeUpdatePath(suite, setting(new Map()), path)).tree.hash(suite)).toEqual(given.bytes('tree_hash_after'));
        const secrets = given.list('path_secrets');
        for (const member of members.filter((other) => other.leafIndex !== sender)) {
          const opened = await openUpdatePath(suite, setting(member.known), path, member.leafIndex, member.encryptionPrivateKey);
          expect(opened.tree.hash(suite)).toEqual(given.bytes('tree_hash_after'));
          expect(opened.commitSecret.reveal()).toEqual(given.bytes('commit_secret'));
          const shared = lowestShared(opened.tree, sender, member.leafIndex);
          expect(opened.pathPrivateKeys.get(shared)?.reveal()).toEqual(keyOf(secrets[member.leafIndex]));
        }

        const own = members.find((member) => member.leafIndex === sender)!;
        const leafKey = suite.deriveKeyPair(random(32));
        const prescribed = {
          encryptionKey: leafKey.publicKey,
          encryptionPrivateKey: Secret.of('encryption_private_key', leafKey.privateKey),
          pathSecret: Secret.of('path_secret', random(suite.nh)),
        };
        const leaf = tree.occupiedLeaf(sender);
        const made = await createUpdatePath(suite, setting(own.known), prescribed, leaf, own.signer, random);
        const again = await applyOwnUpdatePath(suite, setting(own.known), made.path, prescribed);
        expect(again.commitSecret.reveal()).toEqual(made.commitSecret.reveal());
        for (const member of members.filter((other) => other.leafIndex !== sender)) {
          const opened = await openUpdatePath(suite, setting(member.known), made.path, member.leafIndex, member.encryptionPrivateKey);
          expect(opened.commitSecret.reveal()).toEqual(made.commitSecret.reveal());
          expect(opened.tree.hash(suite)).toEqual(made.tree.hash(suite));
        }
      }
    });
  });

  function keyOf(pathSecret: unknown): Uint8Array {
    if (typeof pathSecret !== 'string') throw new TypeError('no path secret');
    return suite.deriveKeyPair(suite.deriveSecret(Uint8Array.from(Buffer.from(pathSecret, 'hex')), 'node')).privateKey;
  }

  function memberOf(tree: RatchetTree, leaf: Vector) {
    const known = new Map<number, Secret<'path_private_key'>>();
    for (const secret of leaf.vectors('path_secrets')) {
      const keyPair = suite.deriveKeyPair(suite.deriveSecret(secret.bytes('path_secret'), 'node'));
      expect(keyPair.publicKey).toEqual(tree.encryptionKey(secret.number('node')));
      known.set(secret.number('node'), Secret.of('path_private_key', keyPair.privateKey));
    }
    return {
      leafIndex: leaf.number('index'),
      encryptionPrivateKey: Secret.of('encryption_private_key', leaf.bytes('encryption_priv')),
      signer: suite.signatureKeyPair(leaf.bytes('signature_priv')).privateKey,
      known,
    };
  }
});

function lowestShared(tree: RatchetTree, a: number, b: number): number {
  return tree.directPath(a).find((node) => isInSubtree(leafToNode(b), node))!;
}
