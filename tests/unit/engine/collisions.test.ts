import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineWorld } from '../../support/engine-world.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

describe('two devices of one person', () => {
  it('send 50 messages each at the same moment, and everyone has all 100 once, in one order', async () => {
    const laptop = await world.person('anna');
    const ben = await world.person('ben');
    const cara = await world.person('cara');
    const id = await laptop.startConversation(['ben', 'cara'], 'three');
    await laptop.conversation(id, ({ members }) => members.length === 3);
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    const burst = (name: string): string[] => Array.from({ length: 50 }, (_, i) => `${name} ${i}`);
    const send = async (device: typeof laptop, name: string): Promise<void> => {
      for (const text of burst(name)) await device.send(id, text);
    };
    await Promise.all([send(laptop, 'laptop'), send(phone, 'phone')]);
    const seen = await Promise.all([laptop, phone, ben, cara].map((device) => device.texts(id, 100)));
    for (const texts of seen) expect(texts).toEqual(seen[0]);
    expect(seen[0]).toHaveLength(100);
    // Each device's own messages keep the order in which they were written.
    for (const name of ['laptop', 'phone']) expect(seen[0]!.filter((text) => text.startsWith(name))).toEqual(burst(name));
    // They did collide: the server turned some down, and they went out all the same.
    const collisions = [laptop, phone].map(({ refusals }) => refusals.get('generation-taken') ?? 0);
    expect(collisions[0]! + collisions[1]!).toBeGreaterThan(0);
  });

  it('commit at the same moment, and both wishes come true', async () => {
    const laptop = await world.person('anna');
    for (const name of ['ben', 'cara', 'dora']) await world.person(name);
    const id = await laptop.startConversation(['ben'], 'club');
    await laptop.conversation(id, ({ members }) => members.length === 2);
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    await Promise.all([laptop.addMember(id, 'cara'), phone.addMember(id, 'dora')]);
    for (const device of [laptop, phone]) await device.conversation(id, ({ members }) => members.length === 4);
  });
});

describe('somebody who is offline', () => {
  it('writes, and it goes out later, in order, once', async () => {
    const anna = await world.person('anna');
    const ben = await world.person('ben');
    const id = await anna.startConversation(['ben']);
    await anna.send(id, 'before');
    await ben.texts(id, 1);
    anna.goOffline();
    for (const text of ['one', 'two', 'three']) await anna.send(id, text);
    await ben.send(id, 'meanwhile');
    await anna.until(({ connection }) => (connection.waiting === 3 ? true : undefined));
    anna.goOnline();
    const texts = await ben.texts(id, 5);
    expect(texts.filter((text) => text !== 'meanwhile')).toEqual(['before', 'one', 'two', 'three']);
    expect(await anna.texts(id, 5)).toEqual(texts);
  });

  it('comes back after members have changed and reads what was said while it was a member', async () => {
    const anna = await world.person('anna');
    const ben = await world.person('ben');
    const cara = await world.person('cara');
    const id = await anna.startConversation(['ben'], 'club');
    await anna.send(id, 'hello ben');
    await ben.texts(id, 1);
    ben.goOffline();
    await anna.addMember(id, 'cara');
    await anna.send(id, 'hello cara');
    await cara.texts(id, 1);
    ben.goOnline();
    expect(await ben.texts(id, 2)).toEqual(['hello ben', 'hello cara']);
    const benAccount = (await ben.runtime.state()).account!.accountId;
    await cara.do({ command: 'removeMember', conversationId: id, accountId: benAccount });
    await ben.conversation(id, ({ state }) => state === 'left');
    await cara.send(id, 'without ben');
    expect(await anna.texts(id, 3)).toEqual(['hello ben', 'hello cara', 'without ben']);
    await anna.addMember(id, 'ben');
    await ben.conversation(id, ({ state }) => state === 'ready');
    await anna.send(id, 'welcome back');
    expect((await ben.texts(id, 3)).at(-1)).toBe('welcome back');
    expect(await ben.texts(id, 3)).not.toContain('without ben');
  });

  it('finds what it wrote to a conversation that it was removed from marked, not lost', async () => {
    const anna = await world.person('anna');
    const ben = await world.person('ben');
    const id = await anna.startConversation(['ben'], 'club');
    await anna.send(id, 'hello');
    await ben.texts(id, 1);
    ben.goOffline();
    await ben.send(id, 'too late');
    const benAccount = (await ben.runtime.state()).account!.accountId;
    await anna.do({ command: 'removeMember', conversationId: id, accountId: benAccount });
    await anna.conversation(id, ({ members }) => members.length === 1);
    ben.goOnline();
    const lines = await ben.messages(id, (all) => all.some(({ status }) => status === 'failed'));
    expect(lines.find(({ text }) => text === 'too late')).toMatchObject({
      status: 'failed',
      problem: expect.stringContaining('not in') as string,
    });
  });
});

describe('the server', () => {
  it('is restarted in the middle of a conversation, and nothing is lost or doubled', async () => {
    const anna = await world.person('anna');
    const ben = await world.person('ben');
    const id = await anna.startConversation(['ben']);
    const texts = Array.from({ length: 30 }, (_, i) => `message ${i}`);
    for (const [i, text] of texts.entries()) {
      if (i === 10) await world.stopServer();
      if (i === 20) await world.start();
      await anna.send(id, text);
    }
    expect(await ben.texts(id, 30)).toEqual(texts);
  });
});
