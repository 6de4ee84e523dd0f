import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { clientAddress, readTrustProxy } from '../../../server/client-address.ts';
import { RATES } from '../../../server/limits.ts';
import { startServer, type RunningServer } from '../../../server/start.ts';
import { newDevice } from '../../support/delivery-world.ts';
import { randomBytes } from '../../support/submissions.ts';

describe('the setting TRUST_PROXY', () => {
  it('is no proxy unless it says how many', () => {
    expect([undefined, '', 'none', '0', '1', '3'].map(readTrustProxy)).toEqual([0, 0, 0, 0, 1, 3]);
  });

  it.each(['true', 'yes', '-1', '1.5', '9', '12', ' 1', 'loopback'])('of %j is refused', (setting) => {
    expect(() => readTrustProxy(setting)).toThrow('TRUST_PROXY');
  });
});

describe('the address that limits count', () => {
  const PROXY = '10.0.0.1';

  it('is the other end of the connection as long as no proxy is trusted, whatever the header says', () => {
    expect(clientAddress(PROXY, '198.51.100.7', 0)).toBe(PROXY);
    expect(clientAddress(PROXY, undefined, 0)).toBe(PROXY);
  });

  it('is what the outermost trusted proxy has seen', () => {
    expect(clientAddress(PROXY, '198.51.100.7', 1)).toBe('198.51.100.7');
    expect(clientAddress(PROXY, '198.51.100.7, 10.0.0.2', 2)).toBe('198.51.100.7');
    expect(clientAddress(PROXY, '198.51.100.7,10.0.0.3 ,10.0.0.2', 3)).toBe('198.51.100.7');
  });

  it('is not changed by anything that a client writes into the header', () => {
    fc.assert(
      fc.property(fc.string(), fc.integer({ min: 1, max: 8 }), (written, proxies) => {
        const appended = ['198.51.100.7', ...Array.from({ length: proxies - 1 }, (_, i) => `10.0.0.${i + 2}`)];
        expect(clientAddress(PROXY, [written, ...appended].join(', '), proxies)).toBe('198.51.100.7');
      }),
    );
  });

  it.each([undefined, '', 'unknown', '_hidden', '198.51.100.7', '<script>, 10.0.0.2', '999.1.1.1, 10.0.0.2'])(
    'is the other end of the connection when two proxies are trusted and the header is %j',
    (forwarded) => expect(clientAddress(PROXY, forwarded, 2)).toBe(PROXY),
  );

  it('is the same with and without a port, in either case of IPv6', () => {
    expect(clientAddress(PROXY, '198.51.100.7:4711', 1)).toBe('198.51.100.7');
    for (const entry of ['2001:DB8::7', '2001:db8::7', '[2001:db8::7]', '[2001:db8::7]:4711']) {
      expect(clientAddress(PROXY, entry, 1)).toBe('2001:db8::7');
    }
  });
});

describe('a server', () => {
  let folder: string;
  let server: RunningServer | undefined;

  beforeEach(() => {
    vi.useFakeTimers({ toFake: ['Date'] }); // no token comes back while the burst is used up
    folder = mkdtempSync(join(tmpdir(), 'chorus-proxy-'));
  });
  afterEach(async () => {
    vi.useRealTimers();
    await server?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Opens as many mailboxes as one address may, then one more from `other`; each with a header of its own first entry. */
  async function oneMore(trustedProxies: number | undefined, other: string): Promise<string> {
    server = await startServer({
      port: 0,
      dataDir: folder,
      appDir: folder,
      consistency: 'strong',
      ...(trustedProxies !== undefined && { trustedProxies }),
    });
    let sent = 0;
    const from = (address: string) => {
      const forwarding = (input: string, init: RequestInit = {}): Promise<Response> => {
        const headers = new Headers(init.headers);
        headers.set('X-Forwarded-For', `203.0.113.${sent++}, ${address}`);
        return fetch(input, { ...init, headers });
      };
      return newDevice(server!.url, forwarding, Date.now);
    };
    const slot = () => ({ linkId: randomBytes(16), token: randomBytes(32), slot: 'request', payload: randomBytes(8) }) as const;
    const first = from('198.51.100.7');
    await Promise.all(Array.from({ length: RATES.openLink.burst }, () => first.done('put-link-slot', slot())));
    return from(other).refused('put-link-slot', slot());
  }

  it('behind a trusted proxy limits each of its clients by itself', async () => {
    expect(await oneMore(1, '198.51.100.8')).toBe('done');
  });

  it('behind a trusted proxy limits a client that writes a new first entry each time', async () => {
    expect(await oneMore(1, '198.51.100.7')).toBe('rate-limited');
  });

  it('that trusts no proxy limits all that come from one address, whatever they write', async () => {
    expect(await oneMore(undefined, '198.51.100.8')).toBe('rate-limited');
  });
});
