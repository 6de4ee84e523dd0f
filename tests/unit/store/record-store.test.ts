import 'fake-indexeddb/auto';
import { IDBDatabase as FakeDatabase, IDBFactory as FakeFactory, IDBObjectStore as FakeObjectStore } from 'fake-indexeddb';
import { openDB } from 'idb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '../../../src/bytes/index.ts';
import { bucketRootKeyStore, createRecordStore, databaseRootKeyStore } from '../../../src/store/index.ts';
import { KeyRing } from '../../../src/store/key-ring.ts';
import { seal, wrappingKey, type SealedValue } from '../../../src/store/sealing.ts';
import { FakeBuckets } from '../../support/fake-buckets.ts';
import { asText, changes, describeStoreContract } from '../../support/store-contract.ts';
import { eventually } from '../../support/eventually.ts';

const NAME = 'chorus';

let buckets: FakeBuckets;
beforeEach(() => {
  indexedDB = new FakeFactory();
  buckets = new FakeBuckets();
});
afterEach(() => {
  vi.restoreAllMocks();
});

const withBuckets = () => createRecordStore({ name: NAME, roots: [bucketRootKeyStore(buckets), databaseRootKeyStore()], now: Date.now });
const withoutBuckets = () => createRecordStore({ name: NAME, roots: [databaseRootKeyStore()], now: Date.now });

describeStoreContract('record store, root in a bucket', () => Promise.resolve(withBuckets()));
describeStoreContract('record store, root in a database', () => Promise.resolve(withoutBuckets()));

/** The database as somebody with the files sees it, and may change it. */
async function raw<Value>(task: (database: Awaited<ReturnType<typeof openDB>>) => Promise<Value>, name = NAME): Promise<Value> {
  const database = await openDB(name);
  try {
    return await task(database);
  } finally {
    database.close();
  }
}

const rawRecord = (path: string): Promise<SealedValue> => raw(async (database) => (await database.get('records', path)) as SealedValue);
const putRaw = (path: string, value: unknown): Promise<unknown> => raw((database) => database.put('records', value, path));

/** Every byte and character of the main database. */
async function everything(): Promise<string> {
  return raw(async (database) => {
    const parts: string[] = [];
    const walk = (value: unknown): void => {
      if (value instanceof Uint8Array) parts.push(Buffer.from(value).toString('latin1'));
      else if (typeof value === 'object' && value !== null) for (const inner of Object.values(value)) walk(inner);
      else parts.push(String(value));
    };
    for (const store of database.objectStoreNames) walk([await database.getAllKeys(store), await database.getAll(store)]);
    return parts.join('\n');
  });
}

