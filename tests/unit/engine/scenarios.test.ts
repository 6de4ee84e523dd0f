import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../../src/bytes/index.ts';
import { decodeGroupRecords, decodeState } from '../../../src/engine/records.ts';
import { prepareNext } from '../../../src/engine/sending.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { Turn } from '../../../src/engine/turn.ts';
import { leafCountOf } from '../../../src/mls/index.ts';
import { entryFor, random, settle, stateOf as wholeState, take, written } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

// What several devices of one person live through, with the real engine, client and server.

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

const stateOf = async (device: TestDevice): Promise<EngineState> => decodeState(await device.store.load(''));
const ready = (device: TestDevice, id: string) => device.conversation(id, ({ state }) => state === 'ready');
const leafOf = async (device: TestDevice): Promise<number> => (await stateOf(device)).emulation!.group.ownLeaf;

/** A new device, which then can link others itself. */
async function link(adder: TestDevice, name: string): Promise<TestDevice> {
  const device = await world.link(adder, name);
  await device.do({ command: 'closeLink' });
  return device;
}

async function remove(by: TestDevice, name: string): Promise<void> {
  await by.do({
    command: 'removeDevice',
    deviceId: await by.until(({ devices }) => devices.find((each) => each.name === name)?.deviceId),
  });
}

/** The removal is over, and so many devices are left. */
const removedUntil = (device: TestDevice, remaining: number) =>
  device.until(({ removal, devices }) => (removal === undefined && devices.length === remaining ? true : undefined));

/** Until the device shows this text from the log. */
const reads = (device: TestDevice, id: string, text: string) =>
  device.messages(id, (all) => all.some((message) => message.text === text && message.position !== undefined));

/** Which device the account sees behind a text. */
async function senderOf(device: TestDevice, id: string, text: string): Promise<string | undefined> {
  return (await reads(device, id, text)).find((message) => message.text === text)?.device?.name;
}

async function annaAndBen(): Promise<{ laptop: TestDevice; phone: TestDevice; ben: TestDevice; id: string }> {
  const laptop = await world.person('anna', 'laptop');
  const ben = await world.person('ben');
  const id = await laptop.startConversation(['ben']);
  await laptop.send(id, 'first');
  await reads(ben, id, 'first');
  const phone = await link(laptop, 'phone');
  await ready(phone, id);
  return { laptop, phone, ben, id };
}

describe('a device that was away', () => {
  it('follows its siblings over many emulation epochs, and every conversation with them', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    await settle(laptop, phone, ben);
    const before = (await stateOf(phone)).emulation!.group.context.epoch;
    phone.goOffline();
    const tablet = await link(laptop, 'tablet');
    await ready(tablet, id);
    await tablet.send(id, 'from the tablet');
    const other = await tablet.startConversation(['ben'], 'while the phone was away');
    const desk = await link(tablet, 'desk');
    for (const each of [id, other]) await ready(desk, each);
    await laptop.until(({ devices }) => devices.some(({ name }) => name === 'desk') || undefined);
    await desk.send(other, 'from the desk');
    await ben.send(id, 'from ben');
    await remove(laptop, 'tablet');
    await removedUntil(laptop, 3);
    await laptop.send(other, 'after the removal');
    for (const device of [laptop, desk, ben]) await reads(device, other, 'after the removal');
    const after = (await stateOf(laptop)).emulation!.group.context.epoch;
    expect(after - before).toBeGreaterThanOrEqual(4n);

    phone.goOnline();
    expect(await phone.texts(id, 2)).toEqual(['from the tablet', 'from ben']);
    expect(await phone.texts(other, 2)).toEqual(['from the desk', 'after the removal']);
    expect(await senderOf(phone, other, 'from the desk')).toBe('desk');
    await phone.send(other, 'the phone is back');
    for (const device of [laptop, desk, ben]) await reads(device, other, 'the phone is back');
    expect(await senderOf(laptop, other, 'the phone is back')).toBe('phone');
  });
});

