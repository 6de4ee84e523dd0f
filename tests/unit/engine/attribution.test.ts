import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineState } from '../../../src/engine/state.ts';
import { committed, textedAs } from '../../support/engine-forgery.ts';
import { entryFor, random, settle, stateOf, take, taken, written, type Incoming, type Records } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

// Draft sections 5.6 to 5.8: the account's own devices tell from the reuse guard which of them sent a message.

const world = new EngineWorld();
const devices = new Map<string, TestDevice>();
let ben: TestDevice;
let id: string;
let stored: ReadonlyMap<string, Records>;

beforeAll(async () => {
  await world.start();
  const laptop = await world.person('anna', 'laptop');
  ben = await world.person('ben');
  await settle(laptop, ben);
  id = await laptop.startConversation(['ben']);
  const [phone, tablet] = [await world.link(laptop, 'phone'), await world.link(laptop, 'tablet')];
  for (const [name, device] of Object.entries({ laptop, phone, tablet })) devices.set(name, device);
  await settle(laptop, phone, tablet, ben);
  stored = new Map(
    await Promise.all([...devices, ['ben', ben] as const].map(async ([name, { store }]) => [name, await store.load('')] as const)),
  );
});

afterAll(() => world.close());

const state = (name: string): EngineState => stateOf(stored.get(name)!);
const leafOf = (name: string): number => state(name).emulation!.group.ownLeaf;
const groupId = (): Uint8Array => state('laptop').conversations.get(id)!.groupId;

/** What the device shows of the message as it comes in. */
async function shownOn(name: string, sent: Incoming) {
  const receiver = state(name);
  const { lines, state: after, refused } = await take(receiver, entryFor(receiver, groupId(), sent));
  expect(refused).toEqual([]);
  const [{ message }] = lines as [(typeof lines)[number]];
  return { text: message.text, device: message.device, alarm: message.alarm, notices: after.notices.map(({ kind }) => kind) };
}

describe('a message of the virtual client', () => {
  it.each(['laptop', 'phone', 'tablet'])(
    'from the %s is shown as such on all devices of the account, and to nobody else',
    async (sender) => {
      const { sent } = await written(state(sender), id, 'who am I?');
      for (const sibling of ['laptop', 'phone', 'tablet'].filter((name) => name !== sender)) {
        expect((await shownOn(sibling, sent)).device).toEqual({ name: sender, known: true, own: false });
      }
      expect(await shownOn('ben', sent)).toMatchObject({ device: undefined, alarm: false });
    },
  );

  it('is shown with its device too when it comes after the commit that ended its epoch', async () => {
    const { sent } = await written(state('phone'), id, 'slow');
    const { sent: commit } = await committed(state('laptop'), id, []);
    const tablet = await taken(state('tablet'), entryFor(state('tablet'), groupId(), commit));
    const { lines, refused } = await take(tablet, entryFor(tablet, groupId(), sent));
    expect(refused).toEqual([]);
    expect(lines[0]!.message.device).toEqual({ name: 'phone', known: true, own: false });
  });

  it('whose guard names a leaf that nobody has is from an unknown device, and the person is told', async () => {
    const vacant = 3;
    expect(['laptop', 'phone', 'tablet'].map(leafOf)).not.toContain(vacant);
    const sent = await textedAs(state('laptop'), id, 'from nobody', vacant);
    for (const name of ['phone', 'tablet']) {
      const shown = await shownOn(name, sent);
      expect(shown).toMatchObject({ text: 'from nobody', device: { name: '', known: false, own: false }, alarm: false });
      expect(shown.notices).toContain('unknown-device');
    }
    expect((await shownOn('ben', sent)).notices).not.toContain('unknown-device');
  });

  it('in the name of a device that never sent it raises that device’s alarm, and is its word for the others', async () => {
    const sent = await textedAs(state('laptop'), id, 'not me', leafOf('phone'));
    const shown = await shownOn('phone', sent);
    expect(shown).toMatchObject({ device: { name: 'phone', known: true, own: true }, alarm: true });
    expect(shown.notices).toContain('cloned-device');
    expect(await shownOn('tablet', sent)).toMatchObject({ device: { name: 'phone', known: true, own: false }, alarm: false });
  });

  it('raises no alarm on the device that did send it', async () => {
    const { state: sender, sent } = await written(state('phone'), id, 'me');
    const { lines, state: after } = await take(sender, entryFor(sender, groupId(), sent));
    expect(lines[0]!.message).toMatchObject({ device: { name: 'phone', known: true, own: true }, alarm: false });
    expect(after.notices.map(({ kind }) => kind)).not.toContain('cloned-device');
  });
});

