import { describe, expect, it } from 'vitest';
import { asShown, openFromNotification, showMessage, withdrawMessages, type NotificationScope } from '../../../sw/notifications.ts';

const MESSAGE = { tag: 'aa/7', title: 'bert', body: 'Hello', conversationId: 'aa', withWords: true };

interface Given {
  readonly permission?: NotificationPermission;
  /** Visibility of the tabs that are open. */
  readonly tabs?: readonly DocumentVisibilityState[];
}

/** The worker's scope with tabs, noting what is done to it. */
function scopeWith({ permission = 'granted', tabs = [] }: Given = {}) {
  const shown: unknown[] = [];
  const done: unknown[] = [];
  const clients = tabs.map((visibilityState, index) => ({
    visibilityState,
    focus: async () => void done.push(['focus', index]),
    postMessage: (message: unknown) => void done.push(['post', index, message]),
  }));
  const scope = {
    permission: () => permission,
    registration: { showNotification: async (title: string, options: object) => void shown.push([title, options]) },
    clients: {
      matchAll: async (options: object) => {
        expect(options).toEqual({ type: 'window', includeUncontrolled: true });
        return clients;
      },
      openWindow: async (url: string) => void done.push(['open', url]),
    },
  } as unknown as NotificationScope;
  return { scope, shown, done };
}

const clicked = (data: unknown) => {
  let closed = 0;
  return { notification: { data, close: () => void closed++ }, closed: () => closed };
};

describe('a new message', () => {
  it.each([
    ['as long as the person has not asked for it', { withWords: false, hasLock: false }],
    ['behind the app lock, even if the person has asked for it', { withWords: true, hasLock: true }],
  ])('is told without who said what, %s', async (_when, { withWords, hasLock }) => {
    const { scope, shown } = scopeWith();
    await showMessage(scope, asShown({ ...MESSAGE, withWords }, hasLock));
    expect(JSON.stringify(shown)).not.toMatch(/bert|Hello/);
    expect(shown).toMatchObject([['Chorus', { body: 'A new message', tag: 'aa/7', data: { conversationId: 'aa' } }]]);
  });

  it.each([[[]], [['hidden']], [['hidden', 'hidden']]] as const)(
    'is shown once while the tabs are %j, with who said what if the person wants it',
    async (tabs) => {
      const { scope, shown } = scopeWith({ tabs });
      await showMessage(scope, asShown(MESSAGE, false));
      expect(shown).toEqual([['bert', expect.objectContaining({ body: 'Hello', tag: 'aa/7', data: { conversationId: 'aa' } })]]);
    },
  );

  it('is not shown while any tab is in view', async () => {
    const { scope, shown } = scopeWith({ tabs: ['hidden', 'visible'] });
    await showMessage(scope, MESSAGE);
    expect(shown).toEqual([]);
  });

  it.each(['default', 'denied'] as const)('is not shown when the person’s word is %s', async (permission) => {
    const { scope, shown } = scopeWith({ permission });
    await showMessage(scope, MESSAGE);
    expect(shown).toEqual([]);
  });
});

describe('a click on a notification', () => {
  it('brings the tab to the front and opens the conversation there', async () => {
    const { scope, done } = scopeWith({ tabs: ['hidden', 'hidden'] });
    const { notification, closed } = clicked({ conversationId: 'aa' });
    await openFromNotification(scope, notification);
    expect(closed()).toBe(1);
    expect(done).toEqual([
      ['focus', 0],
      ['post', 0, { type: 'open-conversation', conversationId: 'aa' }],
    ]);
  });

  it('opens a tab at the conversation when there is none', async () => {
    const { scope, done } = scopeWith();
    await openFromNotification(scope, clicked({ conversationId: 'aa' }).notification);
    expect(done).toEqual([['open', '/#/conversation/aa']]);
  });

  it.each([undefined, null, 'aa', {}, { conversationId: 7 }, { conversationId: '../../elsewhere' }])(
    'on one that names no conversation (%j) opens the app',
    async (data) => {
      const alone = scopeWith();
      await openFromNotification(alone.scope, clicked(data).notification);
      expect(alone.done).toEqual([['open', '/']]);
      const withTab = scopeWith({ tabs: ['hidden'] });
      await openFromNotification(withTab.scope, clicked(data).notification);
      expect(withTab.done).toEqual([['focus', 0]]);
    },
  );
});

describe('what a notification shows was deleted', () => {
  it('takes the one with the tag from the screen, or all', async () => {
    const onScreen = new Set(['aa/7', 'aa/8', 'bb/1']);
    const registration = {
      getNotifications: async ({ tag }: { tag?: string }) =>
        [...onScreen].filter((shown) => tag === undefined || shown === tag).map((shown) => ({ close: () => void onScreen.delete(shown) })),
    };
    const scope = { registration } as unknown as NotificationScope;
    await withdrawMessages(scope, 'aa/7');
    expect([...onScreen]).toEqual(['aa/8', 'bb/1']);
    await withdrawMessages(scope, 'cc/1');
    expect([...onScreen]).toEqual(['aa/8', 'bb/1']);
    await withdrawMessages(scope);
    expect([...onScreen]).toEqual([]);
  });
});