describe('a Welcome', () => {
  it('through a KeyPackage of a device that was removed since still brings in a sibling that reads it late', async () => {
    const laptop = await world.person('anna', 'laptop');
    const ben = await world.person('ben');
    const phone = await link(laptop, 'phone');
    const tablet = await link(laptop, 'tablet');
    const devices = new Map([laptop, phone, tablet].map((device, i) => [['laptop', 'phone', 'tablet'][i]!, device] as const));
    await settle(...devices.values(), ben);
    const { keyPackages } = await stateOf(laptop);
    const makers = new Set([...keyPackages.values()].map(({ operation }) => operation.emulatorLeaf));
    expect(makers.size).toBe(1); // all were replaced when the last device came, by one of them
    const leaves = new Map(await Promise.all([...devices].map(async ([name, device]) => [await leafOf(device), name] as const)));
    const maker = leaves.get([...makers][0]!)!;
    const [stays, away] = [...devices.keys()].filter((name) => name !== maker).map((name) => devices.get(name)!);

    away!.goOffline();
    const id = await ben.startConversation(['anna']);
    await ben.send(id, 'before the removal');
    await reads(stays!, id, 'before the removal');
    await remove(stays!, maker);
    await removedUntil(stays!, 2);
    await stays!.send(id, 'after the removal');
    await reads(ben, id, 'after the removal');

    away!.goOnline();
    expect(await away!.texts(id, 2)).toEqual(['before the removal', 'after the removal']);
    await away!.send(id, 'here too');
    for (const device of [stays!, ben]) await reads(device, id, 'here too');
  });

  it('through a KeyPackage from before all other devices is no dead end when the only device of that time is removed', async () => {
    const laptop = await world.person('anna', 'laptop');
    const ben = await world.person('ben');
    const added = ben.holdBack('"fence":{');
    const starting = ben.startConversation(['anna']);
    await added.reached;
    const phone = await link(laptop, 'phone');
    await settle(laptop, phone);
    laptop.goOffline();
    added.open();
    const id = await starting;
    await phone.conversation(id, ({ state }) => state === 'renewing');
    expect((await stateOf(phone)).conversations.get(id)!.leaf).toBeDefined();

    await remove(phone, 'laptop');
    await removedUntil(phone, 1);
    await phone.send(id, 'from the phone');
    await reads(ben, id, 'from the phone');
  });
});

describe('two devices that commit in the emulation group at the same moment', () => {
  it('both come through: two new devices are linked, each by another one', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    const [tablet, desk] = await Promise.all([link(laptop, 'tablet'), link(phone, 'desk')]);
    const all = { laptop, phone, tablet, desk };
    for (const device of Object.values(all)) {
      await device.until(({ devices }) => devices.length === 4 || undefined);
      await ready(device, id);
    }
    expect(new Set(await Promise.all(Object.values(all).map(leafOf))).size).toBe(4);
    for (const [name, device] of Object.entries(all)) {
      await device.send(id, `from the ${name}`);
      for (const reader of [...Object.values(all), ben]) await reads(reader, id, `from the ${name}`);
    }
  });
});

describe('a newcomer at the leaf of a removed device', () => {
  it('is not taken for it, neither in what it writes nor in what the other has written', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    await phone.send(id, 'from the phone');
    expect(await senderOf(laptop, id, 'from the phone')).toBe('phone');
    const leaf = await leafOf(phone);
    await settle(laptop, phone, ben);
    const late = await written(wholeState(await phone.store.load('')), id, 'late from the phone');
    await remove(laptop, 'phone');
    await removedUntil(laptop, 1);
    const tablet = await link(laptop, 'tablet');
    expect(await leafOf(tablet)).toBe(leaf);
    await ready(tablet, id);
    await tablet.send(id, 'from the tablet');
    for (const device of [laptop, ben]) await reads(device, id, 'from the tablet');
    expect(await senderOf(laptop, id, 'from the tablet')).toBe('tablet');
    expect(await senderOf(laptop, id, 'from the phone')).toBe('phone');
    expect((await laptop.runtime.state()).notices.map(({ kind }) => kind)).not.toContain('unknown-device');
    // Read only now, it is the phone's all the same: the roster is that of the leaf by which it was sent.
    await settle(laptop, tablet, ben);
    const state = wholeState(await laptop.store.load(''));
    const { lines, refused } = await take(state, entryFor(state, state.conversations.get(id)!.groupId, late.sent));
    expect(refused).toEqual([]);
    expect(lines).toMatchObject([{ message: { text: 'late from the phone', device: { name: 'phone', known: true } } }]);
  });
});

