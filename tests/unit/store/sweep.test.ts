import 'fake-indexeddb/auto';
import fc from 'fast-check';
import { IDBFactory as FakeFactory, IDBObjectStore as FakeObjectStore } from 'fake-indexeddb';
import { openDB } from 'idb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { utf8 } from '../../../src/bytes/index.ts';
import { createRecordStore, type Exclusive, type RecordStore } from '../../../src/store/index.ts';
import { keyId } from '../../../src/store/key-ring.ts';
import { scopeOf } from '../../../src/store/record-path.ts';
import { open, openSealedKey, wrappingKey, type SealedValue } from '../../../src/store/sealing.ts';
import { fakeHomes, type FakeHome } from '../../support/root-homes.ts';
import { dieAt } from '../../support/storage-death.ts';
import { asText, changes } from '../../support/store-contract.ts';

const NAME = 'chorus';

let home: FakeHome;
let now: number;
beforeEach(() => {
  indexedDB = new FakeFactory();
  home = fakeHomes.bucket();
  now = 1_000;
});
afterEach(() => {
  vi.restoreAllMocks();
});

const openStore = (): RecordStore => createRecordStore({ name: NAME, roots: [home.store], now: () => now });
const alone: Exclusive = (task) => task();
const roots = (): Promise<string[]> => home.names();
const texts = async (store: RecordStore): Promise<Record<string, string>> => Object.fromEntries(asText(await store.load('')));

/** All that lies in the database, as somebody with a copy of the files has it, deleted records of earlier copies included. */
interface Copy {
  readonly records: ReadonlyMap<string, SealedValue>;
  readonly keys: ReadonlyMap<string, { readonly scope: string; readonly number: number; readonly sealed: SealedValue }>;
}

async function copyOfFiles(): Promise<Copy> {
  const database = await openDB(NAME);
  try {
    const [paths, values, names, sealed] = await Promise.all([
      database.getAllKeys('records'),
      database.getAll('records') as Promise<SealedValue[]>,
      database.getAllKeys('keys') as unknown as Promise<[string, number][]>,
      database.getAll('keys') as Promise<SealedValue[]>,
    ]);
    return {
      records: new Map((paths as string[]).map((path, index) => [path, values[index]!])),
      keys: new Map(
        names.map(([scope, number], index) => [
          keyId({ scope, number }) + `#${sealed[index]!.rootGeneration}`,
          { scope, number, sealed: sealed[index]! },
        ]),
      ),
    };
  } finally {
    database.close();
  }
}

async function rootsNow(): Promise<CryptoKey[]> {
  return Promise.all((await roots()).map(async (name) => wrappingKey((await home.store.load(name))!)));
}

/** What of the copied records opens with these roots and all keys that were ever copied: path and text. */
async function readable(from: Copy, wrappings: readonly CryptoKey[], allKeys: readonly Copy[]): Promise<Record<string, string>> {
  const opened = new Map<string, CryptoKey>();
  for (const { keys } of allKeys) {
    for (const { scope, number, sealed } of keys.values()) {
      for (const wrapping of wrappings) {
        const place = { database: NAME, store: 'keys', path: keyId({ scope, number }), rootGeneration: sealed.rootGeneration } as const;
        const key = await openSealedKey(wrapping, place, sealed).catch(() => undefined);
        if (key !== undefined) opened.set(keyId({ scope, number }), key);
      }
    }
  }
  const found: Record<string, string> = {};
  for (const [path, sealed] of from.records) {
    const key = opened.get(keyId({ scope: scopeOf(path), number: sealed.rootGeneration }));
    const place = { database: NAME, store: 'records', path, rootGeneration: sealed.rootGeneration } as const;
    const bytes = key && (await open(key, place, sealed).catch(() => undefined));
    if (bytes !== undefined) found[path] = new TextDecoder().decode(bytes);
  }
  return found;
}

