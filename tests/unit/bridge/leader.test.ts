import { afterEach, describe, expect, it } from 'vitest';
import type { Bridge } from '../../../src/bridge/client.ts';
import { backoff } from '../../../src/bridge/backoff.ts';
import { holdStream, type StreamPorts } from '../../../src/bridge/leader.ts';
import type { BridgeCall } from '../../../src/bridge/protocol.ts';

const ENTRY = (sequence: number): string => `event: entry\nid: ${sequence}\ndata: {"sequence":${sequence}}\n\n`;

let ended: AbortController;
afterEach(() => ended.abort());

interface World {
  readonly ports: StreamPorts;
  /** What the worker was told, without pings. */
  readonly told: string[];
  readonly waits: { readonly what: string; readonly ms: number }[];
  readonly done: Promise<void>;
}

/** A leader whose n-th connection gives `connections[n]`: a stream, a status, 'fails' or 'no-account'. It ends when they are used up. */
function lead(connections: readonly (string | number)[], onTold: (call: string) => Promise<void> = async () => undefined): World {
  ended = new AbortController();
  const told: string[] = [];
  const waits: { what: string; ms: number }[] = [];
  const left = [...connections];
  const call = async (name: BridgeCall, request: object): Promise<unknown> => {
    if (name === 'ping') return {};
    if (name === 'streamRequest') return left[0] === 'no-account' ? void left.shift() : { url: '/v1/events', headers: { proof: 'x' } };
    const { event, data } = request as { event: string; data?: string };
    const line = data === undefined ? event : `${event} ${data}`;
    await onTold(line);
    told.push(line);
    return {};
  };
  const ports: StreamPorts = {
    bridge: { call: call as Bridge['call'] },
    fetch: async () => {
      const next = left.shift();
      if (next === 'fails' || next === undefined) throw new TypeError('no network');
      return typeof next === 'number' ? new Response('', { status: next }) : new Response(next, { status: 200 });
    },
    wait: async (what, ms) => {
      waits.push({ what, ms });
      if (left.length === 0) ended.abort();
    },
    networkLost: () => new AbortController().signal,
  };
  return { ports, told, waits, done: holdStream(ports, ended.signal) };
}

describe('the leader holds the event stream', () => {
  it('hands over every event in order between opened and closed', async () => {
    const { told, done } = lead([ENTRY(1) + ENTRY(2) + 'event: stock\ndata: {"left":3}\n\n']);
    await done;
    expect(told).toEqual(['opened', 'entry {"sequence":1}', 'entry {"sequence":2}', 'stock {"left":3}', 'closed']);
  });

  it('hands over no event before the worker has taken the one before it', async () => {
    let busy = 0;
    const { told, done } = lead([ENTRY(1) + ENTRY(2) + ENTRY(3)], async () => {
      busy += 1;
      expect(busy).toBe(1);
      await new Promise((resolve) => setTimeout(resolve, 1));
      busy -= 1;
    });
    await done;
    expect(told).toHaveLength(5);
  });

  it('leaves a stream whose event the worker did not take, so that it comes again from the cursor', async () => {
    let refused = false;
    const { told, done } = lead([ENTRY(1) + ENTRY(2), ENTRY(1) + ENTRY(2)], async (line) => {
      if (line !== 'entry {"sequence":1}' || refused) return;
      refused = true;
      throw new Error('worker stopped');
    });
    await done;
    expect(told).toEqual(['opened', 'opened', 'entry {"sequence":1}', 'entry {"sequence":2}', 'closed']);
  });

  it('waits longer after each connection that cannot be made, and starts over after one that was', async () => {
    const { waits, done } = lead(['fails', 'fails', 'fails', ENTRY(1), 'fails']);
    await done;
    expect(waits).toHaveLength(5);
    for (const [n, doublings] of [0, 1, 2, 0, 1].entries()) {
      expect(waits[n]!.ms).toBeGreaterThanOrEqual(500 * 2 ** doublings);
      expect(waits[n]!.ms).toBeLessThanOrEqual(1000 * 2 ** doublings);
    }
  });

  it('tells the worker that there is no stream after a connection that was never open', async () => {
    const { told, done } = lead(['fails', 503]);
    await done;
    expect(told).toEqual(['closed', 'closed']);
  });

  it('waits for an account without touching the network', async () => {
    const { told, waits, done } = lead(['no-account', ENTRY(1)]);
    await done;
    expect(waits[0]).toEqual({ what: 'account', ms: 30_000 });
    expect(told).toEqual(['opened', 'entry {"sequence":1}', 'closed']);
  });

  it('says nothing of its stream after it has lost the lead', async () => {
    const { told, done } = lead([ENTRY(1) + ENTRY(2), ENTRY(3)], async (line) => {
      if (line === 'entry {"sequence":1}') ended.abort();
    });
    await done;
    expect(told).toEqual(['opened', 'entry {"sequence":1}']);
  });
});

describe('the wait between two tries', () => {
  it('doubles from a second to half a minute and is spread over the upper half', () => {
    expect([0, 1, 4, 5, 9, 1000].map((failures) => backoff(failures, () => 1))).toEqual([1000, 2000, 16_000, 30_000, 30_000, 30_000]);
    expect(backoff(3, () => 0)).toBe(4000);
  });
});
