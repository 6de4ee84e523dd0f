import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Page } from '@playwright/test';
import { mnemonicToEntropy } from '@scure/bip39';
import { wordlist } from '@scure/bip39/wordlists/english.js';
import { callWorker } from './support/bridge.ts';
import { expect, test, type Device, type ServerProcess } from './support/fixtures.ts';
import { createAccount, linkDevice, openConversation, sees, send, writePhraseDown } from './support/person.ts';
import { heardBy, listen, newGlobals } from './support/listener.ts';

// Long enough that none of them can stand anywhere by chance.
const ANNA = 'annabella-of-the-lake';
const BEN = 'benjamin-of-the-hill';
const LAPTOP = 'Annas own workstation';
const PHONE = 'Annas pocket telephone';
const DESK = 'Bens desk in the attic';
const TITLE = 'Surprise for the neighbour';
const TEXTS = ['A sentence that only members may read', 'Another one, from the pocket'];
const DRAFT = 'What was never sent to anybody';

async function conversation(device: (name: string) => Promise<Device>): Promise<{ laptop: Device; phone: Device; ben: Device }> {
  const [laptop, phone, ben] = await Promise.all([device('laptop'), device('phone'), device('ben')]);
  for (const { page } of [laptop, phone]) {
    await listen(page);
    await noteViolations(page);
    await page.reload();
  }
  await Promise.all([createAccount(laptop.page, ANNA, LAPTOP), createAccount(ben.page, BEN, DESK)]);
  await linkDevice(phone.page, laptop.page, PHONE);
  expect(await callWorker(laptop.page, 'startConversation', { usernames: [BEN], title: TITLE })).toMatchObject({ ok: true });
  await openConversation(laptop.page, TITLE);
  await send(laptop.page, TEXTS[0]!);
  await openConversation(phone.page, TITLE);
  await sees(phone.page, TEXTS[0]!);
  await send(phone.page, TEXTS[1]!);
  await openConversation(ben.page, TITLE);
  for (const { page } of [laptop, phone, ben]) await sees(page, TEXTS[1]!);
  await laptop.page.getByRole('textbox', { name: 'Message' }).fill(DRAFT);
  await laptop.page.getByRole('textbox', { name: 'Message' }).blur();
  return { laptop, phone, ben };
}

test('neither tabs nor stores nor the server hold a secret, or a word that they must not', async ({ device, server }) => {
  const { laptop, phone, ben } = await conversation(device);

  await test.step('messages between tabs and worker hold no bytes and no key; a recovery phrase has a test of its own', async () => {
    for (const { page } of [laptop, phone]) {
      const heard = await heardBy(page);
      expect(new Set(heard.map(({ way }) => way))).toEqual(new Set(['channel', 'call', 'answer']));
      expect(heard.flatMap(({ opaque }) => opaque)).toEqual([]);
      const long = heard.flatMap(({ way, call, texts }) =>
        texts.filter(([, text]) => looksLikeKey(text)).map(([place]) => `${way} ${call} ${place.replace(/\d+/g, 'n')}`),
      );
      const unexpected = new Set(long);
      for (const expected of LONG_TEXTS) unexpected.delete(expected);
      expect([...unexpected]).toEqual([]);
      expect(await newGlobals(page)).toEqual({ __svelte: { v: ['5'] } }); // the library's version
      expect(await otherStorage(page)).toEqual([]);
    }
  });

  await test.step('no text became markup or a script, and none could', async () => {
    for (const { page } of [laptop, phone]) {
      expect(await violationsOf(page)).toEqual([]);
      const tried = await page.evaluate(async () => {
        const { trustedTypes } = globalThis as unknown as { trustedTypes: { createPolicy(name: string, rules: object): unknown } };
        const attempts: Record<string, () => unknown> = {
          markup: () => (document.createElement('div').innerHTML = '<b>x</b>'),
          document: () => new DOMParser().parseFromString('<b>x</b>', 'text/html'),
          script: () => (document.createElement('script').text = '1'),
          address: () => (document.createElement('script').src = '/sw.js'),
          worker: () => navigator.serviceWorker.register('/assets/other.js'),
          code: () => Reflect.apply(setTimeout, globalThis, ['1']) as unknown,
          'a policy of one’s own': () => trustedTypes.createPolicy('mine', {}),
          'the app’s policy': () => trustedTypes.createPolicy('chorus-worker', { createScriptURL: (url: string) => url }),
          'Svelte’s policy': () => trustedTypes.createPolicy('svelte-trusted-html', { createHTML: (html: string) => html }),
        };
        const done: string[] = [];
        for (const [name, attempt] of Object.entries(attempts)) {
          try {
            await attempt();
            done.push(name);
          } catch {
            // as it should be
          }
        }
        return done;
      });
      expect(tried).toEqual([]);
      expect((await violationsOf(page)).length).toBeGreaterThan(0);
    }
  });

  await test.step('every record of the store is sealed', async () => {
    for (const { page } of [laptop, phone, ben]) {
      const { keys, shapes, bytes } = await storedIn(page);
      expect(keys.length).toBeGreaterThan(20);
      expect(shapes).toEqual(['rootGeneration: number, nonce: 12 bytes, ciphertext: bytes']);
      for (const word of [ANNA, BEN, LAPTOP, PHONE, DESK, TITLE, DRAFT, ...TEXTS]) {
        expect(keys.filter((key) => key.includes(word))).toEqual([]);
        expect(Buffer.from(bytes, 'base64').includes(word)).toBe(false);
      }
    }
  });

  await test.step('the server has usernames, and no other word', () => {
    const bytes = storedAt(server);
    expect(bytes.includes(ANNA)).toBe(true);
    for (const word of [LAPTOP, PHONE, DESK, TITLE, DRAFT, ...TEXTS]) {
      expect(bytes.includes(word), word).toBe(false);
      expect(bytes.includes(Buffer.from(word).toString('base64url').slice(0, -2))).toBe(false);
    }
    expect(server.output()).not.toMatch(new RegExp([ANNA, BEN, TITLE, ...TEXTS].join('|')));
  });
});

