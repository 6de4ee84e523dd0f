import type { Page } from '@playwright/test';
import { rounds } from '../support/rounds.ts';
import { callWorker, textsOf } from './support/bridge.ts';
import { expect, test } from './support/fixtures.ts';
import { createAccount, linkDevice, openConversation, sees, send, startConversation, textsInOrder } from './support/person.ts';

const ROUNDS = rounds({ test: 4, soak: 200 });
/** From the press of Enter to its last trace on the other screens everything takes less, ms. */
const LONGEST_STEP = 250;

test('the worker is stopped at any moment while four tabs of two devices write: nothing is lost, doubled or out of order', async ({
  device,
}) => {
  test.setTimeout(120_000 + ROUNDS * 15_000);
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await linkDevice(phone.page, laptop.page, 'Phone');
  await startConversation(laptop.page, ['ben']);
  const talk = new URL(laptop.page.url()).hash.split('/').at(-1) ?? '';
  const tabs = [laptop.page, phone.page, await laptop.newTab(), await phone.newTab()];
  for (const page of [...tabs.slice(1), ben.page]) await openConversation(page, page === ben.page ? 'anna' : 'ben');
  const written: string[][] = tabs.map(() => []);

  const write = async (page: Page, nth: number, round: number): Promise<void> => {
    const text = `${'ABCD'.charAt(nth)}${round}`;
    written[nth]?.push(text);
    await send(page, text);
  };

  for (let round = 0; round < ROUNDS; round++) {
    // Siblings race for the same generations, and the worker of either may be in the middle of anything.
    const stopped = round % 2 === 0 ? laptop : phone;
    await Promise.all([
      ...tabs.map((page, nth) => write(page, nth, round)),
      laptop.page.waitForTimeout(Math.random() * LONGEST_STEP).then(() => stopped.worker.stop()),
    ]);
  }

  for (const page of tabs) {
    const waiting = async (): Promise<number> => (await callWorker(page, 'state', {})).connection.waiting;
    await expect.poll(waiting, { timeout: 30_000 + ROUNDS * 5_000 }).toBe(0);
  }
  for (const [nth, page] of tabs.entries()) await sees(page, written[nth]?.at(-1) ?? '');
  for (const own of written) await sees(ben.page, own.at(-1) ?? '');
  const order = (await textsOf(ben.page, talk)).map(({ text }) => text);
  expect([...order].sort()).toEqual(written.flat().sort());
  for (const own of written) expect(order.filter((text) => own.includes(text))).toEqual(own);
  for (const page of tabs) {
    await expect.poll(async () => (await callWorker(page, 'state', {})).connection).toMatchObject({ waiting: 0, status: 'online' });
    const texts = await textsOf(page, talk);
    expect(texts.map(({ text }) => text)).toEqual(order);
    expect(texts.filter(({ status, alarm, device }) => status !== 'sent' || alarm || device?.known !== true)).toEqual([]);
    // What is on the screen, too, as far as it goes back.
    await expect.poll(async () => order.join(' ').endsWith((await textsInOrder(page)).join(' '))).toBe(true);
    await expect(page.getByRole('alert')).toHaveCount(0);
  }
});

test('a message that the worker took and could not answer for is said once, though the person sends it again', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  const { page } = laptop;
  await page.clock.install();
  await page.reload();
  await startConversation(page, ['ben']);
  await send(page, 'First');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'First');

  // From now on what the worker answers to `send` goes astray.
  await page.evaluate(() => {
    type Post = (message: { readonly call: string }, ports: MessagePort[]) => void;
    const worker: { postMessage: Post } = ServiceWorker.prototype;
    const post = worker.postMessage;
    worker.postMessage = function (this: ServiceWorker, message, ports) {
      const astray = 'deaf' in window && message.call === 'send';
      post.call(this, message, astray ? [new MessageChannel().port2] : ports);
    };
    Object.assign(window, { deaf: true });
  });
  await send(page, 'Once');
  await sees(ben.page, 'Once');
  const field = page.getByRole('textbox', { name: 'Message' });
  await expect(async () => {
    await page.clock.fastForward(30_000);
    await expect(field).toHaveValue('Once', { timeout: 500 });
  }).toPass();
  await expect(page.getByRole('alert')).toContainText('Chorus did not answer in this browser.');

  await page.evaluate(() => Reflect.deleteProperty(window, 'deaf'));
  await field.press('Enter');
  await expect(field).toHaveValue('');
  await send(page, 'Last');
  await sees(ben.page, 'Last');
  expect(await textsInOrder(ben.page)).toEqual(['First', 'Once', 'Last']);
  await expect(page.getByRole('alert')).toHaveCount(0);
});
