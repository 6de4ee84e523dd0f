import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromHex } from '../../../src/bytes/index.ts';
import { newJoin } from '../../../src/engine/external-join.ts';
import { setConversationBack, withMark } from '../../../src/engine/set-back.ts';
import type { Cursor, EngineState } from '../../../src/engine/state.ts';
import { step } from '../../../src/engine/step.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { Turn } from '../../../src/engine/turn.ts';
import type { MessageView } from '../../../src/engine/view.ts';
import { entryFor, playScene, random, smallStateOf, stateOf as wholeStateOf, take } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

const told = (messages: readonly MessageView[]): string[] =>
  messages.map(({ kind, text, position, status }) => (kind === 'text' ? `${text}${position === undefined ? ` (${status})` : ''}` : '-'));

async function textsOf(device: TestDevice, id: string): Promise<string[]> {
  return told(await device.messages(id, () => true)).filter((text) => text !== '-');
}

/** Nothing of the account's devices is under way, so that a backup has all of it. */
async function settled(...devices: readonly TestDevice[]): Promise<void> {
  for (const device of devices) await device.runtime.synchronise();
}

const stateOf = async (device: TestDevice, id: string): Promise<string | undefined> =>
  (await device.runtime.state()).conversations.find(({ conversationId }) => conversationId === id)?.state;

