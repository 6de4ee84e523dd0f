import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineWorld } from '../../support/engine-world.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

describe('two people', () => {
  it('talk to each other', async () => {
    const anna = await world.person('anna');
    const ben = await world.person('ben');
    await ben.until(({ connection }) => (connection.status === 'online' ? true : undefined));
    const id = await anna.startConversation(['ben']);
    await anna.send(id, 'hello');
    expect(await ben.texts(id, 1)).toEqual(['hello']);
    await ben.send(id, 'hi');
    expect(await anna.texts(id, 2)).toEqual(['hello', 'hi']);
  });
});

describe('a name that the person types', () => {
  it('leads to nobody else, whomever the server tells of', async () => {
    const anna = await world.person('anna');
    for (const username of ['ben', 'cara']) await world.person(username);
    expect(await anna.runtime.findAccounts(['Ben'])).toMatchObject([{ username: 'ben' }]);
    const [cara] = (await anna.runtime.findAccounts(['cara'])) as { accountId: Uint8Array; username: string }[];
    const told = { accountId: Buffer.from(cara!.accountId).toString('base64url'), username: 'cara' };
    anna.intercept = async (path, _body, carryOut) => (path === '/v1/accounts' ? Response.json(told) : carryOut());
    expect(await anna.runtime.findAccounts(['ben'])).toBe('internal');
    expect(await anna.runtime.findAccounts(['cara'])).toEqual([cara]);
  });
});

describe('a linked device', () => {
  it('is in every conversation, sends and receives', async () => {
    const laptop = await world.person('anna');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben']);
    await laptop.send(id, 'from the laptop');
    await ben.texts(id, 1);
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    await phone.send(id, 'from the phone');
    expect(await ben.texts(id, 2)).toEqual(['from the laptop', 'from the phone']);
    expect(await laptop.texts(id, 2)).toEqual(['from the laptop', 'from the phone']);
    await ben.send(id, 'to both');
    expect(await phone.texts(id, 2)).toEqual(['from the phone', 'to both']);
  });
});

describe('a conversation’s title', () => {
  it('is known to siblings that follow the creation, to new members and to new devices, and not to the server', async () => {
    const laptop = await world.person('anna');
    const phone = await world.link(laptop, 'phone');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben'], 'a surprise for cara');
    const tablet = await world.link(laptop, 'tablet');
    for (const device of [laptop, phone, ben, tablet]) {
      const { title } = await device.conversation(id, ({ members }) => members.length === 2);
      expect(title).toBe('a surprise for cara');
    }
    const { groupInfo } = await (await ben.hands()).ask('fetch-group', { groupId: Buffer.from(id, 'hex'), epoch: undefined });
    expect(Buffer.from(groupInfo).includes('surprise')).toBe(false);
  });
});
