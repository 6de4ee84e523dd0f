import type { BrowserContext, Page } from '@playwright/test';

/** How long Chromium may take to stop a worker or to report it, ms. */
const LIMIT = 10_000;

/** The service worker of one origin, as Chromium's DevTools protocol handles it. */
export interface WorkerControl {
  /** Stops it wherever it is, as Chromium does with an idle worker; returns when it has stopped. Any event starts it again. */
  stop(): Promise<void>;
  isRunning(): boolean;
  /** Fires a one-off background sync, as the browser does when the network is back; starts the worker if need be. */
  sync(tag: string, lastChance?: boolean): Promise<void>;
  /** Waits until a worker is active for the origin. */
  active(): Promise<void>;
}

/** Watches and handles the origin's worker through `page`, which need not show the app. */
export async function controlWorker(context: BrowserContext, page: Page, origin: string): Promise<WorkerControl> {
  const session = await context.newCDPSession(page);
  const registrations = new Map<string, string>(); // registration ID -> scope
  const versions = new Map<string, { registrationId: string; status: string; running: string }>();

  const stopWaiters: ((registrationId: string) => void)[] = [];

  session.on('ServiceWorker.workerRegistrationUpdated', ({ registrations: changed }) => {
    for (const { registrationId, scopeURL, isDeleted } of changed) {
      if (isDeleted) registrations.delete(registrationId);
      else registrations.set(registrationId, scopeURL);
    }
  });
  session.on('ServiceWorker.workerVersionUpdated', ({ versions: changed }) => {
    for (const { versionId, registrationId, status, runningStatus } of changed) {
      versions.set(versionId, { registrationId, status, running: runningStatus });
      if (runningStatus === 'stopped') for (const waiter of stopWaiters) waiter(registrationId);
    }
  });
  await session.send('ServiceWorker.enable');

  const registrationId = (): string | undefined => [...registrations].find(([, scope]) => scope === `${origin}/`)?.[0];
  const activated = (): boolean => {
    const id = registrationId();
    return id !== undefined && [...versions.values()].some((version) => version.registrationId === id && version.status === 'activated');
  };
  const isRunning = (): boolean => {
    const id = registrationId();
    return [...versions.values()].some((version) => version.registrationId === id && version.running !== 'stopped');
  };

  return {
    stop: async () => {
      if (!isRunning()) return;
      const id = registrationId();
      let stopped = false; // a tab may start it again before anybody could see it stopped
      const waiter = (of: string): void => void (stopped ||= of === id);
      stopWaiters.push(waiter);
      await session.send('ServiceWorker.stopAllWorkers');
      await until(() => stopped, 'the worker does not stop');
      stopWaiters.splice(stopWaiters.indexOf(waiter), 1);
    },
    isRunning,
    sync: async (tag, lastChance = false) => {
      await until(activated, 'no active worker');
      const id = registrationId();
      if (id === undefined) throw new Error('no registration');
      await session.send('ServiceWorker.dispatchSyncEvent', { origin, registrationId: id, tag, lastChance });
    },
    active: () => until(activated, 'no active worker'),
  };
}

async function until(condition: () => boolean, otherwise: string): Promise<void> {
  for (const limit = Date.now() + LIMIT; !condition();) {
    if (Date.now() > limit) throw new Error(otherwise);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
