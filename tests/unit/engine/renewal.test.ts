import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex } from '../../../src/bytes/index.ts';
import { UPDATE_PATIENCE } from '../../../src/engine/leaf-renewal.ts';
import { RENEW_AFTER_MESSAGES, RENEW_AT_MOST_EVERY, RENEW_EVERY } from '../../../src/engine/renewal-state.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { settle, stateOf, take } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

// Renewing keys (reading section 12, its end): by wish, by time, by use.

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

interface Talk {
  readonly laptop: TestDevice;
  readonly phone: TestDevice;
  readonly ben: TestDevice;
  readonly ids: readonly string[];
}

/** Anna with two devices, and three conversations with ben; all at rest. */
async function talk(): Promise<Talk> {
  const laptop = await world.person('anna');
  const ben = await world.person('ben');
  const ids: string[] = [];
  for (const title of ['one', 'two', 'three']) {
    const id = await laptop.startConversation(['ben'], title);
    await ben.conversation(id, ({ state }) => state === 'ready');
    ids.push(id);
  }
  const phone = await world.link(laptop, 'phone');
  for (const id of ids) await phone.conversation(id, ({ state }) => state === 'ready');
  await settle(laptop, phone, ben);
  return { laptop, phone, ben, ids };
}

const loaded = async (device: TestDevice): Promise<EngineState> => stateOf(await device.store.load(''));

/** The MLS epoch of the emulation group that a conversation's live leaf comes from. */
function leafEpoch({ emulation, conversations }: EngineState, id: string): bigint {
  return emulation!.epochs.get(toHex(conversations.get(id)!.leaf!.epochId))!.epoch;
}

/** Commits that the server took from a device, by group. */
function commitsOf(device: TestDevice): string[] {
  const taken: string[] = [];
  const { intercept } = device;
  device.intercept = async (path, body, carryOut) => {
    const response = await intercept(path, body, carryOut);
    const group = /^\/v1\/groups\/([^/]+)\/messages$/.exec(path)?.[1];
    if (group !== undefined && body.includes('"kind":"commit"') && response.ok) taken.push(group);
    return response;
  };
  return taken;
}

const idle = async (device: TestDevice): Promise<void> => {
  await device.until(({ renewal }) => (renewal?.progress === undefined ? true : undefined));
};

