import type { Locator } from '@playwright/test';
import { expect, test } from './support/fixtures.ts';
import { createAccount, openConversation, sees, send, startConversation } from './support/person.ts';

test('keys are renewed at a click, with progress, and nobody else notices', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await createAccount(laptop.page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Before');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Before');

  await laptop.page.getByRole('link', { name: 'Devices' }).click();
  const keys = (): Locator => laptop.page.getByRole('region', { name: 'Keys' });
  await expect(keys().getByText('Last renewed')).toBeVisible();

  // Offline the wish is kept and shown, and survives the worker.
  await laptop.goOffline();
  await keys().getByRole('button', { name: 'Renew keys now' }).click();
  await expect(keys().getByText('0 of 1 conversation renewed')).toBeVisible();
  await expect(keys().getByRole('button', { name: 'Renew keys now' })).toBeDisabled();
  await laptop.restart();
  await laptop.page.getByRole('link', { name: 'Devices' }).click();
  await expect(keys().getByText('0 of 1 conversation renewed')).toBeVisible();
  await laptop.goOnline();
  await expect(keys().getByText('Last renewed')).toBeVisible();
  await expect(keys().getByRole('button', { name: 'Renew keys now' })).toBeEnabled();

  await openConversation(laptop.page, 'ben');
  await send(laptop.page, 'After');
  await sees(ben.page, 'After');
  await send(ben.page, 'And back');
  await sees(laptop.page, 'And back');
  await expect(ben.page.getByRole('list', { name: 'Messages' })).not.toContainText('renewed');
});
