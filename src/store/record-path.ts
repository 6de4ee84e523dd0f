import { StoreError } from './errors.ts';

/**
 * Paths of records, such as `group/<id>/tree`. They stay readable in the database so that ranges of
 * them can be read in order; so they may hold random identifiers that the server knows anyway, and
 * numbers, but nothing that a person wrote. A name or a text cannot even be put into one: spaces,
 * `@` and letters beyond ASCII are refused.
 */
const PATH = /^[A-Za-z0-9._-]+(?:\/[A-Za-z0-9._-]+)*$/;
/** Twice the longest path in use: `emulation/epoch/<64 hex digits>/pprf/ff`. */
const MAX_LENGTH = 256;

/** Sorts behind every path that begins with what stands before it. */
const BEHIND = '\uffff';

/** @throws StoreError 'invalid-path' */
export function checkPath(path: string): void {
  if (path.length > MAX_LENGTH || !PATH.test(path)) throw new StoreError('invalid-path');
}

/** Keys in [from, to); `from` equal to or behind `to` is an empty range, which IDBKeyRange has no form for. */
export interface PathRange {
  readonly from: string;
  readonly to: string;
}

/** All paths that start with `prefix`. */
export function withPrefix(prefix: string): PathRange {
  return { from: prefix, to: prefix + BEHIND };
}

/**
 * Records of one scope share a key: the folder that holds them, at most two segments deep.
 * `group/<id>/ratchet/3/application` has `group/<id>`, `key-package/<ref>` has `key-package`,
 * `cursor` has the empty scope.
 */
export function scopeOf(path: string): string {
  return path.split('/').slice(0, -1).slice(0, 2).join('/');
}
