import { pbkdf2Sync } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { expect, test, type Device } from './support/fixtures.ts';
import { createAccount, line, linkDevice, openConversation, sees, send, startConversation } from './support/person.ts';
import { copyOf, openWith, sealedIn, searchProfile, wrappingKeyOf } from './support/profile-search.ts';

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

test('a copy of the profile of a device with an app lock opens with the passphrase alone, also what was sealed before', async ({
  device,
}) => {
  const laptop = await device('laptop');
  await createAccount(laptop.page, 'anna', 'Laptop');
  const before = await sealedIn(laptop.page);
  await setPassphrase(laptop, 'Turn on the app lock');
  const now = await sealedIn(laptop.page);
  const { salt, iterations } = await lockOf(laptop);
  const copy = await copyOf(laptop);

  const [oldKey, key, record] = [before.find(({ store }) => store === 'keys')!, now.find(({ store }) => store === 'keys')!, now[0]!];
  const factor = pbkdf2Sync(PASSPHRASE, salt, iterations, 32, 'sha256');
  const found = { opens: 0, opensWithPassphrase: 0 };
  // The app's own files, which the browser keeps of the network, hold nothing of a device.
  searchProfile(copy, /ScriptCache|CacheStorage|Cache_Data/, (window) => {
    const wrapping = wrappingKeyOf(window);
    if (openWith(wrapping, oldKey) ?? openWith(wrapping, key) ?? openWith(window, key) ?? openWith(window, record)) found.opens += 1;
    if (openWith(wrappingKeyOf(window, factor), key)) found.opensWithPassphrase += 1;
    return false;
  });
  await rm(copy, { recursive: true, force: true });
  expect(record.store).toBe('records');
  expect(found).toEqual({ opens: 0, opensWithPassphrase: 1 });
});

/** What is stored of the lock: nothing of it is secret. */
async function lockOf({ page }: Device): Promise<{ salt: Buffer; iterations: number }> {
  const lock = await page.evaluate(async () => {
    const done = <Value>(request: IDBRequest<Value>): Promise<Value> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(new Error(String(request.error)));
      });
    const database = await done(indexedDB.open('chorus'));
    const root: unknown = await done(database.transaction('meta').objectStore('meta').get('root'));
    database.close();
    const { salt, iterations } = (root as { lock: { salt: Uint8Array; iterations: number } }).lock;
    return { salt: [...salt], iterations };
  });
  return { ...lock, salt: Buffer.from(lock.salt) };
}
