import { callWorker } from './support/bridge.ts';
import { expect, test } from './support/fixtures.ts';
import { createAccount, line, openConversation, sees, send, startConversation } from './support/person.ts';

test('a conversation goes on after a stopped worker, a killed server and a reload', async ({ server, device }) => {
  const laptop = await device('laptop');
  const ben = await device('ben');
  await createAccount(laptop.page, 'ada', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desktop');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'before');
  await openConversation(ben.page, 'ada');
  await sees(ben.page, 'before');

  await laptop.worker.stop();
  await server.kill();
  await server.start();
  await ben.page.reload();
  await sees(ben.page, 'before');
  await send(ben.page, 'there again');
  await send(laptop.page, 'after');
  for (const page of [laptop.page, ben.page]) {
    await sees(page, 'there again');
    await sees(page, 'after');
  }
});

test('what was written offline goes out with no tab open, in order and once', async ({ device }) => {
  const laptop = await device('laptop');
  const ben = await device('ben');
  await createAccount(laptop.page, 'ada', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desktop');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'one');
  await openConversation(ben.page, 'ada');
  await sees(ben.page, 'one');
  await sees(laptop.page, 'one');

  await laptop.goOffline();
  await send(laptop.page, 'two');
  await send(laptop.page, 'three');
  await expect(line(laptop.page, 'three')).toHaveAttribute('data-status', 'waiting');
  await expect.poll(async () => (await callWorker(laptop.page, 'state', {})).connection.waiting).toBe(2);
  await laptop.page.close();
  await laptop.worker.stop();

  await laptop.goOnline();
  await laptop.worker.sync('chorus-outbox');
  await sees(ben.page, 'three');
  await expect(ben.page.getByTestId('message-text')).toHaveText(['one', 'two', 'three']);
});

test('a message whose acceptance the device never heard of is there once', async ({ device }) => {
  const laptop = await device('laptop');
  const ben = await device('ben');
  await createAccount(laptop.page, 'ada', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desktop');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'one');
  await openConversation(ben.page, 'ada');
  await sees(ben.page, 'one');
  await sees(laptop.page, 'one');

  const cut = laptop.cable.cutAfter(({ method, path }) => method === 'POST' && path.endsWith('/messages'));
  await send(laptop.page, 'two');
  await cut;
  await sees(ben.page, 'two');
  await expect(line(laptop.page, 'two')).toHaveAttribute('data-status', 'waiting');
  await laptop.worker.stop();

  await laptop.cable.mend();
  await laptop.page.reload();
  await sees(laptop.page, 'two');
  await send(laptop.page, 'three');
  await sees(ben.page, 'three');
  await expect(ben.page.getByTestId('message-text')).toHaveText(['one', 'two', 'three']);
  await expect(laptop.page.getByTestId('message-text')).toHaveText(['one', 'two', 'three']);
});

test('a device is the same after its browser was closed', async ({ device }) => {
  const laptop = await device('laptop');
  await createAccount(laptop.page, 'ada', 'Laptop');
  await laptop.restart();
  expect((await callWorker(laptop.page, 'state', {})).account?.username).toBe('ada');
});
