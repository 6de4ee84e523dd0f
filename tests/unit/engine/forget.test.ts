import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes/index.ts';
import { prepareEmulationMessage } from '../../../src/engine/emulation-group.ts';
import { GROUP_SUITE } from '../../../src/engine/protocol.ts';
import { Turn } from '../../../src/engine/turn.ts';
import type { MessageView } from '../../../src/engine/view.ts';
import { protectApplication } from '../../../src/mls/index.ts';
import { decodeForgetMessage, encodeForgetMessage, FORGET_MESSAGE, MAX_FORGOTTEN } from '../../../src/virtual-client/emulation-message.ts';
import { encode } from '../../../src/wire/index.ts';
import { differences, entryFor, random, settle, smallStateOf, stateOf, take } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

const textsIn = async (device: TestDevice, id: string): Promise<string[]> =>
  (await device.runtime.messages(id, undefined, 200)).messages
    .filter(({ kind }) => kind === 'text')
    .map(({ text }) => text)
    .reverse();

const gone = (device: TestDevice, id: string, text: string): Promise<MessageView[]> =>
  device.messages(id, (all) => !all.some((message) => message.text === text));

/** Deletes the messages with these texts, as a tab would. */
async function forget(device: TestDevice, id: string, ...texts: string[]): Promise<void> {
  const shown = await device.messages(id, (all) => texts.every((text) => all.some((message) => message.text === text)));
  const messages = shown.filter(({ text }) => texts.includes(text)).map(({ messageKey, position }) => ({ messageKey, position }));
  await device.do({ command: 'forget', conversationId: id, messages });
}

/** Records that have the text's bytes in them. */
async function recordsWith(device: TestDevice, text: string): Promise<string[]> {
  const wanted = Buffer.from(utf8(text));
  return [...(await device.store.load(''))].filter(([, record]) => Buffer.from(record).includes(wanted)).map(([path]) => path);
}

const nothingLeftToTell = async (device: TestDevice): Promise<void> =>
  expect(stateOf(await device.store.load('')).forgotten).toEqual(new Map());

/** Anna's laptop and phone, and ben, in one conversation: ben has said "one" and "two", anna "three". */
async function people(): Promise<{ laptop: TestDevice; phone: TestDevice; ben: TestDevice; id: string }> {
  const laptop = await world.person('anna', 'laptop');
  const ben = await world.person('ben', 'desk');
  const id = await laptop.startConversation(['ben']);
  await laptop.conversation(id, ({ state }) => state === 'ready');
  const phone = await world.link(laptop, 'phone');
  await phone.conversation(id, ({ state }) => state === 'ready');
  await ben.conversation(id, ({ state }) => state === 'ready');
  for (const text of ['one', 'two']) await ben.send(id, text);
  await laptop.texts(id, 2);
  await laptop.send(id, 'three');
  for (const device of [laptop, phone, ben]) expect(await device.texts(id, 3)).toEqual(['one', 'two', 'three']);
  await settle(laptop, phone, ben);
  return { laptop, phone, ben, id };
}

