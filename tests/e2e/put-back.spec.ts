import { cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from './support/fixtures.ts';
import { createAccount, linkDevice, openConversation, renewKeys, sees, send, startConversation } from './support/person.ts';

test('a browser whose profile is put back to before its last renewal says what has happened, and is linked anew', async ({ device }) => {
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await linkDevice(phone.page, laptop.page, 'Phone');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'before the backup');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'before the backup');
  const backup = await mkdtemp(join(tmpdir(), 'chorus-backup-'));
  await laptop.restart(() => cp(laptop.profile, backup, { recursive: true }));

  await renewKeys(laptop);
  await laptop.restart(async () => {
    await rm(laptop.profile, { recursive: true, force: true, maxRetries: 5 });
    await cp(backup, laptop.profile, { recursive: true });
  });
  await rm(backup, { recursive: true, force: true });

  await expect(laptop.page.getByRole('alert')).toContainText('Nothing can be sent or received on this device any more');
  await expect(laptop.page.getByRole('status', { name: 'Connection' })).toHaveText('Stopped');
  await laptop.page.getByRole('navigation', { name: 'Conversations' }).getByRole('link').filter({ hasText: 'ben' }).click();
  await sees(laptop.page, 'before the backup');
  await expect(laptop.page.getByRole('textbox', { name: 'Message' })).toBeHidden();
  await laptop.page.getByRole('link', { name: 'What has happened' }).click();
  await expect(laptop.page.getByRole('heading', { name: 'Your account has gone on without this device' })).toBeVisible();

  await phone.page.getByRole('link', { name: 'Devices' }).click();
  await phone.page.getByRole('button', { name: 'Remove Laptop' }).click();
  await phone.page.getByRole('button', { name: 'Yes, remove' }).click();
  await expect(phone.page.getByRole('list', { name: 'Your devices' }).getByText('Laptop')).toBeHidden();
  await laptop.page.getByRole('button', { name: 'Delete this device’s data' }).click();
  await laptop.page.getByRole('button', { name: 'Yes, delete everything here' }).click();
  await linkDevice(laptop.page, phone.page, 'Laptop again');
  await openConversation(laptop.page, 'ben');
  await send(laptop.page, 'linked anew');
  await sees(ben.page, 'linked anew');
});