describe('sealing', () => {
  it('leaves no plaintext of a stored value in the database', async () => {
    const store = withBuckets();
    await store.write(changes({ device: 'Laptop of Anna', 'message/aa/000000000001': 'meet me at noon' }));
    const bytes = await everything();
    expect(bytes).toContain('message/aa/000000000001');
    for (const text of ['Laptop', 'Anna', 'noon']) expect(bytes).not.toContain(text);
  });

  it('seals the same value differently each time', async () => {
    const store = withBuckets();
    await store.write(changes({ cursor: 'same' }));
    const first = await rawRecord('cursor');
    await store.write(changes({ cursor: 'same' }));
    const second = await rawRecord('cursor');
    expect(second.nonce).not.toEqual(first.nonce);
    expect(second.ciphertext).not.toEqual(first.ciphertext);
  });

  it('stores exactly generation, nonce and ciphertext', async () => {
    await withBuckets().write(changes({ cursor: 'oak' }));
    const value = await rawRecord('cursor');
    expect(Object.keys(value).sort()).toEqual(['ciphertext', 'nonce', 'rootGeneration']);
    expect(value).toMatchObject({ rootGeneration: 1, nonce: { length: 12 }, ciphertext: { length: 3 + 16 } });
  });

  it('does not open a record at another path, of the same scope or of another', async () => {
    const store = withBuckets();
    await store.write(changes({ 'group/aa/tree': 'oak', 'group/aa/header': 'x', 'group/bb/tree': 'y' }));
    const moved = await rawRecord('group/aa/tree');
    for (const path of ['group/aa/header', 'group/bb/tree']) {
      await putRaw(path, moved);
      await expect(store.get(path)).rejects.toMatchObject({ code: 'sealed-record-unreadable', path });
    }
    expect(await store.get('group/aa/tree')).toEqual(utf8('oak'));
  });

  it('does not open a record of another database', async () => {
    const roots = [bucketRootKeyStore(buckets)];
    const store = createRecordStore({ name: NAME, roots, now: Date.now });
    await store.write(changes({ cursor: 'oak' }));
    await createRecordStore({ name: 'other', roots: [bucketRootKeyStore(new FakeBuckets())], now: Date.now }).write(
      changes({ cursor: 'elm' }),
    );
    await putRaw('cursor', await raw((database) => database.get('records', 'cursor'), 'other'));
    await expect(store.get('cursor')).rejects.toMatchObject({ code: 'sealed-record-unreadable' });
  });

  it.each([
    ['a bit of the ciphertext', (v: SealedValue) => ({ ...v, ciphertext: flipped(v.ciphertext) })],
    ['a bit of the nonce', (v: SealedValue) => ({ ...v, nonce: flipped(v.nonce) })],
    ['the generation', (v: SealedValue) => ({ ...v, rootGeneration: 2 })],
    ['the length', (v: SealedValue) => ({ ...v, ciphertext: v.ciphertext.slice(0, -1) })],
    ['all of it away', (v: SealedValue) => ({ ...v, ciphertext: new Uint8Array() })],
    ['the form', () => 'oak'],
    ['the nonce’s length', (v: SealedValue) => ({ ...v, nonce: new Uint8Array(16) })],
  ])('refuses a record with %s changed by name, by each way of reading it', async (_what, change) => {
    const store = withBuckets();
    await store.write(changes({ 'message/aa/1': 'oak' }));
    await putRaw('message/aa/1', change(await rawRecord('message/aa/1')));
    const refusal = { name: 'StoreError', code: 'sealed-record-unreadable', path: 'message/aa/1' };
    await expect(store.get('message/aa/1')).rejects.toMatchObject(refusal);
    await expect(store.load('message/')).rejects.toMatchObject(refusal);
    await expect(store.page('message/', 'message/~', 1)).rejects.toMatchObject(refusal);
  });

  it('seals records of one scope under one stored key, and of two under two', async () => {
    const store = withBuckets();
    await store.write(changes({ 'group/aa/tree': '1', 'group/aa/ratchet/0/application': '2', 'group/bb/tree': '3', cursor: '4' }));
    await store.write(changes({ 'group/aa/header': '5' }));
    expect(await raw((database) => database.getAllKeys('keys'))).toEqual([
      ['', 1],
      ['group/aa', 1],
      ['group/bb', 1],
    ]);
  });

  it('does not open a key in another scope’s place', async () => {
    await withBuckets().write(changes({ 'group/aa/tree': '1', 'group/bb/tree': '2' }));
    await raw(async (database) => database.put('keys', await database.get('keys', ['group/aa', 1]), ['group/bb', 1]));
    const store = withBuckets();
    await expect(store.get('group/bb/tree')).rejects.toMatchObject({ code: 'sealed-record-unreadable', path: 'group/bb@1' });
    await expect(store.write(changes({ 'group/bb/tree': '3' }))).rejects.toMatchObject({ code: 'sealed-record-unreadable' });
  });

  it('refuses a record whose key is gone by name', async () => {
    await withBuckets().write(changes({ 'group/aa/tree': 'oak' }));
    await raw((database) => database.delete('keys', ['group/aa', 1]));
    await expect(withBuckets().get('group/aa/tree')).rejects.toMatchObject({ code: 'sealed-record-unreadable', path: 'group/aa/tree' });
  });

  it('reads a scope’s records under keys of two generations side by side', async () => {
    await withBuckets().write(changes({ 'group/aa/tree': 'oak' }));
    const [root] = buckets.buckets.keys();
    const ring = new KeyRing(NAME, 1, await wrappingKey((await bucketRootKeyStore(buckets).load(root!))!));
    const later = await ring.make({ scope: 'group/aa', number: 2 });
    await raw((database) => database.put('keys', later.sealed, ['group/aa', 2]));
    const place = { database: NAME, store: 'records', path: 'group/aa/header', rootGeneration: 2 } as const;
    await putRaw('group/aa/header', await seal(later.key, place, utf8('elm')));
    expect(asText(await withBuckets().load('group/'))).toEqual([
      ['group/aa/header', 'elm'],
      ['group/aa/tree', 'oak'],
    ]);
  });
});

function flipped(bytes: Uint8Array): Uint8Array {
  const copy = bytes.slice();
  copy[copy.length >> 1]! ^= 1;
  return copy;
}