describe('a deleted message', () => {
  it('is gone from every device of the person, in no record of theirs, and stays with the others', async () => {
    const { laptop, phone, ben, id } = await people();
    for (const text of ['two', 'three']) for (const device of [laptop, phone]) expect(await recordsWith(device, text)).not.toEqual([]);
    await forget(laptop, id, 'two', 'three');
    expect(await textsIn(laptop, id)).toEqual(['one']);
    await gone(phone, id, 'two');
    await settle(laptop, phone, ben);
    for (const device of [laptop, phone]) {
      expect(await textsIn(device, id)).toEqual(['one']);
      for (const text of ['two', 'three']) expect(await recordsWith(device, text)).toEqual([]);
      await nothingLeftToTell(device);
    }
    expect(await textsIn(ben, id)).toEqual(['one', 'two', 'three']);
    await phone.send(id, 'four');
    for (const device of [laptop, ben]) await device.messages(id, (all) => all.some(({ text }) => text === 'four'));
    expect((await ben.runtime.state()).notices).toEqual([]);
  });

  it('leaves the one before it in the list, and is not counted as unread', async () => {
    const { laptop, phone, id } = await people();
    expect(await phone.conversation(id, ({ unread }) => unread === 2)).toMatchObject({ lastMessage: { text: 'three' } });
    await forget(laptop, id, 'three', 'two');
    expect(await laptop.conversation(id, () => true)).toMatchObject({ lastMessage: { text: 'one' } });
    expect(await phone.conversation(id, ({ unread }) => unread === 1)).toMatchObject({ lastMessage: { text: 'one' } });
    await phone.do({ command: 'markRead', conversationId: id, position: 100 });
    await forget(laptop, id, 'one');
    const { unread, lastMessage } = await phone.conversation(id, (conversation) => conversation.lastMessage?.text !== 'one');
    expect([unread, lastMessage?.kind]).toEqual([0, 'event']);
  });

  it('has its notification taken back', async () => {
    const { laptop, phone, id } = await people();
    const [two] = (await textsAt(phone, id)).filter(({ text }) => text === 'two');
    expect(phone.notifications.map(({ body }) => body)).toContain('two');
    await forget(laptop, id, 'two');
    await gone(phone, id, 'two');
    for (const device of [laptop, phone]) expect(device.withdrawn).toEqual([`${id}/${two!.position}`]);
  });

  it('is to leave the files of every device of the person soon, and one that waits to be sent those of its own', async () => {
    const { laptop, phone, ben, id } = await people();
    expect([laptop.deleted, phone.deleted]).toEqual([0, 0]);
    await forget(laptop, id, 'two');
    await gone(phone, id, 'two');
    expect([laptop.deleted, phone.deleted]).toEqual([1, 1]);
    laptop.goOffline();
    await laptop.send(id, 'four');
    await forget(laptop, id, 'four');
    expect([laptop.deleted, phone.deleted, ben.deleted]).toEqual([2, 1, 0]);
  });

  it('is deleted without a network, and on the other devices as soon as there is one, in a message or two', async () => {
    const { laptop, phone, ben, id } = await people();
    laptop.goOffline();
    for (const text of ['one', 'two', 'three']) await forget(laptop, id, text);
    expect(await textsIn(laptop, id)).toEqual([]);
    laptop.restart();
    expect(await textsIn(laptop, id)).toEqual([]);
    expect(await textsIn(phone, id)).toEqual(['one', 'two', 'three']);
    const before = stateOf(await phone.store.load('')).emulation!.position;
    laptop.goOnline();
    for (const text of ['one', 'two', 'three']) await gone(phone, id, text);
    await settle(laptop, phone, ben);
    // The first deletion is made into bytes at once; the others wait and go together.
    expect(stateOf(await phone.store.load('')).emulation!.position).toBe(before + 2);
  });

  it('is never shown, nor told of, by a device that was away from before it was written', async () => {
    const { laptop, phone, ben, id } = await people();
    phone.stop();
    await ben.send(id, 'for the laptop alone');
    await forget(laptop, id, 'for the laptop alone');
    await settle(laptop);
    const told = phone.notifications.length;
    phone.restart();
    await ben.send(id, 'for both');
    await phone.messages(id, (all) => all.some(({ text }) => text === 'for both'));
    await settle(laptop, phone, ben);
    expect(await textsIn(phone, id)).toEqual(['one', 'two', 'three', 'for both']);
    expect(phone.notifications.slice(told).map(({ body }) => body)).toEqual(['for both']);
    expect(await recordsWith(phone, 'for the laptop alone')).toEqual([]);
  });

  it('does not come to a device that is linked later, nor does any word of it', async () => {
    const laptop = await world.person('anna', 'laptop');
    const ben = await world.person('ben', 'desk');
    const id = await laptop.startConversation(['ben']);
    await laptop.send(id, 'never mind');
    await ben.texts(id, 1);
    await forget(laptop, id, 'never mind');
    await nothingLeftToTell(laptop); // there is nobody to tell
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    await settle(laptop, phone, ben);
    expect(await recordsWith(phone, 'never mind')).toEqual([]);
    expect(await textsIn(ben, id)).toEqual(['never mind']);
  });

  it.each(['before the server has it', 'after the server took it'] as const)('ends deleted when the device dies %s', async (when) => {
    const { laptop, phone, ben, id } = await people();
    const dead = new Promise<void>((resolve) => {
      laptop.intercept = async (path, _body, carryOut) => {
        if (!path.endsWith('/messages')) return carryOut();
        laptop.intercept = (_path, _more, next) => next();
        if (when === 'after the server took it') await carryOut();
        laptop.stop();
        resolve();
        return new Promise(() => {});
      };
    });
    await forget(laptop, id, 'two');
    await dead;
    if (when === 'before the server has it') expect(await textsIn(phone, id)).toContain('two');
    laptop.restart();
    await gone(phone, id, 'two');
    await settle(laptop, phone, ben);
    for (const device of [laptop, phone]) {
      expect(await textsIn(device, id)).toEqual(['one', 'three']);
      expect(await recordsWith(device, 'two')).toEqual([]);
      await nothingLeftToTell(device);
    }
  });

  it('deleted by both devices at once is deleted once', async () => {
    const { laptop, phone, ben, id } = await people();
    for (const device of [laptop, phone]) device.goOffline();
    await forget(laptop, id, 'one', 'two');
    await forget(phone, id, 'two', 'three');
    for (const device of [laptop, phone]) device.goOnline();
    await settle(laptop, phone, ben);
    for (const device of [laptop, phone]) {
      expect(await textsIn(device, id)).toEqual([]);
      await nothingLeftToTell(device);
      expect((await device.runtime.state()).notices.map(({ kind }) => kind)).not.toContain('refused-message');
    }
  });
});

