import { expect, type Locator, type Page } from '@playwright/test';

/** What a person does on the screen, by the words that are on it. */

export async function createAccount(page: Page, username: string, deviceName: string): Promise<void> {
  await page.getByLabel('Username').fill(username);
  await page.getByLabel('Device name').fill(deviceName);
  await page.getByRole('button', { name: 'Create account' }).click();
  await expectSignedIn(page);
}

/** The app with its conversations is on screen. */
export async function expectSignedIn(page: Page): Promise<void> {
  await expect(page.getByRole('navigation', { name: 'Conversations' })).toBeVisible();
}

/** New device: asks to be linked. @returns the code on its screen */
export async function showLinkCode(page: Page, deviceName: string): Promise<string> {
  await page.getByRole('button', { name: 'Link to an existing account' }).click();
  await page.getByLabel('Device name').fill(deviceName);
  await page.getByRole('button', { name: 'Show link code' }).click();
  const code = page.getByRole('textbox', { name: 'Link code' });
  await expect(code).toHaveValue(/./);
  return code.inputValue();
}

/** Linked device: takes the code that another one shows. */
export async function enterLinkCode(page: Page, code: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Conversations' }).getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('button', { name: 'Link a device' }).click();
  await page.getByRole('textbox', { name: 'Link code' }).fill(code);
  await page.getByRole('button', { name: 'Continue' }).click();
}

/** The number that a device shows while linking. */
export const shortNumber = (page: Page): Locator => page.getByTestId('short-number');

/** Links the new device from the first code to the conversations on its screen. */
export async function linkDevice(known: Page, added: Page, deviceName: string): Promise<void> {
  await enterLinkCode(known, await showLinkCode(added, deviceName));
  await expect(shortNumber(added)).toHaveText(/^\d{3} \d{3}$/);
  await expect(shortNumber(known)).toHaveText((await shortNumber(added).textContent()) ?? '');
  for (const page of [added, known]) await page.getByRole('button', { name: 'Yes, they match' }).click();
  await expectSignedIn(added);
  await known.getByRole('button', { name: 'Close' }).click();
}

/** @param title of a conversation with several people */
export async function startConversation(page: Page, usernames: readonly string[], title?: string): Promise<void> {
  await page.getByRole('link', { name: 'New conversation' }).click();
  await page.getByLabel('Usernames').fill(usernames.join(', '));
  if (title !== undefined) await page.getByLabel('Title').fill(title);
  await page.getByRole('button', { name: 'Start conversation' }).click();
  await expect(messageField(page)).toBeVisible();
}

export async function openConversation(page: Page, title: string): Promise<void> {
  await page.getByRole('navigation', { name: 'Conversations' }).locator('[data-conversation]').filter({ hasText: title }).click();
  await expect(page.getByRole('heading', { level: 2, name: title })).toBeVisible();
}

const messageField = (page: Page): Locator => page.getByRole('textbox', { name: 'Message' });

export async function send(page: Page, text: string): Promise<void> {
  await messageField(page).fill(text);
  await page.getByRole('button', { name: 'Send' }).click();
  await expect(messageField(page)).toHaveValue('');
}

/** The message on screen, whether it was sent or still waits. */
export const message = (page: Page, text: string): Locator =>
  page.locator('[data-kind="text"]').filter({ has: page.getByTestId('message-text').getByText(text, { exact: true }) });

/** The message is on screen once, in its place in the conversation. */
export async function expectMessage(page: Page, text: string): Promise<void> {
  await expect(message(page, text)).toHaveCount(1);
  await expect(message(page, text)).toHaveAttribute('data-status', 'sent');
  await expect(message(page, text)).toHaveAttribute('data-position', /^\d+$/);
}

/** Texts of the messages on screen, from the oldest to the newest. */
export const shownTexts = (page: Page): Promise<string[]> => page.getByTestId('message-text').allTextContents();

export async function addMember(page: Page, username: string): Promise<void> {
  await openMembers(page);
  await page.getByLabel('Add a person by username').fill(username);
  await page.getByRole('button', { name: 'Add', exact: true }).click();
  await expectMember(page, username);
}

export async function removeMember(page: Page, username: string): Promise<void> {
  await openMembers(page);
  await page.getByRole('button', { name: `Remove ${username}` }).click();
  await page.getByRole('button', { name: 'Yes, remove' }).click();
  await expect(members(page).getByText(username, { exact: true })).toHaveCount(0);
}

export async function expectMember(page: Page, username: string): Promise<void> {
  await openMembers(page);
  await expect(members(page).getByRole('listitem').getByText(username, { exact: true })).toBeVisible();
}

const members = (page: Page): Locator => page.getByRole('complementary', { name: 'Members' });

async function openMembers(page: Page): Promise<void> {
  if (!(await members(page).isVisible())) await page.getByRole('button', { name: 'Members', exact: true }).click();
}
