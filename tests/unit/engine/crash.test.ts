import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

// A machine that does many other things takes its time.

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

/** Two people in one conversation, both at rest. */
async function pair(): Promise<{ anna: TestDevice; ben: TestDevice; id: string }> {
  const anna = await world.person('anna');
  const ben = await world.person('ben');
  const id = await anna.startConversation(['ben']);
  await anna.send(id, 'first');
  await ben.texts(id, 1);
  await anna.texts(id, 1);
  return { anna, ben, id };
}

/** Lets the worker die at a store's `nth` write from now: before it is carried out, or right after. `spare` lets it live. */
function dieAtWrite(device: TestDevice, nth: number, when: 'before' | 'after'): { readonly dead: Promise<void>; spare(): void } {
  const { store } = device;
  const write = store.write.bind(store);
  let count = 0;
  const spare = (): void => {
    store.write = write;
  };
  const dead = new Promise<void>((resolve) => {
    store.write = async (changes) => {
      count += 1;
      if (count < nth) return write(changes);
      spare();
      if (when === 'after') await write(changes);
      device.stop();
      resolve();
      return new Promise(() => {}); // the worker is gone: nobody goes on from here
    };
  });
  return { dead, spare };
}

describe('the worker dies', () => {
  it.each([
    ['before the wish is stored', 1, 'before'],
    ['after the wish is stored', 1, 'after'],
    ['between derive and persist', 2, 'before'],
    ['between persist and send', 2, 'after'],
    ['between the server’s acceptance and our knowing it', 3, 'before'],
    ['after our knowing it', 3, 'after'],
  ] as const)('%s: a message goes out once, or was never taken', async (_name, nth, when) => {
    const { anna, ben, id } = await pair();
    const { dead } = dieAtWrite(anna, nth, when);
    const messageId = crypto.getRandomValues(new Uint8Array(16));
    void anna.runtime.command({ command: 'send', conversationId: id, messageId, text: 'second' }).catch(() => undefined);
    await dead;
    anna.restart();
    // The tab repeats its call, as the bridge does when a worker does not answer.
    await anna.do({ command: 'send', conversationId: id, messageId, text: 'second' });
    await anna.send(id, 'third');
    expect(await ben.texts(id, 3)).toEqual(['first', 'second', 'third']);
    expect(await anna.texts(id, 3)).toEqual(['first', 'second', 'third']);
  });

  it.each([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12])('at write %i of starting a conversation: it comes to be, once', async (nth) => {
    const anna = await world.person('anna');
    const ben = await world.person('ben');
    await ben.until(({ phase }) => phase === 'ready' || undefined);
    const members = await anna.runtime.findAccounts(['ben']);
    if (typeof members === 'string') throw new Error(members);
    const groupId = crypto.getRandomValues(new Uint8Array(16));
    const { dead, spare } = dieAtWrite(anna, nth, nth % 2 === 0 ? 'before' : 'after');
    void anna.runtime.command({ command: 'startConversation', groupId, members, title: '' }).catch(() => undefined);
    await Promise.race([dead, anna.conversation(hex(groupId), ({ members: there }) => there.length === 2)]);
    spare(); // where the conversation came to be with fewer writes
    anna.restart();
    await anna.do({ command: 'startConversation', groupId, members, title: '' });
    await anna.send(hex(groupId), 'hello');
    expect(await ben.texts(hex(groupId), 1)).toEqual(['hello']);
    expect((await ben.runtime.state()).conversations).toHaveLength(1);
  });

  it.each([1, 2, 3, 4, 5, 6])('at write %i of announcing KeyPackages: others can still add the account', async (nth) => {
    const anna = await world.person('anna');
    const ben = world.device();
    const { dead } = dieAtWrite(ben, nth + 2, nth % 2 === 0 ? 'before' : 'after');
    void ben.runtime.command({ command: 'createAccount', username: 'ben', deviceName: 'desk' }).catch(() => undefined);
    await dead;
    ben.restart();
    await ben.until(({ phase }) => phase === 'ready' || undefined);
    const id = await anna.startConversation(['ben']);
    await anna.send(id, 'hello');
    expect(await ben.texts(id, 1)).toEqual(['hello']);
  });

  it.each([1, 2, 3, 4, 5])('at write %i of adding a device: the device is linked, once', async (nth) => {
    const { anna, ben, id } = await pair();
    const phone = world.device();
    await phone.do({ command: 'startLink', deviceName: 'phone' });
    await anna.do({ command: 'acceptLinkCode', code: await phone.until(({ link }) => link?.code) });
    await Promise.all([phone, anna].map((device) => device.until(({ link }) => (link?.step === 'compare' ? true : undefined))));
    const { dead } = dieAtWrite(anna, nth, nth % 2 === 0 ? 'before' : 'after');
    await phone.do({ command: 'confirmLink', yes: true });
    void anna.runtime.command({ command: 'confirmLink', yes: true }).catch(() => undefined);
    await dead;
    anna.restart();
    const { link } = await anna.runtime.state();
    if (link?.step === 'compare') await anna.do({ command: 'confirmLink', yes: true });
    await phone.until(({ phase }) => phase === 'ready' || undefined);
    await phone.conversation(id, ({ state }) => state === 'ready');
    await phone.send(id, 'from the phone');
    expect(await ben.texts(id, 2)).toEqual(['first', 'from the phone']);
    expect((await anna.until(({ devices }) => (devices.length === 2 ? devices : undefined))).map(({ name }) => name)).toContain('phone');
  });
});

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
