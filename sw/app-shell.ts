import { PrecacheController, PrecacheRoute } from 'workbox-precaching';
import { NavigationRoute, Router } from 'workbox-routing';

export interface PrecacheEntry {
  readonly url: string;
  /** Null where the file's name holds a hash of its content. */
  readonly revision: string | null;
}

const SHELL = '/index.html';
/** The delivery API: nothing of it is ever answered or kept here. */
const API = /^\/v1\//;

/**
 * Keeps the built app for use without a network: installs its files, answers requests for them and
 * every navigation within the app from the cache, and removes files of earlier versions. All else
 * goes to the network untouched. Call it while the worker's script first runs.
 */
export function serveAppShell(entries: readonly PrecacheEntry[]): void {
  const precache = new PrecacheController();
  // Files are kept by URL and revision; which headers a request for one has makes no difference.
  precache.strategy.matchOptions = { ignoreVary: true };
  precache.precache([...entries]);

  const router = new Router();
  router.registerRoute(new PrecacheRoute(precache, { cleanURLs: false }));
  if (entries.some(({ url }) => url === SHELL)) {
    router.registerRoute(new NavigationRoute(precache.createHandlerBoundToURL(SHELL), { denylist: [API] }));
  }
  router.addFetchListener();
}