describe('a message that is deleted before it is in the log', () => {
  it('never goes out when it had not left', async () => {
    const { laptop, phone, ben, id } = await people();
    laptop.goOffline();
    await laptop.send(id, 'rash');
    await laptop.send(id, 'considered');
    await forget(laptop, id, 'rash');
    expect(await textsIn(laptop, id)).toEqual(['one', 'two', 'three', 'considered']);
    expect(await recordsWith(laptop, 'rash')).toEqual([]);
    laptop.restart();
    laptop.goOnline();
    for (const device of [laptop, phone, ben]) expect((await device.texts(id, 4)).at(-1)).toBe('considered');
    await settle(laptop, phone, ben);
    for (const device of [laptop, phone, ben]) expect(await textsIn(device, id)).not.toContain('rash');
    expect((await laptop.runtime.state()).notices.map(({ kind }) => kind)).not.toContain('left-after-all');
  });

  it('is not written again by a tab that repeats its call', async () => {
    const { laptop, id } = await people();
    laptop.goOffline();
    const send = { command: 'send', conversationId: id, messageId: random(16), text: 'said too much' } as const;
    await laptop.do(send);
    await forget(laptop, id, 'said too much');
    await laptop.do(send);
    expect(await textsIn(laptop, id)).not.toContain('said too much');
    expect((await smallStateOf(laptop.store)).conversations.get(id)!.queue).toEqual([]);
  });

  it('is kept by none of the own devices when it had left, and the person is told that the others have it', async () => {
    const { laptop, phone, ben, id } = await people();
    const taken = new Promise<void>((resolve) => {
      laptop.intercept = async (path, _body, carryOut) => {
        const response = await carryOut();
        if (path.endsWith('/messages')) {
          laptop.goOffline(); // the answer is lost, and the message is in the log
          resolve();
          throw new Error('cut');
        }
        return response;
      };
    });
    await laptop.send(id, 'rash');
    await taken;
    laptop.intercept = (_path, _body, carryOut) => carryOut();
    await forget(laptop, id, 'rash');
    expect(await textsIn(laptop, id)).not.toContain('rash');
    laptop.goOnline();
    await phone.messages(id, () => true);
    await laptop.until(({ notices }) => notices.find(({ kind }) => kind === 'left-after-all'));
    await settle(laptop, phone, ben);
    expect(await textsIn(ben, id)).toEqual(['one', 'two', 'three', 'rash']);
    for (const device of [laptop, phone]) {
      expect(await textsIn(device, id)).toEqual(['one', 'two', 'three']);
      expect(await recordsWith(device, 'rash')).toEqual([]);
      await nothingLeftToTell(device);
      expect((await device.runtime.state()).notices.map(({ kind }) => kind)).not.toContain('cloned-device');
    }
    await laptop.send(id, 'after');
    expect((await ben.texts(id, 5)).at(-1)).toBe('after');
  });
});

