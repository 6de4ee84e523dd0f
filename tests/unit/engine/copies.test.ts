import { ed25519 } from '@noble/curves/ed25519.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { problemResponse, Refusal } from '../../../server/problems.ts';
import { accountKeyContent } from '../../../src/virtual-client/account-proof.ts';
import { equal } from '../../../src/bytes/index.ts';
import { PAST_EPOCH_LIFETIME } from '../../../src/engine/past-epochs.ts';
import { entryFor, random, smallStateOf, stateOf, take, taken } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

// Two browsers with the keys of one device: somebody has copied its profile, or put an older one in its place.

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

type Profile = ReadonlyMap<string, Uint8Array>;

const profileOf = (device: TestDevice): Promise<Profile> => device.store.load('');

const phaseIs = (device: TestDevice, wanted: string): Promise<unknown> => device.until(({ phase }) => phase === wanted || undefined);

const isCalm = (device: TestDevice): Promise<unknown> =>
  device.until(({ renewal, removal }) => (renewal?.progress === undefined && removal === undefined) || undefined);

const emulationEpoch = async (device: TestDevice): Promise<number> =>
  Number((await smallStateOf(device.store)).emulation!.group.context.epoch);

/** One commit of the emulation group, once all of its consequences are there. */
async function renewOn(device: TestDevice): Promise<void> {
  const before = await emulationEpoch(device);
  await device.do({ command: 'renewKeys' });
  await eventually(async () => expect(await emulationEpoch(device)).toBeGreaterThan(before));
  await isCalm(device);
  await device.runtime.synchronise();
}

/** It shows what it had, and asks the server for nothing. */
async function expectStopped(device: TestDevice, id: string, texts: readonly string[]): Promise<void> {
  await phaseIs(device, 'copied');
  expect((await device.runtime.state()).conversations.map(({ state }) => state)).toEqual(['stopped']);
  expect((await device.messages(id, () => true)).filter(({ kind }) => kind === 'text').map(({ text }) => text)).toEqual(texts);
  const before = new Map(device.cost.requests);
  await device.send(id, 'not sent');
  device.restart();
  await phaseIs(device, 'copied');
  await device.runtime.wake();
  await device.runtime.synchronise(); // that nothing is left for it shows in that it does not fail
  await expect(device.do({ command: 'logOut' })).rejects.toThrow('not-ready');
  expect(device.cost.requests).toEqual(before);
}

async function annaWithPhone(): Promise<{ laptop: TestDevice; phone: TestDevice; ben: TestDevice; id: string }> {
  const [laptop, ben] = await Promise.all([world.person('anna', 'laptop'), world.person('ben')]);
  const id = await laptop.startConversation(['ben']);
  await laptop.send(id, 'one');
  const phone = await world.link(laptop, 'phone');
  for (const device of [phone, ben]) await device.texts(id, 1);
  for (const device of [laptop, phone]) await isCalm(device);
  for (const device of [laptop, phone, ben]) await device.runtime.synchronise();
  return { laptop, phone, ben, id };
}

