import { describe, expect, it } from 'vitest';
import { createDeliveryClient } from '../../../src/delivery/index.ts';
import { parseAuthorization } from '../../../src/delivery/device-proof.ts';
import type { DeliveryAnswer } from '../../../src/engine/ports.ts';
import { randomBytes } from '../../support/submissions.ts';

const proof = () => ({ deviceId: randomBytes(16), deviceKeySeed: randomBytes(32) });
const never = new AbortController().signal;

function clientAnswering(answer: (input: string, init: RequestInit) => Response | Promise<Response>) {
  return createDeliveryClient({ baseUrl: 'https://chorus.test', fetch: async (input, init) => answer(input, init), now: () => 1000 });
}

const fetchPage = (response: () => Response | Promise<Response>): Promise<DeliveryAnswer<'fetch-sequence'>> =>
  clientAnswering(response).send('fetch-sequence', { after: 0, limit: 1 }, proof(), never);

describe('the delivery client', () => {
  it('takes nothing but an answer of this server for an answer', async () => {
    const strange = [
      () => new Response('<html>hotel network</html>', { headers: { 'Content-Type': 'text/html' } }),
      () => new Response('{"entries":[],"last":0}'),
      () => new Response('{"entries":[],"last":0,"stock":0,"more":1}'),
      () => new Response('{"type":"about:blank","status":403}', { status: 403, headers: { 'Content-Type': 'application/problem+json' } }),
      () => new Response('{"type":"urn:chorus:problem:not-a-member","status":403}', { status: 403 }),
      () => new Response('bad gateway', { status: 502 }),
      () => Promise.reject(new TypeError('network')),
    ];
    for (const response of strange) expect(await fetchPage(response)).toEqual({ outcome: 'unreachable' });
    expect(await fetchPage(() => new Response('{"entries":[],"last":0,"stock":0}'))).toMatchObject({ outcome: 'done' });
  });

  it('an aborted call is unreachable, not an exception', async () => {
    const stop = new AbortController();
    const client = clientAnswering(
      (_input, init) => new Promise((_resolve, reject) => init.signal?.addEventListener('abort', () => reject(new Error('aborted')))),
    );
    const answer = client.send('describe-server', {}, undefined, stop.signal);
    stop.abort();
    expect(await answer).toEqual({ outcome: 'unreachable' });
  });

  it('corrects its clock once per call, not for ever', async () => {
    let requests = 0;
    const skewed = () => {
      requests += 1;
      const body = JSON.stringify({ type: 'urn:chorus:problem:clock-skew', status: 401, time: 5_000_000 });
      return new Response(body, { status: 401, headers: { 'Content-Type': 'application/problem+json' } });
    };
    expect(await fetchPage(skewed)).toMatchObject({ outcome: 'refused', problem: { type: 'clock-skew' } });
    expect(requests).toBe(2);
  });

  it('signs the stream by the clock that it has learnt', async () => {
    const client = clientAnswering(() => {
      const body = JSON.stringify({ type: 'urn:chorus:problem:clock-skew', status: 401, time: 5_000_000 });
      return new Response(body, { status: 401, headers: { 'Content-Type': 'application/problem+json' } });
    });
    const device = proof();
    await client.send('fetch-sequence', { after: 0, limit: 1 }, device, never);
    const { headers, url } = await client.prepareEventStream(17, device);
    expect(url).toBe('https://chorus.test/v1/events?after=17');
    expect(parseAuthorization(headers['Authorization'] ?? '')).toMatchObject({ time: 5_000_000, deviceId: device.deviceId });
  });

  it('shows the device neither to link mailboxes nor to the public description', async () => {
    const shown: (string | null)[] = [];
    const client = clientAnswering((_input, init) => {
      shown.push(new Headers(init.headers).get('Authorization'));
      return new Response('{}');
    });
    const box = { linkId: randomBytes(16), token: randomBytes(32) };
    await client.send('describe-server', {}, proof(), never);
    await client.send('put-link-slot', { ...box, slot: 'answer', payload: randomBytes(3) }, proof(), never);
    await client.send('delete-link', box, proof(), never);
    expect(shown).toEqual([null, null, null]);
  });

  it('two requests never share a nonce', async () => {
    const nonces = new Set<string>();
    const client = clientAnswering((_input, init) => {
      nonces.add(new Headers(init.headers).get('Authorization')?.split('nonce=')[1]?.slice(0, 22) ?? '');
      return new Response('{}');
    });
    const device = proof();
    for (let i = 0; i < 5; i++) await client.send('fetch-sequence', { after: 0, limit: 1 }, device, never);
    expect(nonces.size).toBe(5);
  });
});

describe('the Authorization header', () => {
  it('is read only as it is made', () => {
    const id = 'A'.repeat(21) + 'A';
    const signature = 'A'.repeat(85) + 'A';
    const right = `Chorus-Device id=${id}, time=5, nonce=${id}, signature=${signature}`;
    expect(parseAuthorization(right)).toMatchObject({ time: 5 });
    const wrong = [
      right.replace('Chorus-Device', 'chorus-device'),
      right.replace('time=5', 'time=-5'),
      right.replace('time=5', 'time=5e3'),
      right.replace(`nonce=${id}`, 'nonce=AAAA'),
      right.replace(`id=${id}`, `id=${id.slice(0, 21)}B`),
      `${right}, more=1`,
      ` ${right}`,
    ];
    for (const header of wrong) expect(parseAuthorization(header)).toBeUndefined();
  });
});
