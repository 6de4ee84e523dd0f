import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromHex } from '../../../src/bytes/index.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { confirmNewPhrase, tryRecovery } from '../../support/engine-recovery.ts';
import { random, settle, smallStateOf, stateOf, take, taken } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

const announced = (device: TestDevice, id: string): Promise<void> =>
  eventually(async () => expect((await smallStateOf(device.store)).externalJoins.get(id)?.announcedBy).toBeDefined());

/** Anna has a link to a conversation with ben; cora's laptop has announced that it joins by it, and her tablet has heard of that alone. */
async function announcedByLink(coraWasIn: boolean) {
  const [anna, ben, cora] = await Promise.all([world.person('anna'), world.person('ben'), world.person('cora')]);
  const tablet = await world.link(cora, 'tablet');
  const id = await anna.startConversation(coraWasIn ? ['ben', 'cora'] : ['ben'], 'Choir');
  if (coraWasIn) {
    for (const device of [cora, tablet]) await device.conversation(id, ({ state }) => state === 'ready');
    const { account } = await cora.runtime.state();
    await anna.do({ command: 'removeMember', conversationId: id, accountId: account!.accountId });
    for (const device of [cora, tablet]) await device.conversation(id, ({ state }) => state === 'left');
  }
  await anna.conversation(id, ({ state, members }) => state === 'ready' && members.length === 2);
  await anna.do({ command: 'makeInvitation', conversationId: id, messageId: random(16) });
  await anna.conversation(id, ({ invitation }) => invitation === 'own');
  const code = await anna.runtime.invitationCode(id);
  await settle(anna, ben, cora, tablet);
  cora.intercept = (path, _body, carryOut) => (path.endsWith('/invitation') ? Promise.reject(new Error('no network')) : carryOut());
  await cora.do({ command: 'joinByInvitation', code: code! });
  await announced(tablet, id);
  tablet.stop();
  cora.intercept = (_path, _body, carryOut) => carryOut();
  await cora.conversation(id, ({ state }) => state === 'ready');
  return { anna, ben, cora, tablet, id };
}

const linesOf = async (device: TestDevice, id: string): Promise<string[]> =>
  (await device.runtime.messages(id, undefined, 100)).messages.map(({ text }) => text);

describe('an external commit made from a GroupInfo that the log has not come to yet', () => {
  it('counts though a commit comes before it in the log that its GroupInfo has in it', async () => {
    const laptop = await world.person('anna', 'laptop');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben'], 'trip');
    await laptop.send(id, 'before');
    await ben.texts(id, 1);
    const entropy = await confirmNewPhrase(laptop);
    await settle(laptop, ben);
    laptop.stop();
    const fresh = world.device();
    fresh.intercept = (path, body, carryOut) =>
      path.startsWith('/v1/groups/') && body === '' ? Promise.reject(new Error('no GroupInfo yet')) : carryOut();
    expect(await tryRecovery(fresh, 'anna', entropy)).toBe('joined');
    await announced(fresh, id);
    await eventually(async () =>
      expect(await smallStateOf(fresh.store)).toMatchObject({ emulation: { pending: undefined }, uploads: undefined }),
    );
    fresh.stop();

    // Ben commits; the new device has not heard of it when it asks for the GroupInfo.
    await ben.do({ command: 'makeInvitation', conversationId: id, messageId: random(16) });
    await ben.conversation(id, ({ invitation }) => invitation === 'own');
    const { ask } = await fresh.hands();
    const request = { groupId: fromHex(id), epoch: undefined };
    const value = await ask('fetch-group', request);
    const state = await taken(stateOf(await fresh.store.load('')), {
      type: 'answer',
      call: 'fetch-group',
      request,
      answer: { outcome: 'done', value },
      conversationId: id,
    });
    const { position } = await ask('submit', state.externalJoins.get(id)!.pending!);
    await eventually(async () => expect((await smallStateOf(ben.store)).conversations.get(id)!.position).toBe(position));
    await ben.send(id, 'welcome back');
    await settle(ben);

    const { entries, last } = await ask('fetch-sequence', { after: state.cursor.sequence, limit: 100 });
    const result = await take(state, { type: 'entries', entries, last });
    expect(result.refused.map(({ code }) => code)).toEqual(['unknown-group']); // ben's commit, of before
    expect(result.state.conversations.get(id)?.state).toBe('member');
    expect(result.lines.map(({ message }) => message.text)).toContain('welcome back');
    expect(result.state.externalJoins.size).toBe(0);
  });

  it('counts behind a sibling’s, made while this device was away: it does not lose step', async () => {
    const { anna, ben, cora, tablet, id } = await announcedByLink(false);
    await settle(anna, ben, cora);
    // Its first page of the sequence takes longer than three small requests.
    let joined = (): void => undefined;
    const own = new Promise<void>((resolve) => (joined = resolve));
    tablet.intercept = async (path, _body, carryOut) => {
      const response = await carryOut();
      if (path === '/v1/sequence') await own; // answered, and on its way
      if (path.endsWith('/messages')) joined();
      return response;
    };
    tablet.clockAhead = 120_000;
    tablet.restart();
    await own;
    await anna.send(id, 'hello');
    await tablet.messages(id, (all) => all.some(({ text }) => text === 'hello'));
    await settle(tablet, cora);
    expect((await linesOf(tablet, id)).filter((text) => text.includes('lost step'))).toEqual([]);
    expect((await smallStateOf(tablet.store)).externalJoins.size).toBe(0);
  });
});

