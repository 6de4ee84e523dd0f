import type { MessageView } from '../bridge/view.ts';

/**
 * Puts a page that reaches to the end of the conversation (newest first) in place of what was shown of it.
 * Waiting messages are only ever those of the page.
 */
export function mergeNewest(shown: readonly MessageView[], newestFirst: readonly MessageView[]): MessageView[] {
  const page = newestFirst.toReversed();
  const from = page.find(({ position }) => position !== undefined)?.position ?? Infinity;
  const keys = new Set(page.map(({ messageKey }) => messageKey));
  const before = shown.filter(({ position, messageKey }) => position !== undefined && position < from && !keys.has(messageKey));
  // The order of the log; waiting ones are last in the order in which they were written.
  return [...before, ...page.filter(({ position }) => position !== undefined), ...page.filter(({ position }) => position === undefined)];
}

/** Puts a page of older messages (newest first) before what is shown. */
export function mergeOlder(shown: readonly MessageView[], newestFirst: readonly MessageView[]): MessageView[] {
  const keys = new Set(shown.map(({ messageKey }) => messageKey));
  return [...newestFirst.toReversed().filter(({ messageKey }) => !keys.has(messageKey)), ...shown];
}

/** The first of the last `unread` messages of other people, before which the marker stands. */
export function firstUnread(messages: readonly MessageView[], unread: number): string | undefined {
  let left = unread;
  for (const { messageKey, position, sender, kind } of messages.toReversed()) {
    if (position === undefined || kind !== 'text' || sender?.own === true) continue;
    left -= 1;
    if (left === 0) return messageKey;
  }
  return undefined;
}
