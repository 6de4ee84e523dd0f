import { rm } from 'node:fs/promises';
import type { Locator, Page } from '@playwright/test';
import { rounds } from '../support/rounds.ts';
import { expect, test, type Device } from './support/fixtures.ts';
import { keysOf, keysUnder, recordsOf, textsUnder, whatOpens } from './support/key-chain.ts';
import { createAccount, deleteForMe, line, linkDevice, openConversation, sees, send, startConversation } from './support/person.ts';
import { copyOf, filesWith, filesWithText, LEFT_OUT, rootNamesIn, rootsIn, sealedIn, type Sealed } from './support/profile-search.ts';

/** What this origin still holds: paths of records, and everything else that a page can leave behind. */
async function heldBy(
  page: Page,
): Promise<{ records: string[]; databases: string[]; caches: string[]; keys: string[]; notifications: number }> {
  return page.evaluate(async () => {
    const recordsIn = (name: string): Promise<string[]> =>
      new Promise((resolve, reject) => {
        const opening = indexedDB.open(name);
        opening.onerror = () => reject(new Error('cannot be opened'));
        opening.onsuccess = () => {
          const database = opening.result;
          if (!database.objectStoreNames.contains('records')) return resolve([]);
          const paths = database.transaction('records').objectStore('records').getAllKeys();
          paths.onsuccess = () => {
            database.close();
            resolve(paths.result.map(String));
          };
        };
      });
    const databases = (await indexedDB.databases()).map(({ name }) => name ?? '');
    const files = await Promise.all((await caches.keys()).map(async (name) => (await caches.open(name)).keys()));
    const registration = await navigator.serviceWorker.ready;
    return {
      records: databases.includes('chorus') ? await recordsIn('chorus') : [],
      databases,
      caches: files.flat().map(({ url }) => new URL(url).pathname),
      keys: [...Object.keys(localStorage), ...Object.keys(sessionStorage)],
      notifications: (await registration.getNotifications()).length,
    };
  });
}

/** No account's data: no record, no answer of the delivery service, nothing in the page's own storage. */
async function expectNothingHeld(page: Page): Promise<void> {
  const { records, caches, keys, notifications, databases } = await heldBy(page);
  expect({ records, keys, notifications }).toEqual({ records: [], keys: [], notifications: 0 });
  expect(caches.filter((path) => path.startsWith('/v1/'))).toEqual([]);
  for (const name of databases) expect(name).toMatch(/^chorus/);
}

const welcome = (page: Page): Locator => page.getByRole('button', { name: 'Create account' });

