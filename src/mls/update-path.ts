import { equal, Secret } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import type { MlsSuite, Random } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { buildCommitLeaf, type LeafTemplate } from './leaf-node.ts';
import { pathParents } from './parent-hash.ts';
import type { PathStep, RatchetTree } from './ratchet-tree.ts';
import { isInSubtree, isLeaf, leafToNode, nodeToLeaf } from './tree-math.ts';
import { groupContextCodec, type GroupContext, type HPKECiphertext, type LeafNode, type UpdatePath } from './ts-mls.ts';
import { checkEncryptionKey, sameKey, validateLeaf } from './validate-leaf.ts';

/*
 * struct { opaque kem_output<V>; opaque ciphertext<V>; } HPKECiphertext;
 * struct { HPKEPublicKey encryption_key; HPKECiphertext encrypted_path_secret<V>; } UpdatePathNode;
 * struct { LeafNode leaf_node; UpdatePathNode nodes<V>; } UpdatePath;
 */

const PATH_NODE_LABEL = 'UpdatePathNode';

export type PathKeys = ReadonlyMap<number, Secret<'path_private_key'>>;

/** The secrets of a path of our own, prescribed by the caller and never drawn here. */
export interface OwnPath {
  /** The new leaf's HPKE key pair. */
  readonly encryptionKey: Uint8Array;
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  /** `path_secret[0]`, `Nh` bytes. */
  readonly pathSecret: Secret<'path_secret'>;
}

/** What sender and receivers of a path agree on before it. */
export interface PathSetting {
  /** The tree after the commit's proposals; the committer's leaf is blank for a joiner (`RatchetTree.reserve`). */
  readonly tree: RatchetTree;
  /** Leaf index of the path's sender. */
  readonly sender: number;
  /** Leaves that this commit's Add proposals brought: nothing is encrypted to them (RFC 9420 section 12.4.1). */
  readonly added: ReadonlySet<number>;
  /** The provisional GroupContext: next epoch, new extensions. Its tree hash is replaced by that of the tree with the path. */
  readonly context: GroupContext;
  /** Private keys of parent nodes that we know in `tree`. */
  readonly known: PathKeys;
}

/** The tree with the path in it and what we learn from it. */
export interface AppliedPath {
  readonly tree: RatchetTree;
  readonly commitSecret: Secret<'commit_secret'>;
  /** Private keys of parent nodes that we know in the new tree. */
  readonly pathPrivateKeys: PathKeys;
  /** Keys that left `known`, and path secrets: wipe them once the state without them is stored. */
  readonly spent: readonly Secret<string>[];
}

export interface CreatedPath extends AppliedPath {
  readonly path: UpdatePath;
  /** The path secret that a Welcome gives to a leaf added by this commit (RFC 9420 section 12.4.3.1). Use it before `spent` is wiped. */
  pathSecretFor(leafIndex: number): Secret<'path_secret'>;
}

/**
 * RFC 9420 section 7.5: an UpdatePath from prescribed secrets, signed and encrypted, and the tree
 * with it. The caller keeps and wipes `own` and the leaf's previous key itself.
 * @throws MlsError what receivers would refuse it for
 */
export async function createUpdatePath(
  suite: MlsSuite,
  setting: PathSetting,
  own: OwnPath,
  leaf: LeafTemplate,
  signer: Secret<'signature_private_key'>,
  random: Random,
): Promise<CreatedPath> {
  const { tree, sender, context } = setting;
  const steps = tree.filteredDirectPath(sender);
  const derived = derivePath(suite, own.pathSecret.reveal(), steps.length);
  const keys = derived.nodes.map((node) => node.publicKey);
  const { parents, leafParentHash } = pathParents(suite, tree, steps, keys);
  const position = { groupId: context.groupId, leafIndex: sender };
  const leafNode = await buildCommitLeaf(suite, leaf, own.encryptionKey, leafParentHash, position, signer);
  await checkLeafAndKeys(suite, setting, leafNode, keys);
  const next = tree.withPath(sender, leafNode, parents);
  const info = pathContext(suite, setting, next);
  const nodes = await Promise.all(
    steps.map(async (step, i) => {
      const secret = derived.nodes[i]!.pathSecret.reveal();
      const encrypt = async (node: number): Promise<HPKECiphertext> =>
        suite.encryptWithLabel(tree.encryptionKey(node)!, PATH_NODE_LABEL, info, secret, random);
      return { hpkePublicKey: keys[i]!, encryptedPathSecret: await Promise.all(recipients(setting, step).map(encrypt)) };
    }),
  );
  return {
    ...withLearned(setting, next, steps, derived),
    path: { leafNode, nodes },
    pathSecretFor: (leafIndex) => derived.nodes[commonStep(steps, leafIndex)]!.pathSecret,
  };
}