/** Cora's two devices know of her join by link to anna's conversation, and are stopped; then anna adds her. Nobody has read that yet. */
async function addedMeanwhile() {
  const [anna, ben, cora] = await Promise.all([world.person('anna'), world.person('ben'), world.person('cora')]);
  const tablet = await world.link(cora, 'tablet');
  const id = await anna.startConversation(['ben'], 'Choir');
  await anna.conversation(id, ({ state, members }) => state === 'ready' && members.length === 2);
  await anna.do({ command: 'makeInvitation', conversationId: id, messageId: random(16) });
  await anna.conversation(id, ({ invitation }) => invitation === 'own');
  await settle(anna, ben, cora, tablet);
  for (const device of [cora, tablet]) {
    device.intercept = (path, _body, carryOut) => (path.endsWith('/invitation') ? Promise.reject(new Error('no network')) : carryOut());
  }
  await cora.do({ command: 'joinByInvitation', code: (await anna.runtime.invitationCode(id))! });
  for (const device of [cora, tablet]) {
    await announced(device, id);
    await eventually(async () =>
      expect(await smallStateOf(device.store)).toMatchObject({ emulation: { pending: undefined }, uploads: undefined }),
    );
    device.stop();
  }
  await anna.addMember(id, 'cora');
  await anna.conversation(id, ({ members }) => members.length === 3);
  await settle(anna, ben);
  return { anna, ben, cora, tablet, id };
}

/** The device's external commit is made and taken, without a look at the sequence. @returns its state then */
async function joinedUnseen(device: TestDevice, id: string): Promise<EngineState> {
  const { ask } = await device.hands();
  const before = stateOf(await device.store.load(''));
  const { groupId, invitation } = before.externalJoins.get(id)!;
  const request = { groupId, proof: invitation!.proof };
  const info = { outcome: 'done', value: await ask('open-invitation', request) } as const;
  const made = await taken(before, { type: 'answer', call: 'open-invitation', request, answer: info, conversationId: id });
  const pending = made.externalJoins.get(id)!.pending!;
  const answer = { outcome: 'done', value: await ask('submit', pending) } as const;
  return taken(made, { type: 'answer', call: 'submit', request: pending, answer, conversationId: id });
}

/** What is new in the sequence is followed, up to a text of ben's at its end. */
async function isInStep(device: TestDevice, state: EngineState, id: string): Promise<void> {
  const { entries, last } = await (await device.hands()).ask('fetch-sequence', { after: state.cursor.sequence, limit: 100 });
  const result = await take(state, { type: 'entries', entries, last });
  expect(result.refused).toEqual([]);
  expect(result.state.conversations.get(id)?.state).toBe('member');
  expect(result.lines.map(({ message }) => message.text)).toContain('all here');
  expect(result.state.externalJoins.size).toBe(0);
  expect(result.spent).toContain(state.externalJoins.get(id)!.invitation!.seed);
}

describe('an external commit made when the account was in the group already', () => {
  it('counts behind a Welcome: the device does not lose step', async () => {
    const { ben, cora, id } = await addedMeanwhile();
    const state = await joinedUnseen(cora, id);
    await settle(ben);
    await ben.send(id, 'all here');
    await settle(ben);
    await isInStep(cora, state, id);
  });

  it('counts behind a Welcome and a sibling’s: neither device loses step', async () => {
    const { ben, cora, tablet, id } = await addedMeanwhile();
    const first = await joinedUnseen(tablet, id);
    const second = await joinedUnseen(cora, id);
    await settle(ben);
    await ben.send(id, 'all here');
    await settle(ben);
    await isInStep(tablet, first, id);
    await isInStep(cora, second, id);
  });
});

describe('a sibling that has heard of a join by link, and comes back when the link is over', () => {
  it.each([true, false])('is in the conversation that its account has joined (was in it before: %s)', async (coraWasIn) => {
    const { anna, ben, cora, tablet, id } = await announcedByLink(coraWasIn);
    await anna.do({ command: 'withdrawInvitation', conversationId: id, messageId: random(16) });
    await anna.conversation(id, ({ invitation }) => invitation === 'none');
    await settle(anna, ben, cora);
    tablet.clockAhead = 120_000;
    tablet.restart();
    await tablet.conversation(id, ({ state, title }) => state === 'ready' && title === 'Choir');
    await settle(tablet, cora, anna, ben);
    await cora.send(id, 'hello');
    await tablet.messages(id, (all) => all.some(({ text }) => text === 'hello'));
  });
});
