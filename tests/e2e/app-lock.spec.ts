import { expect, test, type Device } from './support/fixtures.ts';
import { createAccount, line, linkDevice, openConversation, sees, send, startConversation } from './support/person.ts';

const PASSPHRASE = 'correct horse battery';

/** Turns the lock on, or changes its passphrase, on the page “Devices”. */
async function setPassphrase({ page }: Device, button: string): Promise<void> {
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('button', { name: button }).click();
  await page.getByLabel('New passphrase').fill(PASSPHRASE);
  await page.getByLabel('The same again').fill(PASSPHRASE);
  await page.getByRole('button', { name: button }).click();
  await expect(page.getByRole('button', { name: 'Lock now' })).toBeVisible();
}

async function unlock({ page }: Device, passphrase: string): Promise<void> {
  await expect(page.getByRole('heading', { name: 'Chorus is locked' })).toBeVisible();
  await page.getByLabel('Passphrase').fill(passphrase);
  await page.getByRole('button', { name: 'Unlock' }).click();
}

test('a locked device opens with its passphrase alone, and catches up then', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Before the lock');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Before the lock');

  await setPassphrase(laptop, 'Turn on the app lock');
  await laptop.restart();
  await send(ben.page, 'While it was locked');
  await unlock(laptop, 'correct horse batterY');
  await expect(laptop.page.getByRole('alert')).toHaveText(/This is not the passphrase/);
  await expect(laptop.page.getByText('ben')).toHaveCount(0);
  await unlock(laptop, PASSPHRASE);
  await openConversation(laptop.page, 'ben');
  for (const text of ['Before the lock', 'While it was locked']) await sees(laptop.page, text);
  await send(laptop.page, 'Open again');
  await sees(ben.page, 'Open again');

  // Locked by hand it shows nothing, in any tab, and a new worker asks as well.
  const second = await laptop.newTab();
  await openConversation(second, 'ben');
  await laptop.page.getByRole('link', { name: 'Devices' }).click();
  await laptop.page.getByRole('button', { name: 'Lock now' }).click();
  for (const page of [laptop.page, second]) {
    await expect(page.getByRole('heading', { name: 'Chorus is locked' })).toBeVisible();
    await expect(line(page, 'Open again')).toHaveCount(0);
  }
  await unlock(laptop, PASSPHRASE);
  await sees(second, 'Open again');

  // Turned off, it opens without being asked.
  await laptop.page.getByRole('button', { name: 'Turn it off' }).click();
  await expect(laptop.page.getByRole('button', { name: 'Turn on the app lock' })).toBeVisible();
  await laptop.restart();
  await openConversation(laptop.page, 'ben');
  await sees(laptop.page, 'Open again');
});

test('who has forgotten the passphrase deletes what is there, and links the device anew', async ({ device }) => {
  const [laptop, phone] = await Promise.all([device('laptop'), device('phone')]);
  await createAccount(laptop.page, 'anna', 'Laptop');
  await linkDevice(phone.page, laptop.page, 'Phone');
  await setPassphrase(phone, 'Turn on the app lock');
  await phone.worker.stop();
  await phone.page.reload();
  await phone.page.getByRole('button', { name: 'Delete this device’s data' }).click();
  await phone.page.getByRole('button', { name: 'Yes, delete everything here' }).click();
  await expect(phone.page.getByRole('button', { name: 'Link to an existing account' })).toBeVisible();
});
