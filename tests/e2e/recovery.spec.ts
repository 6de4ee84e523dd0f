import { callWorker } from './support/bridge.ts';
import { expect, test } from './support/fixtures.ts';
import { createAccount, line, openConversation, sees, send, startConversation, typePhrase, writePhraseDown } from './support/person.ts';

test('a new browser joins with the phrase alone, and the old laptop follows when it is back', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await createAccount(laptop.page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  const reminder = laptop.page.getByRole('link', { name: 'Recovery phrase' });
  await expect(reminder).toContainText('Not written down yet');
  const words = await writePhraseDown(laptop.page);
  expect(new Set(words).size).toBeGreaterThan(12);
  await expect(reminder).toHaveCount(0);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Hello');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Hello');
  await laptop.goOffline();
  await send(ben.page, 'Are you there?');

  const fresh = await device('fresh');
  const recover = fresh.page.getByRole('button', { name: 'Recover account' });
  const problems = fresh.page.getByRole('list', { name: 'What is wrong with the phrase' });
  await typePhrase(fresh.page, 'anna', [...words.slice(0, 23), 'wrnog'].join(' '), 'New laptop');
  await recover.click();
  await expect(problems).toContainText('Word 24, “wrnog”, is not in the list.');
  await fresh.page.getByLabel('Recovery phrase').fill(words.slice(0, 20).join(' '));
  await recover.click();
  await expect(problems).toContainText('A phrase has 24 words, and these are 20 words.');
  await fresh.page.getByLabel('Recovery phrase').fill(`${'abandon '.repeat(23)}art`);
  await recover.click();
  await expect(fresh.page.getByText('This username and this phrase do not belong together.')).toBeVisible();
  await fresh.page.getByLabel('Recovery phrase').fill(words.map((word, i) => `${i + 1}. ${word}`).join('\n'));
  await recover.click();

  await openConversation(fresh.page, 'ben');
  await send(fresh.page, 'With a new laptop');
  await sees(ben.page, 'With a new laptop');
  await send(ben.page, 'Good to see you');
  await sees(fresh.page, 'Good to see you');
  await expect(line(fresh.page, 'Are you there?')).toHaveCount(0);
  await expect(ben.page.getByRole('list', { name: 'Messages' })).not.toContainText('removed');

  await laptop.goOnline();
  await laptop.restart();
  await openConversation(laptop.page, 'ben');
  for (const text of ['Are you there?', 'With a new laptop', 'Good to see you']) await sees(laptop.page, text);
  await expect(laptop.page.getByText('A device joined your account with your recovery phrase.')).toBeVisible();
  await send(laptop.page, 'The old one works too');
  await sees(fresh.page, 'The old one works too');
  await fresh.page.getByRole('link', { name: 'Devices' }).click();
  await expect(fresh.page.getByRole('list', { name: 'Your devices' }).getByRole('listitem')).toHaveCount(2);
});

test('a recovery goes on when the browser is closed in the middle', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await createAccount(laptop.page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  const words = await writePhraseDown(laptop.page);
  for (const title of ['One', 'Two', 'Three']) {
    expect(await callWorker(laptop.page, 'startConversation', { usernames: ['ben'], title })).toMatchObject({ ok: true });
  }
  await openConversation(ben.page, 'Three');
  await send(ben.page, 'Hello');
  await openConversation(laptop.page, 'Three');
  await sees(laptop.page, 'Hello');
  await laptop.goOffline();

  const fresh = await device('fresh');
  await typePhrase(fresh.page, 'anna', words.join(' '), 'New laptop');
  await fresh.page.getByRole('button', { name: 'Recover account' }).click();
  await expect(fresh.page.getByText('Bringing your conversations back')).toBeVisible();
  await fresh.restart();
  await expect(fresh.page.getByText('This device is in all your conversations now.')).toBeVisible({ timeout: 30_000 });
  const conversations = fresh.page.getByRole('navigation', { name: 'Conversations' }).getByRole('listitem');
  await expect(conversations).toHaveCount(3);
});

test('the pages of the phrase fit a small screen, by keyboard alone', async ({ device }, info) => {
  for (const colorScheme of ['light', 'dark'] as const) {
    const { page } = await device(colorScheme, { colorScheme, viewport: { width: 360, height: 640 } });
    const look = async (name: string): Promise<void> => {
      expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
      await page.screenshot({ path: info.outputPath(`${name}-${colorScheme}.png`), fullPage: true });
    };
    await page.getByRole('button', { name: 'Use your recovery phrase' }).focus();
    await page.keyboard.press('Enter');
    await page.getByLabel('Username').fill('nobody');
    await page.getByLabel('Recovery phrase').fill('abandon abandn');
    await page.keyboard.press('Tab');
    await page.getByLabel('Recovery phrase').blur();
    await page.getByRole('button', { name: 'Recover account' }).press('Enter');
    await expect(page.getByRole('list', { name: 'What is wrong with the phrase' })).toContainText('Did you mean “abandon”?');
    await look('recover');
    await page.getByRole('button', { name: 'Back' }).press('Enter');
    await page.getByLabel('Username').fill(`anna-${colorScheme}`);
    await page.getByRole('button', { name: 'Create account' }).press('Enter');
    await expect(page.getByRole('heading', { name: 'Recovery phrase' })).toBeFocused();
    await look('start');
    await page.getByRole('button', { name: 'Show my recovery phrase' }).press('Enter');
    await expect(page.getByRole('listitem')).toHaveCount(24);
    await look('words');
    await page.getByRole('button', { name: 'I have written them down' }).press('Enter');
    for (const field of await page.getByRole('textbox').all()) await field.fill('wrong');
    await page.keyboard.press('Enter');
    await expect(page.getByRole('alert')).toContainText('are not those that were shown');
    await look('check');
    await page.goto(`${new URL(page.url()).origin}/#/`);
    await look('reminder');
  }
});
