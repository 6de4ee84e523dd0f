import { equal } from '../bytes/index.ts';
import { appLock, type LockFactor } from './app-lock.ts';
import type { NamedRoot } from './database.ts';
import { StoreError } from './errors.ts';
import { keyId, type KeyName, type KeyRing } from './key-ring.ts';
import { scopeOf, withPrefix } from './record-path.ts';
import type { RootKeyStore } from './root-key-store.ts';
import { isSealedValue, open, seal, type SealedValue } from './sealing.ts';
import { clearRoots, createRoot, ringOf, STALE, type Session } from './session.ts';
import { newestNumber, requested, strictly } from './strict-transaction.ts';

/**
 * A sweep: what was deleted or overwritten goes for good. IndexedDB leaves the bytes of such records in
 * its files; here the keys that open them go.
 *
 * 1. Every scope with an outdated key gets a new one, and its living records are sealed anew, slice by
 *    slice. What is written meanwhile is sealed under the new key.
 * 2. A new root is made. In one strict transaction the newest key of each scope is sealed anew under it,
 *    the others leave, and the database names it.
 * 3. The old root is deleted, and with it whatever could open the keys that have left.
 *
 * Cut off anywhere, the store reads as before, and the next sweep begins anew: until the transaction of
 * step 2 the old root counts and every key is there, from then on the new one does. Whoever calls these
 * functions holds the lock of this origin's engine for each call: a root that nobody names yet must not
 * be taken for a leftover.
 */

/** Records sealed anew in one transaction, and their bytes: a message that is being sent waits for one slice at most. */
const SLICE_RECORDS = 256;
const SLICE_BYTES = 1 << 20;

/** The scope's records go to the key `to`. */
export interface Move {
  readonly scope: string;
  readonly to: number;
}

/** What step 1 is to do: scopes whose newest key is outdated, or whose move was cut off. */
export async function planMoves({ database }: Session): Promise<Move[]> {
  const transaction = database.transaction(['keys', 'outdated'], 'readonly');
  const [names, outdated] = await Promise.all([
    transaction.objectStore('keys').getAllKeys(),
    transaction.objectStore('outdated').getAllKeys(),
    transaction.done,
  ]);
  const marked = new Set(outdated.map(([scope, number]) => keyId({ scope, number })));
  const numbers = new Map<string, number[]>();
  for (const [scope, number] of names) numbers.set(scope, [...(numbers.get(scope) ?? []), number]);
  return [...numbers].flatMap(([scope, all]): Move[] => {
    const newest = all.at(-1)!;
    if (marked.has(keyId({ scope, number: newest }))) return [{ scope, to: newest + 1 }];
    return all.length > 1 ? [{ scope, to: newest }] : [];
  });
}

/**
 * Seals one slice of the scope's records anew, those behind `after`. Resolves with the last path of the
 * slice, with undefined when it was the scope's last, with STALE when another context got in between.
 * @throws StoreError 'sealed-record-unreadable'
 */
export async function moveSlice(
  databaseName: string,
  session: Session,
  { scope, to }: Move,
  after: string | undefined,
): Promise<string | undefined | typeof STALE> {
  const { ring } = session;
  const slice = await nextOutdated(session, { scope, to }, after);
  if (slice === STALE) return STALE;
  const { found, more, stored } = slice;
  const name = { scope, number: to };
  const target = await openedOrNew(ring, name, stored);
  const moved = await Promise.all(
    found.map(async ([path, sealed]) => {
      const from = ring.get({ scope, number: sealed.rootGeneration });
      if (from === undefined) throw new StoreError('sealed-record-unreadable', path);
      const place = { database: databaseName, store: 'records', path } as const;
      const plaintext = await open(from, { ...place, rootGeneration: sealed.rootGeneration }, sealed);
      const anew = await seal(target.key, { ...place, rootGeneration: to }, plaintext);
      plaintext.fill(0);
      return { path, before: sealed.nonce, anew };
    }),
  );
  const result = await strictly(session, async (transaction) => {
    const records = transaction.objectStore('records');
    const newest = await newestNumber(transaction.objectStore('keys'), scope);
    if (newest === undefined || newest > to || (newest === to) === (target.sealed !== undefined)) return STALE;
    const present = await Promise.all(moved.map(({ path }) => records.get(path)));
    if (target.sealed !== undefined) requested(transaction.objectStore('keys').put(target.sealed, [scope, to]));
    for (const [index, { path, before, anew }] of moved.entries()) {
      // What was written meanwhile is sealed under the new key already.
      if (present[index] !== undefined && equal(present[index].nonce, before)) requested(records.put(anew, path));
    }
    return undefined;
  });
  if (result === STALE) return STALE;
  ring.keep(name, target.key);
  return more ? found.at(-1)![0] : undefined;
}

