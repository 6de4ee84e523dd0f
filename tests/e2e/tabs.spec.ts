import type { Page } from '@playwright/test';
import { rounds } from '../support/rounds.ts';
import { callWorker, textsOf } from './support/bridge.ts';
import { expect, test, type Device } from './support/fixtures.ts';
import { createAccount, openConversation, sees, send, shownNotifications, startConversation } from './support/person.ts';

// Anna's laptop has two tabs; in this browser the one that is not in front is hidden.

interface Tabs {
  readonly laptop: Device;
  readonly ben: Device;
  readonly first: Page;
  readonly second: Page;
  readonly talk: string;
}

async function twoTabs(device: (name: string, options?: { hidesTabs: boolean }) => Promise<Device>): Promise<Tabs> {
  const [laptop, ben] = await Promise.all([device('laptop', { hidesTabs: true }), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(ben.page, ['anna']);
  await send(ben.page, 'First');
  await openConversation(laptop.page, 'ben');
  await sees(laptop.page, 'First');
  const second = await laptop.newTab();
  await openConversation(second, 'ben');
  await sees(second, 'First');
  return { laptop, ben, first: laptop.page, second, talk: new URL(second.url()).hash.split('/').at(-1) ?? '' };
}

const streams = ({ cable }: Device): number => cable.requests.filter((request) => request.startsWith('GET /v1/events')).length;

/** Three of each way to vanish. */
const ROUNDS = rounds({ test: 9, soak: 60 });
/** A leader that vanishes while messages come in, ms. */
const LONGEST_STEP = 300;

test('the leading tab vanishes at any moment, by a crash, by being closed or frozen: the next one takes over, and nothing is lost or doubled', async ({
  device,
}) => {
  test.setTimeout(120_000 + ROUNDS * 30_000);
  const { laptop, ben, first, second, talk } = await twoTabs(device);
  const order = ['First'];
  let [leader, follower] = [first, second];

  for (let round = 0; round < ROUNDS; round++) {
    const way = (['crash', 'close', 'freeze'] as const)[round % 3] ?? 'close';
    const opened = streams(laptop);
    const gone = leader.waitForTimeout(Math.random() * LONGEST_STEP).then(() => vanish(laptop, leader, way));
    const texts = ['a', 'b', 'c'].map((name) => `${round} ${name}`);
    for (const text of texts) await send(ben.page, text);
    await gone;
    for (const text of texts) await sees(ben.page, text);
    // A crash takes along the tabs that shared the process; the person opens the app again.
    if (crashed.has(follower)) {
      follower = await laptop.newTab();
      await openConversation(follower, 'ben');
    }
    await follower.bringToFront();
    for (const text of texts) await sees(follower, text);
    // All may have come before the leader went: then the next one's stream opens when everything is seen already.
    await expect.poll(() => streams(laptop)).toBeGreaterThan(opened);
    await send(follower, `${round} answer`);
    await sees(ben.page, `${round} answer`);
    order.push(...texts, `${round} answer`);
    const witnesses = [follower, ben.page];
    if (way === 'freeze') {
      // The sleeper wakes: for a moment two believe that they lead.
      await (await laptop.context.newCDPSession(leader)).send('Page.setWebLifecycleState', { state: 'active' });
      await leader.bringToFront();
      await send(ben.page, `${round} to both`);
      order.push(`${round} to both`);
      witnesses.push(leader);
    }
    for (const page of witnesses) {
      await sees(page, order.at(-1) ?? '');
      expect((await textsOf(page, talk)).map(({ text }) => text)).toEqual(order);
    }

    if (way !== 'close') await leader.close();
    leader = follower;
    follower = await laptop.newTab();
    await openConversation(follower, 'ben');
  }
});

const crashed = new Set<Page>();

async function vanish({ context }: Device, tab: Page, way: 'crash' | 'close' | 'freeze'): Promise<void> {
  if (way === 'close') return tab.close();
  const session = await context.newCDPSession(tab);
  if (way === 'freeze') {
    await session.send('Page.setWebLifecycleState', { state: 'frozen' });
    return;
  }
  // As a browser ends a tab's process when it runs out of memory.
  for (const other of context.pages()) other.once('crash', () => crashed.add(other));
  const gone = tab.waitForEvent('crash');
  session.send('Page.crash').catch(() => undefined); // nobody is left to answer
  await gone;
}

test('tabs share drafts and what was read', async ({ device }) => {
  const { ben, first, second } = await twoTabs(device);
  const field = (page: Page) => page.getByRole('textbox', { name: 'Message' });
  await second.bringToFront();
  await field(second).pressSequentially('Half a thou');
  await expect(field(first)).toHaveValue('Half a thou');
  await first.bringToFront();
  await field(first).press('End');
  await field(first).pressSequentially('ght');
  await expect(field(second)).toHaveValue('Half a thought');
  await field(first).press('Enter');
  await sees(ben.page, 'Half a thought');
  await expect(field(second)).toHaveValue('');

  for (const page of [first, second]) {
    await page.bringToFront();
    await page.getByRole('link', { name: 'Devices' }).click();
  }
  await send(ben.page, 'Read me');
  for (const page of [first, second]) await expect(page.getByText('1 unread message')).toBeAttached();
  await openConversation(second, 'ben');
  await sees(second, 'Read me');
  for (const page of [first, second]) await expect(page.getByText('1 unread message')).toHaveCount(0);
});

test('a message is notified once when no tab shows the app, and not at all when one does', async ({ device }) => {
  const { laptop, ben, first, second, talk } = await twoTabs(device);

  await second.bringToFront();
  await send(ben.page, 'In plain sight');
  await sees(second, 'In plain sight');
  expect(await shownNotifications(second)).toEqual([]);

  // Another site is in front; both tabs are open behind it.
  const elsewhere = await laptop.context.newPage();
  await elsewhere.bringToFront();
  await expect
    .poll(() => Promise.all([first, second].map((page) => page.evaluate(() => document.visibilityState))))
    .toEqual(['hidden', 'hidden']);
  await send(ben.page, 'Look here');
  await expect.poll(() => shownNotifications(second)).toEqual(['Chorus: A new message']);

  // And with no tab at all, the next one comes with a background sync.
  await first.close();
  await second.close();
  await send(ben.page, 'And here');
  await sees(ben.page, 'And here');
  await laptop.worker.sync('chorus-outbox');
  // A page of this origin, once it is there, shows the app as far as the worker can tell.
  await elsewhere.waitForTimeout(4_000);
  await elsewhere.goto(`${laptop.origin}/favicon.svg`);
  await expect.poll(() => shownNotifications(elsewhere)).toEqual(['Chorus: A new message', 'Chorus: A new message']);
  const { conversations } = await callWorker(elsewhere, 'state', {});
  expect(conversations.find(({ conversationId }) => conversationId === talk)?.unread).toBe(2);
});