test('a recovery phrase crosses to the tab once, as an answer, and is kept nowhere', async ({ device, server }) => {
  const laptop = await device('laptop');
  await listen(laptop.page);
  await laptop.page.reload();
  await createAccount(laptop.page, ANNA, LAPTOP);
  const words = await writePhraseDown(laptop.page);
  await expect(laptop.page.getByText('Not written down yet')).toHaveCount(0);
  const entropy = mnemonicToEntropy(words.join(' '), wordlist);
  const hex = Buffer.from(entropy).toString('hex');
  const carriers = (await heardBy(laptop.page)).filter(({ texts }) => texts.some(([, text]) => text.includes(hex)));
  expect(carriers.map(({ way, call }) => `${way} ${call}`)).toEqual(['answer makePhrase']);
  const stored = Buffer.concat([Buffer.from((await storedIn(laptop.page)).bytes, 'base64'), storedAt(server)]);
  for (const form of [Buffer.from(entropy), hex, Buffer.from(entropy).toString('base64url'), words.join(' ')]) {
    expect(stored.includes(form)).toBe(false);
  }
  await expect(laptop.page.locator('html')).not.toContainText(words.slice(0, 3).join(' '));
  expect(await otherStorage(laptop.page)).toEqual([]);
});

test('page and worker are fenced in: a strict policy, and no request to anybody else', async ({ device }) => {
  const { laptop, phone, ben } = await conversation(device);
  for (const { asked, origin } of [laptop, phone, ben]) {
    const of = (by: 'page' | 'worker') => asked.filter((request) => request.by === by).map(({ url }) => url);
    // From the first load and the worker's installation on.
    expect(of('page')).toContain(`${origin}/`);
    expect(of('worker')).toContain(`${origin}/manifest.webmanifest`);
    expect(of('worker').some((url) => url.startsWith(`${origin}/v1/`))).toBe(true);
    expect(asked.filter(({ url }) => new URL(url).origin !== origin)).toEqual([]);
  }

  for (const path of ['/', '/sw.js', '/v1/server']) {
    const headers = (await fetch(`http://localhost:${laptop.cable.port}${path}`)).headers;
    const policy = headers.get('content-security-policy') ?? '';
    for (const rule of ["default-src 'none'", "script-src 'self'", "style-src 'self'", "connect-src 'self'", "frame-ancestors 'none'"])
      expect(policy.split('; ')).toContain(rule);
    expect(policy.split('; ')).toContain("require-trusted-types-for 'script'");
    expect(policy.split('; ')).toContain('trusted-types svelte-trusted-html chorus-worker');
    expect(policy).not.toMatch(/unsafe|allow-duplicates|\*/);
    expect(headers.get('x-content-type-options')).toBe('nosniff');
  }
  // The policy holds: neither page nor worker gets anywhere else.
  const outside = async (): Promise<unknown> => {
    const violation = new Promise((resolve) => {
      setTimeout(() => resolve('none'), 5_000);
      addEventListener('securitypolicyviolation', (event) => {
        const { blockedURI, effectiveDirective } = event as SecurityPolicyViolationEvent;
        resolve({ blockedURI, effectiveDirective });
      });
    });
    const answer = await fetch('https://example.org/').then(
      () => 'answered',
      () => 'refused',
    );
    return { answer, violation: await violation };
  };
  await callWorker(laptop.page, 'ping', {});
  const worker = laptop.context.serviceWorkers().find((one) => one.url() === `${laptop.origin}/sw.js`);
  for (const tried of [await laptop.page.evaluate(outside), await worker?.evaluate(outside)]) {
    const violation = { blockedURI: 'https://example.org/', effectiveDirective: 'connect-src' };
    expect(tried).toEqual({ answer: 'refused', violation });
  }
});

