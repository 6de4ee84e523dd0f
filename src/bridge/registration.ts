import { Workbox } from 'workbox-window';
import type { CallTarget } from './client.ts';

const SCRIPT = '/sw.js';
/** A tab may stay open for weeks; a new version is found within the hour, ms. */
const UPDATE_INTERVAL = 60 * 60 * 1000;
/** A first visit downloads and starts the worker before it answers; a browser that has none for this page may never say so, ms. */
const PATIENCE = 20_000;

/** Channel on which a tab says that it has asked the new worker to take over. */
const HAND_OVER_CHANNEL = 'chorus-hand-over';
/** What is in the old worker's hands is done in less, ms. */
const HAND_OVER_CALM = 300;
/** If the new worker is not there by then, the old one goes on, ms. */
const HAND_OVER_LIMIT = 10_000;

export interface Registration {
  /** The worker that answers calls now. Rejects when the browser refuses one, or has none for long. */
  readonly worker: () => Promise<CallTarget>;
  /** Takes the new version into use: every tab of the app reloads. Only after `onUpdateReady`. */
  applyUpdate(): void;
}

/** The part of Trusted Types in use; TypeScript does not know them yet. */
interface TrustedTypes {
  createPolicy(name: string, rules: { createScriptURL(url: string): string }): { createScriptURL(url: string): unknown };
}

/** The server's Content-Security-Policy lets no text be a script's address but through this policy, and this policy lets one be. */
function workerScript(): string {
  const { trustedTypes } = globalThis as { readonly trustedTypes?: TrustedTypes };
  if (trustedTypes === undefined) return SCRIPT;
  const policy = trustedTypes.createPolicy('chorus-worker', {
    createScriptURL: (url) => {
      if (url !== SCRIPT) throw new TypeError('not a script of the app');
      return url;
    },
  });
  return policy.createScriptURL(SCRIPT) as string; // a TrustedScriptURL, which stands wherever the text may
}

export interface RegistrationEvents {
  /** A new version waits to be taken into use. */
  readonly onUpdateReady: () => void;
  /** The browser has deleted the worker, which it does together with all else of this site. */
  readonly onWorkerGone: () => void;
  /** Another worker has taken over: resolves when the tab is done, with whether it may be reloaded or its person has to do that. */
  readonly onReplaced: () => Promise<boolean>;
}

/**
 * Registers the service worker and looks for new versions of it while the tab is open. The tab reloads when another worker
 * has taken over, unless that would lose what its person has written.
 *
 * From the moment that a tab asks for that, all tabs hold back their calls until the new worker is there. A call that meets
 * the old one while the browser stops it starts it again: then Chromium lets the new one in only after minutes.
 */
export function registerWorker({ onUpdateReady, onWorkerGone, onReplaced }: RegistrationEvents): Registration {
  const workbox = new Workbox(workerScript(), { updateViaCache: 'none' });
  workbox.addEventListener('waiting', onUpdateReady);

  let handOver = Promise.resolve();
  let endHandOver = (): void => undefined;
  const holdBack = (): void => {
    handOver = new Promise((resolve) => {
      endHandOver = resolve;
      setTimeout(resolve, HAND_OVER_LIMIT);
    });
  };
  const channel = new BroadcastChannel(HAND_OVER_CHANNEL);
  channel.onmessage = holdBack;

  // The new version's worker may have another protocol, so no page of the old one stays beside it. At a
  // first visit the page has no worker yet, and the first one takes it over as it is.
  let controlled = navigator.serviceWorker.controller !== null;
  navigator.serviceWorker.addEventListener('controllerchange', () => {
    if (navigator.serviceWorker.controller === null) onWorkerGone();
    endHandOver();
    if (controlled) void onReplaced().then((mayReload) => mayReload && location.reload());
    controlled = true;
  });

  const registered = workbox.register({ immediate: true });
  // A tab that was loaded past its worker, by Shift and Reload, is not controlled, though there is one that it calls.
  registered.then(
    (registration) => {
      if (registration?.active) controlled = true;
    },
    () => undefined, // who calls `worker` is told
  );
  const lookForUpdate = (): void => {
    if (document.visibilityState === 'visible') workbox.update().catch(() => undefined); // without a network there is none
  };
  void registered.then(() => setInterval(lookForUpdate, UPDATE_INTERVAL)).catch(() => undefined);

  return {
    worker: async () => {
      await handOver;
      const registration = await registered;
      if (registration?.active) return registration.active;
      const ready = await Promise.race([navigator.serviceWorker.ready, late()]);
      if (!ready?.active) throw new Error('no active worker');
      return ready.active;
    },
    applyUpdate: () => {
      channel.postMessage('asked');
      holdBack();
      setTimeout(() => workbox.messageSkipWaiting(), HAND_OVER_CALM);
    },
  };
}

function late(): Promise<undefined> {
  return new Promise((resolve) => setTimeout(() => resolve(undefined), PATIENCE));
}
