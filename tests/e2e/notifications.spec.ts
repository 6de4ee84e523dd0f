import { rm } from 'node:fs/promises';
import { expect, test, type Device } from './support/fixtures.ts';
import { createAccount, deleteForMe, openConversation, sees, send, shownNotifications, startConversation } from './support/person.ts';
import { copyOf, filesWithText, rootNamesIn } from './support/profile-search.ts';

/** Files in a copy of the device's profile in which the text lies. */
async function filesNowWith(device: Device, text: string): Promise<string[]> {
  const copy = await copyOf(device);
  const files = filesWithText(copy, text);
  await rm(copy, { recursive: true, force: true });
  return files;
}

test('what a message says that was notified and deleted is in none of the browser’s files, unless the person wants it shown', async ({
  device,
}) => {
  const [laptop, ben] = await Promise.all([device('laptop', { hidesTabs: true }), device('ben')]);
  const { page } = laptop;
  await Promise.all([createAccount(page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(ben.page, ['anna']);
  await send(ben.page, 'First');
  await openConversation(page, 'ben');
  await sees(page, 'First');
  const elsewhere = await laptop.context.newPage();
  const toBackground = async (): Promise<void> => {
    await elsewhere.bringToFront();
    await expect.poll(() => page.evaluate(() => document.visibilityState)).toBe('hidden');
  };

  await toBackground();
  await send(ben.page, 'A heron stands in the reeds');
  await expect.poll(() => shownNotifications(page)).toEqual(['Chorus: A new message']);
  await page.bringToFront();
  const [root] = await rootNamesIn(page);
  await deleteForMe(page, 'A heron stands in the reeds');
  await expect.poll(async () => (await rootNamesIn(page)).includes(root!)).toBe(false);
  expect(await shownNotifications(page)).toEqual([]);
  expect(await filesNowWith(laptop, 'A heron stands in the reeds')).toEqual([]);

  // Whoever wants the words is told where they stay.
  await page.getByRole('link', { name: 'Devices' }).click();
  const words = page.getByRole('checkbox', { name: 'Show who wrote and what' });
  await expect(words).not.toBeChecked();
  await expect(words).toHaveAccessibleDescription(/files of its own, where deleting a message does not reach\. While the app lock is on/);
  await words.check();
  await toBackground();
  await send(ben.page, 'A kingfisher dives');
  await expect.poll(() => shownNotifications(page)).toEqual(['ben: A kingfisher dives']);
  expect(await filesNowWith(laptop, 'A kingfisher dives')).toContainEqual(expect.stringContaining('Platform Notifications'));
  await page.bringToFront();
  await words.uncheck();
  await expect.poll(() => shownNotifications(page)).toEqual([]);
});
