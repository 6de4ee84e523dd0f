import type { Locator } from '@playwright/test';
import type { Device } from './support/device.ts';
import { expect, test } from './support/fixtures.ts';
import { createAccount, linkDevice, openConversation, sees, send, startConversation } from './support/person.ts';

const members = ({ page }: Device): Locator => page.getByRole('complementary', { name: 'Members' });

async function linkShownBy(device: Device): Promise<string> {
  await members(device).getByRole('button', { name: 'Show the link' }).click();
  return members(device).getByLabel('Link to this conversation', { exact: true }).inputValue();
}

/** Opens the link as on this device's own address: each device of the tests has one. */
async function follow({ page, origin }: Device, link: string): Promise<void> {
  await page.goto(`${origin}/${new URL(link).hash}`);
}

test('cora joins by a link that anna made, with both of her devices, and the link can be withdrawn', async ({ device }) => {
  const [anna, ben, dora, cora, tablet] = (await Promise.all(['anna', 'ben', 'dora', 'cora', 'tablet'].map((name) => device(name)))) as [
    Device,
    Device,
    Device,
    Device,
    Device,
  ];
  await createAccount(anna.page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  await createAccount(dora.page, 'dora', 'Desk');
  await startConversation(anna.page, ['ben', 'dora'], 'Choir');
  await send(anna.page, 'Before cora');
  await openConversation(ben.page, 'Choir');
  await sees(ben.page, 'Before cora');

  await anna.page.getByRole('button', { name: 'Members' }).click();
  await members(anna).getByRole('button', { name: 'Make a link' }).click();
  const link = await linkShownBy(anna);
  expect(link).toContain(`${anna.origin}/#/join/`);
  await sees(ben.page, 'anna made a link to this conversation. Who has it can join.');

  // She has no account yet: the link is kept until she has one.
  await follow(cora, link);
  await expect(cora.page.getByText('You have followed a link to a conversation')).toBeVisible();
  await createAccount(cora.page, 'cora', 'Phone');
  await linkDevice(tablet.page, cora.page, 'Tablet');
  await cora.page.getByRole('link', { name: 'Open it' }).click();
  await expect(cora.page.getByRole('heading', { name: 'Choir' })).toBeVisible();
  await expect(cora.page.getByText('anna, ben, dora')).toBeVisible();
  await cora.page.getByRole('button', { name: 'Join', exact: true }).click();
  await expect(cora.page).not.toHaveURL(/join/);
  await send(cora.page, 'Here I am');
  for (const { page } of [anna, ben]) await sees(page, 'Here I am');
  await sees(ben.page, 'cora joined by a link');
  await openConversation(tablet.page, 'Choir');
  await send(tablet.page, 'And on the tablet');
  for (const { page } of [anna, ben, cora]) await sees(page, 'And on the tablet');
  await expect(cora.page.getByRole('list', { name: 'Messages' })).not.toContainText('Before cora');

  // Following it again leads to the conversation; once withdrawn, it leads nowhere.
  await follow(cora, link);
  await expect(cora.page.getByRole('heading', { name: 'Choir' })).toBeVisible();
  await ben.page.getByRole('button', { name: 'Members' }).click();
  await members(ben).getByRole('button', { name: 'Withdraw the link' }).click();
  await sees(anna.page, 'ben withdrew the link to this conversation.');
  await expect(members(anna).getByRole('button', { name: 'Make a link' })).toBeVisible();
  const eve = await device('eve');
  await createAccount(eve.page, 'eve', 'Desk');
  await follow(eve, link);
  await expect(eve.page.getByRole('alert')).toContainText('This link is no longer good');
});
