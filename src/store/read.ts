import { StoreError } from './errors.ts';
import { keyId, type KeyName } from './key-ring.ts';
import { scopeOf, type PathRange } from './record-path.ts';
import { isSealedValue, open, type SealedValue } from './sealing.ts';
import { STALE, type Session } from './session.ts';

/**
 * Records of a range, opened: all of them in key order ('next'), or the last `limit` of them, the
 * last one first ('prev'). Database and keys are read in one transaction. STALE when another root is named by now.
 * @throws StoreError 'sealed-record-unreadable'; whatever IndexedDB says
 */
export async function readRange(
  databaseName: string,
  { database, root, ring }: Session,
  { from, to }: PathRange,
  direction: 'next' | 'prev',
  limit: number,
): Promise<Map<string, Uint8Array> | typeof STALE> {
  const range = IDBKeyRange.bound(from, to, false, true);
  const transaction = database.transaction(['records', 'keys', 'meta'], 'readonly');
  const records = transaction.objectStore('records');
  const found: [string, SealedValue][] = [];
  if (direction === 'next') {
    const [paths, values] = await Promise.all([records.getAllKeys(range), records.getAll(range)]);
    for (const [index, path] of paths.entries()) found.push([path, checked(path, values[index])]);
  } else {
    let cursor = await records.openCursor(range, 'prev');
    for (; cursor !== null && found.length < limit; cursor = await cursor.continue()) {
      found.push([cursor.key, checked(cursor.key, cursor.value)]);
    }
  }
  const names = new Map<string, KeyName>();
  for (const [path, sealed] of found) {
    const name = { scope: scopeOf(path), number: sealed.rootGeneration };
    names.set(keyId(name), name);
  }
  const stored = await Promise.all(
    [...names.values()].map(async (name) => {
      return ring.get(name) === undefined
        ? ([name, await transaction.objectStore('keys').get([name.scope, name.number])] as const)
        : undefined;
    }),
  );
  const named = await transaction.objectStore('meta').get('root');
  await transaction.done;
  if (named?.name !== root.name) return STALE;
  for (const entry of stored) {
    if (entry?.[1] !== undefined) await ring.open(entry[0], checked(keyId(entry[0]), entry[1]));
  }
  const opened = found.map(async ([path, sealed]): Promise<[string, Uint8Array]> => {
    const rootGeneration = sealed.rootGeneration;
    const key = ring.get({ scope: scopeOf(path), number: rootGeneration });
    if (key === undefined) throw new StoreError('sealed-record-unreadable', path);
    return [path, await open(key, { database: databaseName, store: 'records', path, rootGeneration }, sealed)];
  });
  return new Map(await Promise.all(opened));
}

function checked(path: string, value: unknown): SealedValue {
  if (!isSealedValue(value)) throw new StoreError('sealed-record-unreadable', path);
  return value;
}
