import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { EventParser, EventStreamError, followEvents, type StreamEvent } from '../../../src/delivery/event-stream.ts';
import { concat, utf8 } from '../../../src/bytes/index.ts';

const prepared = { url: 'https://chorus.test/v1/events?after=0', headers: {} };
const never = new AbortController().signal;

function streamOf(...parts: readonly Uint8Array[]): Response {
  return new Response(
    new ReadableStream({
      start(controller) {
        for (const part of parts) controller.enqueue(part);
        controller.close();
      },
    }),
  );
}

describe('the event parser', () => {
  it('gives the same events however the stream is cut', () => {
    const text =
      ': alive\n\nid: 7\nevent: entry\ndata: {"message":"Grüße"}\n\nevent: stock\ndata: {"stock":3}\n\nevent: later\ndata: 1\n\nevent: gone\ndata: {}\n\n';
    const whole = utf8(text);
    const expected: StreamEvent[] = [
      { event: 'entry', sequence: 7, data: '{"message":"Grüße"}' },
      { event: 'stock', data: '{"stock":3}' },
      { event: 'gone' },
    ];
    fc.assert(
      fc.property(fc.array(fc.nat(whole.length), { maxLength: 12 }), (cuts) => {
        const parser = new EventParser();
        const bounds = [0, ...cuts.toSorted((a, b) => a - b), whole.length];
        const events = bounds.slice(1).flatMap((end, index) => parser.push(whole.subarray(bounds[index], end)));
        expect(events).toEqual(expected);
      }),
    );
  });

  it('refuses an entry without its place', () => {
    expect(() => new EventParser().push(utf8('event: entry\ndata: {}\n\n'))).toThrow(EventStreamError);
  });

  it('refuses an event without end', () => {
    const parser = new EventParser();
    const endless = new Uint8Array(1 << 20).fill(0x61);
    expect(() => {
      for (let i = 0; i < 20; i++) parser.push(endless);
    }).toThrow(EventStreamError);
  });
});

describe('following the stream', () => {
  it('hands over one event at a time', async () => {
    const text = utf8('id: 1\nevent: entry\ndata: a\n\nid: 2\nevent: entry\ndata: b\n\n');
    const log: string[] = [];
    const end = await followEvents(
      prepared,
      async () => streamOf(text),
      never,
      async (event) => {
        log.push(`${event.event} begins`);
        await Promise.resolve();
        log.push(`${event.event} ends`);
      },
    );
    expect(end).toBe('ended');
    expect(log).toEqual(['open begins', 'open ends', 'entry begins', 'entry ends', 'entry begins', 'entry ends']);
  });

  it('ends when the connection cannot be had, breaks, or talks nonsense', async () => {
    const broken = () => new Response(new ReadableStream({ start: (controller) => controller.error(new TypeError('reset')) }));
    for (const answer of [
      () => Promise.reject(new TypeError('offline')),
      async () => broken(),
      async () => streamOf(utf8('event: entry\ndata: x\n\n')),
    ]) {
      expect(await followEvents(prepared, answer, never, () => {})).toBe('ended');
    }
  });

  it('says when the server refuses', async () => {
    expect(
      await followEvents(
        prepared,
        async () => new Response('{}', { status: 401 }),
        never,
        () => {},
      ),
    ).toBe('refused');
  });

  it('a stopped follower hands over nothing more', async () => {
    const stop = new AbortController();
    const text = concat(utf8('id: 1\nevent: entry\ndata: a\n\n'), utf8('id: 2\nevent: entry\ndata: b\n\n'));
    const heard: StreamEvent[] = [];
    const end = await followEvents(
      prepared,
      async () => streamOf(text),
      stop.signal,
      (event) => {
        heard.push(event);
        if (event.event === 'entry') stop.abort();
      },
    );
    expect(end).toBe('ended');
    expect(heard.length).toBe(2);
  });
});