describe('writing', () => {
  it('asks for strict durability in every transaction that writes', async () => {
    const spy = vi.spyOn(FakeDatabase.prototype, 'transaction');
    const store = withBuckets();
    await store.write(changes({ cursor: '1' }));
    await store.destroy();
    const writing = spy.mock.calls.filter(([, mode]) => mode === 'readwrite');
    expect(writing.length).toBeGreaterThanOrEqual(4); // root, its name, the write, destroy
    for (const [, , options] of writing) expect(options).toEqual({ durability: 'strict' });
    expect(buckets.opened[0]).toEqual({ durability: 'strict', persisted: true });
  });

  it('uses one transaction for a whole change', async () => {
    const store = withBuckets();
    await store.load('');
    const spy = vi.spyOn(FakeDatabase.prototype, 'transaction');
    await store.write(changes({ cursor: '1', 'group/aa/tree': '2', 'group/bb/tree': '3' }, ['device']));
    expect(spy.mock.calls.filter(([, mode]) => mode === 'readwrite')).toHaveLength(1);
  });

  it('resolves only after the transaction’s complete event', async () => {
    const store = withBuckets();
    await store.load('');
    const events: string[] = [];
    const original = FakeDatabase.prototype.transaction;
    vi.spyOn(FakeDatabase.prototype, 'transaction').mockImplementation(function (this: IDBDatabase, ...args) {
      const transaction = original.apply(this, args);
      if (args[1] === 'readwrite') transaction.addEventListener('complete', () => void events.push('complete'));
      return transaction;
    });
    await store.write(changes({ cursor: '1' }));
    events.push('resolved');
    expect(events).toEqual(['complete', 'resolved']);
  });

  it.each([
    ['fails at its request', 'QuotaExceededError', 'quota-exceeded'],
    ['fails for any other reason', 'DataError', 'write-failed'],
  ])('leaves nothing of a change whose second record %s', async (_what, errorName, code) => {
    const store = withBuckets();
    await store.write(changes({ cursor: 'before', device: 'before' }));
    const before = await everything();
    const original = FakeObjectStore.prototype.put;
    let puts = 0;
    vi.spyOn(FakeObjectStore.prototype, 'put').mockImplementation(function (this: IDBObjectStore, ...args) {
      if (this.name === 'records' && ++puts === 2) throw new DOMException('injected', errorName);
      return original.apply(this, args);
    });
    await expect(store.write(changes({ cursor: 'after', account: 'after' }, ['device']))).rejects.toMatchObject({
      name: 'StoreError',
      code,
    });
    vi.restoreAllMocks();
    expect(await everything()).toBe(before);
    expect(asText(await store.load(''))).toEqual([
      ['cursor', 'before'],
      ['device', 'before'],
    ]);
    await store.write(changes({ cursor: 'again' }));
    expect(await store.get('cursor')).toEqual(utf8('again'));
  });

  it('leaves nothing of a change whose transaction is aborted, and forgets the keys made for it', async () => {
    const store = withBuckets();
    await store.write(changes({ cursor: 'before' }));
    const before = await everything();
    const original = FakeObjectStore.prototype.put;
    vi.spyOn(FakeObjectStore.prototype, 'put').mockImplementation(function (this: IDBObjectStore, ...args) {
      const request = original.apply(this, args);
      this.transaction.abort();
      return request;
    });
    await expect(store.write(changes({ 'group/aa/tree': 'oak', cursor: 'after' }))).rejects.toMatchObject({ code: 'write-failed' });
    vi.restoreAllMocks();
    expect(await everything()).toBe(before);
    await store.write(changes({ 'group/aa/tree': 'elm' }));
    expect(await withBuckets().get('group/aa/tree')).toEqual(utf8('elm'));
  });

  it('goes on after a failed write that nobody waited for', async () => {
    const store = withBuckets();
    const failing = store.write(changes({ 'not a path': 'x' }));
    const next = store.write(changes({ cursor: '1' }));
    await expect(failing).rejects.toMatchObject({ code: 'invalid-path' });
    await next;
    expect(await store.get('cursor')).toEqual(utf8('1'));
  });
});

describe('two contexts', () => {
  it('agree on one root and on each scope’s key, however they meet', async () => {
    const stores = [withBuckets(), withBuckets(), withBuckets()];
    await Promise.all(stores.map((store, index) => store.write(changes({ [`group/aa/${index}`]: String(index) }))));
    for (const store of [...stores, withBuckets()]) {
      expect(asText(await store.load('group/'))).toEqual([
        ['group/aa/0', '0'],
        ['group/aa/1', '1'],
        ['group/aa/2', '2'],
      ]);
    }
    expect(buckets.buckets.size).toBe(1);
  });

  it('do not stand in the way of each other’s destroy, and start anew after it', async () => {
    const [one, two] = [withBuckets(), withBuckets()];
    await one.write(changes({ cursor: 'old' }));
    expect(await two.get('cursor')).toEqual(utf8('old'));
    await one.destroy();
    expect(await two.get('cursor')).toBeUndefined();
    await two.write(changes({ cursor: 'new' }));
    expect(await one.get('cursor')).toEqual(utf8('new'));
  });
});

