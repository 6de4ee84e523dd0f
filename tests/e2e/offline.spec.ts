import { callWorker, textsOf } from './support/bridge.ts';
import { expect, test, type Device } from './support/fixtures.ts';
import { createAccount, line, linkDevice, openConversation, sees, send, startConversation, textsInOrder } from './support/person.ts';
import { readServerLog } from './support/server-log.ts';

const SYNC = 'chorus-outbox';
const isSubmission = ({ method, path }: { method: string; path: string }): boolean => method === 'POST' && path.startsWith('/v1/groups/');

/** Anna's laptop and ben's desk, each in their conversation of two. */
async function twoPeople(device: (name: string) => Promise<Device>): Promise<{ laptop: Device; ben: Device; talk: string }> {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'First');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'First');
  return { laptop, ben, talk: new URL(ben.page.url()).hash.split('/').at(-1) ?? '' };
}

test('what is written offline goes out later, in order, once', async ({ device }) => {
  const { laptop, ben } = await twoPeople(device);
  await laptop.goOffline();
  const written = ['One', 'Two', 'Three'];
  for (const text of written) await send(laptop.page, text);
  await expect(laptop.page.getByRole('status', { name: 'Connection' })).toHaveText('Offline: 3 messages will go out later');
  await send(ben.page, 'Meanwhile');
  await sees(ben.page, 'Meanwhile');

  // A reload and even the end of the browser lose nothing of it.
  await laptop.page.reload();
  for (const text of written) await expect(line(laptop.page, text)).toHaveAttribute('data-status', 'waiting');
  await laptop.restart();
  await openConversation(laptop.page, 'ben');
  for (const text of written) await expect(line(laptop.page, text)).toHaveAttribute('data-status', 'waiting');

  await laptop.goOnline();
  const order = ['First', 'Meanwhile', ...written];
  for (const { page } of [laptop, ben]) {
    for (const text of order) await sees(page, text);
    expect(await textsInOrder(page)).toEqual(order);
  }
});

test('a message whose answer is lost, or whose server is killed, is sent once', async ({ device, server }) => {
  const { laptop, ben, talk } = await twoPeople(device);

  const lost = laptop.cable.cutAfter(isSubmission);
  await send(laptop.page, 'Accepted, but nobody said so');
  await lost;
  await sees(ben.page, 'Accepted, but nobody said so');
  await laptop.goOnline();
  await sees(laptop.page, 'Accepted, but nobody said so');

  const unsent = laptop.cable.cutBefore(isSubmission);
  await send(laptop.page, 'Did not get through at first');
  await unsent;
  await laptop.goOnline();
  await Promise.all([laptop, ben].map(({ page }) => sees(page, 'Did not get through at first')));

  await send(laptop.page, 'Just before the end');
  await server.kill();
  await send(ben.page, 'While there was no server');
  await server.start();
  await send(laptop.page, 'And after it');
  const texts = ['Just before the end', 'While there was no server', 'And after it'];
  for (const { page } of [laptop, ben]) for (const text of texts) await sees(page, text);

  const [ours, theirs] = await Promise.all([laptop, ben].map(async ({ page }) => (await textsOf(page, talk)).map(({ text }) => text)));
  expect(ours).toEqual(theirs);
  expect(ours).toHaveLength(6);
  expect(readServerLog(server.dataDir).log.filter(({ groupId, kind }) => groupId === talk && kind === 'application')).toHaveLength(6);
});

test('without any tab, a background sync sends, catches up and follows the other devices', async ({ device, server }) => {
  const { laptop, ben, talk } = await twoPeople(device);
  const phone = await device('phone');
  await linkDevice(phone.page, laptop.page, 'Phone');
  await openConversation(phone.page, 'ben');
  await send(ben.page, 'To both');
  await sees(phone.page, 'To both');

  // The phone writes offline and is put away.
  await phone.goOffline();
  await send(phone.page, 'From the pocket');
  await expect(line(phone.page, 'From the pocket')).toHaveAttribute('data-status', 'waiting');
  await phone.page.close();
  await phone.worker.stop();
  const away = Date.now();

  // Ben starts so many conversations that anna's laptop has to announce new KeyPackages.
  const titles = Array.from({ length: 22 }, (_, i) => `Talk ${i + 1}`);
  const ids: string[] = [];
  for (const title of titles) {
    const answer = await callWorker(ben.page, 'startConversation', { usernames: ['anna'], title });
    expect(answer.ok).toBe(true);
    if (answer.ok) ids.push(answer.conversationId ?? '');
  }
  for (const conversationId of ids) await callWorker(ben.page, 'send', { conversationId, text: `Welcome to ${conversationId}` });
  await hasAll(laptop, ids);
  const log = readServerLog(server.dataDir);
  const later = log.usedKeyPackages.filter(({ accountId, announcedAt }) => accountId === log.accounts.get('anna') && announcedAt > away);
  expect(later.length).toBeGreaterThan(0);
  await send(ben.page, 'To the pocket');
  await expect(line(ben.page, 'To the pocket')).toHaveAttribute('data-status', 'sent');

  // The network is back, and nobody opens the app.
  await phone.cable.mend();
  await phone.worker.sync(SYNC);
  await sees(ben.page, 'From the pocket');
  await openConversation(laptop.page, 'ben');
  await sees(laptop.page, 'From the pocket');
  await expect(line(laptop.page, 'From the pocket').getByTestId('device')).toHaveText('Phone');
  await quiet(phone);
  await phone.cable.cut();

  // Looked at offline and without the app: all of it is there already.
  const blank = await phone.context.newPage();
  await blank.goto(`${phone.origin}/favicon.svg`);
  const texts = async (id: string): Promise<string[]> => (await textsOf(blank, id)).map(({ text }) => text);
  await expect.poll(() => texts(talk)).toEqual(['To both', 'To the pocket', 'From the pocket']);
  for (const id of ids) expect(await texts(id)).toEqual([`Welcome to ${id}`]);
  await blank.close();

  // And it can go on in them.
  await phone.cable.mend();
  const page = await phone.newTab();
  await openConversation(page, titles.at(-1) ?? '');
  await send(page, 'Seen');
  await openConversation(ben.page, titles.at(-1) ?? '');
  await sees(ben.page, 'Seen');
  const { notices } = await callWorker(page, 'state', {});
  expect(notices.filter(({ kind }) => kind !== 'device-linked')).toEqual([]);
});

/** Waits until a device has the first text of each conversation. */
async function hasAll(device: Device, ids: readonly string[]): Promise<void> {
  await expect
    .poll(
      async () => {
        const { conversations } = await callWorker(device.page, 'state', {});
        return ids.filter((id) => conversations.find(({ conversationId }) => conversationId === id)?.lastMessage?.kind !== 'text').length;
      },
      { timeout: 60_000 },
    )
    .toBe(0);
}

/** Waits until a device has asked the server for nothing for a while. */
async function quiet({ cable }: Device): Promise<void> {
  for (let asked = -1; asked < cable.requests.length;) {
    asked = cable.requests.length;
    await new Promise((resolve) => setTimeout(resolve, 2_000));
  }
}
