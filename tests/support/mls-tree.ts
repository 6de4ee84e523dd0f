import { expect } from 'vitest';
import { Secret, utf8 } from '../../src/bytes/index.ts';
import type { MlsSuite, SignatureKeyPair } from '../../src/mls/crypto-suite.ts';
import type { MlsErrorCode } from '../../src/mls/errors.ts';
import { buildKeyPackageLeaf, type LeafTemplate } from '../../src/mls/leaf-node.ts';
import { pathParents } from '../../src/mls/parent-hash.ts';
import { RatchetTree } from '../../src/mls/ratchet-tree.ts';
import { leafToNode } from '../../src/mls/tree-math.ts';
import { suiteName, type GroupContext, type LeafNode, type LeafNodeKeyPackage } from '../../src/mls/ts-mls.ts';
import {
  createUpdatePath,
  openUpdatePath,
  type CreatedPath,
  type OwnPath,
  type PathKeys,
  type PathSetting,
} from '../../src/mls/update-path.ts';

export const GROUP_ID = utf8('a group');
/** Seconds; the leaves made here are valid around it. */
export const NOW = 1_800_000_000n;

let drawn = 0;
/** Bytes that no other call gives, the same in every run. */
export function distinct(length: number): Uint8Array {
  drawn += 1;
  const bytes = new Uint8Array(length).fill(0x5a);
  new DataView(bytes.buffer).setUint32(0, drawn);
  return bytes;
}

export interface Member {
  readonly leafIndex: number;
  readonly signer: SignatureKeyPair;
  readonly template: LeafTemplate;
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  readonly known: PathKeys;
}

export function makeTemplate(suite: MlsSuite, signer: SignatureKeyPair, name: string): LeafTemplate {
  return {
    signaturePublicKey: signer.publicKey,
    credential: { credentialType: 'basic', identity: utf8(name) },
    capabilities: { versions: ['mls10'], ciphersuites: [suiteName(suite.id)], extensions: [], proposals: [], credentials: ['basic'] },
    extensions: [],
  };
}

/** A member that is in no tree yet, and its leaf of source key_package. */
export async function makeJoiner(suite: MlsSuite, name: string): Promise<{ member: Member; leaf: LeafNodeKeyPackage }> {
  const signer = suite.signatureKeyPair(suite.hash(distinct(8)));
  const keys = suite.deriveKeyPair(suite.hash(distinct(8)));
  const template = makeTemplate(suite, signer, name);
  const lifetime = { notBefore: NOW - 3600n, notAfter: NOW + 3600n };
  const leaf = await buildKeyPackageLeaf(suite, template, keys.publicKey, lifetime, signer.privateKey);
  const encryptionPrivateKey = Secret.of('encryption_private_key', keys.privateKey);
  return { member: { leafIndex: -1, signer, template, encryptionPrivateKey, known: new Map() }, leaf };
}

/** `size` members whose leaves were just added: no parent is set. */
export async function makeGroup(suite: MlsSuite, size: number): Promise<{ tree: RatchetTree; members: Member[] }> {
  const members: Member[] = [];
  let tree: RatchetTree | undefined;
  for (let i = 0; i < size; i++) {
    const { member, leaf } = await makeJoiner(suite, `member ${i}`);
    tree = tree === undefined ? RatchetTree.of([{ nodeType: 'leaf', leaf }]) : tree.add(leaf).tree;
    members.push({ ...member, leafIndex: i });
  }
  if (tree === undefined) throw new RangeError('a group has members');
  return { tree, members };
}

export function makeContext(suite: MlsSuite, rest: Partial<GroupContext> = {}): GroupContext {
  return {
    version: 'mls10',
    cipherSuite: suiteName(suite.id),
    groupId: GROUP_ID,
    epoch: 7n,
    treeHash: new Uint8Array(),
    confirmedTranscriptHash: utf8('transcript'),
    extensions: [],
    ...rest,
  };
}

export function makeOwnPath(suite: MlsSuite): OwnPath {
  const keys = suite.deriveKeyPair(suite.hash(distinct(8)));
  return {
    encryptionKey: keys.publicKey,
    encryptionPrivateKey: Secret.of('encryption_private_key', keys.privateKey),
    pathSecret: Secret.of('path_secret', suite.hash(distinct(8))),
  };
}

