import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { NonceWatch } from '../../support/engine-nonces.ts';
import { settle } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

// The worker dies between having stored a message and sending it, or between the server's acceptance and knowing it.

let world: EngineWorld;
let watch: NonceWatch;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
  watch = new NonceWatch();
});

afterEach(() => {
  watch.stop();
  return world.close();
});

type When = 'before it is sent' | 'after the server took it';
const WHEN: readonly When[] = ['before it is sent', 'after the server took it'];

/** A request of the engine's, as it looks on the wire. */
const REQUESTS = {
  text: ['/messages', '"kind":"application"', '"generation":{'],
  creation: ['/messages', '"kind":"creation"', ''],
  commit: ['/messages', '"kind":"commit"', '"fence":{'],
  emulationCommit: ['/messages', '"kind":"commit"', '"fence":null'],
  deviceProfile: ['/messages', '"kind":"application"', '"generation":null'],
  upload: ['/key-packages', '"keyPackages"', ''],
} as const;

/** Lets the worker die at its next request of a kind. Resolves when it is dead. */
function dieAt(device: TestDevice, request: keyof typeof REQUESTS, when: When): Promise<void> {
  const [path, ...parts] = REQUESTS[request];
  const { intercept } = device;
  return new Promise((resolve) => {
    device.intercept = async (asked, body, carryOut) => {
      if (!asked.endsWith(path) || !parts.every((part) => body.includes(part))) return intercept(asked, body, carryOut);
      device.intercept = intercept;
      if (when === 'after the server took it') expect((await carryOut()).status).toBe(200);
      device.stop();
      resolve();
      return new Promise(() => {});
    };
  });
}

/** As `dieAt`, around what makes the device send; then the worker is there again. */
async function survive(device: TestDevice, request: keyof typeof REQUESTS, when: When, act: () => Promise<unknown>): Promise<void> {
  const dead = dieAt(device, request, when);
  act().catch(() => undefined);
  await dead;
  device.restart();
}

async function people(): Promise<{ anna: TestDevice; ben: TestDevice; id: string }> {
  const anna = await world.person('anna');
  const ben = await world.person('ben');
  await settle(anna, ben);
  const id = await anna.startConversation(['ben'], 'club');
  await anna.send(id, 'first');
  await ben.texts(id, 1);
  await settle(anna, ben);
  for (const device of [anna, ben]) watch.watch(device);
  return { anna, ben, id };
}

/** Everybody has the texts once, in order; nobody sealed two messages with one key; nothing is left to do. */
async function expectAgreement(id: string, texts: readonly string[], ...devices: TestDevice[]): Promise<void> {
  for (const device of devices) expect(await device.texts(id, texts.length)).toEqual(texts);
  await settle(...devices);
  for (const device of devices) expect(await device.texts(id, texts.length)).toEqual(texts);
  const groups = await Promise.all(devices.map(async (device) => (await device.hands()).group(id)));
  for (const { context } of groups) expect(context).toEqual(groups[0]!.context);
  const { messages, ...misuse } = watch.misuse();
  expect(messages).toBeGreaterThan(0);
  expect(misuse).toEqual({ keys: [], nonces: [] });
}