describe('a device with siblings', () => {
  it('stops when a copy of it commits, and so does not split the emulation group; removing it shuts the copy out too', async () => {
    const { laptop, phone, ben, id } = await annaWithPhone();
    const copy = await world.onProfile(await profileOf(laptop));
    await renewOn(copy);
    await expectStopped(laptop, id, ['one']);
    // The others have followed it, and are of one mind.
    await eventually(async () => expect(await emulationEpoch(phone)).toBe(await emulationEpoch(copy)));
    const deviceId = await phone.until(({ devices }) => devices.find(({ name }) => name === 'laptop')?.deviceId);
    await phone.do({ command: 'removeDevice', deviceId });
    await phaseIs(copy, 'unlinked');
    await copy.runtime.synchronise(); // it has nothing left to do either
    await isCalm(phone);
    await phone.send(id, 'from the phone');
    expect(await ben.texts(id, 2)).toEqual(['one', 'from the phone']);
  });

  it('stops where it was put back to before a commit of its own, and is linked anew', async () => {
    const { laptop, phone, ben, id } = await annaWithPhone();
    const profile = await profileOf(laptop);
    await renewOn(laptop);
    laptop.stop();
    const putBack = await world.onProfile(profile);
    await expectStopped(putBack, id, ['one']);
    const deviceId = await phone.until(({ devices }) => devices.find(({ name }) => name === 'laptop')?.deviceId);
    await phone.do({ command: 'removeDevice', deviceId });
    await isCalm(phone);
    const anew = await world.link(phone, 'laptop again');
    await isCalm(anew);
    await anew.send(id, 'again');
    expect(await ben.texts(id, 2)).toEqual(['one', 'again']);
  });

  it('goes on where it was put back to before nothing but messages', async () => {
    const { laptop, ben, id } = await annaWithPhone();
    const profile = await profileOf(laptop);
    await laptop.send(id, 'two');
    await ben.texts(id, 2);
    laptop.stop();
    const putBack = await world.onProfile(profile);
    await putBack.texts(id, 2);
    await putBack.send(id, 'three');
    expect(await ben.texts(id, 3)).toEqual(['one', 'two', 'three']);
  });

  it('stops and forgets past epochs in time all the same', async () => {
    const { laptop, id } = await annaWithPhone();
    const past = async (): Promise<number> => (await smallStateOf(laptop.store)).conversations.get(id)!.endedEpochs.length;
    await renewOn(laptop);
    const copy = await world.onProfile(await profileOf(laptop));
    await renewOn(copy);
    await phaseIs(laptop, 'copied');
    expect(await past()).toBeGreaterThan(0);
    laptop.clockAhead = PAST_EPOCH_LIFETIME;
    await laptop.runtime.wake();
    await eventually(async () => expect(await past()).toBe(0));
  });

  it('goes on when the server brings a commit of its own that had come too late, of an epoch that is over', async () => {
    const { laptop, phone } = await annaWithPhone();
    const asked = await taken(stateOf(await profileOf(laptop)), { type: 'command', command: { command: 'renewKeys' } });
    const late = await taken(asked, { type: 'prepare', what: { kind: 'renew-keys' } });
    const { groupId, epoch, message } = late.emulation!.pending!.submission;
    await renewOn(phone);
    const page = await (await laptop.hands()).ask('fetch-sequence', { after: late.cursor.sequence, limit: 100 });
    const { state: overtaken, refused: none } = await take(late, { type: 'entries', ...page });
    expect([none, overtaken.emulation!.pending]).toEqual([[], undefined]);
    const { state, refused } = await take(overtaken, entryFor(overtaken, groupId, { kind: 'commit', epoch, message }));
    expect(refused.map(({ code }) => code)).toEqual(['wrong-epoch']);
    expect(state.copied).toBe(false);
  });

  it('stops when the server has taken its commit and says that it has not', async () => {
    const { laptop, phone, id } = await annaWithPhone();
    const before = await emulationEpoch(laptop);
    laptop.intercept = async (path, _body, carryOut) => {
      const answer = await carryOut();
      if (!path.endsWith('/messages')) return answer;
      return problemResponse(new Refusal('stale-epoch'));
    };
    await laptop.do({ command: 'renewKeys' });
    await expectStopped(laptop, id, ['one']);
    await eventually(async () => expect(await emulationEpoch(phone)).toBeGreaterThan(before));
  });
});