describe('a server that was restored from a backup', () => {
  it('is found out; conversations that went on go on again when their people say so, and no line is lost', async () => {
    const [laptop, ben, dora] = await Promise.all([world.person('anna'), world.person('ben'), world.person('dora')]);
    const phone = await world.link(laptop, 'phone');
    const id = await laptop.startConversation(['ben']);
    const other = await laptop.startConversation(['dora']);
    await laptop.send(id, 'one');
    await ben.texts(id, 1);
    await laptop.send(other, 'hello dora');
    for (const device of [phone, dora]) await device.texts(other, 1);
    await settled(laptop, phone, ben, dora);
    const backup = world.backUp();

    await ben.send(id, 'two');
    await laptop.texts(id, 2);
    await laptop.send(id, 'three');
    for (const device of [phone, ben]) await device.texts(id, 3);
    await world.restore(backup);

    for (const device of [laptop, phone, ben]) {
      await device.conversation(id, ({ state }) => state === 'set-back');
      expect(await textsOf(device, id)).toEqual(['one', 'two', 'three']);
    }
    // What the backup has whole goes on by itself.
    await dora.send(other, 'still here');
    for (const device of [laptop, phone]) expect(await device.texts(other, 2)).toEqual(['hello dora', 'still here']);
    expect(await stateOf(laptop, other)).toBe('ready');

    await laptop.do({ command: 'joinAgain', conversationId: id });
    for (const device of [laptop, phone]) await device.conversation(id, ({ state }) => state === 'ready');
    await ben.do({ command: 'joinAgain', conversationId: id });
    await ben.conversation(id, ({ state }) => state === 'ready');
    await phone.send(id, 'four');
    for (const device of [laptop, phone, ben]) expect(await device.texts(id, 4)).toEqual(['one', 'two', 'three', 'four']);
    await ben.send(id, 'five');
    for (const device of [laptop, phone, ben]) expect(await device.texts(id, 5)).toEqual(['one', 'two', 'three', 'four', 'five']);

    // A line from before is deleted here alone: its place names another one to nobody.
    const [, two] = (await laptop.messages(id, () => true)).filter(({ kind }) => kind === 'text');
    await laptop.do({ command: 'forget', conversationId: id, messages: [{ messageKey: two!.messageKey, position: two!.position }] });
    const five = (await laptop.messages(id, () => true)).at(-1)!;
    await laptop.do({ command: 'forget', conversationId: id, messages: [{ messageKey: five.messageKey, position: five.position }] });
    await phone.messages(id, (messages) => !told(messages).includes('five'));
    expect(await textsOf(phone, id)).toEqual(['one', 'two', 'three', 'four']);
    expect(await textsOf(laptop, id)).toEqual(['one', 'three', 'four']);
  });

  it('is no matter for a device that had not followed further, and it carries its account on', async () => {
    const [laptop, ben] = await Promise.all([world.person('anna'), world.person('ben')]);
    const phone = await world.link(laptop, 'phone');
    const id = await laptop.startConversation(['ben']);
    await ben.send(await benIs(ben, id), 'one');
    for (const device of [laptop, phone]) await device.texts(id, 1);
    await settled(laptop, phone, ben);
    phone.goOffline();
    const backup = world.backUp();
    await laptop.send(id, 'two');
    await ben.texts(id, 2);
    await world.restore(backup);
    phone.goOnline();
    await phone.send(id, 'from the phone');
    await laptop.conversation(id, ({ state }) => state === 'set-back');
    await ben.conversation(id, ({ state }) => state === 'set-back');
    expect(await stateOf(phone, id)).toBe('ready');
    await ben.do({ command: 'joinAgain', conversationId: id });
    await laptop.do({ command: 'joinAgain', conversationId: id });
    for (const device of [laptop, ben]) await device.conversation(id, ({ state }) => state === 'ready');
    await phone.send(id, 'all here');
    for (const device of [laptop, ben]) await device.messages(id, (messages) => told(messages).includes('all here'));
  });

  it('lets nobody in again who was removed, whatever the person says', async () => {
    const [anna, ben, cora] = await Promise.all([world.person('anna'), world.person('ben'), world.person('cora')]);
    const id = await anna.startConversation(['ben', 'cora'], 'Three');
    await anna.send(id, 'one');
    for (const device of [ben, cora]) await device.texts(id, 1);
    await settled(anna, ben, cora);
    const backup = world.backUp();
    const { accountId } = (await anna.runtime.state()).conversations[0]!.members.find(({ username }) => username === 'cora')!;
    await anna.do({ command: 'removeMember', conversationId: id, accountId });
    await cora.conversation(id, ({ state }) => state === 'left');
    await ben.conversation(id, ({ members }) => members.length === 2);
    await world.restore(backup);

    await anna.conversation(id, ({ state }) => state === 'set-back');
    const { ask } = await anna.hands();
    const asked = { groupId: Buffer.from(id, 'hex'), epoch: undefined };
    const before = await ask('fetch-group', asked);
    await anna.do({ command: 'joinAgain', conversationId: id });
    await anna.until(({ notices }) => notices.some(({ kind }) => kind === 'older-members') || undefined);
    await anna.conversation(id, ({ state }) => state === 'set-back');
    expect(await ask('fetch-group', asked)).toEqual(before);
    expect(await stateOf(cora, id)).toBe('left');
  });

  it('that lacks a commit of the account’s devices stops them, with all that they have in place', async () => {
    const [laptop, ben] = await Promise.all([world.person('anna'), world.person('ben')]);
    const id = await laptop.startConversation(['ben']);
    await laptop.send(id, 'one');
    await ben.texts(id, 1);
    await settled(laptop, ben);
    const backup = world.backUp();
    await laptop.do({ command: 'renewKeys' });
    await laptop.until(({ renewal }) => (renewal?.progress === undefined ? true : undefined));
    await settled(laptop);
    await world.restore(backup);
    await laptop.until(({ phase }) => (phase === 'set-back' ? true : undefined));
    expect(await textsOf(laptop, id)).toEqual(['one']);
    const before = new Map(laptop.cost.requests);
    await laptop.do({ command: 'send', conversationId: id, messageId: new Uint8Array(16).fill(7), text: 'not sent' });
    laptop.restart();
    await laptop.until(({ phase }) => (phase === 'set-back' ? true : undefined));
    expect(laptop.cost.requests).toEqual(before);
  });

  it('and once more, from the same backup, before anybody has gone on, is found out again', async () => {
    const [anna, ben] = await Promise.all([world.person('anna'), world.person('ben')]);
    const id = await anna.startConversation(['ben']);
    await anna.send(id, 'one');
    await ben.texts(id, 1);
    await settled(anna, ben);
    const backup = world.backUp();
    await ben.send(id, 'two');
    await anna.texts(id, 2);
    await world.restore(backup);
    for (const device of [anna, ben]) await device.conversation(id, ({ state }) => state === 'set-back');
    await ben.do({ command: 'joinAgain', conversationId: id });
    await ben.conversation(id, ({ state }) => state === 'ready');
    await ben.send(id, 'anna cannot read this');
    await ben.messages(id, (messages) => messages.some(({ position, text }) => position !== undefined && text.startsWith('anna')));
    await settled(anna, ben);
    await world.restore(backup);
    await ben.until(({ phase }) => (phase === 'set-back' ? true : undefined)); // the announcement of his join is lost
    // Said before she has found out, it would be about the log that is gone, and she would be asked again.
    await eventually(() => settled(anna));
    await anna.do({ command: 'joinAgain', conversationId: id });
    await anna.conversation(id, ({ state }) => state === 'ready');
    await anna.send(id, 'three');
    expect((await anna.texts(id, 3)).at(-1)).toBe('three');
  });

  it('may ask for the GroupInfo of an epoch in between: without it the device could not read on', async () => {
    const [anna] = await Promise.all([world.person('anna'), world.person('ben')]);
    await anna.startConversation(['ben']);
    await settled(anna);
    const state = await smallStateOf(anna.store);
    const [id] = [...state.conversations.keys()];
    const groupId = fromHex(id!);
    const join = { ...newJoin(groupId), wanted: { epoch: 3, refused: false } };
    const reading = { ...state, rewound: { from: 9, doubted: [] }, externalJoins: new Map([[id!, join]]) };
    expect(todosOf({ ...reading, externalJoins: new Map() }, Date.now())).toEqual([]);
    expect(todosOf(reading, Date.now())).toMatchObject([{ do: 'send', call: 'fetch-group', request: { groupId, epoch: 3 } }]);
  });

  it('is found out too late for what is sent at once: that is shown as perhaps not sent', async () => {
    const [anna, ben] = await Promise.all([world.person('anna'), world.person('ben')]);
    const id = await anna.startConversation(['ben']);
    await anna.send(id, 'one');
    await ben.texts(id, 1);
    await settled(anna, ben);
    const backup = world.backUp();
    for (const text of ['two', 'three']) await ben.send(id, text);
    await anna.texts(id, 3);
    let sent = (): void => undefined;
    const answered = new Promise<void>((resolve) => (sent = resolve));
    anna.intercept = async (path, _body, carryOut) => {
      if (path === '/v1/sequence') await answered;
      const response = await carryOut();
      if (path.endsWith('/messages')) sent();
      return response;
    };
    await world.restore(backup);
    await anna.send(id, 'four');
    await anna.conversation(id, ({ state }) => state === 'set-back');
    expect(await textsOf(anna, id)).toEqual(['one', 'two', 'three', 'four (failed)']);
  });

  it('is found out as well by a device that dies at any request of finding out', async () => {
    const [anna, ben] = await Promise.all([world.person('anna'), world.person('ben')]);
    const id = await anna.startConversation(['ben']);
    for (let i = 1; i <= 20; i++) await anna.send(id, `before ${i}`);
    await ben.texts(id, 20);
    await settled(anna, ben);
    const backup = world.backUp();
    for (let i = 1; i <= 20; i++) await anna.send(id, `after ${i}`);
    await ben.texts(id, 40);
    await world.stopServer();
    let asked = 0;
    ben.intercept = async (path, _body, carryOut) => {
      if (path === '/v1/sequence' && ++asked <= 4) queueMicrotask(() => ben.restart());
      return carryOut();
    };
    await world.restore(backup);
    await ben.conversation(id, ({ state }) => state === 'set-back');
    expect(asked).toBeGreaterThan(4);
    expect(await textsOf(ben, id)).toHaveLength(40);
  });
});

