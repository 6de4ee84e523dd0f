import { Workbox } from 'workbox-window';
import type { CallTarget } from './client.ts';

const SCRIPT = '/sw.js';
/** A tab may stay open for weeks; a new version is found within the hour, ms. */
const UPDATE_INTERVAL = 60 * 60 * 1000;

export interface Registration {
  /** The worker that answers calls now. Rejects when none could be installed. */
  readonly worker: () => Promise<CallTarget>;
  /** Takes the new version into use: every tab of the app reloads. Only after `onUpdateReady`. */
  applyUpdate(): void;
}

/** Registers the service worker and looks for new versions of it while the tab is open. */
export function registerWorker(onUpdateReady: () => void): Registration {
  const workbox = new Workbox(SCRIPT, { updateViaCache: 'none' });
  workbox.addEventListener('waiting', onUpdateReady);
  // The new version's worker may have another protocol, so no page of the old one stays beside it. At a
  // first visit the page has no worker yet, and the first one takes it over as it is.
  let controlled = navigator.serviceWorker.controller !== null;
  navigator.serviceWorker.addEventListener('controllerchange', () => {
    if (controlled) location.reload();
    controlled = true;
  });

  const registered = workbox.register({ immediate: true });
  registered.catch(() => undefined); // who calls `worker` is told
  const lookForUpdate = (): void => {
    if (document.visibilityState === 'visible') workbox.update().catch(() => undefined); // without a network there is none
  };
  void registered.then(() => setInterval(lookForUpdate, UPDATE_INTERVAL)).catch(() => undefined);

  return {
    worker: async () => {
      const registration = await registered;
      if (registration?.active) return registration.active;
      const { active } = await navigator.serviceWorker.ready;
      if (active === null) throw new Error('no active worker');
      return active;
    },
    applyUpdate: () => workbox.messageSkipWaiting(),
  };
}
