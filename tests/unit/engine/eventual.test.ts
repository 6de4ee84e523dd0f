import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { decodeRecord, encodeRecord } from '../../../src/engine/record-codec.ts';
import type { Input } from '../../../src/engine/input.ts';
import type { Conversation } from '../../../src/engine/state.ts';
import { committed } from '../../support/engine-forgery.ts';
import { entryFor, playScene, settle, stateOf, take, taken, written } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

// Draft section 5.9 with a service that is only eventually consistent: two devices' messages of one generation both
// get into the log, and messages arrive late.

let world: EngineWorld;

afterEach(() => world.close());

/** What a person would be told of besides new devices. */
async function alarms(device: TestDevice): Promise<string[]> {
  return (await device.runtime.state()).notices.map(({ kind }) => kind).filter((kind) => kind !== 'device-linked');
}

describe('devices of one account that write at once', () => {
  beforeEach(async () => {
    world = new EngineWorld('eventual');
    await world.start();
  });

  it('get everything to everybody once, in one order, though their generations collide', async () => {
    const laptop = await world.person('anna');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben'], 'club');
    await ben.conversation(id, ({ state }) => state === 'ready');
    const devices: TestDevice[] = [laptop];
    for (const name of ['phone', 'tablet']) {
      const device = await world.link(laptop, name);
      await device.conversation(id, ({ state }) => state === 'ready');
      devices.push(device);
    }
    await settle(ben, ...devices);
    const each = 8;
    const all = devices.flatMap((_, d) => Array.from({ length: each }, (_unused, i) => `${d}.${i}`));
    await Promise.all(
      devices.map(async (device, d) => {
        for (let i = 0; i < each; i += 1) await device.send(id, `${d}.${i}`);
      }),
    );
    const order = await ben.texts(id, all.length);
    expect(order.toSorted()).toEqual(all.toSorted());
    for (const device of devices) expect(await device.texts(id, all.length)).toEqual(order);
    for (const d of devices.keys())
      expect(order.filter((text) => text.startsWith(`${d}.`))).toEqual(all.filter((text) => text.startsWith(`${d}.`)));
    await settle(ben, ...devices);
    // The log has more messages than there are texts: those that came second were sent again.
    const { entries } = await (await ben.hands()).ask('fetch-sequence', { after: 0, limit: 100 });
    expect(entries.filter(({ kind }) => kind === 'application').length).toBeGreaterThan(all.length);
    for (const device of [ben, ...devices]) expect(await alarms(device)).toEqual([]);
    expect(await ben.texts(id, all.length)).toHaveLength(all.length);
  });

  it('lose nothing when the epoch ends while a message is on its way, or the worker dies', async () => {
    const laptop = await world.person('anna');
    const ben = await world.person('ben');
    await world.person('cara');
    const id = await laptop.startConversation(['ben'], 'club');
    await ben.conversation(id, ({ state }) => state === 'ready');
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    await settle(laptop, phone, ben);
    const texts: string[] = [];
    for (let round = 0; round < 6; round += 1) {
      for (const device of [laptop, phone, ben]) {
        texts.push(`${texts.length}`);
        await device.send(id, texts.at(-1)!);
      }
      if (round % 2 === 0) laptop.restart();
      else await phone.do({ command: 'renewKeys' });
    }
    const order = await ben.texts(id, texts.length);
    expect(order.toSorted()).toEqual(texts.toSorted());
    for (const device of [laptop, phone]) expect(await device.texts(id, texts.length)).toEqual(order);
    await settle(laptop, phone, ben);
    for (const device of [laptop, phone, ben]) {
      expect(await device.texts(id, texts.length)).toHaveLength(texts.length);
      expect(await alarms(device)).toEqual([]);
      // What is retained for messages on their way is gone with them.
      for (const { awaitingEcho, pending, queue } of stateOf(await device.store.load('')).conversations.values()) {
        expect([awaitingEcho, pending, queue]).toEqual([[], undefined, []]);
      }
    }
  });
});

describe('a message that comes in late, after its device has lost step and is back', () => {
  beforeEach(async () => {
    world = new EngineWorld('eventual');
    await world.start();
  });

  it('is not sent again by itself: others have read it, and this device cannot know', async () => {
    const laptop = await world.person('anna');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben'], 'club');
    await ben.conversation(id, ({ state }) => state === 'ready');
    await settle(laptop, ben);
    laptop.goOffline();
    await laptop.send(id, 'late');
    const made = await eventually(async () => stateOf(await laptop.store.load('')).conversations.get(id)!.pending!.submission);
    laptop.stop();
    // Its place in the log is wrong from now on, so that the next entry does not follow.
    const key = `conversation/${id}`;
    const stored = decodeRecord<Conversation>((await laptop.store.get(key))!);
    await laptop.store.write({ puts: new Map([[key, encodeRecord({ ...stored, position: stored.position - 1 })]]), deletes: [] });
    laptop.intercept = (_path, body, carryOut) =>
      body.includes('"kind":"application"') ? Promise.reject(new Error('on its way')) : carryOut();
    laptop.restart();
    laptop.goOnline();
    await ben.send(id, 'lost on the laptop');
    await laptop.messages(id, (lines) => lines.some(({ text }) => text.includes('lost step')));
    await (await laptop.hands()).ask('submit', made);
    laptop.intercept = (_path, _body, carryOut) => carryOut();
    await laptop.messages(id, (lines) => lines.some(({ text, status }) => text === 'late' && status === 'failed'));
    await settle(laptop, ben);
    expect(await ben.texts(id, 2)).toEqual(['lost on the laptop', 'late']);
  });
});