/** Waits until the conversation is there. */
async function benIs(ben: TestDevice, id: string): Promise<string> {
  await ben.conversation(id, ({ state }) => state === 'ready');
  return id;
}

describe('a conversation that is set back', () => {
  it('keeps the GroupInfo that a sibling’s join is followed from until the log has gone past that join', async () => {
    await world.stopServer(); // the scene starts it
    const { id, groupId, laptop } = await playScene(world);
    const turn = new Turn(wholeStateOf(laptop), random, Date.now());
    setConversationBack(turn, id);
    const base = { epoch: 3, groupInfo: random(8) };
    const state = { ...turn.state, externalJoins: new Map([[id, { ...newJoin(groupId), base }]]) };
    const plans = (of: EngineState): boolean => todosOf(of, Date.now()).some(({ lane }) => lane === `external-join/${id}`);
    expect(plans(state)).toBe(false);
    // Only the person brings the conversation back.
    const announces = (of: EngineState): boolean =>
      todosOf(of, Date.now()).some((todo) => todo.do === 'prepare' && todo.what.kind === 'announce-join');
    expect(announces(state)).toBe(false);
    expect(announces({ ...state, conversations: new Map([[id, { ...state.conversations.get(id)!, state: 'out-of-step' }]]) })).toBe(true);
    const again = new Turn(state, random, Date.now());
    setConversationBack(again, id);
    expect(again.state.externalJoins.size).toBe(0);
    const entry = entryFor(state, groupId, { kind: 'commit', epoch: 3, message: random(8), position: 4 });
    const { state: after } = await take(state, entry);
    expect(after.externalJoins.get(id)?.base).toBeUndefined();
    expect(plans(after)).toBe(true);
    const { state: planned } = await take(after, { type: 'prepare', what: { kind: 'plan-join', conversationId: id } });
    expect(planned.externalJoins.size).toBe(0);
  });

  it('takes with it what siblings were to be told of places in the log that is gone, made already or not', async () => {
    await world.stopServer(); // the scene starts it
    const { id, laptop } = await playScene(world);
    const state = wholeStateOf(laptop);
    const { messageKey, position } = state.conversations.get(id)!.last!;
    const command = { command: 'forget', conversationId: id, messages: [{ messageKey, position }] } as const;
    const given = { random, now: Date.now(), lines: async () => [state.conversations.get(id)!.last!] };
    const forgot = (await step(state, { type: 'command', command }, given)).state;
    const made = (await step(forgot, { type: 'prepare', what: { kind: 'tell-forgotten', conversationId: id } }, given)).state;
    expect(made.emulation!.pending?.purpose).toBe('forget');
    for (const before of [forgot, made]) {
      const turn = new Turn(before, random, Date.now());
      setConversationBack(turn, id);
      expect(turn.state.forgotten.size).toBe(0);
      expect(turn.state.emulation!.pending).toBeUndefined();
    }
  });
});

describe('marks', () => {
  const marksAt = (last: number): Cursor['marks'] => {
    let marks: Cursor['marks'] = [{ sequence: 0, mark: undefined }];
    for (let sequence = 1; sequence <= last; sequence++) marks = withMark(marks, { sequence, mark: new Uint8Array([sequence]) });
    return marks;
  };

  it('are few, newest first, and there is one not far before any entry, seen from the end', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 5000 }), fc.double({ min: 0, max: 1, noNaN: true }), (last, share) => {
        const marks = marksAt(last);
        const cut = Math.floor(share * last);
        const found = marks.find(({ sequence }) => sequence <= cut)!;
        expect(marks[0]!.sequence).toBe(last);
        expect(marks.length).toBeLessThanOrEqual(4 + 2 * Math.log2(last + 1));
        expect(cut - found.sequence).toBeLessThanOrEqual(Math.max(32, last - cut));
      }),
      { numRuns: 40 },
    );
  });
});
