import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { MessageView } from '../../../src/bridge/view.ts';
import { firstUnread, mergeNewest, mergeOlder } from '../../../src/ui/merge.ts';

const ben = { accountId: 'bb', username: 'ben', own: false };
const alice = { accountId: 'aa', username: 'alice', own: true };

function message(messageKey: string, position: number | undefined, sender = ben): MessageView {
  const status = position === undefined ? 'waiting' : 'sent';
  return {
    messageKey,
    conversationId: '01',
    position,
    kind: 'text',
    text: messageKey,
    sender,
    device: undefined,
    alarm: false,
    at: 0,
    status,
    problem: undefined,
  };
}

const keys = (messages: readonly MessageView[]): string[] => messages.map(({ messageKey }) => messageKey);

describe('what is shown of a conversation', () => {
  it('is the whole log once and in order, wherever pages begin and overlap', () => {
    fc.assert(
      fc.property(fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 9 }), fc.nat(60), (length, limit, arrived) => {
        const log = Array.from({ length }, (_, i) => message(`m${i}`, i * 2));
        const page = (end: number, before: number): MessageView[] =>
          log
            .slice(0, end)
            .filter(({ position }) => position! < before)
            .slice(-limit)
            .toReversed();
        const early = Math.min(arrived, length);
        let shown = mergeNewest([], page(early, Infinity));
        // Everything that came meanwhile, in pages joined as the list joins them.
        let read = page(length, Infinity);
        while (read.length > 0 && shown.length > 0 && read.at(-1)!.position! > shown.at(-1)!.position!)
          read = [...read, ...page(length, read.at(-1)!.position!)];
        shown = mergeNewest(shown, read);
        while (shown.length > 0 && shown[0]!.position! > 0) shown = mergeOlder(shown, page(length, shown[0]!.position!));
        expect(keys(shown)).toEqual(keys(log));
      }),
    );
  });

  it('moves a waiting message to its place when it is sent, without showing it twice', () => {
    const shown = mergeNewest([message('a', 1)], [message('w2', undefined), message('w1', undefined), message('a', 1)]);
    expect(keys(shown)).toEqual(['a', 'w1', 'w2']);
    expect(keys(mergeNewest(shown, [message('w2', undefined), message('w1', 5), message('b', 3), message('a', 1)]))).toEqual([
      'a',
      'b',
      'w1',
      'w2',
    ]);
  });

  it('drops a discarded message', () => {
    const shown = mergeNewest([], [message('w1', undefined), message('a', 1)]);
    expect(keys(mergeNewest(shown, [message('a', 1)]))).toEqual(['a']);
  });
});

describe('the marker of unread messages', () => {
  it('stands before the first of the unread ones, not counting own messages', () => {
    const log = [message('a', 1), message('b', 2), message('c', 3, alice), message('d', 4), message('w', undefined, alice)];
    expect(firstUnread(log, 2)).toBe('b');
    expect(firstUnread(log, 0)).toBeUndefined();
    expect(firstUnread(log, 9)).toBeUndefined();
  });
});
