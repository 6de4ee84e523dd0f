import { followEvents, type StreamEvent } from '../delivery/event-stream.ts';
import { backoff } from './backoff.ts';
import type { Bridge } from './client.ts';
import { LEADER_CHANNEL, standForElection } from './election.ts';
import { VIEW_CHANNEL, type ViewChanged } from './protocol.ts';

/** Without an event from a page the browser stops the worker after 30 s. */
const PING_INTERVAL = 20_000;
/** While there is no account there is no stream to open; a change of the view wakes the leader earlier, ms. */
const NO_ACCOUNT_WAIT = 30_000;

export interface StreamPorts {
  readonly bridge: Bridge;
  readonly fetch: (input: string, init: RequestInit) => Promise<Response>;
  /** Resolves after `ms`, when `signal` aborts, or earlier when what is waited for may have come. */
  readonly wait: (what: 'account' | 'network', ms: number, signal: AbortSignal) => Promise<void>;
  /** Aborts when the network goes away, so that nobody waits for a dead connection's silence. */
  readonly networkLost: () => AbortSignal;
}

/** Takes part in leading this browser's tabs until `signal` aborts. */
export async function joinLeaders(bridge: Bridge, signal: AbortSignal): Promise<void> {
  const wake = wakeUps(signal);
  const ports: StreamPorts = {
    bridge,
    fetch: (input, init) => fetch(input, init),
    wait: wake.wait,
    networkLost: wake.networkLost,
  };
  const channel = new BroadcastChannel(LEADER_CHANNEL);
  try {
    await standForElection({ locks: navigator.locks, channel, now: () => performance.now() }, (reign) => holdStream(ports, reign), signal);
  } finally {
    channel.close();
  }
}

/**
 * The leader's work: keeps the worker alive and the event stream open, and hands each event to the worker
 * before it takes the next, until `signal` aborts. The worker knows each entry by its sequence number, so a
 * second leader for a moment does no harm; what was not handed over comes again from the worker's cursor.
 */
export async function holdStream(ports: StreamPorts, signal: AbortSignal): Promise<void> {
  const { bridge } = ports;
  const ping = (): void => void bridge.call('ping', {}).catch(() => undefined);
  ping();
  const pings = setInterval(ping, PING_INTERVAL);
  try {
    for (let failures = 0; !signal.aborted;) {
      const outcome = await followOnce(ports, signal);
      if (signal.aborted) return;
      if (outcome === 'no-account') {
        failures = 0;
        await ports.wait('account', NO_ACCOUNT_WAIT, signal);
        continue;
      }
      // A connection that was there and broke is worth a quick try, one that cannot be made is not.
      if (outcome === 'was-open') failures = 0;
      await ports.wait('network', backoff(failures), signal);
      failures += 1;
    }
  } finally {
    clearInterval(pings);
  }
}

/** One connection, from the request for it to its end. */
async function followOnce({ bridge, fetch, networkLost }: StreamPorts, signal: AbortSignal): Promise<'no-account' | 'was-open' | 'failed'> {
  const handOver = (event: StreamEvent): Promise<object> =>
    event.event === 'open'
      ? bridge.call('streamEvent', { event: 'opened' })
      : bridge.call('streamEvent', { event: event.event, data: event.event === 'gone' ? '' : event.data });
  let open = false;
  try {
    const prepared = await bridge.call('streamRequest', {});
    if (prepared === undefined) return 'no-account';
    const either = AbortSignal.any([signal, networkLost()]);
    const end = await followEvents(prepared, fetch, either, async (event) => {
      open = true;
      await handOver(event);
    });
    // A new leader says how its own stream is; this one's word would come too late.
    if (!signal.aborted) await bridge.call('streamEvent', { event: 'closed' });
    // Only the worker can read a refusal: a call of its own to the server tells it.
    if (end === 'refused') await bridge.call('ping', {});
  } catch {
    // The worker did not take an event or did not answer: it gets it from the next stream.
    return 'failed';
  }
  return open ? 'was-open' : 'failed';
}

/** What makes another try worth while before its time: the network is back, the person looks, an account may have come. */
function wakeUps(signal: AbortSignal): Pick<StreamPorts, 'wait' | 'networkLost'> {
  const bell = new EventTarget();
  const ring = (what: 'account' | 'network'): void => void bell.dispatchEvent(new Event(what));
  let lost = new AbortController();
  const view = new BroadcastChannel(VIEW_CHANNEL);

  addEventListener('online', () => ring('network'), { signal });
  addEventListener(
    'offline',
    () => {
      lost.abort();
      lost = new AbortController();
    },
    { signal },
  );
  const look = (): void => {
    if (document.visibilityState === 'visible') ring('network');
  };
  document.addEventListener('visibilitychange', look, { signal });
  view.onmessage = ({ data }: MessageEvent<ViewChanged>) => {
    if (data.state) ring('account');
  };
  signal.addEventListener('abort', () => view.close(), { once: true });

  return {
    networkLost: () => lost.signal,
    wait: (what, ms, either) =>
      new Promise((resolve) => {
        if (either.aborted) return resolve();
        const done = (): void => {
          clearTimeout(timer);
          bell.removeEventListener(what, done);
          either.removeEventListener('abort', done);
          resolve();
        };
        const timer = setTimeout(done, ms);
        bell.addEventListener(what, done);
        either.addEventListener('abort', done);
      }),
  };
}
