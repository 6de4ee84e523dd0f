import type { Secret, Spending } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { MlsError } from './errors.ts';
import { publishedGroupInfo } from './group-info.ts';
import type { GroupState } from './group-state.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { safeExport } from './safe-exporter.ts';
import type { LeafAt } from './stage-proposals.ts';
import type { LeafNode } from './ts-mls.ts';

/** What callers ask of a group without changing it, and its safe exporter. */

/** Occupied leaves from left to right. */
export function memberLeaves(state: GroupState): LeafAt[] {
  return [...state.tree.leaves()].map(([leafIndex, leaf]) => ({ leafIndex, leaf }));
}

/** @throws MlsError 'unknown-leaf' */
export function leafAt(state: GroupState, leafIndex: number): LeafNode {
  return state.tree.occupiedLeaf(leafIndex);
}

/** The first leaf of which `isIt` holds. */
export function findLeaf(state: GroupState, isIt: (leaf: LeafNode) => boolean): number | undefined {
  for (const [leafIndex, leaf] of state.tree.leaves()) if (isIt(leaf)) return leafIndex;
  return undefined;
}

/** Leaves of the ratchet tree, blanks included: a power of two. */
export function leafCountOf(state: GroupState): number {
  return state.tree.leafCount;
}

/** MLSMessage with the current epoch's GroupInfo: `ratchet_tree` and `external_pub`. @param signer Own leaf's signature key */
export function groupInfoOf(suite: MlsSuite, state: GroupState, signer: Secret<'signature_private_key'>): Promise<Uint8Array> {
  return publishedGroupInfo(suite, state, signer);
}

/**
 * `SafeExportSecret(component_id)` of the current epoch (reading section 2), once per component.
 * Persist `next` before the secret is used; wipe `spent`, and the secret itself when it is used up.
 * @throws MlsError 'no-safe-exporter', 'invalid-component-id', 'component-exported'
 */
export function exportComponentSecret(
  suite: CipherSuite,
  state: GroupState,
  componentId: number,
): Spending<GroupState, Secret<'component_secret'>> {
  if (state.exporter === undefined) throw new MlsError('no-safe-exporter');
  const { next, value, spent } = safeExport(suite, state.exporter, componentId);
  return { next: { ...state, exporter: next }, value, spent };
}