describe('renewing keys because a person asks for it', () => {
  it('gives the emulation group and every conversation new keys, once, and lets everybody go on', async () => {
    const { laptop, phone, ben, ids } = await talk();
    const before = await loaded(laptop);
    const [commits, others] = [commitsOf(laptop), commitsOf(phone)];
    await laptop.do({ command: 'renewKeys' });
    expect((await laptop.runtime.state()).renewal!.progress).toMatchObject({ total: 3 });
    await laptop.do({ command: 'renewKeys' });
    await laptop.until(() => (commits.length >= 4 ? true : undefined));
    await idle(laptop);
    await settle(laptop, phone, ben);
    const after = await loaded(laptop);
    expect(commits).toHaveLength(4);
    expect(new Set(commits).size).toBe(4);
    expect(others).toEqual([]);
    for (const id of ids) {
      expect(leafEpoch(after, id)).toBeGreaterThan(before.emulation!.group.context.epoch);
      const [old, now] = [before.conversations.get(id)!.leaf!, after.conversations.get(id)!.leaf!];
      expect(toHex(now.leafNodeSecret.reveal())).not.toBe(toHex(old.leafNodeSecret.reveal()));
    }
    for (const [i, id] of ids.entries()) {
      await phone.send(id, `phone ${i}`);
      await ben.send(id, `ben ${i}`);
      await laptop.texts(id, 2);
    }
    // To ben nobody has come or gone.
    expect((await ben.messages(ids[0]!, () => true)).filter(({ kind }) => kind === 'event')).toHaveLength(1);
  });

  it('shuts out who has copied the whole store of the device before', async () => {
    const { laptop, phone, ben, ids } = await talk();
    const [id] = ids as [string];
    const stolen = await loaded(laptop);
    await laptop.do({ command: 'renewKeys' });
    await idle(laptop);
    await settle(laptop, phone, ben);
    await phone.send(id, 'from the phone');
    await ben.send(id, 'from ben');
    await laptop.texts(id, 2);
    const { entries, last } = await (await laptop.hands()).ask('fetch-sequence', { after: stolen.cursor.sequence, limit: 100 });
    const read: string[] = [];
    let refused = 0;
    let thief: EngineState = stolen;
    for (const entry of entries) {
      const taken = await take(thief, { type: 'entries', entries: [entry], last });
      read.push(...taken.lines.map(({ message }) => message.text));
      refused += taken.refused.length;
      thief = { ...taken.state, copied: false }; // Chorus would have stopped here: who has stolen it does not
    }
    expect(read).not.toContain('from the phone');
    expect(read).not.toContain('from ben');
    expect(refused).toBeGreaterThan(0);
    // As a control, what the store held opens everything when nobody has renewed.
    await settle(laptop, phone, ben);
    const later = await loaded(laptop);
    await ben.send(id, 'again');
    await laptop.texts(id, 3);
    const next = await (await laptop.hands()).ask('fetch-sequence', { after: later.cursor.sequence, limit: 100 });
    const control = await take(later, { type: 'entries', ...next });
    expect(control.lines.map(({ message }) => message.text)).toEqual(['again']);
  });

  it('goes on after the device has died between the commits, and the other device takes over if it stays away', async () => {
    const { laptop, phone, ben, ids } = await talk();
    const begun = (await loaded(laptop)).emulation!.group.context.epoch;
    const dead = new Promise<void>((resolve) => {
      laptop.intercept = async (path, body, carryOut) => {
        const response = await carryOut();
        if (!path.endsWith('/messages') || !body.includes('"kind":"commit"')) return response;
        laptop.stop();
        resolve();
        return response;
      };
    });
    laptop.do({ command: 'renewKeys' }).catch(() => undefined);
    await dead;
    await phone.until(({ renewal }) => (renewal?.progress !== undefined ? true : undefined));
    phone.clockAhead = 60_000;
    await phone.runtime.wake();
    await idle(phone);
    await settle(phone, ben);
    for (const id of ids) expect(leafEpoch(await loaded(phone), id)).toBeGreaterThan(begun);
    laptop.intercept = (_path, _body, carryOut) => carryOut();
    laptop.restart();
    await settle(laptop, phone, ben);
    await laptop.send(ids[1]!, 'back');
    await ben.texts(ids[1]!, 1);
  });

  it('is left to who began it for as long as it gets on, however long it takes', async () => {
    const { laptop, phone, ids } = await talk();
    const others = commitsOf(phone);
    const held: (() => void)[] = [];
    laptop.intercept = async (_path, body, carryOut) => {
      if (body.includes('"kind":"commit"')) await new Promise<void>((resolve) => held.push(resolve));
      return carryOut();
    };
    await laptop.do({ command: 'renewKeys' });
    const left = async (): Promise<number> => {
      const state = await loaded(phone);
      return ids.filter((id) => leafEpoch(state, id) < state.emulation!.renewal.epoch).length;
    };
    // The emulation group's commit, then one in each conversation: the last one comes a minute after the first.
    for (const expected of [3, 2, 1]) {
      await eventually(() => expect(held.length).toBeGreaterThan(0));
      held.shift()!();
      await eventually(async () => expect(await left()).toBe(expected));
      for (const seconds of [10, 9]) {
        phone.clockAhead += seconds * 1000;
        await phone.runtime.wake();
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
    expect(others).toEqual([]);
    // It stops with the last one: then the phone comes in.
    laptop.stop();
    phone.clockAhead += 41_000;
    await phone.runtime.wake();
    await eventually(async () => expect(await left()).toBe(0));
    expect(others).toHaveLength(1);
  });

  it('does not stop a message that is written meanwhile', async () => {
    const { laptop, ben, ids } = await talk();
    await laptop.do({ command: 'renewKeys' });
    await Promise.all(ids.map((id) => laptop.send(id, 'meanwhile')));
    for (const id of ids) expect(await ben.texts(id, 1)).toEqual(['meanwhile']);
    await idle(laptop);
  });
});

describe('renewing keys by itself', () => {
  const renews = (state: EngineState, now: number): boolean =>
    todosOf(state, now).some((todo) => todo.do === 'prepare' && todo.what.kind === 'renew-keys');

  it('is due a week after this device’s own keys were last carried on, on each device for itself', async () => {
    const { laptop, phone, ben, ids } = await talk();
    const [mine, other] = [await loaded(laptop), await loaded(phone)];
    for (const state of [mine, other]) {
      const { carriedAt } = state.emulation!.ownPath;
      expect(renews(state, carriedAt + RENEW_EVERY - 1)).toBe(false);
      expect(renews(state, carriedAt + RENEW_EVERY)).toBe(true);
    }
    const [commits, others] = [commitsOf(laptop), commitsOf(phone)];
    laptop.clockAhead = RENEW_EVERY;
    await laptop.runtime.wake();
    await laptop.until(({ renewal }) => (renewal!.at > Date.now() + RENEW_EVERY / 2 && renewal!.progress === undefined ? true : undefined));
    await settle(phone, ben);
    // Nobody waits for it: an Update in each, which whoever writes next commits, or the laptop when its time is over.
    for (const device of [laptop, phone]) {
      for (const { updates } of (await loaded(device)).conversations.values()) expect(updates).toHaveLength(1);
    }
    const [chatty, ...silent] = ids as [string, string, string];
    await ben.send(chatty, 'by the way');
    await phone.texts(chatty, 1);
    await eventually(async () => expect(leafEpoch(await loaded(laptop), chatty)).toBeGreaterThan(mine.emulation!.group.context.epoch));
    for (const id of silent) expect(leafEpoch(await loaded(laptop), id)).toBeLessThanOrEqual(mine.emulation!.group.context.epoch);
    expect(commits).toHaveLength(1);
    laptop.clockAhead += UPDATE_PATIENCE + 1_000;
    await laptop.runtime.wake();
    await eventually(() => expect(commits).toHaveLength(3));
    await settle(phone, ben);
    await eventually(async () => expect((await loaded(laptop)).cursor.sequence).toBe((await loaded(phone)).cursor.sequence));
    expect(others).toEqual([]);
    const [now, then] = [await loaded(laptop), await loaded(phone)];
    for (const id of ids) expect(leafEpoch(now, id)).toBeGreaterThan(mine.emulation!.group.context.epoch);
    expect(now.emulation!.ownPath.carriedAt).toBeGreaterThan(mine.emulation!.ownPath.carriedAt);
    // What the laptop did helps nobody whose copy is of the phone: that one's week goes on.
    expect(then.emulation!.ownPath.carriedAt).toBe(other.emulation!.ownPath.carriedAt);
  });

  it('is due after many messages, on the first device first, and never twice in an hour', async () => {
    const { laptop, phone } = await talk();
    const used = (state: EngineState): EngineState => ({
      ...state,
      conversations: new Map([...state.conversations].map(([id, it]) => [id, { ...it, sentByLeaf: RENEW_AFTER_MESSAGES / 3 + 1 }])),
    });
    const [first, second] = [used(await loaded(laptop)), used(await loaded(phone))];
    const from = (state: EngineState): number => state.emulation!.renewal.at + RENEW_AT_MOST_EVERY;
    expect(renews(first, from(first) - 1)).toBe(false);
    expect(renews(first, from(first))).toBe(true);
    expect(renews(second, from(second))).toBe(false);
    expect(renews(second, from(second) + 60 * 60 * 1000)).toBe(true);
  });

  it('is not due again for messages under leaves that are gone, or that the last renewal is about to replace', async () => {
    const { laptop, phone, ben, ids } = await talk();
    const [id] = ids as [string];
    const busy = async (): Promise<EngineState> => {
      const state = await loaded(laptop);
      const it = state.conversations.get(id)!;
      return { ...state, conversations: new Map(state.conversations).set(id, { ...it, sentByLeaf: RENEW_AFTER_MESSAGES }) };
    };
    const before = await busy();
    const due = (state: EngineState): boolean => renews(state, state.emulation!.renewal.at + RENEW_AT_MOST_EVERY);
    expect(due(before)).toBe(true);
    const renewal = { ...before.emulation!.renewal, epoch: before.emulation!.group.context.epoch + 1n };
    expect(due({ ...before, emulation: { ...before.emulation!, renewal } })).toBe(false);
    const { account } = await laptop.runtime.state();
    await ben.do({ command: 'removeMember', conversationId: id, accountId: account!.accountId });
    for (const device of [laptop, phone]) await device.conversation(id, ({ state }) => state === 'left');
    await settle(laptop, phone, ben);
    expect(due(await busy())).toBe(false);
  });

  it('counts the messages of all devices, and from nothing again under a new leaf', async () => {
    const { laptop, phone, ben, ids } = await talk();
    const [id] = ids as [string];
    const count = async (device: TestDevice): Promise<number> => (await loaded(device)).conversations.get(id)!.sentByLeaf;
    await laptop.send(id, '1');
    await phone.send(id, '2');
    await ben.send(id, 'not ours');
    for (const device of [laptop, phone]) {
      await device.texts(id, 3);
      expect(await count(device)).toBe(2);
    }
    await phone.do({ command: 'renewKeys' });
    await idle(phone);
    await settle(laptop, phone, ben);
    for (const device of [laptop, phone]) expect(await count(device)).toBe(0);
  });
});
