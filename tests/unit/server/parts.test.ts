import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadAuthenticationKey } from '../../../server/authentication-key.ts';
import { verifyEd25519 } from '../../../server/ed25519.ts';
import { Notices } from '../../../server/notices.ts';
import { RateLimit } from '../../../server/rate-limit.ts';
import { SECURITY_HEADERS, staticFiles } from '../../../server/static.ts';
import { openDatabase } from '../../../server/store/sqlite-schema.ts';
import { openSqliteStore } from '../../../server/store/sqlite.ts';
import { concat, utf8 } from '../../../src/bytes/index.ts';
import { decodeAccountBinding, verifyAccountBinding } from '../../../src/virtual-client/account-binding.ts';
import { draft00 } from '../../../src/virtual-client/revisions/draft-00.ts';
import { encode } from '../../../src/wire/index.ts';
import { type DeliveryWorld, newDevice, openWorld, register } from '../../support/delivery-world.ts';
import { randomBytes } from '../../support/submissions.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'chorus-parts-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

describe('the authentication service', () => {
  const verifier = {
    verifyWithLabel: async (key: Uint8Array, label: Uint8Array, content: Uint8Array, signature: Uint8Array) =>
      verifyEd25519(
        key,
        encode((w) => w.opaque(concat(utf8('MLS 1.0 '), label)).opaque(content)),
        signature,
      ),
  };

  it("vouches for a new account's key as clients check it, and for no other key", async () => {
    const world: DeliveryWorld = await openWorld();
    const ada = await register(
      newDevice('https://chorus.test', world.fetch, () => world.clock),
      'ada',
    );
    const { authenticationKey } = await ada.device.done('describe-server', {});
    const binding = decodeAccountBinding(ada.binding);
    const leaf = { accountId: ada.accountId, signatureKey: ada.signatureKey, replacedKeyVersion: undefined };
    await verifyAccountBinding({ revision: draft00 }, verifier, authenticationKey, binding, leaf);
    expect(binding.keyVersion).toBe(ada.keyVersion);
    const forged = { ...binding, signatureKey: randomBytes(32) };
    const forgedLeaf = { ...leaf, signatureKey: forged.signatureKey };
    await expect(verifyAccountBinding({ revision: draft00 }, verifier, authenticationKey, forged, forgedLeaf)).rejects.toThrow();
    await world.close();
  });

  it('keeps its key, and does not start on half a key', () => {
    const path = join(folder, 'authentication.key');
    const first = loadAuthenticationKey(path, randomBytes);
    expect(loadAuthenticationKey(path, randomBytes).publicKey).toEqual(first.publicKey);
    writeFileSync(path, readFileSync(path).subarray(0, 31));
    expect(() => loadAuthenticationKey(path, randomBytes)).toThrow('holds no authentication key');
  });
});

describe('the SQLite file', () => {
  it('of another version is left alone', async () => {
    const path = join(folder, 'chorus.sqlite');
    await openSqliteStore(path, 'strong').close();
    const database = new Database(path);
    database.pragma('user_version = 99');
    database.close();
    expect(() => openSqliteStore(path, 'strong')).toThrow('another version');
  });

  it('syncs every commit to the disk', () => {
    const database = openDatabase(join(folder, 'chorus.sqlite'));
    expect(database.pragma('journal_mode', { simple: true })).toBe('wal');
    expect(database.pragma('synchronous', { simple: true })).toBe(2); // FULL
    database.close();
  });

  it('of version 1 gets the tables that it lacks', async () => {
    const path = join(folder, 'chorus.sqlite');
    await openSqliteStore(path, 'strong').close();
    const database = new Database(path);
    database.exec('DROP TABLE removals');
    database.pragma('user_version = 1');
    database.close();
    const migrated = openDatabase(path);
    expect(migrated.prepare('SELECT count(*) AS count FROM removals').get()).toEqual({ count: 0 });
    migrated.close();
  });

  it('ties no message of a log to a device', () => {
    const database = openDatabase(join(folder, 'chorus.sqlite'));
    const tables = database.prepare<[], { name: string; sql: string }>("SELECT name, sql FROM sqlite_schema WHERE type = 'table'").all();
    expect(tables.filter(({ sql }) => sql.includes('device')).map(({ name }) => name)).toEqual(['devices', 'removals']);
    database.close();
  });
});