describe('the root', () => {
  it('is read back by the next start', async () => {
    await withBuckets().write(changes({ cursor: 'oak' }));
    expect(await withBuckets().get('cursor')).toEqual(utf8('oak'));
  });

  it('lies in the bucket and not in the main database', async () => {
    await withBuckets().write(changes({ cursor: 'oak' }));
    expect((await indexedDB.databases()).map(({ name }) => name)).toEqual([NAME]);
    expect([...buckets.buckets.keys()]).toEqual([expect.stringMatching(/^chorus-root-[0-9a-f]{16}$/)]);
  });

  it('lies in a database of its own where buckets do not open, and stays there when they do again', async () => {
    const open = vi.spyOn(buckets, 'open').mockRejectedValue(new DOMException('no', 'SecurityError'));
    await withBuckets().write(changes({ cursor: 'oak' }));
    expect((await indexedDB.databases()).map(({ name }) => name).sort()).toEqual([NAME, expect.stringMatching(/^chorus-root-/)]);
    open.mockRestore();
    expect(await withBuckets().get('cursor')).toEqual(utf8('oak'));
  });

  it('that the database names counts, whatever else lies about', async () => {
    const store = bucketRootKeyStore(buckets);
    await store.create();
    buckets.damaged.add(await store.create());
    await withBuckets().write(changes({ cursor: 'oak' }));
    await store.create();
    expect(await withBuckets().get('cursor')).toEqual(utf8('oak'));
  });

  it('of a first start that was cut off is cleared away by the next', async () => {
    const leftover = await bucketRootKeyStore(buckets).create();
    await buckets.open('somebody-elses', { durability: 'strict', persisted: false });
    await withBuckets().load('');
    expect(buckets.buckets.has(leftover)).toBe(false);
    expect([...buckets.buckets.keys()]).toEqual(['somebody-elses', expect.stringMatching(/^chorus-root-/)]);
  });

  it('that is gone is an error by name, which makes no new one', async () => {
    await withBuckets().write(changes({ cursor: 'oak' }));
    buckets.buckets.clear();
    const store = withBuckets();
    await expect(store.get('cursor')).rejects.toMatchObject({ code: 'root-missing' });
    await expect(store.write(changes({ cursor: 'elm' }))).rejects.toMatchObject({ code: 'root-missing' });
    expect(buckets.buckets.size).toBe(0);
    await store.destroy();
    expect(await store.load('')).toEqual(new Map());
  });
});

describe('destroy', () => {
  it('leaves no database and no bucket', async () => {
    const store = withBuckets();
    await store.write(changes({ cursor: 'oak' }));
    await store.destroy();
    expect(await indexedDB.databases()).toEqual([]);
    expect(buckets.buckets.size).toBe(0);
  });

  it('that another context stands in the way of says so, and has emptied the database all the same', async () => {
    const store = withBuckets();
    await store.write(changes({ cursor: 'oak' }));
    const stubborn = await openDB(NAME);
    await expect(store.destroy()).rejects.toMatchObject({ name: 'StoreError', code: 'blocked' });
    expect(await stubborn.count('records')).toBe(0);
    expect(buckets.buckets.size).toBe(0);
    stubborn.close();
    await eventually(async () => expect(await indexedDB.databases()).toEqual([]));
  });

  it('that is cut off before the root is gone leaves an empty store, and no old root after the next start', async () => {
    await withBuckets().write(changes({ cursor: 'oak' }));
    const [old] = buckets.buckets.keys();
    vi.spyOn(buckets, 'delete').mockRejectedValue(new DOMException('crash', 'AbortError'));
    vi.spyOn(indexedDB, 'deleteDatabase').mockImplementation(() => {
      throw new DOMException('crash', 'AbortError');
    });
    await expect(withBuckets().destroy()).rejects.toMatchObject({ code: 'unavailable' });
    vi.restoreAllMocks();
    expect(await withBuckets().load('')).toEqual(new Map());
    expect([...buckets.buckets.keys()]).toHaveLength(1);
    expect(buckets.buckets.has(old!)).toBe(false);
  });
});

describe('opening', () => {
  it.each([
    ['VersionError', 'newer-version'],
    ['SecurityError', 'unavailable'],
    ['QuotaExceededError', 'quota-exceeded'],
  ])('tells %s as %s, and tries again the next time', async (errorName, code) => {
    const store = withBuckets();
    const spy = vi.spyOn(indexedDB, 'open').mockImplementation(() => {
      throw new DOMException('injected', errorName);
    });
    await expect(store.load('')).rejects.toMatchObject({ name: 'StoreError', code });
    spy.mockRestore();
    expect(await store.load('')).toEqual(new Map());
  });

  it('refuses a database of a later version by name', async () => {
    (await openDB(NAME, 99)).close();
    await expect(withBuckets().load('')).rejects.toMatchObject({ code: 'newer-version' });
  });
});
