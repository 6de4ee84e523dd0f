import type { IDBPTransaction } from 'idb';
import type { StoreSchema } from './database.ts';
import { STALE, type Session } from './session.ts';

type Stores = ('records' | 'keys' | 'outdated' | 'meta')[];
export type WritingTransaction = IDBPTransaction<StoreSchema, Stores, 'readwrite'>;

/**
 * One strict transaction over the whole database. Resolves at its complete event with what `body` came to;
 * with STALE and nothing written when `body` says so, or another root is named by now: another context has
 * swept or destroyed the store. Rejects, with nothing written, with what IndexedDB says. `body` waits for
 * requests of this transaction only.
 */
export async function strictly<Value>(
  { database, root }: Session,
  body: (transaction: WritingTransaction) => Promise<Value | typeof STALE>,
): Promise<Value | typeof STALE> {
  const stores: Stores = ['records', 'keys', 'outdated', 'meta'];
  const transaction = database.transaction(stores, 'readwrite', { durability: 'strict' });
  const finished = transaction.done.then(
    () => undefined,
    (reason: unknown) => ({ reason }),
  );
  let value: Value | typeof STALE;
  try {
    const named = await transaction.objectStore('meta').get('root');
    value = named?.name === root.name ? await body(transaction) : STALE;
    if (value === STALE) transaction.abort();
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
  if (value === STALE) return STALE;
  if (failure !== undefined) throw failure.reason;
  return value;
}

/** For a request that nobody waits for: its failure aborts the transaction, which then says why. */
export function requested(request: Promise<unknown>): void {
  request.catch(() => undefined);
}

/** The number of the scope's newest stored key. */
export async function newestNumber(
  keys: { getAllKeys(range: IDBKeyRange): Promise<[string, number][]> },
  scope: string,
): Promise<number | undefined> {
  return (await keys.getAllKeys(IDBKeyRange.bound([scope, 0], [scope, Infinity]))).at(-1)?.[1];
}