describe('a rate limit', () => {
  it('lets a burst through, then as many as come back', () => {
    let now = 0;
    const limit = new RateLimit({ burst: 3, perSecond: 2 }, () => now);
    const passes = () => {
      try {
        limit.take('a');
        return true;
      } catch {
        return false;
      }
    };
    expect([passes(), passes(), passes(), passes()]).toEqual([true, true, true, false]);
    now += 500;
    expect([passes(), passes()]).toEqual([true, false]);
    now += 3_600_000;
    expect([passes(), passes(), passes(), passes()]).toEqual([true, true, true, false]);
  });

  it('counts each key by itself', () => {
    const limit = new RateLimit({ burst: 1, perSecond: 1 }, () => 0);
    limit.take('a');
    limit.take('b');
    expect(() => limit.take('a')).toThrow();
  });
});

it('notices reach those who wait for the topic, until they leave', () => {
  const notices = new Notices();
  const heard: string[] = [];
  const leave = notices.subscribe('a', () => heard.push('a'));
  notices.subscribe('b', () => heard.push('b'));
  notices.publish('a');
  leave();
  leave();
  notices.publish('a');
  notices.publish('b');
  expect(heard).toEqual(['a', 'b']);
  expect(notices.listeners('a')).toBe(0);
});

describe('the app on the same origin', () => {
  const get = (pathname: string, headers = {}) => staticFiles(folder)(pathname, new Headers(headers));

  beforeEach(() => {
    mkdirSync(join(folder, 'assets'));
    writeFileSync(join(folder, 'index.html'), '<!doctype html><title>Chorus</title>');
    writeFileSync(join(folder, 'sw.js'), `// ${'x'.repeat(500)}`);
    writeFileSync(join(folder, 'assets', 'index-Bx3f9a1c.js'), 'export {};');
  });

  it('pages and worker are asked for anew, hashed assets never', () => {
    expect(get('/index.html').headers.get('Cache-Control')).toBe('no-cache');
    expect(get('/sw.js').headers.get('Cache-Control')).toBe('no-cache');
    expect(get('/assets/index-Bx3f9a1c.js').headers.get('Cache-Control')).toBe('public, max-age=31536000, immutable');
    expect(get('/sw.js').headers.get('Content-Type')).toBe('text/javascript; charset=utf-8');
  });

  it('a place within the app is the page; a missing file is missing', async () => {
    expect(await get('/conversation/abc').text()).toContain('<title>Chorus');
    expect(await get('/').text()).toContain('<title>Chorus');
    expect(get('/assets/gone.js').status).toBe(404);
  });

  it('no path leads out of the folder', async () => {
    const name = `${basename(folder)}.secret`;
    writeFileSync(`${folder}.secret`, 'secret');
    for (const path of [`/../${name}`, `/..%2f${name}`, `${folder}.secret`, `/assets/../../${name}`]) expect(get(path).status).toBe(404);
    rmSync(`${folder}.secret`);
  });

  it('an unchanged file is not sent again', () => {
    const etag = get('/sw.js').headers.get('ETag');
    expect(get('/sw.js', { 'If-None-Match': etag }).status).toBe(304);
    writeFileSync(join(folder, 'sw.js'), '// another');
    expect(get('/sw.js', { 'If-None-Match': etag }).status).toBe(200);
  });

  it('is packed for those who can unpack', async () => {
    const packed = get('/sw.js', { 'Accept-Encoding': 'br, gzip' });
    expect(packed.headers.get('Content-Encoding')).toBe('gzip');
    expect(gunzipSync(await packed.arrayBuffer()).toString()).toBe(await get('/sw.js').text());
  });

  it('comes with a policy that allows nothing inline and nothing foreign', () => {
    const policy = SECURITY_HEADERS['Content-Security-Policy'] ?? '';
    expect(policy).toContain("default-src 'none'");
    expect(policy).not.toMatch(/unsafe|\*|https?:/);
    expect(policy).toContain("require-trusted-types-for 'script'; trusted-types svelte-trusted-html chorus-worker");
  });
});
