import type { LeafNode } from './ts-mls.ts';

/** Where a leaf stands that the application is asked to judge. */
export interface LeafPlaceInGroup {
  readonly groupId: Uint8Array;
  /** undefined for a proposed Add: its place is known only when it is committed. */
  readonly leafIndex: number | undefined;
  /** The leaf whose place it takes: by an Update, a path, or an external commit that removes an old leaf. */
  readonly replaces: LeafNode | undefined;
}

/**
 * The application's judgement of a leaf that enters a group or changes in it (RFC 9420 section 5.3.1):
 * whether its credential is genuine and a fit successor. Throws to refuse; must depend on its arguments
 * and on nothing that differs between members, or the group splits.
 */
export type LeafCheck = (leaf: LeafNode, at: LeafPlaceInGroup) => Promise<void>;