describe('a ForgetMessage', () => {
  it('asked for twice, or naming lines that are not there, changes nothing', async () => {
    const { laptop, phone, id } = await people();
    const shown = await textsAt(laptop, id);
    const [one] = shown;
    const messages = [one!, one!].map(({ messageKey, position }) => ({ messageKey, position }));
    await laptop.do({ command: 'forget', conversationId: id, messages });
    await laptop.do({ command: 'forget', conversationId: id, messages });
    await laptop.do({ command: 'forget', conversationId: id, messages: [{ messageKey: 'at-9999', position: 9999 }] });
    await laptop.do({ command: 'forget', conversationId: id, messages: [{ messageKey: 'another', position: shown[1]!.position }] });
    await gone(phone, id, 'one');
    await settle(laptop, phone);
    for (const device of [laptop, phone]) expect(await textsIn(device, id)).toEqual(['two', 'three']);
    const unknown = await laptop.runtime.command({ command: 'forget', conversationId: 'aa', messages });
    expect(unknown).toEqual({ ok: false, problem: 'unknown-conversation' });
  });

  it('has no effect from outside the emulation group: in a conversation it is a line that cannot be shown', async () => {
    const { laptop, phone, ben, id } = await people();
    for (const device of [laptop, phone, ben]) device.stop();
    const [one] = await textsAt(laptop, id);
    const groupId = new Uint8Array(Buffer.from(id, 'hex'));
    const hostile = stateOf(await ben.store.load(''));
    const group = hostile.groups.get(id)!;
    const { value } = await protectApplication(GROUP_SUITE, group, encodeForgetMessage({ groupId, positions: [one!.position!] }), {
      signer: hostile.account!.signer,
      authenticatedData: new Uint8Array(),
      padding: 0,
      guard: () => random(4),
    });
    for (const device of [laptop, phone]) {
      const state = stateOf(await device.store.load(''));
      const incoming = { kind: 'application', epoch: Number(group.context.epoch), message: value.message } as const;
      const { lines, dropped, refused } = await take(state, entryFor(state, groupId, incoming));
      expect({ lines: lines.map(({ message }) => message.text), dropped, refused }).toEqual({
        lines: ['unreadable'],
        dropped: [],
        refused: [],
      });
    }
  });

  it('of a sibling that names the emulation group, or is no ForgetMessage, is refused, and nothing has changed', async () => {
    const { laptop, phone } = await people();
    for (const device of [laptop, phone]) device.stop();
    const before = stateOf(await laptop.store.load(''));
    const { groupId } = before.emulation!;
    for (const content of [encodeForgetMessage({ groupId, positions: [0] }), Uint8Array.of(FORGET_MESSAGE, 0, 0)]) {
      const turn = new Turn(stateOf(await phone.store.load('')), random, Date.now());
      await prepareEmulationMessage(turn, 'forget', content);
      const { message, epoch } = turn.emulation().pending!.submission;
      const result = await take(before, entryFor(before, groupId, { kind: 'application', epoch, message }));
      expect(result.refused).toHaveLength(1);
      expect(differences(before, result)).toEqual([]);
    }
  });

  it('comes back as it was written', () => {
    const positions = fc
      .uniqueArray(fc.nat(0xffffffff), { minLength: 1, maxLength: MAX_FORGOTTEN })
      .map((list) => list.sort((a, b) => a - b));
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 1, maxLength: 64 }), positions, (groupId, listed) => {
        expect(decodeForgetMessage(encodeForgetMessage({ groupId, positions: listed }))).toEqual({ groupId, positions: listed });
      }),
    );
  });

  it.each<[string, Uint8Array]>([
    ['of another type', Uint8Array.of(3, ...forgetting([1]).subarray(1))],
    ['without a place', forgetting([])],
    ['with a place twice', forgetting([4, 4])],
    ['with places out of order', forgetting([4, 3])],
    ['with too many places', forgetting(Array.from({ length: MAX_FORGOTTEN + 1 }, (_, i) => i))],
    [
      'without a group',
      encode((writer) =>
        writer
          .uint8(FORGET_MESSAGE)
          .opaque(new Uint8Array())
          .vector([1], (w, n) => w.uint32(n)),
      ),
    ],
    ['with half a place', encode((writer) => writer.uint8(FORGET_MESSAGE).opaque(random(16)).opaque(random(6)))],
    ['with something behind it', Uint8Array.of(...forgetting([1]), 0)],
    ['cut short', forgetting([1]).subarray(0, -1)],
  ])('%s is refused', (_what, bytes) => {
    expect(() => decodeForgetMessage(bytes)).toThrow(expect.objectContaining({ name: 'DecodeError' }));
  });
});

function forgetting(positions: readonly number[]): Uint8Array {
  return encodeForgetMessage({ groupId: new Uint8Array(16).fill(7), positions });
}

const textsAt = async (device: TestDevice, id: string): Promise<MessageView[]> =>
  (await device.runtime.messages(id, undefined, 200)).messages.filter(({ kind }) => kind === 'text').reverse();
