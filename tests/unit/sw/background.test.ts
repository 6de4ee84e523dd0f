import { describe, expect, it } from 'vitest';
import { Background } from '../../../sw/background.ts';
import { sleep } from '../../../sw/sleep.ts';

/** An event and what it was asked to wait for. */
function event() {
  const waits: Promise<unknown>[] = [];
  return { waitUntil: (promise: Promise<unknown>) => void waits.push(promise), over: () => Promise.all(waits) };
}

/** A promise to be kept later. */
function open() {
  let resolve: () => void = () => {};
  const promise = new Promise<void>((yes) => (resolve = yes));
  return { promise, resolve };
}

describe('an event', () => {
  it('stays alive for work that was started while it was handled, also from within that work', async () => {
    const background = new Background();
    const { waitUntil, over } = event();
    const steps: string[] = [];
    const first = open();
    const second = open();
    background.keepAlive(
      { waitUntil },
      (async () => {
        background.start(
          first.promise.then(() => {
            steps.push('first');
            background.start(second.promise.then(() => void steps.push('second')));
          }),
        );
      })(),
    );
    const ended = over().then(() => void steps.push('over'));
    first.resolve();
    await first.promise;
    second.resolve();
    await ended;
    expect(steps).toEqual(['first', 'second', 'over']);
  });

  it('fails with its own work', async () => {
    const { waitUntil, over } = event();
    new Background().keepAlive({ waitUntil }, Promise.reject(new Error('still waiting')));
    await expect(over()).rejects.toThrow('still waiting');
  });

  it('does not fail with what was started beside it', async () => {
    const background = new Background();
    const { waitUntil, over } = event();
    background.start(Promise.reject(new Error('not allowed')));
    background.keepAlive({ waitUntil }, Promise.resolve());
    await expect(over()).resolves.toBeDefined();
  });
});

describe('sleeping', () => {
  it('ends when it is aborted, before or while it lasts', async () => {
    const hour = 3_600_000;
    await sleep(hour, AbortSignal.abort());
    const controller = new AbortController();
    const sleeping = sleep(hour, controller.signal);
    controller.abort();
    await sleeping;
  });

  it('ends by itself', async () => {
    const order: string[] = [];
    const long = sleep(20, new AbortController().signal).then(() => void order.push('long'));
    const short = sleep(1, new AbortController().signal).then(() => void order.push('short'));
    await Promise.all([long, short]);
    expect(order).toEqual(['short', 'long']);
  });
});
