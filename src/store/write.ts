import type { StoreChanges } from '../engine/ports.ts';
import type { KeyName } from './key-ring.ts';
import { scopeOf } from './record-path.ts';
import { seal, type SealedValue } from './sealing.ts';
import { STALE, type Session } from './session.ts';
import { newestNumber, requested, strictly, type WritingTransaction } from './strict-transaction.ts';

export interface SealedChanges {
  readonly puts: readonly (readonly [string, SealedValue])[];
  /** Keys that the puts are sealed under, the newest of their scopes. */
  readonly uses: readonly KeyName[];
  /** Those of them that are new and go into the same transaction. */
  readonly made: readonly { readonly name: KeyName; readonly key: CryptoKey; readonly sealed: SealedValue }[];
}

/** Seals everything before the transaction begins: a transaction ends while its maker waits for anything else. STALE as `commit`. */
export async function sealChanges(database: string, session: Session, { puts }: StoreChanges): Promise<SealedChanges | typeof STALE> {
  const uses = new Map<string, { readonly name: KeyName; readonly key: CryptoKey }>();
  const made: { name: KeyName; key: CryptoKey; sealed: SealedValue }[] = [];
  for (const scope of new Set([...puts.keys()].map(scopeOf))) {
    const stored = await newestKey(session, scope);
    if (stored === STALE) return STALE;
    if (stored !== undefined) uses.set(scope, stored);
    else {
      const name = { scope, number: session.ring.generation };
      const fresh = await session.ring.make(name);
      made.push({ name, ...fresh });
      uses.set(scope, { name, key: fresh.key });
    }
  }
  const sealed = await Promise.all(
    [...puts].map(async ([path, value]): Promise<[string, SealedValue]> => {
      const { name, key } = uses.get(scopeOf(path))!;
      return [path, await seal(key, { database, store: 'records', path, rootGeneration: name.number }, value)];
    }),
  );
  return { puts: sealed, uses: [...uses.values()].map(({ name }) => name), made };
}

/** The scope's newest key; undefined when it has none. STALE when another root is named by now. @throws StoreError 'sealed-record-unreadable' */
async function newestKey(
  { database, root, ring }: Session,
  scope: string,
): Promise<{ name: KeyName; key: CryptoKey } | typeof STALE | undefined> {
  const known = ring.newest(scope);
  const remembered = known === undefined ? undefined : ring.get({ scope, number: known });
  if (known !== undefined && remembered !== undefined) return { name: { scope, number: known }, key: remembered };
  const transaction = database.transaction(['keys', 'meta'], 'readonly');
  const keys = transaction.objectStore('keys');
  const [named, number] = await Promise.all([transaction.objectStore('meta').get('root'), newestNumber(keys, scope)]);
  const sealed = number === undefined ? undefined : await keys.get([scope, number]);
  await transaction.done;
  if (named?.name !== root.name) return STALE;
  if (number === undefined || sealed === undefined) return undefined;
  const name = { scope, number };
  const key = await ring.open(name, sealed);
  ring.keep(name, key);
  return { name, key };
}

/**
 * One strict transaction: deletes, then puts. STALE, with nothing written, when another context has made
 * or replaced one of the same keys, swept or destroyed the store meanwhile. Where something is deleted or
 * overwritten, the scope's key is marked: the next sweep replaces it.
 */
export async function commit(session: Session, changes: SealedChanges, deletes: readonly string[]): Promise<undefined | typeof STALE> {
  const { ring } = session;
  const marked: KeyName[] = [];
  const result = await strictly(session, async (transaction) => {
    const records = transaction.objectStore('records');
    const keys = transaction.objectStore('keys');
    const made = new Set(changes.made.map(({ name }) => name.scope));
    const newest = await Promise.all(changes.uses.map(({ scope }) => newestNumber(keys, scope)));
    if (changes.uses.some(({ scope, number }, index) => newest[index] !== (made.has(scope) ? undefined : number))) return STALE;
    marked.push(...(await toMark(transaction, session, changes, deletes)));
    for (const { scope, number } of marked) requested(transaction.objectStore('outdated').put(true, [scope, number]));
    for (const path of deletes) requested(records.delete(path));
    for (const { name, sealed } of changes.made) requested(keys.put(sealed, [name.scope, name.number]));
    for (const [path, value] of changes.puts) requested(records.put(value, path));
    return undefined;
  });
  if (result === STALE) return STALE;
  for (const { name, key } of changes.made) ring.keep(name, key);
  for (const name of marked) ring.mark(name);
  return undefined;
}

/** Keys of scopes in which a record goes or is overwritten and that are not marked yet. */
async function toMark(
  transaction: WritingTransaction,
  { ring }: Session,
  changes: SealedChanges,
  deletes: readonly string[],
): Promise<KeyName[]> {
  const paths = [...deletes, ...changes.puts.map(([path]) => path)];
  const scopes = [...new Set(paths.map(scopeOf))];
  const numbers = await Promise.all(scopes.map((scope) => newestNumber(transaction.objectStore('keys'), scope)));
  const unmarked = new Map<string, KeyName>();
  for (const [index, scope] of scopes.entries()) {
    const number = numbers[index];
    if (number !== undefined && !ring.isMarked({ scope, number })) unmarked.set(scope, { scope, number });
  }
  const asked = paths.filter((path) => unmarked.has(scopeOf(path)));
  const there = await Promise.all(asked.map((path) => transaction.objectStore('records').getKey(path)));
  const touched = new Set(asked.filter((_path, index) => there[index] !== undefined).map(scopeOf));
  return [...unmarked.values()].filter(({ scope }) => touched.has(scope));
}
