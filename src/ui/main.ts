import { mount } from 'svelte';
import { createBridge } from '../bridge/client.ts';
import { joinLeaders } from '../bridge/leader.ts';
import { registerWorker } from '../bridge/registration.ts';
import './app.css';
import App from './App.svelte';
import { markDevice } from './device-mark.ts';
import { Chorus } from './state.svelte.ts';
import Unsupported from './Unsupported.svelte';

/** What Chorus cannot do without; a page that is not served securely has none of them. */
function missingParts(): string[] {
  const parts = {
    'service workers': 'serviceWorker' in navigator,
    IndexedDB: 'indexedDB' in globalThis,
    'Web Locks': 'locks' in navigator,
    'Web Crypto': 'crypto' in globalThis && 'subtle' in crypto,
    'broadcast channels': 'BroadcastChannel' in globalThis,
  };
  return Object.entries(parts).flatMap(([name, there]) => (there ? [] : [name]));
}

/** A browser that may not store anything for this page has all the parts, and refuses their use. */
async function isDenied(): Promise<boolean> {
  return navigator.locks.query().then(
    () => false,
    () => true,
  );
}

async function start(target: HTMLElement): Promise<void> {
  const missing = missingParts();
  const unsupported = missing.length > 0 || (await isDenied());
  target.replaceChildren(); // the words for those whose browser runs no script of ours
  if (unsupported) {
    mount(Unsupported, { target, props: { missing } });
    return;
  }
  const registration = registerWorker({
    onUpdateReady: () => {
      chorus.updateReady = true;
    },
    onWorkerGone: () => {
      if (chorus.view?.phase === 'ready') markDevice();
    },
    onReplaced: () => chorus.settle(),
  });
  const bridge = createBridge(registration.worker);
  const chorus = new Chorus(bridge);
  mount(App, { target, props: { chorus, applyUpdate: registration.applyUpdate } });
  // Until the page goes.
  void joinLeaders(bridge, new AbortController().signal);
}

const target = document.getElementById('app');
if (target !== null) void start(target);
