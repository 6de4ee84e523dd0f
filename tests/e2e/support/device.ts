import { execFileSync } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { BrowserContext, Page } from '@playwright/test';
import { launchBrowser, type BrowserOptions, type RunningBrowser } from './browser.ts';
import { layCable, type Cable } from './cable.ts';
import { controlWorker, type WorkerControl } from './worker-control.ts';

/** How long a person waits for something that can be pressed, ms. */
const ACTION_LIMIT = 20_000;

/** A request of a page or of the service worker. */
export interface Asked {
  readonly url: string;
  readonly by: 'page' | 'worker';
}

/** One browser profile on disk with its own cable to the server. */
export interface Device {
  readonly name: string;
  readonly origin: string;
  /** The profile's folder. */
  readonly profile: string;
  readonly context: BrowserContext;
  /** The first tab. */
  readonly page: Page;
  readonly cable: Cable;
  readonly worker: WorkerControl;
  /** All that its pages and its worker have asked for, from the first load on. */
  readonly asked: readonly Asked[];
  /** One more tab of the app. */
  newTab(): Promise<Page>;
  /** Cuts the cable, and lets the tabs know as the system would. */
  goOffline(): Promise<void>;
  goOnline(): Promise<void>;
  /** Ends the browser and starts it anew on the same profile, after `meanwhile`. */
  restart(meanwhile?: () => Promise<void>): Promise<void>;
  /**
   * Kills the browser where it stands, with SIGKILL, as soon as `when` has resolved, and starts it anew on the same profile;
   * `meanwhile` sees what the kill has left.
   */
  kill(when?: () => Promise<void>, meanwhile?: () => void): Promise<void>;
  dispose(): Promise<void>;
}

/** A new browser profile, its first tab open on the app. */
export async function openDevice(name: string, serverPort: number, options: BrowserOptions = {}): Promise<Device> {
  const profile = await mkdtemp(join(tmpdir(), 'chorus-profile-'));
  const cable = await layCable(serverPort);
  // Secure context and one origin per device; Chromium resolves localhost by itself.
  const origin = `http://localhost:${cable.port}`;

  const asked: Asked[] = [];

  const open = async (): Promise<RunningBrowser & { page: Page; worker: WorkerControl }> => {
    const { context, close } = await launchBrowser(profile, options);
    context.setDefaultTimeout(ACTION_LIMIT);
    context.on('request', (request) => asked.push({ url: request.url(), by: request.serviceWorker() === null ? 'page' : 'worker' }));
    await context.grantPermissions(['notifications', 'background-sync', 'clipboard-read', 'clipboard-write'], { origin });
    // A blank tab from which the worker is controlled, so that the app can be without any tab.
    const [blank] = context.pages();
    const worker = await controlWorker(context, blank ?? (await context.newPage()), origin);
    const page = await context.newPage();
    await page.goto(origin);
    return { context, close, page, worker };
  };

  let current = await open();
  return {
    name,
    origin,
    profile,
    cable,
    asked,
    get context() {
      return current.context;
    },
    get page() {
      return current.page;
    },
    get worker() {
      return current.worker;
    },
    newTab: async () => {
      const page = await current.context.newPage();
      await page.goto(origin);
      return page;
    },
    goOffline: async () => {
      await cable.cut();
      await tellTabs(current.context, true);
    },
    goOnline: async () => {
      await cable.mend();
      await tellTabs(current.context, false);
    },
    restart: async (meanwhile) => {
      await current.close();
      await meanwhile?.();
      current = await open();
    },
    kill: async (when, meanwhile) => {
      const closed = current.context.waitForEvent('close', { timeout: 0 });
      // Found before: looking for them takes longer than a sweep.
      const processes = execFileSync('pgrep', ['-f', `user-data-dir=${profile}`], { encoding: 'utf8' })
        .trim()
        .split('\n');
      await when?.();
      for (const id of processes) endProcess(Number(id));
      await closed;
      meanwhile?.();
      current = await open();
    },
    dispose: async () => {
      await current.close();
      await cable.cut();
      await rm(profile, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

function endProcess(id: number): void {
  try {
    process.kill(id, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error; // gone with its parent
  }
}

/** Changes `navigator.onLine` in every tab. Not `context.setOffline`: it waits for ever for a worker that is stopped. */
async function tellTabs(context: BrowserContext, offline: boolean): Promise<void> {
  for (const page of context.pages()) {
    const session = await context.newCDPSession(page);
    await session.send('Network.emulateNetworkConditions', { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    if (!offline) await session.detach();
  }
}