test('a message is deleted on all of a person’s devices; logging out and deleting leave nothing behind', async ({ device }) => {
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  await createAccount(laptop.page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Hello');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Hello');
  await linkDevice(phone.page, laptop.page, 'Phone');
  await openConversation(laptop.page, 'ben');
  await openConversation(phone.page, 'ben');
  await send(ben.page, 'Burn this');
  await send(ben.page, 'Good night');
  for (const { page } of [laptop, phone]) for (const text of ['Burn this', 'Good night']) await sees(page, text);

  // A message's own deletion: the dialog can be left by the keyboard, and by mistake nothing goes.
  await laptop.page.getByRole('button', { name: 'Delete for me: Burn this' }).press('Enter');
  await expect(laptop.page.getByRole('dialog')).toBeVisible();
  await laptop.page.keyboard.press('Escape');
  await expect(laptop.page.getByRole('button', { name: 'Delete for me: Burn this' })).toBeFocused();
  const roots = await Promise.all([laptop, phone].map(({ page }) => rootNamesIn(page)));
  await deleteForMe(laptop.page, 'Burn this');
  for (const { page } of [laptop, phone]) {
    await expect(line(page, 'Burn this')).toHaveCount(0);
    await expect(line(page, 'Good night')).toHaveCount(1);
  }
  await deleteForMe(phone.page, 'Good night');
  await expect(line(laptop.page, 'Good night')).toHaveCount(0);
  await expect(laptop.page.getByRole('navigation', { name: 'Conversations' })).not.toContainText('Good night');
  for (const { page } of [laptop, phone]) {
    await page.reload();
    await expect(page.getByRole('textbox', { name: 'Message' })).toBeVisible();
    await expect(page.getByRole('list', { name: 'Messages' })).not.toContainText(/Burn this|Good night/);
  }
  for (const text of ['Hello', 'Burn this', 'Good night']) await sees(ben.page, text);
  // Both have swept by themselves, long before the five minutes are over.
  for (const [index, { page }] of [laptop, phone].entries()) {
    const [before] = roots[index]!;
    await expect.poll(async () => (await rootNamesIn(page)).includes(before!), { timeout: 15_000 }).toBe(false);
  }

  // Logging out, with a draft in the other tab.
  const list = laptop.page.getByRole('list', { name: 'Your devices' });
  await laptop.page.getByRole('link', { name: /^Devices/ }).click();
  await expect(list.getByRole('listitem')).toHaveCount(2);
  const second = await phone.newTab();
  await openConversation(second, 'ben');
  await second.getByRole('textbox', { name: 'Message' }).fill('A draft');
  await phone.page.getByRole('link', { name: /^Devices/ }).click();
  await phone.page.getByRole('button', { name: 'Log out' }).click();
  await phone.page.getByRole('button', { name: 'Yes, log out' }).click();
  for (const page of [phone.page, second]) {
    await expect(welcome(page)).toBeVisible();
    expect(new URL(page.url()).hash).toBe('');
  }
  await expectNothingHeld(phone.page);
  await expect(list.getByRole('listitem')).toHaveCount(1);
  await openConversation(laptop.page, 'ben');
  await send(laptop.page, 'Still here');
  await sees(ben.page, 'Still here');
  await expect(ben.page.getByRole('list', { name: 'Messages' })).not.toContainText('removed');
  await phone.restart();
  await expect(welcome(phone.page)).toBeVisible();
  await expectNothingHeld(phone.page);

  // Deleting this device's data, offline, with two tabs.
  const tab = await laptop.newTab();
  await openConversation(tab, 'ben');
  await laptop.goOffline();
  await laptop.page.getByRole('link', { name: /^Devices/ }).click();
  const remove = laptop.page.getByRole('region', { name: 'Delete this device’s data' });
  await remove.getByRole('button', { name: 'Delete this device’s data' }).click();
  await expect(remove).toContainText('This is your only device, and you have no recovery phrase.');
  await remove.getByRole('button', { name: 'Yes, delete everything here' }).click();
  for (const page of [laptop.page, tab]) await expect(welcome(page)).toBeVisible();
  await expectNothingHeld(laptop.page);
  await laptop.goOnline();
  await laptop.restart();
  await expect(welcome(laptop.page)).toBeVisible();
  await expectNothingHeld(laptop.page);
});

test('the last device is logged out only by who types the username, and a device without a network is told what it can do', async ({
  device,
}) => {
  const [laptop, phone] = await Promise.all([device('laptop'), device('phone')]);
  const { page } = laptop;
  await createAccount(page, 'anna', 'Laptop');
  await linkDevice(phone.page, page, 'Phone');
  await phone.page.getByRole('link', { name: /^Devices/ }).click();
  await phone.goOffline();
  const offline = phone.page.getByRole('region', { name: 'Log out' });
  await expect(offline).toContainText('You are offline. Logging out needs the server');
  await expect(offline.getByRole('button')).toHaveCount(0);
  await phone.page.getByRole('button', { name: 'Delete this device’s data' }).click();
  await expect(phone.page.getByRole('group', { name: 'Delete this device’s data' })).toContainText('until you remove it there');
  await phone.page.getByRole('button', { name: 'Yes, delete everything here' }).click();
  await expect(welcome(phone.page)).toBeVisible();

  await page.getByRole('button', { name: 'Remove Phone' }).click();
  await page.getByRole('button', { name: 'Yes, remove' }).click();
  await expect(page.getByRole('list', { name: 'Your devices' }).getByRole('listitem')).toHaveCount(1);
  await page.getByRole('button', { name: 'Log out' }).click();
  const yes = page.getByRole('button', { name: 'Yes, log out' });
  await expect(page.getByRole('form', { name: 'Log out' })).toContainText('Nobody could enter the account any more');
  await expect(yes).toBeDisabled();
  await page.getByLabel('To log out all the same, type your username: anna').fill('anna');
  await yes.click();
  await expect(welcome(page)).toBeVisible();
  await expectNothingHeld(page);
});

/** A device while somebody copies its profile, and what that copy gives. */
interface Copied {
  readonly root: Buffer;
  readonly keys: readonly Sealed[];
  readonly records: readonly Sealed[];
  readonly texts: ReadonlyMap<string, Buffer>;
}

