import type { Page } from '@playwright/test';
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
} from './support/person.ts';
import { clearData, deleteRoot, fillStorage, limitStorage, makeRoom, upgradeDatabase } from './support/storage.ts';

// The browser gives the app no room, or takes away what it has: a person is told so, and what to do.

const lost = (page: Page) => page.getByRole('heading', { name: 'This device has lost its data' });

test('with a full disk a person is told so, nothing is lost, and with room everything goes out and comes in once', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await limitStorage(laptop);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'before');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'before');
  await sees(laptop.page, 'before');
  const talk = new URL(ben.page.url()).hash.split('/').at(-1) ?? '';

  await laptop.goOffline();
  await send(laptop.page, 'written before');
  await expect.poll(async () => (await callWorker(laptop.page, 'state', {})).connection.waiting).toBe(1);
  await fillStorage(laptop.page);
  await laptop.goOnline();
  await send(laptop.page, 'written too late');
  const full = laptop.page.getByRole('alert').filter({ hasText: 'The storage of this device is full' });
  await expect(full.first()).toBeVisible();
  const field = laptop.page.getByRole('textbox', { name: 'Message' });
  await expect(field).toHaveValue('written too late');
  await send(ben.page, 'from ben');
  await sees(ben.page, 'from ben');
  expect((await textsOf(ben.page, talk)).map(({ text }) => text)).toEqual(['before', 'from ben']);
  await expect(laptop.page.getByTestId('message-text')).toHaveText(['before', 'written before']);

  await makeRoom(laptop.page);
  await field.press('Enter');
  for (const { page } of [laptop, ben]) {
    for (const text of ['written before', 'written too late', 'from ben']) await sees(page, text);
    const texts = await textsOf(page, talk);
    expect(texts.map(({ text }) => text).sort()).toEqual(['before', 'from ben', 'written before', 'written too late']);
    expect(texts.filter(({ status, alarm }) => status !== 'sent' || alarm)).toEqual([]);
  }
  await expect(full).toHaveCount(0);
});

test('a device whose data the browser has deleted says so, is linked again, and its old self is removed from another', async ({
  device,
}) => {
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await linkDevice(phone.page, laptop.page, 'Phone');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'before');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'before');

  await test.step('to the last byte, while the tab is open', async () => {
    await clearData(laptop, laptop.page, 'all');
    await expect(lost(laptop.page)).toBeVisible();
  });
  await test.step('to make room, between two visits', async () => {
    await laptop.page.goto('about:blank');
    await clearData(laptop, laptop.page, 'evicted');
    await laptop.page.goto(laptop.origin);
    await expect(lost(laptop.page)).toBeVisible();
    await expect(laptop.page.getByText('Your browser has deleted what Chorus kept on this device.')).toBeVisible();
  });
  await test.step('the recovery phrase is one way back', async () => {
    await laptop.page.getByRole('button', { name: 'Use your recovery phrase' }).click();
    await expect(laptop.page.getByLabel('Recovery phrase')).toBeVisible();
    await laptop.page.reload();
  });
  await test.step('another device is the other', async () => {
    await laptop.page.getByRole('button', { name: 'Link this device again' }).click();
    await takeCode(phone.page, await showLinkCode(laptop.page, 'Laptop, again'));
    await finishLink(laptop.page, phone.page);
    await openConversation(laptop.page, 'ben');
    await send(laptop.page, 'back again');
    await sees(ben.page, 'back again');
  });
  await test.step('the device that was is removed', async () => {
    const devices = phone.page.getByRole('list', { name: 'Your devices' });
    await expect(devices.getByRole('listitem')).toHaveCount(3);
    await phone.page.getByRole('button', { name: 'Remove Laptop', exact: true }).click();
    await phone.page.getByRole('button', { name: 'Yes, remove' }).click();
    await expect(devices.getByRole('listitem')).toHaveCount(2);
    await send(ben.page, 'to who is left');
    await sees(laptop.page, 'to who is left');
    await laptop.page.reload();
    await expect(laptop.page.getByRole('navigation', { name: 'Conversations' })).toBeVisible();
  });
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