describe('the worker dies at a request', () => {
  it.each(WHEN)('text, %s', async (when) => {
    const { anna, ben, id } = await people();
    await survive(anna, 'text', when, () => anna.send(id, 'second'));
    await anna.send(id, 'third');
    await expectAgreement(id, ['first', 'second', 'third'], anna, ben);
  });

  it.each(WHEN)('text, %s, while others go on', async (when) => {
    const { anna, ben, id } = await people();
    await settle(await world.person('cara'));
    const dead = dieAt(anna, 'text', when);
    void anna.send(id, 'second').catch(() => undefined);
    await dead;
    await ben.addMember(id, 'cara');
    await ben.conversation(id, ({ members }) => members.length === 3);
    await ben.send(id, 'from ben');
    await ben.texts(id, when === 'before it is sent' ? 2 : 3);
    anna.restart();
    await anna.send(id, 'third');
    const texts = await ben.texts(id, 4);
    expect(texts.filter((text) => text !== 'from ben')).toEqual(['first', 'second', 'third']);
    await expectAgreement(id, texts, anna, ben);
  });

  it.each(WHEN)('creation, %s', async (when) => {
    const { anna, ben } = await people();
    const groupId = crypto.getRandomValues(new Uint8Array(16));
    const members = await anna.runtime.findAccounts(['ben']);
    if (typeof members === 'string') throw new Error(members);
    await survive(anna, 'creation', when, () => anna.do({ command: 'startConversation', groupId, members, title: 'new' }));
    const id = Buffer.from(groupId).toString('hex');
    await anna.send(id, 'hello');
    await expectAgreement(id, ['hello'], anna, ben);
    expect((await ben.runtime.state()).conversations).toHaveLength(2);
  });

  it.each(WHEN)('commit that adds, %s', async (when) => {
    const { anna, ben, id } = await people();
    const cara = await world.person('cara');
    await settle(cara);
    await survive(anna, 'commit', when, () => anna.addMember(id, 'cara'));
    await cara.conversation(id, ({ state }) => state === 'ready');
    await anna.send(id, 'with cara');
    expect(await cara.texts(id, 1)).toEqual(['with cara']);
    await expectAgreement(id, ['first', 'with cara'], anna, ben);
    expect((await anna.runtime.state()).conversations[0]!.members).toHaveLength(3);
  });

  it.each(WHEN)('commit that removes, %s', async (when) => {
    const { anna, ben, id } = await people();
    const { accountId } = (await ben.runtime.state()).account!;
    await survive(anna, 'commit', when, () => anna.do({ command: 'removeMember', conversationId: id, accountId }));
    await ben.conversation(id, ({ state }) => state === 'left');
    await anna.send(id, 'alone');
    await expectAgreement(id, ['first', 'alone'], anna);
    expect(await ben.texts(id, 1)).toEqual(['first']);
  });

  it.each((['emulationCommit', 'upload'] as const).flatMap((request) => WHEN.map((when) => [request, when] as const)))(
    'announcing KeyPackages, %s, %s: each of them is at the server once and works',
    async (request, when) => {
      const anna = await world.person('anna');
      const cara = world.device();
      for (const device of [anna, cara]) watch.watch(device);
      await survive(cara, request, when, () => cara.do({ command: 'createAccount', username: 'cara', deviceName: 'desk' }));
      await cara.until(({ phase }) => phase === 'ready' || undefined);
      const id = await anna.startConversation(['cara'], 'with cara');
      await anna.send(id, 'hello');
      await expectAgreement(id, ['hello'], anna, cara);
    },
  );

  it.each((['emulationCommit', 'commit', 'deviceProfile'] as const).flatMap((request) => WHEN.map((when) => [request, when] as const)))(
    'linking a device, %s, %s',
    async (request, when) => {
      const { anna, ben, id } = await people();
      const dead = dieAt(anna, request, when).then(() => anna.restart());
      const phone = await world.link(anna, 'phone');
      await dead;
      watch.watch(phone);
      await phone.conversation(id, ({ state }) => state === 'ready');
      await phone.send(id, 'from the phone');
      await anna.send(id, 'from the laptop');
      const texts = await ben.texts(id, 3);
      expect(await phone.texts(id, 2)).toEqual(texts.slice(1));
      await settle(anna, phone, ben);
      expect(texts.toSorted()).toEqual(['first', 'from the laptop', 'from the phone']);
      await expectAgreement(id, texts, anna, ben);
      for (const device of [anna, phone]) expect((await device.runtime.state()).devices.map(({ name }) => name)).toContain('phone');
    },
  );
});

describe('two devices of one person at the same moment', () => {
  it('use no key with one nonce twice, though they take the same keys', async () => {
    const { anna, ben, id } = await people();
    const phone = await world.link(anna, 'phone');
    watch.watch(phone);
    await phone.conversation(id, ({ state }) => state === 'ready');
    const send = async (device: TestDevice, name: string): Promise<void> => {
      for (let i = 0; i < 20; i += 1) await device.send(id, `${name} ${i}`);
    };
    await Promise.all([send(anna, 'laptop'), send(phone, 'phone')]);
    const texts = await ben.texts(id, 41);
    await expectAgreement(id, texts, anna, ben);
    expect((anna.refusals.get('generation-taken') ?? 0) + (phone.refusals.get('generation-taken') ?? 0)).toBeGreaterThan(0);
  });
});
