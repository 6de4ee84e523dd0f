import { expect, test } from './support/fixtures.ts';

// The app as such, before there is an account: what the build, the server and the worker promise together.

test('opens without a network once it has been visited', async ({ device }) => {
  const laptop = await device('laptop');
  await laptop.worker.active();
  await laptop.goOffline();

  await laptop.page.reload();
  await expect(laptop.page.getByRole('heading').first()).toBeVisible();

  await laptop.worker.stop();
  const tab = await laptop.newTab();
  await expect(tab.getByRole('heading').first()).toBeVisible();
});

test('is served and run without anything that its Content-Security-Policy forbids', async ({ device }) => {
  const laptop = await device('laptop');
  const complaints: string[] = [];
  laptop.page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') complaints.push(message.text());
  });
  laptop.page.on('pageerror', (error) => complaints.push(error.message));

  await laptop.worker.active();
  const response = await laptop.page.reload();
  await expect(laptop.page.getByRole('heading').first()).toBeVisible();

  expect(response?.headers()['content-security-policy']).toContain("default-src 'none'");
  expect(complaints).toEqual([]);
});

test('a stopped worker starts again when a tab needs it', async ({ device }) => {
  const laptop = await device('laptop');
  await laptop.worker.active();
  await laptop.worker.stop();
  expect(laptop.worker.isRunning()).toBe(false);

  await laptop.page.reload();
  await expect(laptop.page.getByRole('heading').first()).toBeVisible();
  await expect.poll(() => laptop.worker.isRunning()).toBe(true);
});

test('the server ends cleanly while tabs are open, and they find it again', async ({ server, device }) => {
  const laptop = await device('laptop');
  await laptop.worker.active();

  await server.stop();
  await server.start();

  const answer = await laptop.page.evaluate(async () => (await fetch('/v1/server')).status);
  expect(answer).toBe(200);
});

test('can be installed', async ({ device }) => {
  const laptop = await device('laptop');
  await laptop.worker.active();
  const session = await laptop.context.newCDPSession(laptop.page);
  const { installabilityErrors } = await session.send('Page.getInstallabilityErrors');
  expect(installabilityErrors).toEqual([]);
});
