import { mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type RunningServer, startServer } from '../../../server/start.ts';
import { followEvents } from '../../../src/delivery/index.ts';
import { newDevice, register, TestDevice } from '../../support/delivery-world.ts';
import { ServerProcess } from '../../support/server-process.ts';
import { application, creation, randomBytes } from '../../support/submissions.ts';

const network = (input: string, init?: RequestInit) => fetch(input, init);

describe('a server that is started again', () => {
  let dataDir: string;
  let server: RunningServer;
  const start = (port: number) => startServer({ port, dataDir, appDir: join(dataDir, 'no-app'), consistency: 'strong' });
  const portOf = ({ url }: RunningServer) => Number(new URL(url).port);

  beforeEach(async () => {
    dataDir = mkdtempSync(join(tmpdir(), 'chorus-restart-'));
    server = await start(0);
  });
  afterEach(async () => {
    await server.close();
    rmSync(dataDir, { recursive: true });
  });

  it('has the same authentication key, readable by its owner alone', async () => {
    const before = await newDevice(server.url, network, Date.now).done('describe-server', {});
    await server.close();
    server = await start(0);
    expect(await newDevice(server.url, network, Date.now).done('describe-server', {})).toEqual(before);
    expect(statSync(join(dataDir, 'authentication.key')).mode & 0o777).toBe(0o600);
  });

  it('resumes a stream from the cursor: every entry once, in order', async () => {
    const ada = await register(newDevice(server.url, network, Date.now), 'ada');
    const groupId = randomBytes(32);
    await ada.device.done('submit', creation(groupId));
    const heard: number[] = [];
    const stop = new AbortController();
    const follow = async (enough: number) => {
      const prepared = await ada.device.client.prepareEventStream(heard.at(-1) ?? 0, ada.device.proof);
      return followEvents(prepared, network, stop.signal, async (event) => {
        if (event.event !== 'entry') return;
        heard.push(event.sequence);
        if (heard.length === 3) await ada.device.done('submit', application(groupId, 0));
        if (heard.length === enough) stop.abort();
      });
    };
    for (let i = 0; i < 2; i++) await ada.device.done('submit', application(groupId, 0));
    const port = portOf(server);
    const first = follow(Number.POSITIVE_INFINITY);
    while (heard.length < 4) await new Promise((resolve) => setTimeout(resolve, 5));
    await server.close();
    expect(await first).toBe('ended');
    server = await start(port);
    for (let i = 0; i < 3; i++) await ada.device.done('submit', application(groupId, 0));
    await follow(7);
    expect(heard).toEqual([1, 2, 3, 4, 5, 6, 7]);
  });

  it('refuses a request of before, though it has forgotten the nonces', async () => {
    let sent: RequestInit = {};
    let target = '';
    const device = newDevice(
      server.url,
      (input, init = {}) => {
        [target, sent] = [input, init];
        return network(input, init);
      },
      Date.now,
    );
    const ada = await register(device, 'ada');
    await ada.device.done('fetch-sequence', { after: 0, limit: 1 });
    const port = portOf(server);
    await server.close();
    server = await start(port);
    const response = await fetch(target, { headers: sent.headers ?? {} });
    expect(await response.json()).toMatchObject({ type: 'urn:chorus:problem:clock-skew' });
    expect(await ada.device.refused('fetch-sequence', { after: 0, limit: 1 })).toBe('done');
  });
});

describe('a server that is killed', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.build();
  });
  afterEach(() => server.end('SIGKILL'));
  afterAll(() => server.dispose());

  it('has every append that it acknowledged', async () => {
    const before = await server.run();
    const ada = await register(newDevice(before, network, Date.now), 'ada');
    const groupId = randomBytes(32);
    await ada.device.done('submit', creation(groupId));
    const acknowledged: number[] = [];
    const writer = async () => {
      for (;;) {
        const answer = await ada.device.send('submit', application(groupId, 0));
        if (answer.outcome !== 'done') return;
        acknowledged.push(answer.value.sequence);
        if (acknowledged.length === 200) void server.end('SIGKILL');
      }
    };
    await Promise.all(Array.from({ length: 8 }, writer));
    expect(acknowledged.length).toBeGreaterThanOrEqual(200);

    const after = new TestDevice(newDevice(await server.run(), network, Date.now).client, ada.device.proof);
    const kept = new Set<number>();
    for (let cursor = 0; ;) {
      const { entries } = await after.done('fetch-sequence', { after: cursor, limit: 256 });
      if (entries.length === 0) break;
      for (const { sequence } of entries) kept.add(sequence);
      cursor = entries.at(-1)!.sequence;
    }
    expect(acknowledged.filter((sequence) => !kept.has(sequence))).toEqual([]);
    expect(kept.size).toBe(Math.max(...kept)); // and no gap
  });
});
