import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { APP } from '../../scripts/build/layout.ts';
import { launchBrowser } from './support/browser.ts';
import { expect, test } from './support/fixtures.ts';

// Browsers that lack or refuse a part of what Chorus needs: words and a next step, and never a blank page.

/** A browser on a new profile, which `prepare` may change before. */
async function withBrowser(
  task: (page: () => Promise<Page>) => Promise<void>,
  prepare?: (profile: string) => Promise<void>,
): Promise<void> {
  const profile = await mkdtemp(join(tmpdir(), 'chorus-profile-'));
  await mkdir(join(profile, 'Default'));
  await prepare?.(join(profile, 'Default'));
  const { context, close } = await launchBrowser(profile, { viewport: { width: 360, height: 740 } });
  try {
    await task(() => context.newPage());
  } finally {
    await close();
    await rm(profile, { recursive: true, force: true, maxRetries: 5 });
  }
}

const cannotRun = (page: Page) => page.getByRole('heading', { name: 'Chorus cannot run here' });
const cannotStart = (page: Page) => page.getByRole('heading', { name: 'Chorus could not start' });
const reload = (page: Page) => page.getByRole('button', { name: 'Reload' });

test('a browser without one of the parts is told which', async ({ server }) => {
  const parts: readonly [missing: string, remove: () => unknown][] = [
    ['service workers', () => Reflect.deleteProperty(Navigator.prototype, 'serviceWorker')],
    ['Web Locks', () => Reflect.deleteProperty(Navigator.prototype, 'locks')],
    ['IndexedDB', () => Reflect.deleteProperty(globalThis, 'indexedDB')],
    ['Web Crypto', () => Reflect.deleteProperty(Crypto.prototype, 'subtle')],
    ['broadcast channels', () => Reflect.deleteProperty(globalThis, 'BroadcastChannel')],
  ];
  await withBrowser(async (open) => {
    for (const [missing, remove] of parts) {
      const page = await open();
      await page.addInitScript(remove);
      await page.goto(`http://localhost:${server.port}`);
      await expect(cannotRun(page)).toBeVisible();
      await expect(page.getByRole('listitem')).toHaveText([missing]);
      await expect(reload(page)).toBeVisible();
      await page.close();
    }

    await test.step('a page that is not served securely lacks most of them', async () => {
      const page = await open();
      await page.route('http://chorus.test/**', async (route) => {
        const path = new URL(route.request().url()).pathname;
        const response = await fetch(`http://localhost:${server.port}${path}`);
        const body = Buffer.from(await response.arrayBuffer());
        await route.fulfill({ status: response.status, contentType: response.headers.get('content-type') ?? '', body });
      });
      await page.goto('http://chorus.test/');
      await expect(cannotRun(page)).toBeVisible();
      await expect(page.getByText('at an address that begins with https')).toBeVisible();
    });

    await test.step('one that refuses a worker says so', async () => {
      const page = await open();
      await page.addInitScript(() => {
        ServiceWorkerContainer.prototype.register = () => Promise.reject(new DOMException('refused', 'SecurityError'));
      });
      await page.goto(`http://localhost:${server.port}`);
      await expect(cannotStart(page)).toBeVisible();
      await expect(page.getByRole('alert')).toContainText('open Chorus outside of a private window');
      await expect(reload(page)).toBeVisible();
    });
  });
});

test('a browser that is told to store nothing says how to allow it', async ({ server }) => {
  const settings = { profile: { default_content_setting_values: { cookies: 2 } } }; // "block all cookies", site data included
  await withBrowser(
    async (open) => {
      const page = await open();
      await page.goto(`http://localhost:${server.port}`);
      await expect(cannotRun(page)).toBeVisible();
      await expect(page.getByText('Allow cookies and site data for this address')).toBeVisible();
      await expect(reload(page)).toBeVisible();
    },
    (folder) => writeFile(join(folder, 'Preferences'), JSON.stringify(settings)),
  );
});

test('a browser whose databases cannot be opened says so', async ({ server }) => {
  await withBrowser(
    async (open) => {
      const page = await open();
      await page.goto(`http://localhost:${server.port}`);
      await expect(cannotStart(page)).toBeVisible();
      await expect(page.getByRole('alert')).toContainText('This browser does not let Chorus store anything.');
      await expect(reload(page)).toBeVisible();
    },
    (folder) => writeFile(join(folder, 'IndexedDB'), 'a file where a folder should be'),
  );
});

test('a worker that fails at its start, or never answers, leaves no page blank', async ({ server }) => {
  const app = await mkdtemp(join(tmpdir(), 'chorus-app-'));
  try {
    await cp(APP, app, { recursive: true });
    await withBrowser(async (open) => {
      await writeFile(join(app, 'sw.js'), 'throw new Error("at the start");');
      await server.stop();
      await server.start(app);
      const page = await open();
      await page.goto(`http://localhost:${server.port}`);
      await expect(cannotStart(page)).toBeVisible();
      await expect(page.getByRole('alert')).toContainText('This browser did not let Chorus start.');

      await writeFile(join(app, 'sw.js'), 'self.addEventListener("message", () => undefined);');
      await server.stop();
      await server.start(app);
      await page.clock.install();
      await page.goto(`http://localhost:${server.port}`);
      await expect(page.getByText('Starting Chorus…')).toBeVisible();
      await page.clock.fastForward(10_000);
      await expect(page.getByText('This takes longer than it should.')).toBeVisible();
      await expect(reload(page)).toBeVisible();
      // Each try of a call has a wait of its own.
      await expect(async () => {
        await page.clock.fastForward(30_000);
        await expect(page.getByRole('alert')).toContainText('Chorus did not answer in this browser.', { timeout: 500 });
      }).toPass();
    });
  } finally {
    await rm(app, { recursive: true });
  }
});
