import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeRecord } from '../../../src/engine/record-codec.ts';
import { StateKeeper } from '../../../src/engine/state-keeper.ts';
import { createMemoryStore } from '../../../src/store/index.ts';
import { random, settle } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

const pathsOf = async ({ store }: TestDevice): Promise<string[]> => [...(await store.load('')).keys()];

const isNew = (device: TestDevice): Promise<true> => device.until(({ phase }) => (phase === 'new' ? true : undefined));

async function people(): Promise<{ laptop: TestDevice; phone: TestDevice; ben: TestDevice; id: string }> {
  const laptop = await world.person('anna', 'laptop');
  const ben = await world.person('ben', 'desk');
  const id = await laptop.startConversation(['ben']);
  await laptop.send(id, 'hello');
  await ben.texts(id, 1);
  const phone = await world.link(laptop, 'phone');
  await phone.conversation(id, ({ state }) => state === 'ready');
  await ben.send(id, 'hello to both');
  await phone.texts(id, 1);
  await settle(laptop, phone, ben);
  return { laptop, phone, ben, id };
}

describe('logging out', () => {
  it('takes the device out of the account, leaves no record on it, and stops nobody else', async () => {
    const { laptop, phone, ben, id } = await people();
    await phone.do({ command: 'logOut' });
    await isNew(phone);
    expect(await pathsOf(phone)).toEqual([]);
    expect(phone.cleared).toBe(1);
    await laptop.until(({ devices, removal }) => (devices.length === 1 && removal === undefined ? true : undefined));
    await laptop.send(id, 'still here');
    expect(await ben.texts(id, 3)).toEqual(['hello', 'hello to both', 'still here']);
    expect((await ben.runtime.state()).notices).toEqual([]);
    expect(await pathsOf(phone)).toEqual([]);
    expect(await phone.runtime.state()).toMatchObject({ phase: 'new', account: undefined, devices: [], conversations: [], notices: [] });
  });

  it('waits for the network, and then goes on by itself, also when the device was stopped meanwhile', async () => {
    const { laptop, phone } = await people();
    phone.goOffline();
    await phone.do({ command: 'logOut' });
    expect((await phone.runtime.state()).phase).toBe('leaving');
    phone.restart();
    expect((await phone.runtime.state()).phase).toBe('leaving');
    phone.goOnline();
    await isNew(phone);
    expect(await pathsOf(phone)).toEqual([]);
    await laptop.until(({ devices }) => (devices.length === 1 ? true : undefined));
  });

  it.each(['before the server has it', 'after the server took it'] as const)('is finished when the device dies %s', async (when) => {
    const { laptop, phone } = await people();
    const dead = new Promise<void>((resolve) => {
      phone.intercept = async (_path, body, carryOut) => {
        if (!body.includes('"statement"')) return carryOut();
        phone.intercept = (_path, _body, next) => next();
        if (when === 'after the server took it') expect((await carryOut()).ok).toBe(true);
        phone.stop();
        resolve();
        return new Promise(() => {});
      };
    });
    await phone.do({ command: 'logOut' });
    await dead;
    phone.restart();
    await isNew(phone);
    expect(await pathsOf(phone)).toEqual([]);
    await laptop.until(({ devices }) => (devices.length === 1 ? true : undefined));
  });

  it('is not for the last device, which nobody would follow', async () => {
    const anna = await world.person('anna');
    expect(await anna.runtime.command({ command: 'logOut' })).toEqual({ ok: false, problem: 'last-device' });
    expect((await anna.runtime.state()).phase).toBe('ready');
  });

  it('makes room for another account, or the same one anew', async () => {
    const { laptop, phone, id } = await people();
    await phone.do({ command: 'logOut' });
    await isNew(phone);
    await phone.do({ command: 'createAccount', username: 'cora', deviceName: 'phone' });
    await phone.until(({ phase }) => (phase === 'ready' ? true : undefined));
    await laptop.addMember(id, 'cora');
    await phone.conversation(id, ({ state }) => state === 'ready');
    expect((await phone.runtime.state()).account?.username).toBe('cora');
  });
});