describe('a removed device that a member helps', () => {
  it('cannot keep the leaf by a commit from its emulation epoch: the others refuse it and rejoin', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    await settle(laptop, phone, ben);
    const thief = wholeState(await phone.store.load(''));
    // The laptop dies when the Remove and the new key are through and the conversation has not been renewed yet.
    const gone = laptop.until(({ removal }) => {
      if (removal?.step !== 'renewing') return undefined;
      laptop.stop();
      return true;
    });
    laptop.intercept = (path, _body, carryOut) =>
      path === `/v1/groups/${Buffer.from(id, 'hex').toString('base64url')}/messages` ? new Promise(() => undefined) : carryOut();
    await remove(laptop, 'phone');
    await gone;
    laptop.intercept = (_path, _body, carryOut) => carryOut();

    const queue = [{ kind: 'renew' as const, messageId: random(16) }];
    const asked = { ...thief, conversations: new Map([[id, { ...thief.conversations.get(id)!, queue }]]) };
    const turn = new Turn(asked, random, Date.now());
    await prepareNext(turn, id);
    const { submission } = turn.conversation(id).pending!;
    const hands = await ben.hands();
    await hands.ask('submit', { ...submission, fence: await hands.fence() });
    await ben.send(id, 'said to the thief');
    await reads(ben, id, 'said to the thief');
    const stolen = decodeGroupRecords(id, await ben.store.load(`group/${id}`))!.schedule.epochAuthenticator;

    laptop.restart();
    await laptop.messages(id, (all) => all.some(({ text }) => text.includes('lost step')));
    await removedUntil(laptop, 1);
    await laptop.send(id, 'without the thief');
    await reads(ben, id, 'without the thief');
    await ben.send(id, 'to the laptop');
    await reads(laptop, id, 'to the laptop');
    const { emulation, conversations } = await stateOf(laptop);
    expect(conversations.get(id)!.keyVersion).toBe(2);
    expect(emulation!.epochs.get(toHex(conversations.get(id)!.leaf!.epochId))!.epoch).toBeGreaterThanOrEqual(emulation!.floor.epoch);
    expect(toHex(decodeGroupRecords(id, await ben.store.load(`group/${id}`))!.schedule.epochAuthenticator)).not.toBe(toHex(stolen));
  });
});

describe('an emulation group', () => {
  it('leaves no blank in a conversation when it shrinks', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    await phone.send(id, 'from the phone');
    await reads(ben, id, 'from the phone');
    await remove(laptop, 'phone');
    await removedUntil(laptop, 1);
    await laptop.send(id, 'after');
    await reads(ben, id, 'after');
    const { tree } = await (await ben.hands()).group(id);
    expect([tree.leafCount, tree.nodeCount]).toEqual([2, 3]);
    for (let node = 0; node < tree.nodeCount; node++) expect(tree.encryptionKey(node)).toBeDefined();
  });

  it('grows from one device to nine and shrinks to one again, and each of them can write while it is there', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    const devices = new Map([
      ['laptop', laptop],
      ['phone', phone],
    ]);
    const counts = new Set<number>();
    const speak = async (name: string, text: string): Promise<void> => {
      await devices.get(name)!.send(id, text);
      await reads(ben, id, text);
      expect(await senderOf(laptop, id, text)).toBe(name);
      counts.add(leafCountOf((await stateOf(laptop)).emulation!.group));
    };
    for (let n = 3; n <= 9; n++) {
      const name = `device ${n}`;
      devices.set(name, await link(laptop, name));
      await ready(devices.get(name)!, id);
      await speak(name, `${name} is there`);
    }
    expect(devices.size).toBe(9);
    for (const name of [...devices.keys()].slice(1).reverse()) {
      await remove(laptop, name);
      devices.get(name)!.stop();
      devices.delete(name);
      await removedUntil(laptop, devices.size);
      const last = [...devices.keys()].at(-1)!;
      await ready(devices.get(last)!, id);
      await speak(last, `${name} is gone`);
    }
    expect([...counts].sort((a, b) => a - b)).toEqual([1, 2, 4, 8, 16]);
  }, 240_000);
});
