import { createBridgeRuntime } from '../src/bridge/dispatch.ts';
import { createBridgeServer } from '../src/bridge/server.ts';
import { VIEW_CHANNEL, type ViewChanged } from '../src/bridge/protocol.ts';
import { createDeliveryClient, fromJson, sequenceEntryFrame, stockFrame } from '../src/delivery/index.ts';
import { createRuntime } from '../src/engine/runtime.ts';
import { createRecordStore } from '../src/store/index.ts';
import { createAppLock } from './app-lock.ts';
import { serveAppShell, type PrecacheEntry } from './app-shell.ts';
import { Background, type Extendable } from './background.ts';
import {
  asShown,
  openFromNotification,
  showMessage,
  withdrawMessages,
  type MessageNotification,
  type NotificationScope,
} from './notifications.ts';
import { sleep } from './sleep.ts';
import { Sweeper } from './sweeper.ts';

declare global {
  interface Window {
    /** Written in by the build: the files of the app. */
    readonly __PRECACHE__: readonly PrecacheEntry[];
  }
}

/** One-off background sync; TypeScript does not know it, nor its event. */
interface SyncManager {
  register(tag: string): Promise<void>;
}

interface SyncEvent extends ExtendableEvent {
  readonly tag: string;
  readonly lastChance: boolean;
}

/** One-off sync of this tag: something waits for the network. */
const SYNC_TAG = 'chorus-outbox';
/** Held by whichever context of this origin runs the engine; two do for a moment when a new version takes over. */
const ENGINE_LOCK = 'chorus-engine';

/**
 * The service worker: puts the engine together with the browser's parts. Everything that lasts is in
 * the store; the browser may stop this worker at any time and starts it again for the next event.
 */
const scope = self as unknown as ServiceWorkerGlobalScope;
const background = new Background();
const view = new BroadcastChannel(VIEW_CHANNEL);
const notifications: NotificationScope = {
  clients: scope.clients,
  registration: scope.registration,
  permission: () => Notification.permission,
};

const delivery = createDeliveryClient({ baseUrl: location.origin, fetch: (input, init) => fetch(input, init), now: Date.now });

const store = createRecordStore();
const exclusive = <Result>(task: () => Promise<Result>): Promise<Result> => navigator.locks.request(ENGINE_LOCK, task);
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const sweeper = new Sweeper({ store, exclusive, now: Date.now, pause });

const runtime = createRuntime({
  store,
  delivery,
  random: (length) => crypto.getRandomValues(new Uint8Array(length)),
  now: () => delivery.now(),
  exclusive,
  changed: (change) => {
    const message: ViewChanged = { type: 'view-changed', ...change };
    view.postMessage(message);
  },
  notify: (notification) => background.start(notify(notification)),
  withdraw: (tag) => background.start(withdrawMessages(notifications, tag)),
  deleted: () => background.start(sweeper.soon()),
  cleared: () => background.start(clearBrowser()),
  requestSync,
  sleep,
  prepareEventStream: (after, proof, mark) => delivery.prepareEventStream(after, proof, mark),
  readEntry: (data) => fromJson(sequenceEntryFrame, data),
  readStock: (data) => fromJson(stockFrame, data)?.stock,
});

async function notify(notification: MessageNotification): Promise<void> {
  await showMessage(notifications, asShown(notification, (await store.lockTerms()) !== undefined));
}

/** @param lastChance The browser does not repeat this sync if it fails: ask for a new one, which it repeats after pauses of minutes again. */
async function synchronise(lastChance: boolean): Promise<void> {
  try {
    await runtime.synchronise();
  } catch (error) {
    if (lastChance) requestSync();
    throw error;
  }
}

/** What the browser itself holds for this device. The app's files stay: they are the same for everybody. */
async function clearBrowser(): Promise<void> {
  await withdrawMessages(notifications);
  const subscription = await scope.registration.pushManager.getSubscription();
  await subscription?.unsubscribe();
}

function requestSync(): void {
  const { sync } = scope.registration as ServiceWorkerRegistration & { readonly sync?: SyncManager };
  if (sync !== undefined) background.start(sync.register(SYNC_TAG)); // refused without the permission: an open tab's pings do it then
}

/** Whatever woke the worker, what was deleted meanwhile is swept if it is time. */
function keepAlive(event: Extendable, work: Promise<unknown>): void {
  const swept = work.catch(() => undefined).then(() => sweeper.whenDue());
  background.start(swept);
  background.keepAlive(event, work);
}

const appLock = createAppLock({ store, sweeper, withdraw: () => withdrawMessages(notifications), wake: () => runtime.wake() });

const bridge = createBridgeServer(createBridgeRuntime(runtime, sweeper, appLock));

serveAppShell(self.__PRECACHE__);

scope.addEventListener('activate', (event) => event.waitUntil(scope.clients.claim()));

scope.addEventListener('message', (event) => {
  if (event.origin !== location.origin) return;
  const data: unknown = event.data;
  if (typeof data === 'object' && data !== null && 'type' in data && data.type === 'SKIP_WAITING') {
    background.keepAlive(event, scope.skipWaiting());
    return;
  }
  const answered = bridge.receive(data, event.ports[0]);
  if (answered !== undefined) keepAlive(event, answered);
});

scope.addEventListener('sync', (event) => {
  const { tag, lastChance, waitUntil } = event as SyncEvent;
  if (tag === SYNC_TAG) keepAlive({ waitUntil: waitUntil.bind(event) }, synchronise(lastChance));
});

scope.addEventListener('notificationclick', (event) => {
  background.keepAlive(event, openFromNotification(notifications, event.notification));
});