/**
 * RFC 9420 section 7.5 and 12.4.2 for a member other than the path's sender: checks the path, opens
 * the one path secret that is meant for us by HPKE, derives those above it and compares every public key.
 * @throws MlsError as `mergeUpdatePath`, and `path-secret-unreadable`, `path-key-mismatch`
 */
export async function openUpdatePath(
  suite: MlsSuite,
  setting: PathSetting,
  path: UpdatePath,
  ownLeaf: number,
  encryptionPrivateKey: Secret<'encryption_private_key'>,
): Promise<AppliedPath> {
  const { tree: next, steps } = await mergeUpdatePath(suite, setting, path);
  const at = commonStep(steps, ownLeaf);
  const ciphertexts = path.nodes[at]!.encryptedPathSecret;
  const ownNode = leafToNode(ownLeaf);
  const targets = recipients(setting, steps[at]!);
  const slot = targets.findIndex((node) => node === ownNode || setting.known.has(node));
  const target = targets[slot];
  if (target === undefined) throw new MlsError('path-secret-unreadable', 'no key for it');
  const key = target === ownNode ? encryptionPrivateKey : setting.known.get(target)!;
  const { kemOutput, ciphertext } = ciphertexts[slot]!;
  const info = pathContext(suite, setting, next);
  const secret = await suite.decryptWithLabel(key.reveal(), PATH_NODE_LABEL, info, kemOutput, ciphertext);
  if (secret?.length !== suite.nh) throw new MlsError('path-secret-unreadable');
  const derived = derivePath(suite, secret, steps.length - at);
  secret.fill(0);
  return withLearned(setting, next, steps.slice(at), compared(derived, path, at));
}

/**
 * The path of our own leaf with its secrets known: our own commit come back, or a sibling's. No HPKE,
 * but all other checks, and every public key is compared (reading section 6).
 * @throws MlsError as `mergeUpdatePath`, and `path-key-mismatch`
 */
export async function applyOwnUpdatePath(suite: MlsSuite, setting: PathSetting, path: UpdatePath, own: OwnPath): Promise<AppliedPath> {
  const { tree: next, steps } = await mergeUpdatePath(suite, setting, path);
  if (!sameKey(path.leafNode.hpkePublicKey, own.encryptionKey)) throw new MlsError('path-key-mismatch', 'leaf');
  const derived = derivePath(suite, own.pathSecret.reveal(), steps.length);
  return withLearned(setting, next, steps, compared(derived, path, 0));
}

/**
 * The tree with the path in it, after all checks that need no secret (RFC 9420 section 12.4.2): the
 * leaf, one node per node of the filtered direct path, one ciphertext per recipient, keys that stand
 * nowhere else in the tree, and the leaf's parent hash.
 * @throws MlsError as `validateLeaf`, and `wrong-path-length`, `wrong-ciphertext-count`, `duplicate-key`, `wrong-parent-hash`
 */