interface Slice {
  readonly found: readonly (readonly [string, SealedValue])[];
  readonly more: boolean;
  /** The scope's key `to`, where there is one already. */
  readonly stored: SealedValue | undefined;
}

/** Records of the scope behind `after` that are not sealed under its key `to`, their keys opened. */
async function nextOutdated(
  { database, root, ring }: Session,
  { scope, to }: Move,
  after: string | undefined,
): Promise<Slice | typeof STALE> {
  const transaction = database.transaction(['records', 'keys', 'meta'], 'readonly');
  const { from, to: end } = withPrefix(scope === '' ? '' : `${scope}/`);
  const range = IDBKeyRange.bound(after ?? from, end, after !== undefined, true);
  const found: [string, SealedValue][] = [];
  let bytes = 0;
  let more = false;
  let cursor = await transaction.objectStore('records').openCursor(range);
  while (cursor !== null) {
    const { key: path, value } = cursor;
    if (scopeOf(path) !== scope) {
      // Into a deeper scope: behind its last record.
      cursor = await cursor.continue(withPrefix(`${firstSegments(path, scope)}/`).to);
      continue;
    }
    if (!isSealedValue(value)) throw new StoreError('sealed-record-unreadable', path);
    if (value.rootGeneration !== to) {
      if (found.length === SLICE_RECORDS || bytes >= SLICE_BYTES) {
        more = true;
        break;
      }
      found.push([path, value]);
      bytes += value.ciphertext.length;
    }
    cursor = await cursor.continue();
  }
  const numbers = [...new Set(found.map(([, { rootGeneration }]) => rootGeneration))];
  const sealedKeys = await Promise.all(numbers.map((number) => transaction.objectStore('keys').get([scope, number])));
  const stored = await transaction.objectStore('keys').get([scope, to]);
  const named = await transaction.objectStore('meta').get('root');
  await transaction.done;
  if (named?.name !== root.name) return STALE;
  for (const [index, number] of numbers.entries()) {
    const sealed = sealedKeys[index];
    if (sealed !== undefined && ring.get({ scope, number }) === undefined) await ring.open({ scope, number }, sealed);
  }
  return { found, more, stored };
}

/** The path's part that is one segment longer than the scope. */
function firstSegments(path: string, scope: string): string {
  const depth = scope === '' ? 1 : scope.split('/').length + 1;
  return path.split('/').slice(0, depth).join('/');
}

/** The stored key of that name, or a new one with what is to be stored of it. */
async function openedOrNew(
  ring: KeyRing,
  name: KeyName,
  stored: SealedValue | undefined,
): Promise<{ key: CryptoKey; sealed: SealedValue | undefined }> {
  if (stored === undefined) return ring.make(name);
  return { key: ring.get(name) ?? (await ring.open(name, stored)), sealed: undefined };
}

/**
 * Steps 2 and 3, once every move is done; `factor` is the app lock's of the new root, undefined for none. The session is of no use any more afterwards. Resolves with STALE, and the
 * old root still counting, when another context got in between. @throws StoreError
 */
