import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { standForElection, type HeartbeatChannel } from '../../../src/bridge/election.ts';

/** Web Locks for one name, as the specification has them: a queue, an abortable wait, and theft. */
class Locks {
  #holder: { readonly lose: () => void } | undefined;
  readonly #queue: (() => void)[] = [];

  readonly request = ((_name: string, options: LockOptions, callback: () => Promise<void>): Promise<void> =>
    new Promise((resolve, reject) => {
      const abort = (): void => reject(new DOMException('gone', 'AbortError'));
      const grant = (): void => {
        const holder = { lose: abort };
        this.#holder = holder;
        const release = (): void => {
          if (this.#holder !== holder) return;
          this.#holder = undefined;
          this.#queue.shift()?.();
        };
        callback().then(
          () => (release(), resolve()),
          (error: unknown) => (release(), reject(error as Error)),
        );
      };
      if (options.steal === true) {
        this.#holder?.lose();
        return grant();
      }
      if (this.#holder === undefined) return grant();
      this.#queue.push(grant);
      options.signal?.addEventListener('abort', () => {
        const place = this.#queue.indexOf(grant);
        if (place < 0) return;
        this.#queue.splice(place, 1);
        abort();
      });
    })) as LockManager['request'];
}

/** BroadcastChannels of one name: each hears the others and not itself. */
class Air {
  readonly #channels = new Set<HeartbeatChannel>();

  channel(): HeartbeatChannel & { muted: boolean } {
    const channel = {
      muted: false,
      onmessage: null as HeartbeatChannel['onmessage'],
      postMessage: (data: string): void => {
        if (channel.muted) return;
        for (const other of this.#channels) if (other !== channel) other.onmessage?.({ data } as MessageEvent);
      },
    };
    this.#channels.add(channel);
    return channel;
  }
}

let locks: Locks;
let air: Air;
let stop: AbortController[];

/** A tab that leads until it is told to stop. */
function tab() {
  const left = new AbortController();
  stop.push(left);
  const channel = air.channel();
  const state = { leads: false, reigns: 0, channel, close: () => left.abort() };
  const lead = (signal: AbortSignal): Promise<void> =>
    new Promise((resolve) => {
      state.leads = true;
      state.reigns += 1;
      signal.addEventListener('abort', () => {
        state.leads = false;
        resolve();
      });
    });
  void standForElection({ locks, channel, now: Date.now }, lead, left.signal);
  return state;
}

beforeEach(() => {
  vi.useFakeTimers();
  locks = new Locks();
  air = new Air();
  stop = [];
});

afterEach(() => {
  for (const one of stop) one.abort();
  vi.useRealTimers();
});

describe('tabs choose a leader', () => {
  it('one tab leads, and a leader that beats is left in peace', async () => {
    const [first, second, third] = [tab(), tab(), tab()];
    await vi.advanceTimersByTimeAsync(120_000);
    expect([first.leads, second.leads, third.leads]).toEqual([true, false, false]);
    expect(first.reigns).toBe(1);
  });

  it('the next tab leads when the leader is closed', async () => {
    const [first, second] = [tab(), tab()];
    await vi.advanceTimersByTimeAsync(100);
    first.close();
    await vi.advanceTimersByTimeAsync(0);
    expect([first.leads, second.leads]).toEqual([false, true]);
  });

  it('a follower takes the lead from a leader that does not beat, and no sooner than after seven seconds', async () => {
    const [frozen, second] = [tab(), tab()];
    await vi.advanceTimersByTimeAsync(1_000);
    frozen.channel.muted = true;
    await vi.advanceTimersByTimeAsync(6_000);
    expect(second.leads).toBe(false);
    await vi.advanceTimersByTimeAsync(4_000);
    expect([frozen.leads, second.leads]).toEqual([false, true]);
  });

  it('exactly one tab leads after a theft by two followers at once', async () => {
    const [frozen, ...others] = [tab(), tab(), tab()];
    frozen.channel.muted = true;
    await vi.advanceTimersByTimeAsync(60_000);
    expect(frozen.leads).toBe(false);
    expect(others.filter(({ leads }) => leads)).toHaveLength(1);
  });

  it('the tab that lost the lead gets it back when the thief is closed', async () => {
    const [frozen, second] = [tab(), tab()];
    frozen.channel.muted = true;
    await vi.advanceTimersByTimeAsync(10_000);
    frozen.channel.muted = false;
    second.close();
    await vi.advanceTimersByTimeAsync(0);
    expect([frozen.leads, second.leads]).toEqual([true, false]);
  });

  it('a follower that was asleep itself does not blame the leader', async () => {
    const [first, second] = [tab(), tab()];
    await vi.advanceTimersByTimeAsync(1_000);
    vi.setSystemTime(Date.now() + 3_600_000); // no timer ran, no beat was heard
    await vi.advanceTimersByTimeAsync(2_000);
    expect([first.leads, second.leads]).toEqual([true, false]);
  });

  it('nobody leads once every tab has left', async () => {
    const tabs = [tab(), tab()];
    for (const one of tabs) one.close();
    await vi.advanceTimersByTimeAsync(20_000);
    expect(tabs.map(({ leads }) => leads)).toEqual([false, false]);
  });
});