export async function mergeUpdatePath(
  suite: MlsSuite,
  setting: PathSetting,
  path: UpdatePath,
): Promise<{ readonly tree: RatchetTree; readonly steps: readonly PathStep[] }> {
  const { tree, sender } = setting;
  const steps = tree.filteredDirectPath(sender);
  if (path.nodes.length !== steps.length) throw new MlsError('wrong-path-length');
  steps.forEach((step, i) => {
    if (path.nodes[i]!.encryptedPathSecret.length !== recipients(setting, step).length) throw new MlsError('wrong-ciphertext-count');
  });
  const keys = path.nodes.map((node) => node.hpkePublicKey);
  const { parents, leafParentHash } = pathParents(suite, tree, steps, keys);
  if (!equal(path.leafNode.parentHash, leafParentHash)) throw new MlsError('wrong-parent-hash');
  await checkLeafAndKeys(suite, setting, path.leafNode, keys);
  return { tree: tree.withPath(sender, path.leafNode, parents), steps };
}

/**
 * RFC 9420 section 12.4.3.1: the keys of a joiner whose Welcome holds a path secret. `tree` is the tree
 * of the new epoch, `sender` the GroupInfo's signer. @throws MlsError `path-key-mismatch`, `invalid-tree`
 */
export function joinerPathKeys(
  suite: CipherSuite,
  tree: RatchetTree,
  ownLeaf: number,
  sender: number,
  pathSecret: Secret<'path_secret'>,
): PathKeys {
  const shared = tree.directPath(sender).filter((node) => isInSubtree(leafToNode(ownLeaf), node));
  if (tree.parentNode(shared[0] ?? -1) === undefined) throw new MlsError('invalid-tree', 'no path above the joiner');
  const nodes = shared.filter((node) => tree.parentNode(node) !== undefined);
  const derived = derivePath(suite, pathSecret.reveal(), nodes.length);
  const wrong = derived.nodes.findIndex(({ publicKey }, i) => !sameKey(publicKey, tree.encryptionKey(nodes[i]!)!));
  if (wrong >= 0) {
    wipe(derived);
    throw new MlsError('path-key-mismatch', `node ${nodes[wrong]!}`);
  }
  derived.commitSecret.wipe();
  const keys = new Map<number, Secret<'path_private_key'>>();
  derived.nodes.forEach((node, i) => {
    node.pathSecret.wipe();
    keys.set(nodes[i]!, node.privateKey);
  });
  return keys;
}

/**
 * Of the private keys known in one tree those that are still keys of the same nodes in a later one;
 * the others belong to nodes that were blanked, replaced or cut off, and must be wiped.
 */
export function retainPathKeys(
  before: RatchetTree,
  after: RatchetTree,
  known: PathKeys,
): { readonly kept: PathKeys; readonly dropped: readonly Secret<'path_private_key'>[] } {
  const kept = new Map<number, Secret<'path_private_key'>>();
  const dropped: Secret<'path_private_key'>[] = [];
  for (const [node, key] of known) {
    const was = before.encryptionKey(node);
    const is = after.encryptionKey(node);
    if (was !== undefined && is !== undefined && sameKey(was, is)) kept.set(node, key);
    else dropped.push(key);
  }
  return { kept, dropped };
}

interface DerivedNode {
  readonly pathSecret: Secret<'path_secret'>;
  readonly publicKey: Uint8Array;
  readonly privateKey: Secret<'path_private_key'>;
}

interface DerivedPath {
  readonly nodes: readonly DerivedNode[];
  readonly commitSecret: Secret<'commit_secret'>;
}

/**
 * RFC 9420 section 7.4: `path_secret[n] = DeriveSecret(path_secret[n-1], "path")`,
 * `node_secret[n] = DeriveSecret(path_secret[n], "node")`, keys by `DeriveKeyPair(node_secret[n])`;
 * `commit_secret` is the path secret after the last. Without nodes it is
 * `DeriveSecret(path_secret[0], "path")`, never zero (reading section 6).
 */
