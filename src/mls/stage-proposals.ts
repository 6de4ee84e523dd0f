import type { Secret } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { validateKeyPackage } from './key-package.ts';
import type { LeafCheck } from './leaf-policy.ts';
import type { SortedProposals } from './proposals.ts';
import { derivePskSecret, type FindPsk } from './psk.ts';
import type { RatchetTree } from './ratchet-tree.ts';
import type { Extension, GroupContext, KeyPackage, LeafNode, PreSharedKeyID } from './ts-mls.ts';
import { checkCapabilities, sameKey, validateLeaf } from './validate-leaf.ts';

/** The effect of a commit's proposals on tree and context, before its path: RFC 9420 sections 12.2 and 12.3. */

export interface LeafAt {
  readonly leafIndex: number;
  readonly leaf: LeafNode;
}

export interface AddedMember extends LeafAt {
  readonly keyPackage: KeyPackage;
}

export interface ReplacedLeaf extends LeafAt {
  readonly replaced: LeafNode;
}

/** How leaves and pre-shared keys are judged. */
export interface Judgement {
  readonly checkLeaf: LeafCheck;
  readonly findPsk: FindPsk;
  /** Seconds since 1970 for the lifetimes of Adds; undefined where a late message must mean the same as a timely one. */
  readonly now: bigint | undefined;
}

export interface StagedProposals {
  /** Next epoch, new extensions; tree hash and transcript hash still those of the epoch before. */
  readonly context: GroupContext;
  readonly tree: RatchetTree;
  readonly added: readonly AddedMember[];
  readonly removed: readonly LeafAt[];
  readonly updated: readonly ReplacedLeaf[];
  readonly pskIds: readonly PreSharedKeyID[];
  /** The caller wipes it. */
  readonly pskSecret: Secret<'psk_secret'>;
  readonly kemOutput: Uint8Array | undefined;
  readonly needsPath: boolean;
}

/**
 * Applies GroupContextExtensions, Updates, Removes and Adds in this order, judges every leaf in the
 * tree that results, and gathers the PSKs.
 * @throws MlsError as `validateLeaf` and `validateKeyPackage` do, 'unknown-leaf', 'unknown-psk'; what `checkLeaf` throws
 */
export async function stageProposals(
  suite: MlsSuite,
  before: { readonly context: GroupContext; readonly tree: RatchetTree },
  proposals: SortedProposals,
  judgement: Judgement,
): Promise<StagedProposals> {
  const extensions: Extension[] = [...(proposals.extensions ?? before.context.extensions)];
  const context: GroupContext = { ...before.context, epoch: before.context.epoch + 1n, extensions };
  const removed = proposals.removes.map((leafIndex) => ({ leafIndex, leaf: before.tree.occupiedLeaf(leafIndex) }));
  const updated = proposals.updates.map((update) => ({ ...update, replaced: before.tree.occupiedLeaf(update.leafIndex) }));
  const changed = updated.reduce((tree, { leafIndex, leaf }) => tree.update(leafIndex, leaf), before.tree);
  const thinned = removed.reduce((tree, { leafIndex }) => tree.remove(leafIndex), changed);
  for (const update of updated) await judgeUpdate(suite, thinned, context, update, judgement);
  const { tree, added } = await addMembers(suite, thinned, context, proposals.adds, judgement);
  if (proposals.extensions !== undefined) for (const [, leaf] of tree.leaves()) checkCapabilities(leaf, context);
  return {
    context,
    tree,
    added,
    removed,
    updated,
    pskIds: proposals.psks,
    pskSecret: derivePskSecret(suite, proposals.psks, judgement.findPsk),
    kemOutput: proposals.externalInit?.kemOutput,
    needsPath: proposals.needsPath,
  };
}

/** RFC 9420 section 12.1.2. */
async function judgeUpdate(
  suite: MlsSuite,
  tree: RatchetTree,
  context: GroupContext,
  { leafIndex, leaf, replaced }: ReplacedLeaf,
  { checkLeaf }: Judgement,
): Promise<void> {
  if (sameKey(leaf.hpkePublicKey, replaced.hpkePublicKey)) throw new MlsError('duplicate-key', 'update keeps its key');
  await validateLeaf(suite, leaf, { tree, leafIndex, context, source: 'update', now: undefined });
  await checkLeaf(leaf, { groupId: context.groupId, leafIndex, replaces: replaced });
}

/** RFC 9420 section 12.1.1; each leaf is also judged against those added before it. */
async function addMembers(
  suite: MlsSuite,
  start: RatchetTree,
  context: GroupContext,
  keyPackages: readonly KeyPackage[],
  { checkLeaf, now }: Judgement,
): Promise<{ tree: RatchetTree; added: AddedMember[] }> {
  let tree = start;
  const added: AddedMember[] = [];
  for (const keyPackage of keyPackages) {
    const leaf = keyPackage.leafNode;
    await validateKeyPackage(suite, keyPackage, now);
    await validateLeaf(suite, leaf, { tree, leafIndex: undefined, context, source: 'key_package', now });
    const placed = tree.add(leaf);
    tree = placed.tree;
    await checkLeaf(leaf, { groupId: context.groupId, leafIndex: placed.leafIndex, replaces: undefined });
    added.push({ leafIndex: placed.leafIndex, leaf, keyPackage });
  }
  return { tree, added };
}
