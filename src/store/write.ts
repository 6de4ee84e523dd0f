import type { StoreChanges } from '../engine/ports.ts';
import { keyId, type KeyName } from './key-ring.ts';
import { scopeOf } from './record-path.ts';
import { seal, type SealedValue } from './sealing.ts';
import type { Session } from './session.ts';

export interface SealedChanges {
  readonly puts: readonly (readonly [string, SealedValue])[];
  /** Keys that the puts are sealed under. */
  readonly uses: readonly KeyName[];
  /** Those of them that are new and go into the same transaction. */
  readonly made: readonly { readonly name: KeyName; readonly key: CryptoKey; readonly sealed: SealedValue }[];
}

/** Seals everything before the transaction begins: a transaction ends while its maker waits for anything else. */
export async function sealChanges(database: string, session: Session, { puts }: StoreChanges): Promise<SealedChanges> {
  const born = session.ring.generation;
  const scopes = new Set([...puts.keys()].map(scopeOf));
  const uses = [...scopes].map((scope): KeyName => ({ scope, born }));
  const keys = new Map<string, CryptoKey>();
  const made: { name: KeyName; key: CryptoKey; sealed: SealedValue }[] = [];
  for (const name of uses) {
    let key = session.ring.get(name) ?? (await stored(session, name));
    if (key === undefined) {
      const fresh = await session.ring.make(name);
      made.push({ name, ...fresh });
      key = fresh.key;
    }
    keys.set(name.scope, key);
  }
  const sealed = await Promise.all(
    [...puts].map(async ([path, value]): Promise<[string, SealedValue]> => {
      const place = { database, store: 'records', path, rootGeneration: born } as const;
      return [path, await seal(keys.get(scopeOf(path))!, place, value)];
    }),
  );
  return { puts: sealed, uses, made };
}

async function stored({ database, ring }: Session, name: KeyName): Promise<CryptoKey | undefined> {
  const sealed = await database.get('keys', [name.scope, name.born]);
  return sealed === undefined ? undefined : ring.open(name, sealed);
}

/**
 * One strict transaction: deletes, then puts. Resolves at its complete event with true; with false
 * and nothing written when another context has made one of the same keys or destroyed the store
 * meanwhile. Rejects, with nothing written, with what IndexedDB says.
 */
export async function commit({ database, root, ring }: Session, changes: SealedChanges, deletes: readonly string[]): Promise<boolean> {
  const transaction = database.transaction(['records', 'keys', 'meta'], 'readwrite', { durability: 'strict' });
  const finished = transaction.done.then(
    () => undefined,
    (reason: unknown) => ({ reason }),
  );
  const records = transaction.objectStore('records');
  const keys = transaction.objectStore('keys');
  // A request's own failure aborts the transaction, which then says why.
  const requested = (request: Promise<unknown>): void => void request.catch(() => undefined);
  let stale: boolean;
  try {
    const made = new Set(changes.made.map(({ name }) => keyId(name)));
    const [named, ...present] = await Promise.all([
      transaction.objectStore('meta').get('root'),
      ...changes.uses.map(({ scope, born }) => keys.getKey([scope, born])),
    ]);
    stale = named?.name !== root.name || changes.uses.some((name, index) => (present[index] === undefined) !== made.has(keyId(name)));
    if (stale) transaction.abort();
    else {
      for (const path of deletes) requested(records.delete(path));
      for (const { name, sealed } of changes.made) requested(keys.put(sealed, [name.scope, name.born]));
      for (const [path, value] of changes.puts) requested(records.put(value, path));
    }
  } catch (error) {
    try {
      transaction.abort(); // a request could not even be made: take back those before it
    } catch {
      // it is over already
    }
    await finished;
    throw error;
  }
  const failure = await finished;
  if (stale) return false;
  if (failure !== undefined) throw failure.reason;
  for (const { name, key } of changes.made) ring.keep(name, key);
  return true;
}
