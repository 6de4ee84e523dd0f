import { beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../src/bytes/index.ts';
import type { StoreChanges, StorePort } from '../../src/engine/ports.ts';

/** Changes in a readable form. */
export function changes(puts: Readonly<Record<string, string>>, deletes: readonly string[] = []): StoreChanges {
  return { puts: new Map(Object.entries(puts).map(([path, text]) => [path, utf8(text)])), deletes };
}

/** Records with their values as text. */
export function asText(records: ReadonlyMap<string, Uint8Array>): [string, string][] {
  return [...records].map(([path, value]) => [path, new TextDecoder().decode(value)]);
}

/** What every StorePort does, whatever it is made of. `open` gives an empty store. */
export function describeStoreContract(name: string, open: () => Promise<StorePort>): void {
  describe(`${name}: what every store does`, () => {
    let store: StorePort;
    beforeEach(async () => {
      store = await open();
    });

    it('gives back what was put, and undefined for what was not', async () => {
      await store.write(changes({ cursor: 'seven', 'group/aa/tree': 'oak' }));
      expect(await store.get('cursor')).toEqual(utf8('seven'));
      expect(await store.get('group/aa/tree')).toEqual(utf8('oak'));
      expect(await store.get('group/aa')).toBeUndefined();
    });

    it('keeps an empty value apart from none', async () => {
      await store.write(changes({ cursor: '' }));
      expect(await store.get('cursor')).toEqual(new Uint8Array());
    });

    it('keeps its own copy of values', async () => {
      const value = utf8('oak');
      const writing = store.write({ puts: new Map([['cursor', value]]), deletes: [] });
      await writing;
      value.fill(0);
      (await store.get('cursor'))!.fill(0);
      expect(await store.get('cursor')).toEqual(utf8('oak'));
    });

    it('loads all records under a prefix in key order, and no neighbour', async () => {
      await store.write(changes({ 'group/b/x': '3', 'group/a/y': '2', 'group/a/x': '1', 'group/ab/x': '4', groups: '5', device: '6' }));
      expect(asText(await store.load('group/a/'))).toEqual([
        ['group/a/x', '1'],
        ['group/a/y', '2'],
      ]);
      expect([...(await store.load('')).keys()]).toEqual(['device', 'group/a/x', 'group/a/y', 'group/ab/x', 'group/b/x', 'groups']);
      expect(await store.load('nothing')).toEqual(new Map());
    });

    it('pages from the newest key on, the upper end excluded', async () => {
      await store.write(changes({ 'message/a/1': 'a', 'message/a/2': 'b', 'message/a/3': 'c', 'message/b/1': 'd' }));
      expect(asText(await store.page('message/a/', 'message/a/3', 5))).toEqual([
        ['message/a/2', 'b'],
        ['message/a/1', 'a'],
      ]);
      expect(asText(await store.page('message/a/', 'message/a/~', 2))).toEqual([
        ['message/a/3', 'c'],
        ['message/a/2', 'b'],
      ]);
      expect(await store.page('message/a/', 'message/a/', 5)).toEqual(new Map());
      expect(await store.page('message/b/', 'message/a/', 5)).toEqual(new Map());
      expect(await store.page('message/a/', 'message/a/~', 0)).toEqual(new Map());
    });

    it('deletes before it puts, in one go', async () => {
      await store.write(changes({ device: '1', cursor: '2' }));
      await store.write(changes({ device: '3' }, ['device', 'cursor', 'never-there']));
      expect(asText(await store.load(''))).toEqual([['device', '3']]);
    });

    it('takes an empty change', async () => {
      await store.write(changes({}));
      expect(await store.load('')).toEqual(new Map());
    });

    it('gives writes that nobody waited for their order', async () => {
      const long = store.write({ puts: new Map([['cursor', new Uint8Array(1 << 20)]]), deletes: [] });
      const short = store.write(changes({ cursor: 'last' }));
      await Promise.all([long, short]);
      expect(await store.get('cursor')).toEqual(utf8('last'));
    });

    it.each(['', '/', 'a/', '/a', 'a//b', 'Anna Müller', 'a b', 'anna@home', 'x'.repeat(257)])(
      'refuses the path %j by name',
      async (path) => {
        await expect(store.write({ puts: new Map([[path, utf8('x')]]), deletes: [] })).rejects.toMatchObject({ code: 'invalid-path' });
        await expect(store.write({ puts: new Map([['fine', utf8('x')]]), deletes: [path] })).rejects.toMatchObject({
          code: 'invalid-path',
        });
        await expect(store.get(path)).rejects.toMatchObject({ code: 'invalid-path' });
        expect(await store.load('')).toEqual(new Map());
      },
    );

    it('holds nothing after destroy, and can be used again', async () => {
      await store.write(changes({ device: '1', 'group/a/x': '2' }));
      await store.destroy();
      expect(await store.load('')).toEqual(new Map());
      await store.write(changes({ device: 'new' }));
      expect(asText(await store.load(''))).toEqual([['device', 'new']]);
    });
  });
}