describe('a text that the server has taken and says to have refused', () => {
  const types = [
    'generation-taken',
    'stale-epoch',
    'stale-emulation-epoch',
    'stale-key-version',
    'spent-key-package',
    'not-a-member',
  ] as const;

  it.each(types)('as %s is its device’s when it comes in the log, once and without an alarm', async (type) => {
    const send = { command: 'send', conversationId: id, messageId: random(16), text: 'me' } as const;
    const asked = await taken(state('phone'), { type: 'command', command: send });
    const sender = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId: id } });
    const request = sender.conversations.get(id)!.pending!.submission;
    const problem = { type, status: 409, retryAfter: undefined, accountId: undefined };
    const answer = { outcome: 'refused', problem } as const;
    const told = await taken(sender, { type: 'answer', call: 'submit', request, answer, conversationId: id });
    expect(told.conversations.get(id)!.queue).toMatchObject([
      { kind: 'text', text: 'me', problem: type === 'not-a-member' ? type : undefined },
    ]);
    const { lines, state: after, refused } = await take(told, entryFor(told, groupId(), request));
    expect(refused).toEqual([]);
    expect(lines.map(({ message }) => message)).toMatchObject([{ text: 'me', device: { name: 'phone', own: true }, alarm: false }]);
    expect(after.notices.map(({ kind }) => kind)).not.toContain('cloned-device');
    expect(after.conversations.get(id)!.queue).toEqual([]);
  });

  it('is nobody else’s either when the person has discarded it', async () => {
    const send = { command: 'send', conversationId: id, messageId: random(16), text: 'me' } as const;
    const asked = await taken(state('phone'), { type: 'command', command: send });
    const sender = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId: id } });
    const request = sender.conversations.get(id)!.pending!.submission;
    const problem = { type: 'too-large', status: 413, retryAfter: undefined, accountId: undefined } as const;
    const answer = { outcome: 'refused', problem } as const;
    const told = await taken(sender, { type: 'answer', call: 'submit', request, answer, conversationId: id });
    const messageKey = Buffer.from(request.messageId).toString('hex');
    const discarded = await taken(told, { type: 'command', command: { command: 'discard', conversationId: id, messageKey } });
    expect(discarded.conversations.get(id)!.queue).toEqual([]);
    const { lines, state: after } = await take(discarded, entryFor(discarded, groupId(), request));
    expect(lines).toEqual([]);
    expect(after.notices.map(({ kind }) => kind)).not.toContain('cloned-device');
    expect(after.notices.map(({ kind }) => kind)).toContain('left-after-all');
  });
});

describe('a copy of a device', () => {
  it('gives itself away with its first message', async () => {
    const phone = devices.get('phone')!;
    const clone = await world.onProfile(await phone.store.load(''));
    try {
      await clone.send(id, 'from the copy');
      expect(await ben.texts(id, 1)).toEqual(['from the copy']);
      const [line] = await phone.messages(id, (all) => all.some(({ text }) => text === 'from the copy')).then((all) => all.slice(-1));
      expect(line).toMatchObject({ text: 'from the copy', alarm: true, device: { name: 'phone', own: true } });
      await phone.until(({ notices }) => notices.find(({ kind }) => kind === 'cloned-device'));
      // The copy did send it, and the siblings see what the keys say.
      const seen = await devices.get('laptop')!.messages(id, (all) => all.some(({ text }) => text === 'from the copy'));
      expect(seen.at(-1)).toMatchObject({ alarm: false, device: { name: 'phone' } });
    } finally {
      clone.stop();
    }
  });
});
