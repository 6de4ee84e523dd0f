import AxeBuilder from '@axe-core/playwright';
import type { Page } from '@playwright/test';
import { callWorker } from './support/bridge.ts';
import { expect, test } from './support/fixtures.ts';
import { clearData } from './support/storage.ts';
import {
  askForLink,
  createAccount,
  openConversation,
  sees,
  send,
  shortNumber,
  startConversation,
  takeCode,
  typePhrase,
} from './support/person.ts';

const SIZES = [
  { width: 360, height: 740 },
  { width: 1280, height: 800 },
] as const;
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];
const SCHEMES = ['light', 'dark'] as const;

/** Looks at the present screen in both sizes and colours. */
async function expectAccessible(page: Page, screen: string): Promise<void> {
  for (const size of SIZES) {
    for (const colorScheme of SCHEMES) {
      await page.setViewportSize(size);
      await page.emulateMedia({ colorScheme, reducedMotion: 'reduce' });
      // From light to dark nothing changes but colours.
      const axe = new AxeBuilder({ page });
      const { violations } = await (colorScheme === 'light' ? axe.withTags(TAGS) : axe.withRules('color-contrast')).analyze();
      const serious = violations.filter(({ impact }) => impact === 'serious' || impact === 'critical');
      const told = serious.flatMap(({ id, nodes }) =>
        nodes.map(({ target, failureSummary }) => `${id}: ${target.join(' ')}: ${failureSummary}`),
      );
      expect(told, `${screen}, ${size.width} px, ${colorScheme}`).toEqual([]);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
      expect(wide, `${screen} scrolls sideways at ${size.width} px`).toBe(false);
    }
  }
  await page.setViewportSize(SIZES[1]);
}