/** Copies the profile, and reads in it by the root that lies there all that the device holds: also these words. */
async function readAll(device: Device, words: readonly string[]): Promise<Copied> {
  const values = await sealedIn(device.page);
  const [keys, records] = [keysOf(values), recordsOf(values)];
  const [root] = (await rootsIn(device.page)).values();
  const copy = await copyOf(device);
  expect(filesWith(copy, root!)).not.toEqual([]);
  const texts = textsUnder(keysUnder(root!, keys), records);
  expect(texts.size).toBe(records.length);
  for (const word of words) expect([...texts.values()].filter((text) => text.includes(word))).not.toEqual([]);
  await rm(copy, { recursive: true, force: true });
  return { root: root!, keys, records, texts };
}

/** In a copy of the profile nothing opens the records that were there, and these words are in no file. @returns how many roots are in it */
async function expectUnreadable(device: Device, earlier: Copied, words: readonly string[]): Promise<number> {
  // The browser deletes files a moment after it has said so.
  await expect.poll(() => filesWith(device.profile, earlier.root)).toEqual([]);
  const left = await sealedIn(device.page).catch(() => []);
  const kept = new Set(left.map(({ path, nonce }) => `${path} ${nonce.toString('hex')}`));
  const records = earlier.records.filter(({ path, nonce }) => !kept.has(`${path} ${nonce.toString('hex')}`));
  for (const word of words) expect(records.filter(({ path }) => earlier.texts.get(path)!.includes(word))).not.toEqual([]);
  const copy = await copyOf(device);
  const { roots, asKey, byChain } = whatOpens(copy, LEFT_OUT, { ...earlier, keys: [...earlier.keys, ...keysOf(left)], records });
  expect({ asKey: [...asKey], byChain: [...byChain] }).toEqual({ asKey: [], byChain: [] });
  for (const word of words) expect(filesWithText(copy, word)).toEqual([]);
  await rm(copy, { recursive: true, force: true });
  return roots.length;
}

/** As a person does, key by key: what stands in the field is there for the browser to see. */
async function type(page: Page, text: string): Promise<void> {
  await page.getByRole('textbox', { name: 'Message' }).pressSequentially(text);
  await expect.poll(() => page.evaluate(() => document.querySelector('textarea')?.value)).toBe(text);
}

test('of what was deleted no file of the browser holds the words or a key: after a message, after logging out, and after deleting everything', async ({
  device,
}) => {
  test.setTimeout(rounds({ test: 300_000, soak: 3_600_000 }));
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  const { page } = laptop;
  await Promise.all([createAccount(page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(page, ['ben']);
  await type(page, 'A wren was here');
  await page.getByRole('textbox', { name: 'Message' }).press('Enter');
  await sees(page, 'A wren was here');
  await openConversation(ben.page, 'anna');
  await send(ben.page, 'A gull flew by');
  await sees(page, 'A gull flew by');
  for (const { page: other } of [ben, laptop]) {
    await type(other, 'An owl, not sent');
    await other.getByRole('link', { name: 'Devices' }).click();
    await openConversation(other, other === page ? 'ben' : 'anna');
  }

  await test.step('one message, by the sweep that follows', async () => {
    const earlier = await readAll(laptop, ['A wren was here', 'A gull flew by']);
    await deleteForMe(page, 'A wren was here');
    expect(await expectUnreadable(laptop, earlier, ['A wren was here'])).toBe(1);
    await expect(line(page, 'A gull flew by')).toHaveCount(1);
  });

  await test.step('all of a device that is logged out', async () => {
    const words = ['A wren was here', 'A gull flew by', 'An owl, not sent'];
    const earlier = await readAll(ben, words);
    await ben.page.getByRole('link', { name: 'Devices' }).click();
    await ben.page.getByRole('button', { name: 'Log out' }).click();
    await ben.page.getByLabel('To log out all the same, type your username: ben').fill('ben');
    await ben.page.getByRole('button', { name: 'Yes, log out' }).click();
    await expect(welcome(ben.page)).toBeVisible();
    expect(await expectUnreadable(ben, earlier, words)).toBe(0);
  });

  await test.step('all of a device whose data is deleted', async () => {
    const words = ['A gull flew by', 'An owl, not sent'];
    const earlier = await readAll(laptop, words);
    await page.getByRole('link', { name: 'Devices' }).click();
    await page.getByRole('button', { name: 'Delete this device’s data' }).click();
    await page.getByRole('button', { name: 'Yes, delete everything here' }).click();
    await expect(welcome(page)).toBeVisible();
    expect(await expectUnreadable(laptop, earlier, words)).toBe(0);
  });
});
