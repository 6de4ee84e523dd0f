import type { Page } from '@playwright/test';
import { rounds } from '../support/rounds.ts';
import { callWorker, textsOf } from './support/bridge.ts';
import { expect, test } from './support/fixtures.ts';
import {
  createAccount,
  finishLink,
  linkDevice,
  openConversation,
  sees,
  send,
  showLinkCode,
  startConversation,
  takeCode,
  typePhrase,
  writePhraseDown,
} from './support/person.ts';
import { clearData, deleteRoot, fillStorage, limitStorage, makeRoom, upgradeDatabase } from './support/storage.ts';

// The browser gives the app no room, or takes away what it has: a person is told so, and what to do.

const lost = (page: Page) => page.getByRole('heading', { name: 'This device has lost its data' });

const FULL_ROUNDS = rounds({ test: 3, soak: 30 });

test('with a full disk a person is told so, nothing is lost, and with room everything goes out and comes in once', async ({ device }) => {
  test.setTimeout(120_000 + FULL_ROUNDS * 30_000);
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await limitStorage(laptop);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'before');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'before');
  await sees(laptop.page, 'before');
  const talk = new URL(ben.page.url()).hash.split('/').at(-1) ?? '';
  const full = laptop.page.getByRole('alert').filter({ hasText: 'The storage of this device is full' });
  const field = laptop.page.getByRole('textbox', { name: 'Message' });
  const order = ['before'];
  /** What else happens while the disk is full. */
  const meanwhile = [
    () => Promise.resolve(),
    () => laptop.worker.stop(),
    async () => {
      await laptop.page.reload();
      await expect(field).toBeVisible();
    },
  ];

  for (let round = 0; round < FULL_ROUNDS; round++) {
    const [early, late, answer] = [`${round} written before`, `${round} written too late`, `${round} from ben`] as const;
    await laptop.goOffline();
    await send(laptop.page, early);
    await expect.poll(async () => (await callWorker(laptop.page, 'state', {})).connection.waiting).toBe(1);
    await fillStorage(laptop.page);
    await meanwhile[round % meanwhile.length]?.();
    await laptop.goOnline();
    await send(laptop.page, late);
    await expect(full.first()).toBeVisible();
    await expect(field).toHaveValue(late);
    await send(ben.page, answer);
    await sees(ben.page, answer);
    // What was encrypted before the disk was full may go out; what comes back of it waits at the server.
    const without = (await textsOf(ben.page, talk)).map(({ text }) => text).filter((text) => text !== early);
    expect(without).toEqual([...order, answer]);
    // The screen has the newest lines.
    const shown = (): Promise<string[]> => laptop.page.getByTestId('message-text').allInnerTexts();
    await expect.poll(async () => (await shown()).slice(-4)).toEqual([...order, early].slice(-4));

    await makeRoom(laptop.page);
    await field.press('Enter');
    for (const { page } of [laptop, ben]) for (const text of [early, late, answer]) await sees(page, text);
    const texts = await textsOf(ben.page, talk);
    order.push(...texts.slice(order.length).map(({ text }) => text));
    expect(order.slice(-3).sort()).toEqual([early, late, answer].sort());
    for (const { page } of [laptop, ben]) {
      const now = await textsOf(page, talk);
      expect(now.map(({ text }) => text)).toEqual(order);
      expect(now.filter(({ status, alarm }) => status !== 'sent' || alarm)).toEqual([]);
    }
    await expect(full).toHaveCount(0);
  }
});

const EVICTIONS = rounds({ test: 3, soak: 12 });
/** A message is through in less, ms. */
const LONGEST_STEP = 250;