function derivePath(suite: CipherSuite, firstPathSecret: Uint8Array, length: number): DerivedPath {
  const nodes: DerivedNode[] = [];
  let pathSecret: Uint8Array = firstPathSecret.slice();
  for (let i = 0; i < length; i++) {
    const nodeSecret = suite.deriveSecret(pathSecret, 'node');
    const { publicKey, privateKey } = suite.deriveKeyPair(nodeSecret);
    nodeSecret.fill(0);
    nodes.push({ pathSecret: Secret.of('path_secret', pathSecret), publicKey, privateKey: Secret.of('path_private_key', privateKey) });
    pathSecret = suite.deriveSecret(pathSecret, 'path');
  }
  if (length > 0) return { nodes, commitSecret: Secret.of('commit_secret', pathSecret) };
  const commitSecret = suite.deriveSecret(pathSecret, 'path');
  pathSecret.fill(0);
  return { nodes, commitSecret: Secret.of('commit_secret', commitSecret) };
}

/** `derived` begins at the path's node `from`; it is wiped if it does not fit. @throws MlsError `path-key-mismatch` */
function compared(derived: DerivedPath, path: UpdatePath, from: number): DerivedPath {
  const wrong = derived.nodes.findIndex(({ publicKey }, i) => !sameKey(publicKey, path.nodes[from + i]!.hpkePublicKey));
  if (wrong < 0) return derived;
  wipe(derived);
  throw new MlsError('path-key-mismatch', `path node ${from + wrong}`);
}

function wipe(derived: DerivedPath): void {
  derived.commitSecret.wipe();
  for (const { pathSecret, privateKey } of derived.nodes) {
    pathSecret.wipe();
    privateKey.wipe();
  }
}

/** `steps` are those of the path that `derived` has secrets for. */
function withLearned(setting: PathSetting, tree: RatchetTree, steps: readonly PathStep[], derived: DerivedPath): AppliedPath {
  const { kept, dropped } = retainPathKeys(setting.tree, tree, setting.known);
  const learned = steps.map((step, i) => [step.nodeIndex, derived.nodes[i]!.privateKey] as const);
  return {
    tree,
    commitSecret: derived.commitSecret,
    pathPrivateKeys: new Map([...kept, ...learned]),
    spent: [...dropped, ...derived.nodes.map((node) => node.pathSecret)],
  };
}

/** The encoded GroupContext to which the path secrets are bound: that of the new epoch, but for the transcript hash. */
function pathContext(suite: CipherSuite, setting: PathSetting, next: RatchetTree): Uint8Array {
  return groupContextCodec.encode({ ...setting.context, treeHash: next.hash(suite) });
}

function recipients(setting: PathSetting, step: PathStep): number[] {
  return step.resolution.filter((node) => !isLeaf(node) || !setting.added.has(nodeToLeaf(node)));
}

/** The step at which a leaf's direct path meets that of the path's sender. @throws MlsError `unknown-leaf` */
function commonStep(steps: readonly PathStep[], leafIndex: number): number {
  const at = steps.findIndex((step) => isInSubtree(leafToNode(leafIndex), step.copathChild));
  if (at < 0) throw new MlsError('unknown-leaf');
  return at;
}

/** No key of the path may stand anywhere in the tree before it, the sender's present leaf included, nor twice in the path. */
async function checkLeafAndKeys(suite: MlsSuite, setting: PathSetting, leaf: LeafNode, nodeKeys: readonly Uint8Array[]): Promise<void> {
  const { tree, sender, context } = setting;
  const fresh = [leaf.hpkePublicKey, ...nodeKeys];
  for (const key of nodeKeys) checkEncryptionKey(suite, key);
  const repeated = fresh.some((key, i) => fresh.slice(i + 1).some((other) => sameKey(key, other)));
  if (repeated) throw new MlsError('duplicate-key', 'within the path');
  for (let node = 0; node < tree.nodeCount; node++) {
    const present = tree.encryptionKey(node);
    if (present !== undefined && fresh.some((key) => sameKey(key, present))) throw new MlsError('duplicate-key', 'path');
  }
  // Only key_package leaves have a lifetime.
  await validateLeaf(suite, leaf, { tree, leafIndex: sender, context, source: 'commit', now: undefined });
}
