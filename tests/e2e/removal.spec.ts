import type { Locator } from '@playwright/test';
import { expect, test } from './support/fixtures.ts';
import { createAccount, linkDevice, openConversation, sees, send, startConversation } from './support/person.ts';

test('a laptop removes a phone, which is shut out, and ben notices nothing', async ({ device }) => {
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  await createAccount(laptop.page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Hello');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Hello');
  await linkDevice(phone.page, laptop.page, 'Phone');
  await openConversation(phone.page, 'ben');
  await send(phone.page, 'Hello from the phone');
  await sees(ben.page, 'Hello from the phone');

  const list = (): Locator => laptop.page.getByRole('list', { name: 'Your devices' });
  const progress = (): Locator => laptop.page.getByRole('status', { name: 'Phone: being removed' });
  await expect(list().getByRole('listitem')).toHaveCount(2);
  await list().getByRole('button', { name: 'Remove Phone' }).click();
  await list().getByRole('button', { name: 'Keep' }).click();
  await expect(list().getByRole('listitem')).toHaveCount(2);

  // Offline the wish is kept and shown; the phone is still there.
  await laptop.goOffline();
  await list().getByRole('button', { name: 'Remove Phone' }).click();
  await list().getByRole('button', { name: 'Yes, remove' }).click();
  await expect(list().getByRole('listitem').filter({ hasText: 'Phone' })).toContainText('Being removed');
  await expect(progress()).toBeVisible();
  await laptop.restart();
  await laptop.page.getByRole('link', { name: 'Devices' }).click();
  await expect(progress()).toBeVisible();
  await laptop.goOnline();

  await expect(phone.page.getByRole('heading', { name: 'This device is no longer linked' })).toBeVisible();
  await expect(list().getByRole('listitem')).toHaveCount(1);
  await expect(progress()).toHaveCount(0);

  await openConversation(laptop.page, 'ben');
  await send(laptop.page, 'Only for us');
  await sees(ben.page, 'Only for us');
  await send(ben.page, 'And back');
  await sees(laptop.page, 'And back');
  await expect(ben.page.getByRole('list', { name: 'Messages' })).not.toContainText('removed');
});
