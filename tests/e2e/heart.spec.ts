import { expect, test } from './support/fixtures.ts';
import { createAccount, linkDevice, line, openConversation, sees, send, startConversation } from './support/person.ts';

test('a laptop links a phone, and both talk to ben as one', async ({ device }) => {
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  await createAccount(laptop.page, 'anna', 'Laptop');
  await createAccount(ben.page, 'ben', 'Desk');
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Hello from the laptop');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Hello from the laptop');

  await linkDevice(phone.page, laptop.page, 'Phone');
  await openConversation(phone.page, 'ben');
  await send(phone.page, 'Hello from the phone');
  await sees(ben.page, 'Hello from the phone');
  await openConversation(laptop.page, 'ben');
  await sees(laptop.page, 'Hello from the phone');
  await expect(line(laptop.page, 'Hello from the phone')).toContainText('Phone');
  await expect(line(ben.page, 'Hello from the phone')).not.toContainText('Phone');
  await send(ben.page, 'Hello to both');
  await Promise.all([sees(laptop.page, 'Hello to both'), sees(phone.page, 'Hello to both')]);

  // A reload and a stopped worker lose nothing and repeat nothing.
  await laptop.page.reload();
  await sees(laptop.page, 'Hello to both');
  await phone.worker.stop();
  await send(phone.page, 'After the worker was stopped');
  await Promise.all([laptop.page, phone.page, ben.page].map((page) => sees(page, 'After the worker was stopped')));
});
