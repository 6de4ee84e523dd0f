import { conversationAddress, type OpenConversation } from '../src/bridge/envelope.ts';

/** What the engine asks to be shown. */
export interface MessageNotification {
  /** A later one with the same tag takes the place of an earlier one. */
  readonly tag: string;
  readonly title: string;
  readonly body: string;
  readonly conversationId: string;
  /** The person wants to be told who wrote what. */
  readonly withWords: boolean;
}

/** The parts of the worker's scope in use. */
export interface NotificationScope {
  readonly clients: Pick<Clients, 'matchAll' | 'openWindow'>;
  readonly registration: Pick<ServiceWorkerRegistration, 'showNotification' | 'getNotifications'>;
  readonly permission: () => NotificationPermission;
}

const ICON = '/icon-192.png';

/** Shows a notification, unless the person has not allowed it or looks at the app right now. */
export async function showMessage(scope: NotificationScope, { tag, title, body, conversationId }: MessageNotification): Promise<void> {
  if (scope.permission() !== 'granted') return;
  const windows = await scope.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (windows.some(({ visibilityState }) => visibilityState === 'visible')) return;
  await scope.registration.showNotification(title, { body, tag, icon: ICON, data: { conversationId } });
}

/** Takes the notification with this tag from the screen, or all of them: what they show has been deleted. */
export async function withdrawMessages({ registration }: NotificationScope, tag?: string): Promise<void> {
  for (const notification of await registration.getNotifications(tag === undefined ? {} : { tag })) notification.close();
}

/**
 * Without who said what, unless the person wants it and no app lock is on: the browser keeps what a notification says in
 * files of its own, where neither a sweep nor the lock reaches.
 */
export function asShown(notification: MessageNotification, hasLock: boolean): MessageNotification {
  return notification.withWords && !hasLock ? notification : withoutWords(notification);
}

function withoutWords(notification: MessageNotification): MessageNotification {
  return { ...notification, title: 'Chorus', body: 'A new message' };
}

/** After a click: brings a tab of the app to the front and has it show the conversation, or opens one there. */
export async function openFromNotification(scope: NotificationScope, notification: Pick<Notification, 'data' | 'close'>): Promise<void> {
  notification.close();
  const conversationId = conversationOf(notification.data);
  const [client] = await scope.clients.matchAll({ type: 'window', includeUncontrolled: true });
  if (client === undefined) {
    await scope.clients.openWindow(conversationId === undefined ? '/' : conversationAddress(conversationId));
    return;
  }
  await client.focus();
  if (conversationId === undefined) return;
  const message: OpenConversation = { type: 'open-conversation', conversationId };
  client.postMessage(message);
}

/** A notification may be of an earlier version of the app. */
function conversationOf(data: unknown): string | undefined {
  if (typeof data !== 'object' || data === null || !('conversationId' in data)) return undefined;
  return typeof data.conversationId === 'string' && /^[0-9a-f]+$/.test(data.conversationId) ? data.conversationId : undefined;
}
