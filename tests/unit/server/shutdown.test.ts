import { readdirSync } from 'node:fs';
import { type ClientRequest, request as httpRequest } from 'node:http';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { followEvents } from '../../../src/delivery/index.ts';
import { newDevice, register, TestDevice } from '../../support/delivery-world.ts';
import { ServerProcess } from '../../support/server-process.ts';
import { application, creation, randomBytes } from '../../support/submissions.ts';

const network = (input: string, init?: RequestInit) => fetch(input, init);

/** Sends a request up to the middle of its body, and the rest when told. */
class HalfRequest {
  readonly begun: Promise<void>;
  #begin: () => void = () => {};
  #finish: () => void = () => {};
  #sent: ClientRequest | undefined;

  constructor() {
    this.begun = new Promise((resolve) => {
      this.#begin = resolve;
    });
  }

  readonly fetch = (input: string, init: RequestInit = {}): Promise<Response> => {
    const body = Buffer.from(init.body as Uint8Array);
    const headers = { ...(init.headers as Record<string, string>), 'Content-Length': String(body.length) };
    return new Promise((resolve, reject) => {
      const sent = httpRequest(input, { method: init.method ?? 'GET', headers }, (response) => {
        const parts: Buffer[] = [];
        response.on('data', (part: Buffer) => parts.push(part));
        response.on('end', () => {
          const type = response.headers['content-type'] ?? '';
          resolve(new Response(Buffer.concat(parts), { status: response.statusCode ?? 0, headers: { 'Content-Type': type } }));
        });
      });
      sent.on('error', reject);
      sent.write(body.subarray(0, 10), () => this.#begin());
      this.#finish = () => sent.end(body.subarray(10));
      this.#sent = sent;
    });
  };

  finish(): void {
    this.#finish();
  }

  abandon(): void {
    this.#sent?.destroy();
  }
}

describe('a server that is asked to stop', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.build();
  });
  afterEach(() => server.reset());
  afterAll(() => server.dispose());

  const untilClosedTo = async (url: string): Promise<void> => {
    for (;;) {
      const answers = await fetch(url).then(
        () => true,
        () => false,
      );
      if (!answers) return;
      await setTimeout(20);
    }
  };

  it.each(['SIGTERM', 'SIGINT'] as const)(
    'ends the streams that are open, leaves one whole database file, and exits with 0 (%s)',
    async (signal) => {
      const url = await server.run();
      const ada = await register(newDevice(url, network, Date.now), 'ada');
      const prepared = await ada.device.client.prepareEventStream(0, ada.device.proof);
      let opened: () => void = () => {};
      const open = new Promise<void>((resolve) => {
        opened = resolve;
      });
      const stream = followEvents(prepared, network, new AbortController().signal, ({ event }) => {
        if (event === 'open') opened();
      });
      await open;
      expect(readdirSync(server.dataDir)).toContain('chorus.sqlite-wal');
      expect(await server.end(signal)).toBe(0);
      expect(await stream).toBe('ended');
      expect(readdirSync(server.dataDir).filter((name) => name.startsWith('chorus'))).toEqual(['chorus.sqlite']);
    },
    60_000,
  );

  it('answers the request that is under way, takes no other, and keeps what it has answered', async () => {
    const url = await server.run();
    const ada = await register(newDevice(url, network, Date.now), 'ada');
    const groupId = randomBytes(32);
    await ada.device.done('submit', creation(groupId));
    const half = new HalfRequest();
    const message = application(groupId, 0);
    const answer = new TestDevice(newDevice(url, half.fetch, Date.now).client, ada.device.proof).done('submit', message);
    await half.begun;
    await ada.device.done('fetch-sequence', { after: 0, limit: 1 }); // the half request was before it
    const ended = server.end('SIGTERM');
    await untilClosedTo(url);
    half.finish();
    const { position, sequence } = await answer;
    expect(await ended).toBe(0);
    const after = new TestDevice(newDevice(await server.run(), network, Date.now).client, ada.device.proof);
    expect(await after.done('submit', message)).toMatchObject({ position, sequence });
  });

  it('waits for nobody for ever: a request that is never finished is cut, and the exit is as clean', async () => {
    const url = await server.run();
    const ada = await register(newDevice(url, network, Date.now), 'ada');
    const half = new HalfRequest();
    const stuck = new TestDevice(newDevice(url, half.fetch, Date.now).client, ada.device.proof);
    const outcome = stuck.send('submit', creation(randomBytes(32)));
    await half.begun;
    expect(await server.end('SIGTERM')).toBe(0);
    expect((await outcome).outcome).toBe('unreachable');
    half.abandon();
  });
});
