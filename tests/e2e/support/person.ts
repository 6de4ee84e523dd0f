import { expect, type Locator, type Page } from '@playwright/test';
import type { Device } from './device.ts';

/** What a person does on a screen of Chorus, by the words that stand there. */

export async function createAccount(page: Page, username: string, deviceName: string): Promise<void> {
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Device name').fill(deviceName);
  await page.getByRole('button', { name: 'Create account' }).click();
  await page.getByRole('link', { name: 'Later' }).click(); // the recovery phrase
  await expect(page.getByRole('navigation', { name: 'Conversations' })).toBeVisible();
}

/** Makes a recovery phrase, writes it down and shows that it is on paper. Returns the words. */
export async function writePhraseDown(page: Page): Promise<string[]> {
  await page.goto(`${new URL(page.url()).origin}/#/phrase`);
  await page.getByRole('button', { name: /Show my recovery phrase|Make a new phrase/ }).click();
  const items = page.getByRole('list', { name: 'The 24 words of your recovery phrase' }).getByRole('listitem');
  await expect(items).toHaveCount(24);
  const words = (await items.allInnerTexts()).map((text) => text.replace(/[^a-z]/g, ''));
  await page.getByRole('button', { name: 'I have written them down' }).click();
  for (const field of await page.getByRole('textbox', { name: /^Word \d+$/ }).all()) {
    const place = Number((await field.getAttribute('id'))?.replace('phrase-word-', ''));
    await field.fill(words[place - 1] ?? '');
  }
  await page.getByRole('button', { name: 'Confirm' }).click();
  await expect(page.getByRole('heading', { name: 'Your recovery phrase is set' })).toBeVisible();
  await page.getByRole('link', { name: 'Go to your conversations' }).click();
  return words;
}

/** New device: everything up to the press of the button that joins. */
export async function typePhrase(page: Page, username: string, phrase: string, deviceName: string): Promise<void> {
  await page.getByRole('button', { name: 'Use your recovery phrase' }).click();
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Recovery phrase').fill(phrase);
  await page.getByLabel('Device name').fill(deviceName);
}

/** Links `newPage`'s device by the text of its code; both sides say yes to the same number. */
export async function linkDevice(newPage: Page, adderPage: Page, deviceName: string): Promise<void> {
  const code = await askForLink(newPage, deviceName);
  await takeCode(adderPage, code);
  await finishLink(newPage, adderPage);
}

/** From the comparison of the number on. */
export async function finishLink(newPage: Page, adderPage: Page): Promise<void> {
  expect(await shortNumber(newPage)).toBe(await shortNumber(adderPage));
  await newPage.getByRole('button', { name: 'Yes' }).click();
  await adderPage.getByRole('button', { name: 'Yes' }).click();
  await expect(newPage.getByRole('navigation', { name: 'Conversations' })).toBeVisible();
  await expect(adderPage.getByText('It is in all your conversations now.')).toBeVisible();
  await adderPage.getByRole('button', { name: 'Close' }).click();
}

/** New device: asks to be linked. Returns the text of its code. */
export async function askForLink(page: Page, deviceName: string): Promise<string> {
  await page.getByRole('button', { name: 'Link to an existing account' }).click();
  return showLinkCode(page, deviceName);
}

/** New device, where it is asked for its name. */
export async function showLinkCode(page: Page, deviceName: string): Promise<string> {
  await page.getByLabel('Device name').fill(deviceName);
  await page.getByRole('button', { name: 'Show link code' }).click();
  const code = page.getByLabel('Link code', { exact: true });
  await expect(code).not.toHaveValue('');
  return code.inputValue();
}

/** Linked device: takes a code. */
export async function takeCode(page: Page, code: string): Promise<void> {
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('button', { name: 'Link a device' }).click();
  await page.getByLabel('Link code').fill(code);
  await page.getByRole('button', { name: 'Continue' }).click();
}

export async function shortNumber(page: Page): Promise<string> {
  return (await page.getByTestId('short-number').innerText()).trim();
}