export function settingFor(
  suite: MlsSuite,
  tree: RatchetTree,
  sender: number,
  known: PathKeys = new Map(),
  added: readonly number[] = [],
): PathSetting {
  return { tree, sender, known, added: new Set(added), context: makeContext(suite) };
}

export function makePath(suite: MlsSuite, setting: PathSetting, member: Member, own: OwnPath): Promise<CreatedPath> {
  return createUpdatePath(suite, setting, own, member.template, member.signer.privateKey, distinct);
}

/** One member commits a path and all others open it. */
export async function commitBy(
  suite: MlsSuite,
  tree: RatchetTree,
  members: readonly Member[],
  sender: number,
): Promise<{ tree: RatchetTree; members: Member[] }> {
  const own = makeOwnPath(suite);
  const committer = members.find((member) => member.leafIndex === sender)!;
  const made = await makePath(suite, settingFor(suite, tree, sender, committer.known), committer, own);
  const after: Member[] = [];
  for (const member of members) {
    if (member === committer) {
      after.push({ ...member, encryptionPrivateKey: own.encryptionPrivateKey, known: made.pathPrivateKeys });
    } else {
      const setting = settingFor(suite, tree, sender, member.known);
      const opened = await openUpdatePath(suite, setting, made.path, member.leafIndex, member.encryptionPrivateKey);
      after.push({ ...member, known: opened.pathPrivateKeys });
    }
  }
  return { tree: made.tree, members: after };
}

/** A large tree with no blank node, whose keys are made up and whose leaves are not signed: for counting. */
export function makeFullTree(suite: MlsSuite, size: number): RatchetTree {
  const leaves = Array.from({ length: size }, (_, i) => unsignedLeaf(suite, i));
  const nodes = leaves.flatMap((leaf) => [{ nodeType: 'leaf' as const, leaf }, undefined]).slice(0, -1);
  let tree = RatchetTree.of(nodes);
  for (let leafIndex = 0; leafIndex < size; leafIndex += 2) tree = withMadeUpPath(suite, tree, leafIndex);
  return tree;
}

/** The tree with a path of made-up keys and right parent hashes; its leaf is not signed. */
export function withMadeUpPath(suite: MlsSuite, tree: RatchetTree, leafIndex: number): RatchetTree {
  const steps = tree.filteredDirectPath(leafIndex);
  const made = pathParents(
    suite,
    tree,
    steps,
    steps.map(() => distinct(32)),
  );
  const leaf: LeafNode = { ...unsignedLeaf(suite, leafIndex), leafNodeSource: 'commit', parentHash: made.leafParentHash };
  return tree.withPath(leafIndex, leaf, made.parents);
}

export function unsignedLeaf(suite: MlsSuite, leafIndex: number): LeafNode {
  const template = makeTemplate(
    suite,
    { publicKey: distinct(32), privateKey: Secret.of('signature_private_key', distinct(32)) },
    `leaf ${leafIndex}`,
  );
  return {
    ...template,
    extensions: [],
    hpkePublicKey: distinct(32),
    leafNodeSource: 'key_package',
    lifetime: { notBefore: 0n, notAfter: NOW },
    signature: new Uint8Array(64),
  };
}

/** The suite with its hash calls counted. */
export function counting(suite: MlsSuite): { suite: MlsSuite; hashes: () => number } {
  let hashes = 0;
  const counted = {
    ...suite,
    hash: (data: Uint8Array) => {
      hashes += 1;
      return suite.hash(data);
    },
  };
  return { suite: counted, hashes: () => hashes };
}

/** The tree with one node put in place of another, nothing recomputed. */
export function withNode(tree: RatchetTree, nodeIndex: number, node: ReturnType<RatchetTree['node']>): RatchetTree {
  return RatchetTree.of(Array.from({ length: tree.nodeCount }, (_, index) => (index === nodeIndex ? node : tree.node(index))));
}

export function withLeaf(tree: RatchetTree, leafIndex: number, change: Partial<LeafNode>): RatchetTree {
  return withNode(tree, leafToNode(leafIndex), { nodeType: 'leaf', leaf: { ...tree.occupiedLeaf(leafIndex), ...change } as LeafNode });
}

/** For `toThrow`: an MlsError with this code, whatever its text. */
export function refusal(code: MlsErrorCode): Error {
  return expect.objectContaining({ name: 'MlsError', code }) as Error;
}
