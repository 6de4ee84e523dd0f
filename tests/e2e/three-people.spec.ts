import type { Page } from '@playwright/test';
import { callWorker, textsOf } from './support/bridge.ts';
import { expect, test, type Device } from './support/fixtures.ts';
import {
  addMember,
  createAccount,
  expectMembers,
  line,
  linkDevice,
  openConversation,
  removeMember,
  sees,
  send,
  startConversation,
  textsInOrder,
} from './support/person.ts';
import { accountsInTree, readServerLog } from './support/server-log.ts';

// Anna has a laptop with two tabs and a phone; ben and cora have one device each.

interface People {
  readonly laptop: Device;
  readonly phone: Device;
  readonly ben: Device;
  readonly cora: Device;
}

async function threePeople(device: (name: string) => Promise<Device>): Promise<People> {
  const [laptop, phone, ben, cora] = await Promise.all([device('laptop'), device('phone'), device('ben'), device('cora')]);
  await Promise.all([
    createAccount(laptop.page, 'anna', 'Laptop'),
    createAccount(ben.page, 'ben', 'Desk'),
    createAccount(cora.page, 'cora', 'Tablet'),
  ]);
  return { laptop, phone, ben, cora };
}

/** The conversation that a tab shows. */
function conversationIn(page: Page): string {
  return new URL(page.url()).hash.split('/').at(-1) ?? '';
}

test('three people talk, add and remove each other, and every device and tab agrees', async ({ device, server }) => {
  const { laptop, phone, ben, cora } = await threePeople(device);
  const tab = await laptop.newTab();

  // Alone with ben, before and after the phone is there.
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Only for ben');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Only for ben');
  await linkDevice(phone.page, laptop.page, 'Phone');

  // A group of three, started on the new device.
  await startConversation(phone.page, ['ben', 'cora'], 'Trip');
  await send(phone.page, 'Where to?');
  const everywhere = [laptop.page, tab, phone.page, ben.page, cora.page];
  for (const page of everywhere) await openConversation(page, 'Trip');
  await Promise.all(everywhere.map((page) => sees(page, 'Where to?')));
  await send(cora.page, 'To the sea');
  await Promise.all(everywhere.map((page) => sees(page, 'To the sea')));
  await send(tab, 'Gladly');
  await Promise.all(everywhere.map((page) => sees(page, 'Gladly')));

  // Anna's own devices show which of them it was; the others cannot know.
  for (const page of [laptop.page, tab, phone.page]) {
    await expect(line(page, 'Where to?').getByTestId('device')).toHaveText('Phone');
    await expect(line(page, 'Gladly').getByTestId('device')).toHaveText('Laptop');
    await expect(line(page, 'To the sea').getByTestId('device')).toHaveCount(0);
  }
  const trip = conversationIn(ben.page);
  for (const page of [ben.page, cora.page]) {
    const texts = await textsOf(page, trip);
    expect(texts.filter(({ sender }) => sender?.username === 'anna').map(({ device: from }) => from)).toEqual([undefined, undefined]);
    await expectMembers(page, ['anna', 'ben', 'cora']);
  }

  // Any member removes and adds any other.
  await removeMember(cora.page, 'ben');
  await expect(ben.page.getByText('You are not a member of this conversation any more.')).toBeVisible();
  await send(phone.page, 'Without ben');
  const without = [laptop.page, tab, phone.page, cora.page];
  await Promise.all(without.map((page) => sees(page, 'Without ben')));
  await addMember(laptop.page, 'ben');
  await expect(ben.page.getByRole('textbox', { name: 'Message' })).toBeVisible();
  await send(ben.page, 'Back again');
  await Promise.all(everywhere.map((page) => sees(page, 'Back again')));

  // One order everywhere; ben lacks exactly what was said without him.
  const order = ['Where to?', 'To the sea', 'Gladly', 'Without ben', 'Back again'];
  for (const page of without) expect(await textsInOrder(page)).toEqual(order);
  expect(await textsInOrder(ben.page)).toEqual(order.filter((text) => text !== 'Without ben'));

  // The server's tree of each conversation holds each person once.
  const { accounts, groups } = readServerLog(server.dataDir);
  const [anna, benId, coraId] = ['anna', 'ben', 'cora'].map((name) => accounts.get(name));
  const trees = groups.filter(({ emulates }) => emulates === null).map((group) => accountsInTree(group).sort());
  expect(trees.sort((one, other) => one.length - other.length)).toEqual([[anna, benId].sort(), [anna, benId, coraId].sort()]);
});