test('a device whose data the browser has deleted says so, comes back by another device or by the phrase, and its old self is removed', async ({
  device,
}) => {
  test.setTimeout(120_000 + EVICTIONS * 60_000);
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  const phrase = (await writePhraseDown(laptop.page)).join(' ');
  await linkDevice(phone.page, laptop.page, 'Phone');
  await startConversation(laptop.page, ['ben']);
  const talk = new URL(laptop.page.url()).hash.split('/').at(-1) ?? '';
  await openConversation(ben.page, 'anna');
  const devices = phone.page.getByRole('list', { name: 'Your devices' });
  const said: string[] = [];

  const ways: readonly [name: string, lose: () => Promise<void>][] = [
    ['to the last byte, while the tab is open', () => clearData(laptop, laptop.page, 'all')],
    [
      'to make room, between two visits',
      async () => {
        await laptop.page.goto('about:blank');
        await clearData(laptop, laptop.page, 'evicted');
        await laptop.page.goto(laptop.origin);
      },
    ],
    [
      'to make room, while a message comes in',
      async () => {
        await send(ben.page, 'on its way');
        said.push('on its way');
        await laptop.page.waitForTimeout(Math.random() * LONGEST_STEP);
        await clearData(laptop, laptop.page, 'evicted');
      },
    ],
  ];
  const back = {
    phrase: async (name: string) => {
      await typePhrase(laptop.page, 'anna', phrase, name);
      await laptop.page.getByRole('button', { name: 'Recover account' }).click();
    },
    device: async (name: string) => {
      await laptop.page.getByRole('button', { name: 'Link this device again' }).click();
      await takeCode(phone.page, await showLinkCode(laptop.page, name));
      await finishLink(laptop.page, phone.page);
    },
  };

  let name = 'Laptop';
  for (let round = 0; round < EVICTIONS; round++) {
    const [what, lose] = ways[round % ways.length]!;
    const way = round % 2 === 0 ? 'phrase' : 'device';
    const old = name;
    name = `Laptop, again ${round}`;
    await test.step(`${what}; back by the ${way}`, async () => {
      await lose();
      await expect(lost(laptop.page)).toBeVisible();
      await expect(laptop.page.getByText('Your browser has deleted what Chorus kept on this device.')).toBeVisible();
      await send(ben.page, `${round} meanwhile`);
      await back[way](name);
      await openConversation(laptop.page, 'ben');
      await send(laptop.page, `${round} back again`);
      await sees(ben.page, `${round} back again`);
    });
    await test.step('the device that was is removed', async () => {
      await phone.page.getByRole('link', { name: 'Devices' }).click();
      await expect(devices.getByRole('listitem')).toHaveCount(3);
      await phone.page.getByRole('button', { name: `Remove ${old}`, exact: true }).click();
      await phone.page.getByRole('button', { name: 'Yes, remove' }).click();
      await expect(devices.getByRole('listitem')).toHaveCount(2);
      await send(ben.page, `${round} to who is left`);
      await sees(laptop.page, `${round} to who is left`);
    });
    said.push(`${round} meanwhile`, `${round} back again`, `${round} to who is left`);
    // The device that was not lost has missed nothing, and what is back continues over a reload.
    await expect.poll(async () => (await textsOf(phone.page, talk)).map(({ text }) => text)).toEqual(said);
    await laptop.page.reload();
    await sees(laptop.page, `${round} to who is left`);
  }
});

test('records without their root key are told from a new device, and make room for one', async ({ device }) => {
  const laptop = await device('laptop');
  await createAccount(laptop.page, 'anna', 'Laptop');
  await deleteRoot(laptop.page);
  await laptop.worker.stop();
  await laptop.page.reload();
  await expect(lost(laptop.page)).toBeVisible();
  await expect(laptop.page.getByText('What is left cannot be read any more')).toBeVisible();
  await laptop.page.getByRole('button', { name: 'Start with a new account' }).click();
  await createAccount(laptop.page, 'anna-again', 'Laptop');
  await laptop.worker.stop();
  await laptop.page.reload();
  await expect(laptop.page.getByRole('navigation', { name: 'Conversations' })).toBeVisible();

  await test.step('the device page says whether the browser keeps the data', async () => {
    await laptop.page.getByRole('link', { name: 'Devices' }).click();
    await expect(laptop.page.getByText('The browser may delete Chorus’s data')).toBeVisible();
    await laptop.page.getByRole('button', { name: 'Ask the browser to keep it' }).click();
    await expect(laptop.page.getByText('The browser did not promise it yet.')).toBeVisible();
    const session = await laptop.context.newCDPSession(laptop.page);
    await session.send('Browser.grantPermissions', { origin: laptop.origin, permissions: ['durableStorage', 'notifications'] });
    await laptop.page.getByRole('button', { name: 'Ask the browser to keep it' }).click();
    await expect(laptop.page.getByText('The browser has promised to keep Chorus’s data')).toBeVisible();
  });

  await test.step('a page of an older version than the database says so, at work and at its start', async () => {
    await upgradeDatabase(laptop.page);
    await laptop.page.reload();
    const newer = laptop.page.getByRole('alert').filter({ hasText: 'A newer version of Chorus has been used in this browser' });
    await expect(newer).toBeVisible();
    await laptop.worker.stop();
    await laptop.page.reload();
    await expect(laptop.page.getByRole('heading', { name: 'Chorus could not start' })).toBeVisible();
    await expect(newer).toBeVisible();
  });
});
