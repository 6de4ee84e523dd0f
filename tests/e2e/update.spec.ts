import { appendFile, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { APP } from '../../scripts/build/layout.ts';
import { textsOf } from './support/bridge.ts';
import { expect, test } from './support/fixtures.ts';
import { createAccount, openConversation, sees, send, startConversation } from './support/person.ts';

test('a new version is offered, taken into use on a click by every tab, and loses nothing', async ({ device, server }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Said before');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Said before');
  const talk = new URL(ben.page.url()).hash.split('/').at(-1) ?? '';
  const other = await laptop.newTab();

  // The server comes back with another build of the app.
  const next = await mkdtemp(join(tmpdir(), 'chorus-app-'));
  try {
    await cp(APP, next, { recursive: true });
    await appendFile(join(next, 'sw.js'), '\n// the next version\n');
    await server.stop();
    await server.start(next);
    await laptop.page.reload();
    for (const page of [laptop.page, other]) await expect(page.getByText('A new version is ready.')).toBeVisible();

    // It waits for the person, who goes on writing.
    const field = laptop.page.getByRole('textbox', { name: 'Message' });
    await send(laptop.page, 'Said meanwhile');
    await sees(ben.page, 'Said meanwhile');
    await field.fill('Not yet sent');
    await field.blur();
    await other.getByRole('button', { name: 'Update now' }).click();
    for (const page of [laptop.page, other]) {
      await expect(page.getByText('A new version is ready.')).toHaveCount(0);
      await expect(page.getByRole('navigation', { name: 'Conversations' })).toBeVisible();
    }

    await expect(field).toHaveValue('Not yet sent');
    await field.press('Enter');
    await sees(ben.page, 'Not yet sent');
    for (const page of [laptop.page, ben.page]) {
      expect((await textsOf(page, talk)).map(({ text }) => text)).toEqual(['Said before', 'Said meanwhile', 'Not yet sent']);
    }
  } finally {
    await rm(next, { recursive: true });
  }
});