test('no screen has a serious fault of accessibility, small or large, light or dark', async ({ device }) => {
  test.setTimeout(360_000); // some fifty looks at a screen
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  const { page } = laptop;
  await expectAccessible(page, 'welcome');
  await createAccount(page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  await expectAccessible(page, 'no conversations');
  await page.getByRole('link', { name: 'New conversation' }).click();
  await page.getByLabel('Usernames').fill('nobody-here');
  await page.getByRole('button', { name: 'Start conversation' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expectAccessible(page, 'new conversation, refused');

  await startConversation(page, ['ben']);
  await send(page, 'Good morning');
  await openConversation(ben.page, 'anna');
  await send(ben.page, 'Good morning to you');
  await sees(page, 'Good morning to you');
  await expectAccessible(page, 'conversation');
  await page.getByRole('button', { name: 'Members', exact: true }).click();
  await expectAccessible(page, 'members');
  await page.getByRole('button', { name: 'Remove ben' }).click();
  await expectAccessible(page, 'members, removing one');
  await page.getByRole('button', { name: 'Keep' }).click();

  const code = await askForLink(phone.page, 'Phone');
  await expectAccessible(phone.page, 'link code');
  await takeCode(page, 'no code');
  await expect(page.getByRole('alert')).toBeVisible();
  await expectAccessible(page, 'devices, wrong code');
  await page.getByLabel('Link code').fill(code);
  await page.getByRole('button', { name: 'Continue' }).click();
  await shortNumber(page);
  await shortNumber(phone.page);
  await expectAccessible(page, 'short number');
  await phone.page.getByRole('button', { name: 'No, they differ' }).click();
  await expect(page.getByRole('heading', { name: 'The device was not linked' })).toBeVisible();
  await expectAccessible(page, 'not linked');
  await expectAccessible(phone.page, 'not linked, on the new device');

  await laptop.goOffline();
  await page.getByRole('navigation', { name: 'Conversations' }).getByRole('link').filter({ hasText: 'ben' }).click();
  await send(page, 'Later');
  await expect(page.getByText('Waiting', { exact: true })).toBeVisible();
  await expectAccessible(page, 'offline');
});

test('the pages of the recovery phrase, and of a lost device, have no serious fault of accessibility either', async ({ device }) => {
  const [laptop, fresh] = await Promise.all([device('laptop'), device('fresh')]);
  const { page } = laptop;
  await createAccount(page, 'anna', 'Laptop');
  await page.getByRole('link', { name: 'Recovery phrase' }).click();
  await expectAccessible(page, 'recovery phrase');
  await page.getByRole('button', { name: 'Show my recovery phrase' }).click();
  await expectAccessible(page, 'words');
  await page.getByRole('button', { name: 'I have written them down' }).click();
  for (const field of await page.getByRole('textbox').all()) await field.fill('wrong');
  await page.getByRole('button', { name: 'Confirm' }).click();
  await expectAccessible(page, 'words, wrong');
  await typePhrase(fresh.page, 'anna', 'abandon abandn', 'New laptop');
  await fresh.page.getByRole('button', { name: 'Recover account' }).click();
  await expect(fresh.page.getByRole('list', { name: 'What is wrong with the phrase' })).toBeVisible();
  await expectAccessible(fresh.page, 'phrase, wrong');
  await clearData(laptop, page, 'all');
  await expect(page.getByRole('heading', { name: 'This device has lost its data' })).toBeVisible();
  await expectAccessible(page, 'device lost');
});

test('deleting a message, logging out and deleting a device’s data have no serious fault of accessibility', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  const { page } = laptop;
  await createAccount(page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  await startConversation(page, ['ben']);
  await send(page, 'Good morning');
  await sees(page, 'Good morning');
  await page.getByRole('button', { name: 'Delete for me: Good morning' }).click();
  await expectAccessible(page, 'deleting a message');
  await page.keyboard.press('Escape');
  await page.getByRole('link', { name: /^Devices/ }).click();
  await page.getByRole('button', { name: 'Log out' }).click();
  await page.getByRole('button', { name: 'Delete this device’s data' }).click();
  await expectAccessible(page, 'logging out of the only device');
});

test('everything can be done with the keyboard alone', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await createAccount(ben.page, 'ben', 'Desk');
  const { page } = laptop;
  const { keyboard } = page;

  await tabTo(page, 'Username');
  await keyboard.type('anna');
  await tabTo(page, 'Device name');
  await keyboard.press('ControlOrMeta+a');
  await keyboard.type('Laptop');
  await keyboard.press('Enter');
  await expect(page.getByRole('navigation', { name: 'Conversations' })).toBeVisible();

  await tabTo(page, 'New conversation');
  await keyboard.press('Enter');
  await tabTo(page, 'Usernames');
  await keyboard.type('ben');
  await tabTo(page, 'Start conversation');
  await keyboard.press('Enter');
  await expect(page.getByRole('textbox', { name: 'Message' })).toBeVisible();
  await tabTo(page, 'Message');
  await keyboard.type('By keys');
  await keyboard.press('Shift+Enter');
  await keyboard.type('alone');
  await keyboard.press('Enter');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'By keys\nalone');
  expect((await callWorker(ben.page, 'state', {})).conversations[0]?.lastMessage?.text).toBe('By keys\nalone');

  await tabTo(page, 'Members');
  await keyboard.press('Enter');
  await tabTo(page, 'Close members');
  await keyboard.press('Enter');
  await tabTo(page, 'Devices');
  await keyboard.press('Enter');
  await tabTo(page, 'Link a device');
  await keyboard.press('Enter');
  await tabTo(page, 'Link code');
  await tabTo(page, 'Cancel');
  await keyboard.press('Enter');
  await tabTo(page, 'Link a device');
});

/** Presses Tab until what has the focus, visibly, is called so. */
async function tabTo(page: Page, name: string): Promise<void> {
  const focused = async (): Promise<boolean> => {
    const there = page.locator(':focus');
    if ((await there.count()) === 0) return false;
    const called = await there.evaluate((element) => {
      const labels = element instanceof HTMLInputElement || element instanceof HTMLTextAreaElement ? [...(element.labels ?? [])] : [];
      return element.getAttribute('aria-label') ?? labels[0]?.textContent ?? element.textContent;
    });
    return called.trim().startsWith(name);
  };
  for (let presses = 0; presses < 40; presses++) {
    if (await focused()) return;
    await page.keyboard.press('Tab');
  }
  throw new Error(`the keyboard does not get to "${name}"`);
}

test('can be installed, and starts offline', async ({ device }) => {
  const laptop = await device('laptop');
  await createAccount(laptop.page, 'anna', 'Laptop');
  const session = await laptop.context.newCDPSession(laptop.page);
  expect((await session.send('Page.getInstallabilityErrors')).installabilityErrors).toEqual([]);
  const { errors, data, url } = await session.send('Page.getAppManifest');
  expect(errors).toEqual([]);
  expect(url).toBe(`${laptop.origin}/manifest.webmanifest`);
  expect(JSON.parse(data ?? '')).toMatchObject({ name: 'Chorus', start_url: '/', display: 'standalone' });

  await laptop.goOffline();
  await laptop.restart();
  await expect(laptop.page.getByRole('navigation', { name: 'Conversations' })).toBeVisible();
  await expect(laptop.page.getByRole('status', { name: 'Connection' })).toHaveText('Offline');
});
