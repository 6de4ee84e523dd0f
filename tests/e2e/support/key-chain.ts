import { createCipheriv } from 'node:crypto';
import { scopeOf } from '../../../src/store/record-path.ts';
import { openWith, searchProfile, wrappingKeyOf, type Sealed, type Search } from './profile-search.ts';

/** The way from a root to what was said: root, scopes' keys sealed under it, records sealed under those. */

/** The name of the key that a record is sealed under: the path of that key. */
export const keyNameOf = ({ path, rootGeneration }: Sealed): string => `${scopeOf(path)}@${rootGeneration}`;

export const keysOf = (values: readonly Sealed[]): Sealed[] => values.filter(({ store }) => store === 'keys');
export const recordsOf = (values: readonly Sealed[]): Sealed[] => values.filter(({ store }) => store === 'records');

/** The scopes' keys that open under this root, by their names. */
export function keysUnder(root: Uint8Array, keys: readonly Sealed[]): Map<string, Buffer> {
  const wrapping = wrappingKeyOf(root);
  const opened = new Map<string, Buffer>();
  for (const sealed of keys) {
    const key = openWith(wrapping, sealed);
    if (key !== undefined) opened.set(sealed.path, key);
  }
  return opened;
}

/** What is in the records that open under these keys, by their paths. A record names its key. */
export function textsUnder(keys: ReadonlyMap<string, Buffer>, records: readonly Sealed[]): Map<string, Buffer> {
  const texts = new Map<string, Buffer>();
  for (const sealed of records) {
    const key = keys.get(keyNameOf(sealed));
    const text = key && openWith(key, sealed);
    if (text !== undefined) texts.set(sealed.path, text);
  }
  return texts;
}

export interface Findings {
  /** Of the rows of bytes that are a root: all keys that open under it. */
  readonly roots: readonly { readonly root: Buffer; readonly keys: ReadonlyMap<string, Buffer> }[];
  /** Paths of the records asked for that open under a row of bytes itself. */
  readonly asKey: ReadonlySet<string>;
  /** Those that open under any key that any of the roots opens, whatever either is called. */
  readonly byChain: ReadonlySet<string>;
  readonly search: Search;
}

/**
 * Looks through a copied profile for what opens `records`: every 32 bytes that may be a key are tried as a root, and
 * each one of `keys`, sealed keys as they ever lay in the store, that opens under such a root is tried on every record.
 * Records whose `texts` are known are tried with the 32 bytes themselves too.
 */
export function whatOpens(
  copy: string,
  leaveOut: RegExp | undefined,
  {
    keys,
    records,
    texts,
  }: { readonly keys: readonly Sealed[]; readonly records: readonly Sealed[]; readonly texts: ReadonlyMap<string, Buffer> },
): Findings {
  const generations = oneOfEach(keys, ({ rootGeneration }) => String(rootGeneration));
  const opens = keyCheck(
    oneOfEach(
      records.filter(({ path }) => (texts.get(path)?.length ?? 0) >= BLOCK),
      keyNameOf,
    ),
    texts,
  );
  const roots: { root: Buffer; keys: Map<string, Buffer> }[] = [];
  const asKey = new Set<string>();
  const byChain = new Set<string>();
  const search = searchProfile(copy, leaveOut, (window) => {
    for (const { path } of opens(window)) asKey.add(path);
    const wrapping = wrappingKeyOf(window);
    if (!generations.some((sealed) => openWith(wrapping, sealed) !== undefined)) return false;
    const opened = keysUnder(window, keys);
    roots.push({ root: Buffer.from(window), keys: opened });
    for (const key of opened.values()) for (const sealed of records) if (openWith(key, sealed) !== undefined) byChain.add(sealed.path);
    return false;
  });
  return { roots, asKey, byChain, search };
}

const BLOCK = 16;
/** Counter of the first block of text in AES-GCM under a nonce of 12 bytes: NIST SP 800-38D, section 7.1. */
const FIRST_COUNTER = Buffer.of(0, 0, 0, 2);

/**
 * Tells which of the records a key opens. A million keys are tried: what a key makes of all the counters at once must
 * be, for one of them, what lies between the text and its ciphertext.
 */
function keyCheck(records: readonly Sealed[], texts: ReadonlyMap<string, Buffer>): (key: Buffer) => Sealed[] {
  if (records.length === 0) return () => [];
  const counters = Buffer.concat(records.flatMap(({ nonce }) => [nonce, FIRST_COUNTER]));
  const streams = records.map(({ path, ciphertext }) =>
    Buffer.from(
      texts
        .get(path)!
        .subarray(0, BLOCK)
        .map((byte, i) => byte ^ ciphertext[i]!),
    ),
  );
  return (key) => {
    const made = createCipheriv('aes-256-ecb', key, null).update(counters);
    return records.filter(
      (sealed, i) => streams[i]!.equals(made.subarray(BLOCK * i, BLOCK * (i + 1))) && openWith(key, sealed) !== undefined,
    );
  };
}

/** What has one name opens together. */
function oneOfEach(values: readonly Sealed[], nameOf: (value: Sealed) => string): Sealed[] {
  return [...new Map(values.map((value) => [nameOf(value), value])).values()];
}