/** Starts a conversation and stays in it. */
export async function startConversation(page: Page, usernames: readonly string[], title?: string): Promise<void> {
  await page.getByRole('link', { name: 'New conversation' }).click();
  await page.getByLabel('Usernames').fill(usernames.join(', '));
  if (title !== undefined) await page.getByLabel('Title').fill(title);
  await page.getByRole('button', { name: 'Start conversation' }).click();
  await expect(page.getByRole('textbox', { name: 'Message' })).toBeVisible();
}

export async function openConversation(page: Page, title: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Conversations' }).getByRole('link').filter({ hasText: title }).first().click();
  await expect(page.getByRole('textbox', { name: 'Message' })).toBeVisible();
}

export async function send(page: Page, text: string): Promise<void> {
  const field = page.getByRole('textbox', { name: 'Message' });
  await field.fill(text);
  await field.press('Enter');
}

/** The line of the open conversation with this text and no other: what else it shows, the time say, is no text of it. */
export function line(page: Page, text: string): Locator {
  return page
    .getByRole('list', { name: 'Messages' })
    .getByRole('listitem')
    .filter({ has: page.getByText(text, { exact: true }) });
}

/** The message has come in, and is in the log's order. */
export async function sees(page: Page, text: string): Promise<void> {
  await expect(line(page, text)).toHaveCount(1);
  await expect(line(page, text)).toHaveAttribute('data-position', /^\d+$/);
}

/** Deletes a message of the open conversation on all devices of the person. */
export async function deleteForMe(page: Page, text: string): Promise<void> {
  await page.getByRole('button', { name: `Delete for me: ${text}` }).click();
  const dialog = page.getByRole('dialog', { name: 'Delete this message for you?' });
  await expect(dialog).toContainText('Everybody else in this conversation keeps it.');
  await dialog.getByRole('button', { name: 'Delete for me' }).click();
  await expect(dialog).toHaveCount(0);
}

/** The app's notifications on the screen, as one reads them. */
export function shownNotifications(page: Page): Promise<string[]> {
  return page.evaluate(async () => {
    const registration = await navigator.serviceWorker.ready;
    return (await registration.getNotifications()).map(({ title, body }) => `${title}: ${body}`);
  });
}

/** Texts in the log's order, without those that still wait. */
export async function textsInOrder(page: Page): Promise<string[]> {
  return page.getByRole('list', { name: 'Messages' }).locator('li[data-position] [data-testid="message-text"]').allInnerTexts();
}

/** Adds a member and waits until it is one on this screen. */
export async function addMember(page: Page, username: string): Promise<void> {
  await openMembers(page);
  await page.getByLabel('Add a person by username').fill(username);
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await expectMembers(page, [username]);
}

export async function removeMember(page: Page, username: string): Promise<void> {
  await openMembers(page);
  await page.getByRole('button', { name: `Remove ${username}` }).click();
  await page.getByRole('button', { name: 'Yes, remove' }).click();
  await expectMembers(page, [], [username]);
}

/** The list of the open conversation's members holds the first names, each once, and none of the second. */
export async function expectMembers(page: Page, present: readonly string[], absent: readonly string[] = []): Promise<void> {
  await openMembers(page);
  const member = (username: string): Locator => members(page).getByRole('listitem').getByText(username, { exact: true });
  for (const username of present) await expect(member(username)).toHaveCount(1);
  for (const username of absent) await expect(member(username)).toHaveCount(0);
}

const members = (page: Page): Locator => page.getByRole('complementary', { name: 'Members' });

async function openMembers(page: Page): Promise<void> {
  if (!(await members(page).isVisible())) await page.getByRole('button', { name: 'Members', exact: true }).click();
}

/** By its wish, of a device in one conversation; all is renewed when it resolves. */
export async function renewKeys({ page, goOffline, goOnline }: Pick<Device, 'page' | 'goOffline' | 'goOnline'>): Promise<void> {
  await page.getByRole('link', { name: 'Devices' }).click();
  await goOffline(); // so that the renewal is seen to begin
  await page.getByRole('button', { name: 'Renew keys now' }).click();
  await expect(page.getByText('0 of 1 conversation renewed')).toBeVisible();
  await goOnline();
  await expect(page.getByText('0 of 1 conversation renewed')).toBeHidden();
}
