import { appendFile, cp, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { APP } from '../../scripts/build/layout.ts';
import { rounds } from '../support/rounds.ts';
import { callWorker, textsOf } from './support/bridge.ts';
import { expect, test } from './support/fixtures.ts';
import { renameSendCall } from './support/next-version.ts';
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
  await reloadPastWorker(other);

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

/** As a person does with Shift and Reload. */
async function reloadPastWorker(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await Promise.all([page.waitForEvent('load'), session.send('Page.reload', { ignoreCache: true })]);
  await session.detach();
  expect(await page.evaluate(() => navigator.serviceWorker.controller)).toBeNull();
}

test('a tab of a version that the worker does not understand says so, keeps what was written, and goes on when it is reloaded', async ({
  device,
  server,
}) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Said before');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Said before');
  const talk = new URL(ben.page.url()).hash.split('/').at(-1) ?? '';
  const other = await laptop.newTab();
  const field = laptop.page.getByRole('textbox', { name: 'Message' });

  const next = await mkdtemp(join(tmpdir(), 'chorus-app-'));
  try {
    await cp(APP, next, { recursive: true });
    await renameSendCall(next);
    await server.stop();
    await server.start(next);
    await other.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.update());
    await expect(other.getByText('A new version is ready.')).toBeVisible();
    await field.fill('Said to the wrong worker');
    // Sent when this tab has heard of the hand-over: the new worker is the first to get it.
    await laptop.page.evaluate(() => {
      new BroadcastChannel('chorus-hand-over').onmessage = () => document.querySelector('form')?.requestSubmit();
    });
    await Promise.all([other.waitForEvent('load'), other.getByRole('button', { name: 'Update now' }).dispatchEvent('click')]);

    const older = laptop.page.getByRole('alert').filter({ hasText: 'This page is of an older version of Chorus' });
    await expect(older).toContainText('Copy what you have not sent yet, then reload it.');
    await expect(field).toHaveValue('Said to the wrong worker');
    await expect(laptop.page.getByText('A new version is ready.')).toHaveCount(0);
    await openConversation(other, 'ben');
    await send(other, 'Said from the new page');
    for (const page of [ben.page, laptop.page]) await sees(page, 'Said from the new page');

    await laptop.page.reload();
    await expect(older).toHaveCount(0);
    await send(laptop.page, 'Said to the wrong worker');
    for (const page of [ben.page, laptop.page, other]) await sees(page, 'Said to the wrong worker');
    for (const page of [ben.page, laptop.page]) {
      const order = ['Said before', 'Said from the new page', 'Said to the wrong worker'];
      expect((await textsOf(page, talk)).map(({ text }) => text)).toEqual(order);
    }
  } finally {
    await rm(next, { recursive: true });
  }
});

const ROUNDS = rounds({ test: 3, soak: 40 });
/** From the click to the last tab's reload, ms. */
const LONGEST_STEP = 400;

test('a new version takes over while both tabs send: every message goes out once', async ({ device, server }) => {
  test.setTimeout(120_000 + ROUNDS * 30_000);
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  const other = await laptop.newTab();
  const tabs = [laptop.page, other];
  // A conversation for each tab: a draft, which a reload between typing and Enter leaves behind, is one for all tabs.
  const titles = ['First', 'Second'];
  const talks: string[] = [];
  for (const [index, page] of tabs.entries()) {
    const title = titles[index]!;
    await callWorker(page, 'startConversation', { usernames: ['ben'], title });
    for (const side of [page, ben.page]) await openConversation(side, title);
    talks.push(new URL(ben.page.url()).hash.split('/').at(-1) ?? '');
  }
  const written: [string[], string[]] = [[], []];

  const next = await mkdtemp(join(tmpdir(), 'chorus-app-'));
  try {
    await cp(APP, next, { recursive: true });
    for (let round = 0; round < ROUNDS; round++) {
      await appendFile(join(next, 'sw.js'), `\n// version ${round}\n`);
      await server.stop();
      await server.start(next);
      for (const page of tabs) {
        await page.evaluate(async () => (await navigator.serviceWorker.getRegistration())?.update());
        await expect(page.getByText('A new version is ready.')).toBeVisible();
      }
      const write = async (page: Page, index: number): Promise<void> => {
        await page.waitForTimeout(Math.random() * LONGEST_STEP);
        await send(page, `round ${round}`);
        written[index]!.push(`round ${round}`);
      };
      const reloads = tabs.map((page) => page.waitForEvent('load'));
      await Promise.all([
        ...tabs.map(write),
        // Not `click`, which would wait for what it leads to.
        other.getByRole('button', { name: 'Update now' }).dispatchEvent('click'),
        ...reloads,
      ]);
      for (const title of titles) {
        await openConversation(ben.page, title);
        await sees(ben.page, `round ${round}`);
      }
      for (const page of tabs) await expect(page.getByText('A new version is ready.')).toHaveCount(0);
    }
    for (const page of [...tabs, ben.page]) {
      for (const [index, talk] of talks.entries()) {
        expect((await textsOf(page, talk)).map(({ text }) => text)).toEqual(written[index]);
      }
    }
  } finally {
    await rm(next, { recursive: true });
  }
});