/** What a tab asks for, each time in the same words. */
function sendSecond(conversationId: string): Extract<Input, { type: 'command' }> {
  return { type: 'command', command: { command: 'send', conversationId, messageId: new Uint8Array(16).fill(7), text: 'second' } };
}

describe('a message of ours that came second in its generation', () => {
  beforeEach(() => {
    world = new EngineWorld();
  });

  it('is written anew under another name and generation by who sent it, and passed over in silence by the others', async () => {
    const { id, groupId, laptop, phone, ben } = await playScene(world);
    const [first, second] = [await written(stateOf(phone), id, 'first'), await written(stateOf(laptop), id, 'second')];
    let mine = await taken(second.state, entryFor(second.state, groupId, first.sent));
    const lost = await take(mine, entryFor(mine, groupId, second.sent));
    expect(lost.refused.map(({ code }) => code)).toEqual(['message-key-gone']);
    expect(lost.lines).toEqual([]);
    expect(lost.state.notices).toEqual(mine.notices);
    mine = lost.state;
    const { queue, awaitingEcho } = mine.conversations.get(id)!;
    expect(awaitingEcho).toEqual([]);
    expect(queue).toMatchObject([{ kind: 'text', text: 'second', problem: undefined }]);
    expect(queue[0]!.messageId).not.toEqual(second.sent.messageId);

    const again = await taken(mine, { type: 'prepare', what: { kind: 'message', conversationId: id } });
    const { kind, epoch, message, messageId } = again.conversations.get(id)!.pending!.submission;
    let bens = stateOf(ben);
    const read: string[] = [];
    for (const sent of [first.sent, second.sent, { kind, epoch, message, messageId }]) {
      const result = await take(bens, entryFor(bens, groupId, { ...sent, messageId: undefined as never }));
      expect(result.state.notices).toEqual(bens.notices);
      bens = result.state;
      read.push(...result.lines.map((line) => line.message.text));
    }
    expect(read).toEqual(['first', 'second']);
  });

  it('is written anew under another name too when it was burned before, and its first bytes came second', async () => {
    const { id, groupId, laptop, phone } = await playScene(world);
    const first = (await written(stateOf(phone), id, 'first')).sent;
    const asked = await taken(stateOf(laptop), sendSecond(id));
    const sent = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId: id } });
    const { kind, epoch, message, messageId } = sent.conversations.get(id)!.pending!.submission;
    let mine = await taken(sent, entryFor(sent, groupId, (await committed(stateOf(phone), id, [])).sent));
    expect(mine.conversations.get(id)!.queue).toMatchObject([{ text: 'second', messageId, unanswered: true }]);
    mine = await taken(mine, entryFor(mine, groupId, first));
    const lost = await take(mine, entryFor(mine, groupId, { kind, epoch, message, messageId }));
    expect(lost.refused.map(({ code }) => code)).toEqual(['message-key-gone']);
    const { queue } = lost.state.conversations.get(id)!;
    expect(queue).toMatchObject([{ text: 'second', problem: undefined }]);
    expect(queue[0]!.messageId).not.toEqual(messageId);
    // The tab whose answer got lost asks once more.
    const again = await taken(lost.state, sendSecond(id));
    expect(again.conversations.get(id)!.queue).toEqual(queue);
  });

  it('is done when its first bytes come back after all, for a tab that asks once more too', async () => {
    const { id, groupId, laptop, phone } = await playScene(world);
    const asked = await taken(stateOf(laptop), sendSecond(id));
    const sent = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId: id } });
    const { kind, epoch, message, messageId } = sent.conversations.get(id)!.pending!.submission;
    const burned = await taken(sent, entryFor(sent, groupId, (await committed(stateOf(phone), id, [])).sent));
    const back = await take(burned, entryFor(burned, groupId, { kind, epoch, message, messageId }));
    expect(back.lines.map((line) => line.message.text)).toEqual(['second']);
    const again = await taken(back.state, sendSecond(id));
    expect(again.conversations.get(id)!.queue).toEqual([]);
  });

  it('has another nonce than the one that came first, though their keys are the same', async () => {
    const { id, groupId, laptop, phone, ben } = await playScene(world);
    const sent = [await written(stateOf(phone), id, 'same'), await written(stateOf(laptop), id, 'same')].map((each) => each.sent);
    // Each of the two could have been first: ben opens either with the same key, once.
    for (const one of sent) await taken(stateOf(ben), entryFor(stateOf(ben), groupId, { ...one, messageId: undefined as never }));
    const [a, b] = sent.map(({ message }) => Buffer.from(message).toString('hex')) as [string, string];
    // Equal plaintexts under one key and nonce would give equal ciphertexts.
    expect(a.slice(-64)).not.toBe(b.slice(-64));
  });
});