describe("deleting a device's data", () => {
  it('leaves no record, without a network, and the other devices go on listing it', async () => {
    const { laptop, phone, id } = await people();
    phone.goOffline();
    await phone.send(id, 'never sent');
    const requests = [...phone.cost.requests.values()].reduce((sum, n) => sum + n, 0);
    await phone.runtime.deleteData();
    expect(await pathsOf(phone)).toEqual([]);
    expect((await phone.runtime.state()).phase).toBe('new');
    expect([...phone.cost.requests.values()].reduce((sum, n) => sum + n, 0)).toBe(requests);
    phone.goOnline();
    phone.restart();
    expect((await phone.runtime.state()).phase).toBe('new');
    expect(await pathsOf(phone)).toEqual([]);
    expect((await laptop.runtime.state()).devices.map(({ name }) => name)).toEqual(['laptop', 'phone']);
    expect(await laptop.texts(id, 2)).not.toContain('never sent');
  });

  it('is not undone by an answer that was on its way', async () => {
    const { phone, ben, id } = await people();
    const held = phone.holdBack('"kind":"application"');
    await phone.send(id, 'on its way');
    await held.reached;
    await phone.runtime.deleteData();
    held.open();
    await ben.texts(id, 3);
    await phone.runtime.streamEvent({ event: 'gone', data: '' });
    await phone.runtime.streamEvent({ event: 'stock', data: '{"stock":3}' });
    await phone.runtime.wake();
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(await pathsOf(phone)).toEqual([]);
    expect((await phone.runtime.state()).phase).toBe('new');
  });

  it('works where the store cannot be read', async () => {
    const { phone } = await people();
    phone.stop();
    await phone.store.write({ puts: new Map([['device', Uint8Array.of(99)]]), deletes: [] });
    phone.restart();
    await expect(phone.runtime.state()).rejects.toThrow();
    await phone.runtime.deleteData();
    expect((await phone.runtime.state()).phase).toBe('new');
    expect(await pathsOf(phone)).toEqual([]);
  });

  it('that fails leaves everything as it was', async () => {
    const { phone, ben, id } = await people();
    const destroy = vi.spyOn(phone.store, 'destroy').mockRejectedValueOnce(new Error('blocked'));
    await expect(phone.runtime.deleteData()).rejects.toThrow('blocked');
    expect((await phone.runtime.state()).phase).toBe('ready');
    await phone.send(id, 'still here');
    expect((await ben.texts(id, 3)).at(-1)).toBe('still here');
    destroy.mockRestore();
  });
});

describe('a store whose account is gone', () => {
  it('holds no record at all after linking was given up', async () => {
    const phone = world.device();
    await phone.do({ command: 'startLink', deviceName: 'phone' });
    await phone.until(({ link }) => link?.code);
    expect(await pathsOf(phone)).toContain('device');
    await phone.do({ command: 'closeLink' });
    await eventually(async () => expect(await pathsOf(phone)).toEqual([]));
  });

  it('that another context has emptied and filled again, in as many transactions, is read anew', async () => {
    const store = createMemoryStore();
    let now = 1;
    const exclusive = <Result>(task: () => Promise<Result>): Promise<Result> => task();
    const keeper = (): StateKeeper => new StateKeeper({ store, random, now: () => now++, exclusive });
    const begin = { type: 'command', command: { command: 'startLink', deviceName: 'phone' } } as const;
    const look = { type: 'command', command: { command: 'dismissNotice', noticeId: 'none' } } as const;
    const other = keeper();
    for (let life = 0; life < 3; life++) {
      const one = keeper();
      const { device } = (await one.step(begin)).result.state;
      expect((await other.step(look)).result.state.device?.deviceId).toEqual(device?.deviceId);
      await one.destroy();
      await expect(one.step(look)).rejects.toThrow();
    }
    expect((await other.step(look)).result.state.device).toBeUndefined();
  });
});

describe('a store of an earlier version', () => {
  it('loses the record that nobody reads any more, and nothing else', async () => {
    const anna = await world.person('anna');
    await settle(anna);
    anna.stop();
    const before = await pathsOf(anna);
    const kept = { unknown: encodeRecord('of a later version'), externalJoins: encodeRecord(new Map([['aa', random(32)]])) };
    await anna.store.write({ puts: new Map([...Object.entries(kept), ['version', encodeRecord(57)]]), deletes: [] });
    anna.restart();
    expect((await anna.runtime.state()).phase).toBe('ready');
    expect((await pathsOf(anna)).sort()).toEqual([...before, 'unknown'].sort());
    const { account } = await anna.runtime.state();
    expect(account?.username).toBe('anna');
  });
});