test('two devices of one person send 50 messages each at once, and everyone has all 100 in one order', async ({
  device,
  server,
  delivery,
}) => {
  const { laptop, phone, ben, cora } = await threePeople(device);
  await linkDevice(phone.page, laptop.page, 'Phone');
  await startConversation(laptop.page, ['ben', 'cora'], 'Trip');
  const tab = await phone.newTab();
  const everywhere = [laptop.page, phone.page, tab, ben.page, cora.page];
  for (const page of everywhere) await openConversation(page, 'Trip');
  const trip = conversationIn(laptop.page);
  const before = readServerLog(server.dataDir).log.length;

  // The laptop's worker is stopped and the server restarted while they write.
  const names = Array.from({ length: 50 }, (_, i) => String(i + 1).padStart(2, '0'));
  const write = async (from: Device, half: () => Promise<void>): Promise<void> => {
    for (const name of names) {
      await send(from.page, `${from.name} ${name}`);
      if (name === '25') await half();
    }
  };
  await Promise.all([
    write(laptop, () => laptop.worker.stop()),
    write(phone, async () => {
      await server.stop();
      await server.start();
    }),
  ]);

  const sent = [laptop, phone].flatMap(({ name }) => names.map((number) => `${name} ${number}`));
  const orders = await Promise.all(
    everywhere.map(async (page) => {
      await expect.poll(async () => (await textsOf(page, trip).catch(() => [])).length, { timeout: 60_000 }).toBe(sent.length);
      return textsOf(page, trip);
    }),
  );
  const [first, ...others] = orders.map((messages) => messages.map(({ text, position }) => `${position} ${text}`));
  for (const order of others) expect(order).toEqual(first);
  const texts = orders[0]!.map(({ text }) => text);
  expect([...texts].sort()).toEqual([...sent].sort());
  // Each device's own messages stay in the order in which they were written.
  for (const { name } of [laptop, phone])
    expect(texts.filter((text) => text.startsWith(name))).toEqual(names.map((number) => `${name} ${number}`));

  // Whose they are: anna's devices know, the others have one anna.
  for (const messages of orders.slice(0, 3)) {
    expect(messages.map(({ text, device: from }) => `${from?.name.toLowerCase()} ${text.slice(-2)}`)).toEqual(texts);
  }
  for (const messages of orders.slice(3)) {
    expect(new Set(messages.map((message) => JSON.stringify([message.sender?.username, message.device, message.alarm])))).toEqual(
      new Set([JSON.stringify(['anna', undefined, false])]),
    );
  }

  // The server's log has each once, all by one account, which has one leaf.
  const { accounts, groups, log } = readServerLog(server.dataDir);
  const entries = log.slice().filter(({ groupId, kind }) => groupId === trip && kind === 'application');
  // A service that does not check generations keeps those too that came second, and were sent again.
  if (delivery === 'strong') expect(entries).toHaveLength(sent.length);
  else expect(entries.length).toBeGreaterThan(sent.length);
  expect(new Set(entries.map(({ accountId }) => accountId))).toEqual(new Set([accounts.get('anna')]));
  expect(log.length).toBeGreaterThanOrEqual(before + sent.length);
  const tree = accountsInTree(groups.find(({ groupId }) => groupId === trip)!);
  expect([...tree].sort()).toEqual([...accounts.values()].sort());

  // The screens show the same, without anything that still waits.
  for (const page of everywhere) {
    await expect(page.getByRole('list', { name: 'Messages' }).locator('li[data-status="waiting"]')).toHaveCount(0);
    expect((await textsInOrder(page)).slice(-10)).toEqual(texts.slice(-10));
  }
  expect((await callWorker(ben.page, 'state', {})).notices).toEqual([]);
});
