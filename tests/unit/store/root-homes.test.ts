import 'fake-indexeddb/auto';
import { IDBFactory as FakeFactory, IDBObjectStore as FakeObjectStore } from 'fake-indexeddb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createRecordStore, type Exclusive, type RecordStore } from '../../../src/store/index.ts';
import { availableRootKeyStores } from '../../../src/store/root-homes.ts';
import type { RootHome } from '../../../src/store/root-key-store.ts';
import { FakeBuckets } from '../../support/fake-buckets.ts';
import { FakeDirectory } from '../../support/fake-opfs.ts';
import { fakeHomes, type FakeHome } from '../../support/root-homes.ts';
import { asText, changes } from '../../support/store-contract.ts';

const ALL = ['bucket', 'opfs', 'database'] as const satisfies readonly RootHome[];
const NAME = /^chorus-root-[0-9a-f]{16}$/;
const OTHER = 'chorus-root-00000000000000ff';

beforeEach(() => {
  indexedDB = new FakeFactory();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllGlobals();
});

describe.each(ALL)('a root in the home "%s"', (kind) => {
  let home: FakeHome;
  beforeEach(() => {
    home = fakeHomes[kind]();
  });

  it('is read again by its name, also by another context, and is another one each time', async () => {
    const { store } = home;
    expect(store.home).toBe(kind);
    const [one, two] = [await store.create(), await store.create()];
    expect((await home.names()).sort()).toEqual([one, two].sort());
    for (const name of [one, two]) expect(name).toMatch(NAME);
    const roots = await Promise.all([one, two, one].map(async (name) => Buffer.from((await store.load(name))!.reveal()).toString('hex')));
    expect(roots[0]).toMatch(/^[0-9a-f]{64}$/);
    expect(roots[1]).not.toBe(roots[0]);
    expect(roots[2]).toBe(roots[0]);
  });

  it('that is not there is none, and asking for it makes none', async () => {
    for (const name of [OTHER, 'chorus-root-', '../chorus-root-00000000000000ff', '']) expect(await home.store.load(name)).toBeUndefined();
    expect(await home.names()).toEqual([]);
  });

  it.each([0, 31, 33, 64])('of %i bytes is none', async (length) => {
    await home.put(OTHER, new Uint8Array(length).fill(7));
    expect(await home.store.load(OTHER)).toBeUndefined();
  });

  it('alone stays when it is the one that counts, and nothing that is not ours goes', async () => {
    const { store } = home;
    const names = [await store.create(), await store.create(), await store.create()];
    for (const name of ['somebody-elses', 'chorus-rooted']) await home.put(name, new Uint8Array(32));
    await store.retainOnly(names[1]);
    expect((await home.names()).sort()).toEqual(['chorus-rooted', 'somebody-elses', names[1]].sort());
    expect(await store.load(names[1]!)).toBeDefined();
    await store.retainOnly(undefined);
    expect((await home.names()).sort()).toEqual(['chorus-rooted', 'somebody-elses']);
  });

  it('for which there is no room leaves nothing behind', async () => {
    const full = (): never => {
      throw new DOMException('full', 'QuotaExceededError');
    };
    vi.spyOn(FakeObjectStore.prototype, 'put').mockImplementation(full);
    if (home.place instanceof FakeDirectory) home.place.stored = full;
    await expect(home.store.create()).rejects.toMatchObject({ name: 'StoreError', code: 'quota-exceeded' });
    expect(await home.names()).toEqual([]);
  });
});

describe.each(['bucket', 'opfs'] as const)('a root in the home "%s" that does not open', (kind) => {
  it('is an error by name, stands in no other’s way, and is deleted when it can be', async () => {
    const { store, place, names } = fakeHomes[kind]();
    const [broken, old, current] = [await store.create(), await store.create(), await store.create()];
    place!.damaged.add(kind === 'opfs' ? `${broken}-1` : broken);
    await expect(store.load(broken)).rejects.toMatchObject({ name: 'StoreError' });
    await store.retainOnly(current);
    expect((await names()).sort()).toEqual([broken, current].sort());
    expect(await store.load(old)).toBeUndefined();
    place!.damaged.clear();
    await store.retainOnly(current);
    expect(await names()).toEqual([current]);
  });
});

