import { beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/bytes/index.ts';
import type { MlsSuite } from '../../../src/mls/crypto-suite.ts';
import { MlsError } from '../../../src/mls/errors.ts';
import { verifyParentHashes } from '../../../src/mls/parent-hash.ts';
import type { RatchetTree } from '../../../src/mls/ratchet-tree.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import type { UpdatePath } from '../../../src/mls/ts-mls.ts';
import {
  applyOwnUpdatePath,
  joinerPathKeys,
  mergeUpdatePath,
  openUpdatePath,
  retainPathKeys,
  type OwnPath,
} from '../../../src/mls/update-path.ts';
import { validateTree } from '../../../src/mls/validate-tree.ts';
import {
  commitBy,
  counting,
  distinct,
  makeContext,
  makeFullTree,
  makeGroup,
  makeJoiner,
  makeOwnPath,
  makePath,
  settingFor,
  withLeaf,
  type Member,
  refusal,
} from '../../support/mls-tree.ts';

const suite = getSuite(1);

/** As the suite, but every use of HPKE fails the test. */
const withoutHpke: MlsSuite = {
  ...suite,
  encryptWithLabel: () => Promise.reject(new Error('HPKE was used')),
  decryptWithLabel: () => Promise.reject(new Error('HPKE was used')),
};

let tree: RatchetTree;
let members: Member[];

beforeAll(async () => {
  let group = await makeGroup(suite, 6);
  for (const sender of [0, 3, 5]) group = await commitBy(suite, group.tree, group.members, sender);
  ({ tree, members } = group);
});

const open = (path: UpdatePath, from: number, to: number, overrides: object = {}) =>
  openUpdatePath(
    suite,
    { ...settingFor(suite, tree, from, members[to]!.known), ...overrides },
    path,
    to,
    members[to]!.encryptionPrivateKey,
  );

describe('an update path', () => {
  it('gives sender, every receiver and a sibling the same tree and commit secret, and keys that fit the tree', async () => {
    const own = makeOwnPath(suite);
    const made = await makePath(suite, settingFor(suite, tree, 2, members[2]!.known), members[2]!, own);
    const sibling = await applyOwnUpdatePath(withoutHpke, settingFor(suite, tree, 2, members[2]!.known), made.path, own);
    for (const view of [made, sibling, ...(await Promise.all([0, 1, 3, 4, 5].map((to) => open(made.path, 2, to))))]) {
      expect(view.commitSecret.reveal()).toEqual(made.commitSecret.reveal());
      expect(view.tree.hash(suite)).toEqual(made.tree.hash(suite));
      expect(view.pathPrivateKeys.size).toBeGreaterThan(0);
      for (const [node, key] of view.pathPrivateKeys) expect(await fits(view.tree, node, key)).toBe(true);
    }
    expect(verifyParentHashes(suite, made.tree)).toBe(true);
  });

  it('leaves the tree before it as it was', async () => {
    const before = tree.encode();
    await makePath(suite, settingFor(suite, tree, 1, members[1]!.known), members[1]!, makeOwnPath(suite));
    expect(tree.encode()).toEqual(before);
  });

  it('derives its commit secret from the prescribed first path secret, along all its nodes', async () => {
    const own = makeOwnPath(suite);
    const made = await makePath(suite, settingFor(suite, tree, 0), members[0]!, own);
    let secret = own.pathSecret.reveal();
    for (const node of made.path.nodes) {
      expect(suite.deriveKeyPair(suite.deriveSecret(secret, 'node')).publicKey).toEqual(node.hpkePublicKey);
      secret = suite.deriveSecret(secret, 'path');
    }
    expect(made.commitSecret.reveal()).toEqual(secret);
    expect(made.path.leafNode.hpkePublicKey).toEqual(own.encryptionKey);
  });

  it('without nodes has commit_secret = DeriveSecret(path_secret[0], "path"), never zero', async () => {
    const alone = await makeGroup(suite, 1);
    const own = makeOwnPath(suite);
    const made = await makePath(withoutHpke, settingFor(suite, alone.tree, 0), alone.members[0]!, own);
    expect(made.path.nodes).toEqual([]);
    expect(made.commitSecret.reveal()).toEqual(suite.deriveSecret(own.pathSecret.reveal(), 'path'));
    const sibling = await applyOwnUpdatePath(withoutHpke, settingFor(suite, alone.tree, 0), made.path, own);
    expect(sibling.commitSecret.reveal()).toEqual(made.commitSecret.reveal());
  });

  it('encrypts nothing to leaves that the same commit adds; their Welcome gives them the keys above them', async () => {
    const joiner = await makeJoiner(suite, 'new');
    const grown = tree.add(joiner.leaf);
    const own = makeOwnPath(suite);
    const setting = settingFor(suite, grown.tree, 4, members[4]!.known, [grown.leafIndex]);
    const made = await makePath(suite, setting, members[4]!, own);
    const all = await makePath(suite, { ...setting, added: new Set() }, members[4]!, makeOwnPath(suite));
    const ciphertexts = (path: UpdatePath) => path.nodes.reduce((sum, node) => sum + node.encryptedPathSecret.length, 0);
    expect(ciphertexts(made.path)).toBe(ciphertexts(all.path) - 1);
    const keys = joinerPathKeys(suite, made.tree, grown.leafIndex, 4, made.pathSecretFor(grown.leafIndex));
    expect([...keys.keys()]).toEqual([11, 7]);
    for (const [node, key] of keys) expect(await fits(made.tree, node, key)).toBe(true);
    await expect(openUpdatePath(suite, setting, made.path, grown.leafIndex, joiner.member.encryptionPrivateKey)).rejects.toThrow(
      refusal('path-secret-unreadable'),
    );
    const wrong = Secret.of('path_secret', distinct(32));
    expect(() => joinerPathKeys(suite, made.tree, grown.leafIndex, 4, wrong)).toThrow(refusal('path-key-mismatch'));
  });

  it('can come from a joiner whose place was just reserved', async () => {
    const joiner = await makeJoiner(suite, 'external');
    const reserved = tree.reserve();
    const made = await makePath(suite, settingFor(suite, reserved.tree, reserved.leafIndex), joiner.member, makeOwnPath(suite));
    const setting = settingFor(suite, reserved.tree, reserved.leafIndex, members[2]!.known);
    const opened = await openUpdatePath(suite, setting, made.path, 2, members[2]!.encryptionPrivateKey);
    expect(opened.commitSecret.reveal()).toEqual(made.commitSecret.reveal());
    await validateTree(suite, opened.tree, makeContext(suite, { treeHash: opened.tree.hash(suite) }));
  });

  it('in a group of 256 costs O(log N) hashes to make and to apply', async () => {
    const { member, leaf } = await makeJoiner(suite, 'committer');
    const own = makeOwnPath(suite);
    const large = withLeaf(makeFullTree(suite, 256), 100, leaf);
    large.hash(suite);
    const making = counting(suite);
    const made = await makePath(making.suite, settingFor(suite, large, 100), member, own);
    const applying = counting(suite);
    const applied = await applyOwnUpdatePath(applying.suite, settingFor(suite, large, 100), made.path, own);
    applied.tree.hash(applying.suite);
    // Eight parent hashes, nine tree hashes on the new path.
    expect(making.hashes()).toBeLessThanOrEqual(17);
    expect(applying.hashes()).toBeLessThanOrEqual(17);
  });
});

describe('private keys of nodes', () => {
  it('are dropped, for wiping, when the node is blanked', () => {
    const known = members[0]!.known;
    const after = tree.remove(1);
    const { kept, dropped } = retainPathKeys(tree, after, known);
    expect(dropped.length).toBeGreaterThan(0);
    expect([...kept.keys()].every((node) => after.encryptionKey(node) !== undefined)).toBe(true);
    expect(kept.size + dropped.length).toBe(known.size);
  });

  it('are dropped, for wiping, when a path gives the node a new key', async () => {
    const before = members[0]!.known;
    const made = await makePath(suite, settingFor(suite, tree, 1), members[1]!, makeOwnPath(suite));
    const opened = await open(made.path, 1, 0);
    for (const node of tree.directPath(1).filter((index) => before.has(index))) {
      expect(opened.spent).toContain(before.get(node));
      expect(opened.pathPrivateKeys.get(node)).not.toBe(before.get(node));
    }
  });

  it('that stay are the same objects', async () => {
    const before = members[0]!.known;
    const made = await makePath(suite, settingFor(suite, tree, 5), members[5]!, makeOwnPath(suite));
    const opened = await open(made.path, 5, 0);
    const below = [...before.keys()].filter((node) => !tree.directPath(5).includes(node));
    expect(below.length).toBeGreaterThan(0);
    for (const node of below) expect(opened.pathPrivateKeys.get(node)).toBe(before.get(node));
  });
});

describe('a path is refused', () => {
  let own: OwnPath;
  let path: UpdatePath;

  beforeAll(async () => {
    own = makeOwnPath(suite);
    ({ path } = await makePath(suite, settingFor(suite, tree, 2, members[2]!.known), members[2]!, own));
  });

  const merge = (changed: UpdatePath) => mergeUpdatePath(suite, settingFor(suite, tree, 2), changed);
  const withPathNode = (i: number, change: Partial<UpdatePath['nodes'][number]>): UpdatePath => ({
    ...path,
    nodes: path.nodes.map((node, at) => (at === i ? { ...node, ...change } : node)),
  });

  it('with a node too few or too many', async () => {
    await expect(merge({ ...path, nodes: path.nodes.slice(1) })).rejects.toThrow(refusal('wrong-path-length'));
    await expect(merge({ ...path, nodes: [...path.nodes, path.nodes[0]!] })).rejects.toThrow(refusal('wrong-path-length'));
  });

  it('with a ciphertext too few or too many', async () => {
    const last = path.nodes.length - 1;
    const ciphertexts = path.nodes[last]!.encryptedPathSecret;
    await expect(merge(withPathNode(last, { encryptedPathSecret: ciphertexts.slice(1) }))).rejects.toThrow(
      refusal('wrong-ciphertext-count'),
    );
    const more = [...ciphertexts, ciphertexts[0]!];
    await expect(merge(withPathNode(last, { encryptedPathSecret: more }))).rejects.toThrow(refusal('wrong-ciphertext-count'));
  });

  it('by a sibling too, with a ciphertext too few', async () => {
    const short = withPathNode(0, { encryptedPathSecret: [] });
    const applied = applyOwnUpdatePath(suite, settingFor(suite, tree, 2), short, own);
    await expect(applied).rejects.toThrow(refusal('wrong-ciphertext-count'));
  });

  it('whose keys are not those that its leaf’s parent hash covers', async () => {
    await expect(merge(withPathNode(0, { hpkePublicKey: distinct(32) }))).rejects.toThrow(refusal('wrong-parent-hash'));
  });

  it('whose leaf is not signed for this place or group', async () => {
    const unsigned = { ...path, leafNode: { ...path.leafNode, signature: new Uint8Array(64) } };
    await expect(merge(unsigned)).rejects.toThrow(refusal('invalid-signature'));
    const elsewhere = { ...settingFor(suite, tree, 2), context: makeContext(suite, { groupId: distinct(8) }) };
    await expect(mergeUpdatePath(suite, elsewhere, path)).rejects.toThrow(refusal('invalid-signature'));
  });

  it('whose ciphertext does not open, or is bound to another context', async () => {
    const [first, ...rest] = path.nodes[0]!.encryptedPathSecret;
    const flipped = { ...first!, ciphertext: first!.ciphertext.map((byte, i) => (i === 0 ? byte ^ 1 : byte)) };
    const damaged = withPathNode(0, { encryptedPathSecret: [flipped, ...rest] });
    await expect(open(damaged, 2, 3)).rejects.toThrow(refusal('path-secret-unreadable'));
    await expect(open(path, 2, 3, { context: makeContext(suite, { epoch: 8n }) })).rejects.toThrow(refusal('path-secret-unreadable'));
  });

  it('when its public keys are not those that its secrets give, though all else fits', async () => {
    let pairs = 0;
    const lying: MlsSuite = {
      ...suite,
      // The second node of the path gets a key that nobody has.
      deriveKeyPair: (secret) => ({ ...suite.deriveKeyPair(secret), ...((pairs += 1) === 2 ? { publicKey: distinct(32) } : {}) }),
    };
    const made = await makePath(lying, settingFor(suite, tree, 2), members[2]!, own);
    await merge(made.path);
    await expect(open(made.path, 2, 3)).rejects.toThrow(refusal('path-key-mismatch'));
    await expect(open(made.path, 2, 0)).rejects.toThrow(refusal('path-key-mismatch'));
    const applied = applyOwnUpdatePath(suite, settingFor(suite, tree, 2), made.path, own);
    await expect(applied).rejects.toThrow(refusal('path-key-mismatch'));
  });

  it('by a sibling whose prescribed secrets are others', async () => {
    const setting = settingFor(suite, tree, 2);
    const otherSecret = { ...own, pathSecret: Secret.of('path_secret', distinct(32)) };
    await expect(applyOwnUpdatePath(suite, setting, path, otherSecret)).rejects.toThrow(refusal('path-key-mismatch'));
    const otherLeaf = { ...own, encryptionKey: distinct(32) };
    await expect(applyOwnUpdatePath(suite, setting, path, otherLeaf)).rejects.toThrow(refusal('path-key-mismatch'));
  });

  it('when a key of it stands in the tree already, the sender’s present leaf included', async () => {
    const after = (await mergeUpdatePath(suite, settingFor(suite, tree, 2), path)).tree;
    const again = (use: OwnPath) => makePath(suite, settingFor(suite, after, 2), members[2]!, use);
    await expect(again({ ...makeOwnPath(suite), encryptionKey: own.encryptionKey })).rejects.toThrow(refusal('duplicate-key'));
    await expect(again({ ...makeOwnPath(suite), pathSecret: own.pathSecret })).rejects.toThrow(refusal('duplicate-key'));
    const others = { ...makeOwnPath(suite), encryptionKey: tree.occupiedLeaf(5).hpkePublicKey };
    await expect(again(others)).rejects.toThrow(refusal('duplicate-key'));
  });

  it('when the same key stands in it twice', async () => {
    const fresh = makeOwnPath(suite);
    const first = suite.deriveKeyPair(suite.deriveSecret(fresh.pathSecret.reveal(), 'node'));
    const made = makePath(suite, settingFor(suite, tree, 2), members[2]!, { ...fresh, encryptionKey: first.publicKey });
    await expect(made).rejects.toThrow(refusal('duplicate-key'));
  });

  it('when nothing can be encrypted to one of its keys', async () => {
    const useless = [0, 1, 0xec].map((first, i) => new Uint8Array(32).fill(i < 2 ? 0 : 0xff).fill(first, 0, 1));
    const deriveKeyPair = (): ReturnType<MlsSuite['deriveKeyPair']> => ({ publicKey: useless.pop()!, privateKey: distinct(32) });
    const lying: MlsSuite = { ...suite, deriveKeyPair, isEncryptionKey: () => true };
    const made = await makePath(lying, settingFor(suite, tree, 2), members[2]!, makeOwnPath(suite));
    await expect(merge(made.path)).rejects.toThrow(refusal('invalid-public-key'));
  });

  it('by its own sender when opened by HPKE', async () => {
    await expect(open(path, 2, 2)).rejects.toThrow(MlsError);
  });
});

async function fits(of: RatchetTree, node: number, key: Secret<'path_private_key'>): Promise<boolean> {
  const plaintext = distinct(32);
  const { kemOutput, ciphertext } = await suite.encryptWithLabel(of.encryptionKey(node)!, 'test', new Uint8Array(), plaintext, distinct);
  const opened = await suite.decryptWithLabel(key.reveal(), 'test', new Uint8Array(), kemOutput, ciphertext);
  return opened !== undefined && opened.every((byte, i) => byte === plaintext[i]);
}
