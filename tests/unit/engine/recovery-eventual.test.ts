import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { confirmNewPhrase, isBack, recovered, tryRecovery } from '../../support/engine-recovery.ts';
import { settle } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

// Recovery through a service that is only eventually consistent: messages arrive late, and whoever sends them looks in
// the log whether they count.

const CONVERSATIONS = 3;

let world: EngineWorld;
let laptop: TestDevice;
let ben: TestDevice;
let ids: string[];
let entropy: Uint8Array;

beforeEach(async () => {
  world = new EngineWorld('eventual');
  await world.start();
  [laptop, ben] = [await world.person('anna', 'laptop'), await world.person('ben')];
  ids = [];
  for (let i = 0; i < CONVERSATIONS; i += 1) {
    const id = await laptop.startConversation(['ben'], `number ${i}`);
    await laptop.send(id, 'before');
    ids.push(id);
  }
  for (const id of ids) await ben.texts(id, 1);
  entropy = await confirmNewPhrase(laptop);
  await settle(laptop, ben);
});

afterEach(() => world.close());

/** What a person would be told of besides new devices, phrases and recoveries. */
async function alarms(device: TestDevice): Promise<string[]> {
  const expected = ['device-linked', 'recovered', 'device-recovered', 'phrase-changed', 'devices-found'];
  return (await device.runtime.state()).notices.map(({ kind }) => kind).filter((kind) => !expected.includes(kind));
}

const NUMBERS = [0, 1, 2];

async function writeAll(device: TestDevice, name: string): Promise<void> {
  for (const number of NUMBERS) for (const id of ids) await device.send(id, `${name} ${number}`);
}

/** What `witness` has of the epochs in which `device` is a member: a text of an earlier one may come late, after its join. */
async function sinceJoined(device: TestDevice, id: string, witness: TestDevice): Promise<string[]> {
  const epochs = world.epochs(id);
  const lines = await device.messages(id, () => true);
  const join = lines.find(({ kind, text }) => kind === 'event' && text.startsWith('You are in this conversation now.'))!;
  const all = await witness.messages(id, () => true);
  return all
    .filter(({ kind, position }) => kind === 'text' && epochs.get(position!)! > epochs.get(join.position!)!)
    .map(({ text }) => text);
}

describe('a recovery through an eventually consistent service', () => {
  it('joins every conversation in which others go on writing, and nobody loses a message or reads one twice', async () => {
    const writing = Promise.all([writeAll(ben, 'ben'), writeAll(laptop, 'laptop')]);
    const fresh = await recovered(world, 'anna', entropy);
    await writing;
    await writeAll(fresh, 'fresh');
    const each = ['before', ...['ben', 'laptop', 'fresh'].flatMap((name) => NUMBERS.map((number) => `${name} ${number}`))];
    for (const id of ids) {
      const order = await ben.texts(id, each.length);
      expect(order.toSorted()).toEqual(each.toSorted());
      expect(await laptop.texts(id, each.length)).toEqual(order);
    }
    await settle(ben, laptop, fresh);
    for (const id of ids) expect(await fresh.texts(id, NUMBERS.length)).toEqual(await sinceJoined(fresh, id, ben));
    for (const device of [ben, laptop, fresh]) expect(await alarms(device)).toEqual([]);
  });

  it('goes on by itself, alone, when its worker is stopped before and after each kind of request', async () => {
    laptop.stop();
    const device = world.device();
    let stops = 0;
    const seen = new Set<string>();
    device.intercept = async (path, _body, carryOut) => {
      const kind = path.replace(/[\w-]{20,}/g, '…');
      const when = seen.has(`${kind} before`) ? 'after' : 'before';
      if (!path.includes('/groups') || seen.has(`${kind} ${when}`)) return carryOut();
      seen.add(`${kind} ${when}`);
      stops += 1;
      if (when === 'after') await carryOut();
      device.restart();
      return new Promise(() => {});
    };
    expect(await tryRecovery(device, 'anna', entropy)).toBe('joined');
    await isBack(device);
    // The list of groups, a GroupInfo, and a message.
    expect(stops).toBe(6);
    await writeAll(device, 'fresh');
    for (const id of ids)
      expect(await ben.texts(id, 1 + NUMBERS.length)).toEqual(['before', ...NUMBERS.map((number) => `fresh ${number}`)]);
    await settle(ben, device);
    for (const each of [ben, device]) expect(await alarms(each)).toEqual([]);
  });
});
