import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { APP } from '../../scripts/build/layout.ts';
import { rounds } from '../support/rounds.ts';
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
const welcome = (page: Page) => page.getByRole('button', { name: 'Create account' });
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

/** What is played in each of the ways below; another way each time. */
const ROUNDS = rounds({ test: 3, soak: 30 });
/** A page is there in less, ms. */
const LONGEST_STEP = 300;

/** A tab says the words, and again after a reload; so does a second one, whose load is cut off at any moment. */
async function saysEverywhere(tab: () => Promise<Page>, address: string, words: (page: Page) => Promise<void>): Promise<void> {
  const [first, second] = [await tab(), await tab()];
  await first.goto(address);
  await words(first);
  await Promise.all([first.waitForEvent('load'), reload(first).click()]);
  await second.goto(address, { waitUntil: 'commit' });
  await second.waitForTimeout(Math.random() * LONGEST_STEP);
  // While a page takes the place of the one before it, Chromium refuses: a person would press the key again.
  await expect(() => second.reload()).toPass();
  for (const page of [first, second]) {
    await words(page);
    await page.close();
  }
}

test('a browser that has no service worker for us says so in every tab, and starts as soon as it has one', async ({ server }) => {
  test.setTimeout(60_000 + ROUNDS * 30_000);
  const ways: readonly [way: string, refuse: () => unknown, words: (page: Page) => Promise<void>][] = [
    [
      'none at all',
      () => Reflect.deleteProperty(Navigator.prototype, 'serviceWorker'),
      async (page) => {
        await expect(cannotRun(page)).toBeVisible();
        await expect(page.getByText('outside of a private window')).toBeVisible();
      },
    ],
    [
      'one that it refuses',
      () => (ServiceWorkerContainer.prototype.register = () => Promise.reject(new DOMException('refused', 'SecurityError'))),
      async (page) => {
        await expect(cannotStart(page)).toBeVisible();
        await expect(page.getByRole('alert')).toContainText('open Chorus outside of a private window');
      },
    ],
    [
      'one that it never answers for',
      () => (ServiceWorkerContainer.prototype.register = () => new Promise(() => undefined)),
      async (page) => {
        await expect(page.getByText(/Starting Chorus…|This takes longer/)).toBeVisible();
        await page.clock.fastForward(10_000);
        await expect(page.getByText('This takes longer than it should.')).toBeVisible();
      },
    ],
  ];
  await withBrowser(async (open) => {
    for (let round = 0; round < ROUNDS; round++) {
      const [way, refuse, words] = ways[round % ways.length]!;
      await test.step(way, async () => {
        const tab = async (): Promise<Page> => {
          const page = await open();
          await page.clock.install();
          await page.addInitScript(refuse);
          return page;
        };
        await saysEverywhere(tab, `http://localhost:${server.port}`, async (page) => {
          await words(page);
          await expect(reload(page)).toBeVisible();
        });
      });
    }
    const page = await open();
    await page.goto(`http://localhost:${server.port}`);
    await expect(welcome(page)).toBeVisible();
  });
});

test('a browser whose databases cannot be opened says so in every tab, and starts as soon as they can', async ({ server }) => {
  test.setTimeout(60_000 + ROUNDS * 60_000);
  // By what the worker is called: a script of the page's does not reach into it.
  const ways: Readonly<Record<string, string>> = {
    throws: "indexedDB.open = () => { throw new DOMException('refused', 'SecurityError'); };",
    fails: `indexedDB.open = () => {
      const request = new EventTarget();
      request.error = new DOMException('refused', 'InvalidStateError');
      queueMicrotask(() => request.dispatchEvent(new Event('error')));
      return request;
    };`,
  };
  const app = await mkdtemp(join(tmpdir(), 'chorus-app-'));
  let folder = '';
  try {
    await cp(APP, app, { recursive: true });
    const cases = Object.entries(ways).map(([way, script]) => `if (location.hostname.startsWith('${way}')) { ${script} }`);
    await writeFile(join(app, 'sw.js'), `${cases.join('\n')}\n${await readFile(join(app, 'sw.js'), 'utf8')}`);
    await server.stop();
    await server.start(app);
    await withBrowser(
      async (open) => {
        const hosts = [...Object.keys(ways).map((way) => `${way}.localhost`), 'localhost'];
        for (let round = 0; round < ROUNDS; round++) {
          const host = hosts[round % hosts.length]!;
          await test.step(host, () =>
            saysEverywhere(open, `http://${host}:${server.port}`, async (page) => {
              await expect(cannotStart(page)).toBeVisible();
              await expect(page.getByRole('alert')).toContainText('This browser does not let Chorus store anything.');
              await expect(reload(page)).toBeVisible();
            }),
          );
        }
        // A tab that has said so tries again by itself.
        const page = await open();
        await page.goto(`http://localhost:${server.port}`);
        await expect(cannotStart(page)).toBeVisible();
        await rm(join(folder, 'IndexedDB'));
        await expect(welcome(page)).toBeVisible();
      },
      async (defaults) => {
        folder = defaults;
        await writeFile(join(folder, 'IndexedDB'), 'a file where a folder should be');
      },
    );
  } finally {
    await rm(app, { recursive: true });
  }
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