describe('in the file system', () => {
  let home: FakeHome;
  let directory: FakeDirectory;
  beforeEach(() => {
    home = fakeHomes.opfs();
    directory = home.place as FakeDirectory;
  });

  const halvesOf = (name: string): string[] => [`${name}-1`, `${name}-2`];

  it('no file has a root in it: it takes two, which are random each time', async () => {
    const name = await home.store.create();
    const root = (await home.store.load(name))!.reveal();
    expect([...directory.files.keys()]).toEqual(halvesOf(name));
    const [first, second] = halvesOf(name).map((half) => directory.files.get(half)!);
    expect(root).toEqual(first!.map((byte, index) => byte ^ second![index]!));
    for (const half of [first, second]) {
      expect(half).not.toEqual(root);
      expect(new Set(half).size).toBeGreaterThan(8);
    }
  });

  it.each([1, 2])('a root whose half %i is missing or cut is none, and the other half goes', async (half) => {
    const [name, current] = [await home.store.create(), await home.store.create()];
    directory.files.set(`${name}-${half}`, new Uint8Array(31));
    expect(await home.store.load(name)).toBeUndefined();
    directory.files.delete(`${name}-${half}`);
    expect(await home.store.load(name)).toBeUndefined();
    await home.store.retainOnly(current);
    expect([...directory.files.keys()]).toEqual(halvesOf(current));
  });

  it('what a killed browser was writing goes, whether or not its file is of the root that counts', async () => {
    const current = await home.store.create();
    for (const [name, content] of [
      [`${OTHER}-1`, 0],
      [`${OTHER}-1`, 32],
      [`${current}-2`, 32],
    ] as const) {
      const file = await directory.getFileHandle(name, { create: true });
      await (await file.createWritable()).write(new Uint8Array(content).fill(7));
    }
    expect([...directory.files.keys()].filter((name) => name.endsWith('.crswap'))).toHaveLength(3);
    expect(await home.store.load(OTHER)).toBeUndefined();
    directory.restart();
    await home.store.retainOnly(current);
    expect([...directory.files.keys()]).toEqual(halvesOf(current));
    expect(await home.store.load(current)).toBeDefined();
  });

  it('what another context is writing stays until it is done', async () => {
    const [first, second] = [new Uint8Array(32).fill(1), new Uint8Array(32).fill(2)];
    directory.files.set(`${OTHER}-1`, first);
    const writable = await (await directory.getFileHandle(`${OTHER}-2`, { create: true })).createWritable();
    await writable.write(second);
    await home.store.retainOnly(undefined);
    await writable.close();
    expect((await home.store.load(OTHER))!.reveal()).toEqual(new Uint8Array(32).fill(3));
  });

  it.each([
    ['cut', (bytes: Uint8Array) => bytes.slice(0, 31)],
    ['lost', () => new Uint8Array()],
    ['changed', (bytes: Uint8Array) => bytes.map((byte, index) => (index === 31 ? byte ^ 1 : byte))],
  ])('a root that is read back %s does not count, and leaves nothing', async (_how, stored) => {
    directory.stored = stored;
    await expect(home.store.create()).rejects.toMatchObject({ name: 'StoreError', code: 'unavailable' });
    expect([...directory.files.keys()]).toEqual([]);
  });

  it('a browser that does not give the directory out is an error by name', async () => {
    vi.stubGlobal('navigator', { storage: { getDirectory: () => Promise.reject(new DOMException('private mode', 'SecurityError')) } });
    vi.stubGlobal('FileSystemFileHandle', WithWritable);
    const [inFiles] = availableRootKeyStores();
    expect(inFiles!.home).toBe('opfs');
    await expect(inFiles!.create()).rejects.toMatchObject({ name: 'StoreError', code: 'unavailable' });
    await inFiles!.retainOnly(undefined);
  });
});

class WithWritable {
  createWritable(): void {
    throw new Error('not asked for here');
  }
}