describe('a sweep', () => {
  it('leaves every record as it was, under another root, and the old root is gone', async () => {
    const store = openStore();
    await store.write(changes({ cursor: '1', 'group/aa/tree': 'oak', 'message/aa/1': 'hi', device: 'Laptop' }));
    await store.write(changes({ cursor: '2' }));
    const before = await texts(store);
    const [old] = await roots();
    now = 5_000;
    await store.sweep(alone);
    expect(await texts(store)).toEqual(before);
    expect(await texts(openStore())).toEqual(before);
    expect(await roots()).toHaveLength(1);
    expect((await roots())[0]).not.toBe(old);
    expect(await store.sweepStatus()).toEqual({ at: 5_000, due: false });
  });

  it('puts what was deleted or overwritten out of reach of who has every byte that was ever on the disk, but for the old root', async () => {
    const store = openStore();
    await store.write(changes({ 'group/aa/ratchet': 'generation 1', 'message/aa/1': 'delete me', 'message/aa/2': 'keep me', cursor: '1' }));
    const early = await copyOfFiles();
    const oldRoots = await rootsNow();
    await store.write(changes({ 'group/aa/ratchet': 'generation 2', cursor: '2' }, ['message/aa/1']));
    const middle = await copyOfFiles();
    await store.sweep(alone);
    const late = await copyOfFiles();
    const everything = [early, middle, late];
    // The same search with the old root finds all of it: it can see such things.
    expect(await readable(early, oldRoots, everything)).toMatchObject({
      'group/aa/ratchet': 'generation 1',
      'message/aa/1': 'delete me',
      cursor: '1',
    });
    expect(await readable(early, await rootsNow(), everything)).toEqual({});
    expect(await readable(middle, await rootsNow(), everything)).toEqual({});
    expect(await readable(late, await rootsNow(), everything)).toEqual({
      'group/aa/ratchet': 'generation 2',
      'message/aa/2': 'keep me',
      cursor: '2',
    });
  });

  it('seals records anew only where something was deleted or overwritten', async () => {
    const store = openStore();
    for (let i = 0; i < 5; i++) await store.write(changes({ [`message/aa/${i}`]: 'said', [`message/bb/${i}`]: 'said' }));
    await store.write(changes({ 'group/aa/tree': 'oak', 'group/bb/tree': 'elm' }));
    await store.write(changes({ 'group/aa/tree': 'ash' }, ['message/bb/3', 'group/cc/never-there']));
    const put = vi.spyOn(FakeObjectStore.prototype, 'put');
    await store.sweep(alone);
    const sealed = put.mock.contexts.flatMap((on, i) => ((on as IDBObjectStore).name === 'records' ? [put.mock.calls[i]![1]] : []));
    expect(sealed).toEqual(['group/aa/tree', 'message/bb/0', 'message/bb/1', 'message/bb/2', 'message/bb/4']);
  });

  it('drops the key of a scope in which nothing is left, and keeps one key for each other', async () => {
    const store = openStore();
    await store.write(changes({ 'group/aa/tree': '1', 'group/aa/header': '2', 'group/bb/tree': '3', group: '4', cursor: '5' }));
    await store.write(changes({ cursor: '6' }, ['group/aa/tree', 'group/aa/header']));
    await store.sweep(alone);
    expect([...(await copyOfFiles()).keys.values()].map(({ scope }) => scope)).toEqual(['', 'group/bb']);
    await store.write(changes({ 'group/aa/tree': 'again' }));
    expect(await texts(openStore())).toEqual({ cursor: '6', group: '4', 'group/aa/tree': 'again', 'group/bb/tree': '3' });
  });

  it('of a scope above others seals its own records anew and not theirs', async () => {
    const store = openStore();
    await store.write(changes({ 'group/a': '1', 'group/b': '2', 'group/a/x': '3', 'group/a/x/y': '4', 'group/b-c': '5', top: '6' }));
    await store.write(changes({ 'group/a': '7' }));
    const put = vi.spyOn(FakeObjectStore.prototype, 'put');
    await store.sweep(alone);
    const sealed = put.mock.contexts.flatMap((on, i) => ((on as IDBObjectStore).name === 'records' ? [put.mock.calls[i]![1]] : []));
    expect(sealed).toEqual(['group/a', 'group/b', 'group/b-c']);
    expect(await texts(openStore())).toEqual({
      'group/a': '7',
      'group/a/x': '3',
      'group/a/x/y': '4',
      'group/b': '2',
      'group/b-c': '5',
      top: '6',
    });
  });

  it('goes in slices between which others write, and loses nothing of either', async () => {
    const store = openStore();
    const many = Object.fromEntries(Array.from({ length: 600 }, (_, i) => [`message/aa/${String(i).padStart(4, '0')}`, `text ${i}`]));
    await store.write(changes(many));
    await store.write(changes({}, ['message/aa/0000']));
    let slices = 0;
    await store.sweep(async (task) => {
      const result = await task();
      slices += 1;
      await store.write(changes({ 'message/aa/0599': `rewritten ${slices}`, [`message/aa/new-${slices}`]: 'new', cursor: String(slices) }));
      return result;
    });
    expect(slices).toBeGreaterThanOrEqual(5); // the plan, three slices, the new root
    const found = await texts(openStore());
    expect(Object.keys(found)).toHaveLength(599 + slices + 1);
    expect(found['message/aa/0599']).toBe(`rewritten ${slices}`);
    expect((await store.sweepStatus()).due).toBe(true); // what was overwritten since is for the next
  });

  it('is noticed by other contexts, which read and write on', async () => {
    const [one, two] = [openStore(), openStore()];
    await one.write(changes({ cursor: '1', 'group/aa/tree': 'oak' }));
    expect(await two.get('cursor')).toEqual(utf8('1'));
    await one.write(changes({ cursor: '2' }));
    await one.sweep(alone);
    expect(await two.get('group/aa/tree')).toEqual(utf8('oak'));
    await two.write(changes({ 'group/aa/tree': 'elm' }));
    expect(await texts(one)).toEqual({ cursor: '2', 'group/aa/tree': 'elm' });
    await two.sweep(alone);
    await one.write(changes({ cursor: '3' }));
    expect(await texts(two)).toEqual({ cursor: '3', 'group/aa/tree': 'elm' });
    expect(await roots()).toHaveLength(1);
  });

  it('is due once something was overwritten or deleted, and not for what is only added', async () => {
    const store = openStore();
    await store.write(changes({ 'message/aa/1': 'one' }));
    await store.write(changes({ 'message/aa/2': 'two' }, ['message/aa/9']));
    expect(await store.sweepStatus()).toEqual({ at: 1_000, due: false });
    await store.write(changes({}, ['message/aa/1']));
    expect((await store.sweepStatus()).due).toBe(true);
    expect((await openStore().sweepStatus()).due).toBe(true);
  });
});