describe('the only device of an account', () => {
  async function alone(): Promise<{ laptop: TestDevice; ben: TestDevice; id: string; profile: Profile }> {
    const [laptop, ben] = await Promise.all([world.person('anna', 'laptop'), world.person('ben')]);
    const id = await laptop.startConversation(['ben']);
    await laptop.send(id, 'one');
    await ben.texts(id, 1);
    for (const device of [laptop, ben]) await isCalm(device);
    for (const device of [laptop, ben]) await device.runtime.synchronise();
    return { laptop, ben, id, profile: await profileOf(laptop) };
  }

  it('goes on where it was put back to before one commit of its own: nobody else has followed that', async () => {
    const { laptop, ben, id, profile } = await alone();
    await renewOn(laptop);
    await laptop.send(id, 'two');
    await ben.texts(id, 2);
    laptop.stop();
    const putBack = await world.onProfile(profile);
    await putBack.messages(id, (lines) => lines.some(({ text }) => text.includes('had lost step here and is back')));
    await putBack.send(id, 'three');
    expect(await ben.texts(id, 3)).toEqual(['one', 'two', 'three']);
    await renewOn(putBack);
    await putBack.send(id, 'four');
    expect((await ben.texts(id, 4)).at(-1)).toBe('four');
  });

  it('stops where it was put back to before more of them: the server takes nothing any more in the place of the first', async () => {
    const { laptop, id, profile } = await alone();
    await renewOn(laptop);
    await renewOn(laptop);
    laptop.stop();
    await expectStopped(await world.onProfile(profile), id, ['one']);
  });

  it('gives up what it was about to commit when it stops so', async () => {
    const { laptop, profile } = await alone();
    await renewOn(laptop);
    await renewOn(laptop);
    let state = stateOf(profile);
    const { entries, last } = await (await laptop.hands()).ask('fetch-sequence', { after: state.cursor.sequence, limit: 100 });
    const { groupId } = state.emulation!;
    const [first, second] = entries.filter((entry) => equal(entry.groupId, groupId) && entry.kind === 'commit');
    const follow = async (from: number, to: number): Promise<void> => {
      const slice = entries.filter(({ sequence }) => sequence > from && sequence <= to);
      state = (await take(state, { type: 'entries', entries: slice, last })).state;
    };
    await follow(0, first!.sequence);
    state = await taken(state, { type: 'command', command: { command: 'renewKeys' } });
    state = await taken(state, { type: 'prepare', what: { kind: 'renew-keys' } });
    expect(state.emulation!.pending).toBeDefined();
    await follow(first!.sequence, second!.sequence);
    expect([state.copied, state.emulation!.pending]).toEqual([true, undefined]);
  });

  it('stops where it was put back to before it had a sibling, and does not take its place among the account’s devices', async () => {
    const { laptop, ben, id, profile } = await alone();
    const phone = await world.link(laptop, 'phone');
    for (const device of [laptop, phone]) await isCalm(device);
    laptop.stop();
    const putBack = await world.onProfile(profile);
    await phaseIs(putBack, 'copied');
    await phone.send(id, 'from the phone');
    expect(await ben.texts(id, 2)).toEqual(['one', 'from the phone']);
    expect((await phone.runtime.state()).phase).toBe('ready');
  });
});

describe('keys that somebody with the whole profile of a device binds to the account', () => {
  it('are replaced without a pause once, and then after one that grows', async () => {
    const { laptop, phone } = await annaWithPhone();
    const hands = await laptop.hands();
    laptop.stop();
    const removal = async () => (await smallStateOf(phone.store)).emulation!.removal;
    const account = async () => (await smallStateOf(phone.store)).account!;
    const bindForeign = async (): Promise<void> => {
      const { accountId, keyVersion } = await account();
      const { secretKey, publicKey: signatureKey } = ed25519.keygen(random(32));
      const fields = { keyVersion, signatureKey };
      await hands.ask('bind-account-key', { ...fields, proof: ed25519.sign(accountKeyContent({ accountId, ...fields }), secretKey) });
    };
    const { keyVersion } = await account();
    phone.clockAhead = 61_000; // the newcomer leaves it to others at first
    await bindForeign();
    await eventually(async () => expect((await account()).keyVersion).toBe(keyVersion + 2));
    await bindForeign();
    await eventually(async () => expect((await removal()).foreignKeys).toBe(2));
    await new Promise((resolve) => setTimeout(resolve, 1_500));
    expect((await account()).keyVersion).toBe(keyVersion + 2);
    phone.clockAhead += 61_000;
    await phone.runtime.wake();
    await eventually(async () => expect((await account()).keyVersion).toBe(keyVersion + 4));
  });
});