/** What lies in the tab's other stores, but for the mark that this browser is a device. */
function otherStorage(page: Page): Promise<string[]> {
  return page
    .evaluate(() =>
      [localStorage, sessionStorage].flatMap((storage) => Object.entries(storage).map(([name, value]) => `${name}: ${String(value)}`)),
    )
    .then((entries) => entries.filter((entry) => entry !== 'chorus-device: here'));
}

/** Notes from the next load on whatever the page's policy forbids. */
async function noteViolations(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const violations: string[] = [];
    Object.defineProperty(document, 'violations', { value: violations });
    document.addEventListener('securitypolicyviolation', ({ effectiveDirective, sample }) =>
      violations.push(`${effectiveDirective}: ${sample}`),
    );
  });
}

function violationsOf(page: Page): Promise<string[]> {
  return page.evaluate(() => (document as Document & { readonly violations: string[] }).violations);
}

/** All files of the server, one after the other. */
function storedAt({ dataDir }: ServerProcess): Buffer {
  const files = readdirSync(dataDir, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  return Buffer.concat(files.map(({ parentPath, name }) => readFileSync(join(parentPath, name))));
}

/**
 * Texts as long as keys that belong where they are: what the server sends as ciphertext and the leading tab
 * hands on, the signature by which a device opens its event stream, and the link code, which is there to be shown.
 */
const LONG_TEXTS = [
  'call streamEvent request.data',
  'answer streamRequest answer.headers.Authorization',
  'answer state answer.link.code',
  'call acceptLinkCode request.code',
];

/** As long as a key of 32 bytes, in hex or base64; IDs have 16. */
function looksLikeKey(text: string): boolean {
  return /[0-9a-f]{33}/i.test(text) || /[A-Za-z0-9+/_-]{42}/.test(text);
}

/** All that lies in the page's databases but the root, which is in a place of its own. */
function storedIn(page: Page): Promise<{ keys: string[]; shapes: string[]; bytes: string }> {
  return page.evaluate(async () => {
    const done = <Result>(request: IDBRequest<Result>): Promise<Result> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(new Error('cannot be read'));
      });
    const keys: string[] = [];
    const shapes = new Set<string>();
    let bytes = '';
    for (const { name } of await indexedDB.databases()) {
      const database = await done(indexedDB.open(name ?? ''));
      for (const storeName of ['records', 'keys']) {
        const store = database.transaction(storeName).objectStore(storeName);
        const [names, values] = await Promise.all([
          done(store.getAllKeys()),
          done(store.getAll() as IDBRequest<Record<string, unknown>[]>),
        ]);
        keys.push(...names.map(String));
        for (const value of values) {
          const { rootGeneration, nonce, ciphertext } = value;
          if (!(nonce instanceof Uint8Array) || !(ciphertext instanceof Uint8Array)) throw new Error('not sealed');
          const fields = { rootGeneration: typeof rootGeneration, nonce: `${nonce.length} bytes`, ciphertext: 'bytes' };
          const names = Object.keys(value).sort((a, b) => Object.keys(fields).indexOf(a) - Object.keys(fields).indexOf(b));
          shapes.add(names.map((field) => `${field}: ${fields[field as keyof typeof fields] ?? 'unexpected'}`).join(', '));
          bytes += String.fromCharCode(...nonce);
          for (let at = 0; at < ciphertext.length; at += 4096) bytes += String.fromCharCode(...ciphertext.subarray(at, at + 4096));
        }
      }
      database.close();
    }
    return { keys, shapes: [...shapes], bytes: btoa(bytes) };
  });
}