describe('a browser', () => {
  const getDirectory = (): Promise<FakeDirectory> => Promise.resolve(new FakeDirectory());

  it.each([
    ['with everything', { storage: { getDirectory }, storageBuckets: new FakeBuckets() }, WithWritable, ['bucket', 'opfs', 'database']],
    ['without buckets', { storage: { getDirectory } }, WithWritable, ['opfs', 'database']],
    ['without a file system', { storage: {}, storageBuckets: new FakeBuckets() }, WithWritable, ['bucket', 'database']],
    ['whose workers cannot write files in one go', { storage: { getDirectory } }, class {}, ['database']],
    ['that knows no files', { storage: { getDirectory } }, undefined, ['database']],
    ['without any of it', {}, undefined, ['database']],
  ])('%s has its homes, the best first', (_which, navigator, fileHandle, homes) => {
    vi.stubGlobal('navigator', navigator);
    vi.stubGlobal('FileSystemFileHandle', fileHandle);
    expect(availableRootKeyStores().map(({ home }) => home)).toEqual(homes);
  });
});

describe('a store', () => {
  const alone: Exclusive = (task) => task();
  let homes: { readonly [Home in RootHome]: FakeHome };
  beforeEach(() => {
    homes = { bucket: fakeHomes.bucket(), opfs: fakeHomes.opfs(), database: fakeHomes.database() };
  });
  const openStore = (...kinds: RootHome[]): RecordStore =>
    createRecordStore({ name: 'chorus', roots: kinds.map((kind) => homes[kind].store), now: () => 1_000 });
  const where = async (): Promise<string[]> => {
    const all = await Promise.all(ALL.map(async (kind) => (await homes[kind].names()).map(() => kind)));
    return all.flat();
  };

  it.each<{ from: RootHome; to: RootHome; has: RootHome[] }>([
    { from: 'database', to: 'opfs', has: ['opfs', 'database'] },
    { from: 'database', to: 'bucket', has: ['bucket', 'opfs', 'database'] },
    { from: 'opfs', to: 'bucket', has: ['bucket', 'opfs', 'database'] },
  ])('whose root lies in the home "$from" goes on from there, and the next sweep moves it to "$to"', async ({ from, to, has }) => {
    await openStore(from).write(changes({ cursor: '1', 'group/aa/tree': 'oak' }));
    const store = openStore(...has);
    await store.tidy(alone);
    await store.write(changes({ cursor: '2' }));
    expect(await where()).toEqual([from]);
    await store.sweep(alone);
    expect(await where()).toEqual([to]);
    expect(asText(await openStore(...has).load(''))).toEqual([
      ['cursor', '2'],
      ['group/aa/tree', 'oak'],
    ]);
  });

  it('whose first home fails takes the next, and sweeps back into the first when that works', async () => {
    const directory = homes.opfs.place as FakeDirectory;
    directory.stored = () => new Uint8Array();
    await openStore('opfs', 'database').write(changes({ cursor: '1' }));
    expect(await where()).toEqual(['database']);
    directory.stored = (bytes) => bytes;
    await openStore('opfs', 'database').sweep(alone);
    expect(await where()).toEqual(['opfs']);
  });

  it('deletes at its start what lies in any home beside the root that counts', async () => {
    await openStore('opfs', 'database').write(changes({ cursor: '1' }));
    const [current] = await homes.opfs.names();
    await Promise.all([homes.opfs.store.create(), homes.database.store.create()]);
    await homes.opfs.put(`${OTHER}.crswap`, new Uint8Array(32));
    await openStore('opfs', 'database').tidy(alone);
    expect(await homes.opfs.names()).toEqual([current]);
    expect(await where()).toEqual(['opfs']);
    expect(asText(await openStore('opfs', 'database').load(''))).toEqual([['cursor', '1']]);
  });

  it('leaves nothing in any home when it is destroyed', async () => {
    const store = openStore('opfs', 'database');
    await store.write(changes({ cursor: '1' }));
    await homes.database.store.create();
    await homes.opfs.put(`${OTHER}.1.crswap`, new Uint8Array(32));
    await store.destroy();
    expect(await where()).toEqual([]);
  });
});