export async function advanceRoot(
  databaseName: string,
  session: Session,
  stores: readonly RootKeyStore[],
  moves: readonly Move[],
  at: number,
  factor: LockFactor | undefined,
): Promise<NamedRoot | typeof STALE> {
  const { database, root, ring } = session;
  const transaction = database.transaction(['keys', 'meta'], 'readonly');
  const stored = transaction.objectStore('keys');
  const [names, values, named] = await Promise.all([
    stored.getAllKeys(),
    stored.getAll(),
    transaction.objectStore('meta').get('root'),
    transaction.done,
  ]);
  if (named?.name !== root.name) return STALE;
  const newest = new Map<string, { readonly number: number; readonly sealed: SealedValue }>();
  const targets = new Map(moves.map(({ scope, to }) => [scope, to]));
  for (const [index, [scope, number]] of names.entries()) {
    // Keys beside the newest leave: that must have been made sure of, scope by scope.
    if (newest.has(scope) && targets.get(scope) === undefined) return STALE;
    newest.set(scope, { number, sealed: values[index]! });
  }
  for (const [scope, to] of targets) if (newest.get(scope)?.number !== to) return STALE;
  const created = await createRoot(stores, root.generation + 1, at);
  const nextRing = await ringOf(databaseName, stores, created, factor);
  if (nextRing === undefined) throw new StoreError('unavailable');
  const next = factor === undefined ? created : { ...created, lock: await appLock(factor, nextRing) };
  const resealed = await resealAll(ring, nextRing, newest);
  const result = await strictly(session, async (writing) => {
    const keys = writing.objectStore('keys');
    const present = await keys.getAllKeys();
    if (present.length !== names.length || present.some(([scope, number], i) => scope !== names[i]![0] || number !== names[i]![1]))
      return STALE;
    const empty = new Set<string>();
    for (const scope of targets.keys()) if (await isEmpty(writing.objectStore('records'), scope)) empty.add(scope);
    requested(keys.clear());
    for (const { name, sealed } of resealed) if (!empty.has(name.scope)) requested(keys.put(sealed, [name.scope, name.number]));
    const outdated = writing.objectStore('outdated');
    for (const [scope, number] of await outdated.getAllKeys()) {
      if (empty.has(scope) || newest.get(scope)?.number !== number) requested(outdated.delete([scope, number]));
    }
    requested(writing.objectStore('meta').put(next, 'root'));
    return next;
  });
  await clearUnnamed(session, stores);
  return result;
}

/** Deletes every root but the one that the database names now, whatever a session was opened with. */
export async function clearUnnamed({ database }: Pick<Session, 'database'>, stores: readonly RootKeyStore[]): Promise<void> {
  const named = await database.get('meta', 'root');
  if (named !== undefined) await clearRoots(stores, named);
}

function resealAll(
  ring: KeyRing,
  next: KeyRing,
  newest: ReadonlyMap<string, { readonly number: number; readonly sealed: SealedValue }>,
): Promise<{ name: KeyName; sealed: SealedValue }[]> {
  return Promise.all(
    [...newest].map(async ([scope, { number, sealed }]) => {
      const name = { scope, number };
      return { name, sealed: await ring.reseal(name, sealed, next) };
    }),
  );
}

type Records = { openKeyCursor(range: IDBKeyRange): Promise<KeyCursor | null> };
interface KeyCursor {
  readonly key: string;
  continue(key?: string): Promise<KeyCursor | null>;
}

async function isEmpty(records: Records, scope: string): Promise<boolean> {
  const { from, to } = withPrefix(scope === '' ? '' : `${scope}/`);
  let cursor = await records.openKeyCursor(IDBKeyRange.bound(from, to, false, true));
  while (cursor !== null && scopeOf(cursor.key) !== scope) {
    cursor = await cursor.continue(withPrefix(`${firstSegments(cursor.key, scope)}/`).to);
  }
  return cursor === null;
}