describe.each(['bucket', 'opfs', 'database'] as const)('a sweep that is cut off, with roots in the home "%s",', (kind) => {
  it('at any call to the browser’s storage loses nothing, and the next one does it all', async () => {
    let call = 1;
    for (let finished = false; !finished; call++) {
      indexedDB = new FakeFactory();
      home = fakeHomes[kind]();
      const store = openStore();
      await store.write(
        changes({ cursor: '1', 'group/aa/tree': 'oak', 'group/bb/tree': 'elm', 'message/aa/1': 'one', 'message/aa/2': 'two' }),
      );
      await store.write(changes({ cursor: '2', 'group/aa/tree': 'ash' }, ['message/aa/1', 'group/bb/tree']));
      const before = await texts(store);
      const early = await copyOfFiles();
      const oldRoots = await roots();
      const death = dieAt(home.place, call);
      await store.sweep(alone).catch(() => undefined);
      finished = death.calls() < call;
      death.revive();

      const next = openStore();
      expect(await texts(next), `call ${call}`).toEqual(before);
      await next.tidy(alone);
      expect(await roots(), `call ${call}`).toHaveLength(1);
      await next.write(changes({ cursor: '3' }));
      await next.sweep(alone);
      expect(await texts(openStore()), `call ${call}`).toEqual({ ...before, cursor: '3' });
      expect(await roots()).not.toContain(oldRoots[0]);
      expect(await readable(early, await rootsNow(), [early, await copyOfFiles()]), `call ${call}`).toEqual({});
    }
    expect(call).toBeGreaterThan(20);
  });
});

describe('any life of a store', () => {
  const path = fc.constantFrom(
    'cursor',
    'device',
    'group/a',
    'group/a/tree',
    'group/a/r/1',
    'group/b/tree',
    'message/a/1',
    'message/a/2',
    'key-package/x',
  );
  const action = fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        kind: fc.constant('write' as const),
        puts: fc.dictionary(path, fc.string(), { maxKeys: 3 }),
        deletes: fc.array(path, { maxLength: 2 }),
      }),
    },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('sweep' as const) }) },
    { weight: 2, arbitrary: fc.record({ kind: fc.constant('cut' as const), call: fc.integer({ min: 1, max: 60 }) }) },
    { weight: 1, arbitrary: fc.record({ kind: fc.constant('other' as const) }) },
  );

  it('of writes, sweeps, sweeps cut off and other contexts reads back as a plain map', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(action, { maxLength: 20 }), async (actions) => {
        indexedDB = new FakeFactory();
        home = fakeHomes.bucket();
        let [store, other] = [openStore(), openStore()];
        const plain = new Map<string, string>();
        for (const step of actions) {
          if (step.kind === 'write') {
            const deletes = step.deletes.filter((each) => !(each in step.puts));
            await store.write(changes(step.puts, deletes));
            for (const each of deletes) plain.delete(each);
            for (const [each, text] of Object.entries(step.puts)) plain.set(each, text);
          } else if (step.kind === 'sweep') await store.sweep(alone);
          else if (step.kind === 'cut') {
            const death = dieAt(home.place, step.call);
            await store.sweep(alone).catch(() => undefined);
            death.revive();
            store = openStore();
          } else [store, other] = [other, store];
        }
        expect(await texts(store)).toEqual(Object.fromEntries(plain));
        expect(await texts(openStore())).toEqual(Object.fromEntries(plain));
      }),
      { numRuns: 200 },
    );
  });
});
