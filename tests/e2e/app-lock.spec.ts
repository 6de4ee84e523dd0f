import { pbkdf2Sync } from 'node:crypto';
import { rm } from 'node:fs/promises';
import { expect, test, type Device } from './support/fixtures.ts';
import { createAccount, line, linkDevice, openConversation, sees, send, startConversation } from './support/person.ts';
import { copyOf, openWith, sealedIn, searchProfile, wrappingKeyOf } from './support/profile-search.ts';

const PASSPHRASE = 'correct horse battery';

interface StoredLock {
  readonly salt: Uint8Array;
  /** Of a passphrase. */
  readonly iterations?: number;
  /** Of a passkey. */
  readonly credentialId?: Uint8Array;
}

/** Turns the lock on, or changes its passphrase, on the page “Devices”. */
async function setPassphrase({ page }: Device, button: string): Promise<void> {
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('button', { name: button }).click();
  await page.getByLabel('New passphrase').fill(PASSPHRASE);
  await page.getByLabel('The same again').fill(PASSPHRASE);
  await page.getByRole('button', { name: button }).click();
  await expect(page.getByRole('button', { name: 'Lock now' })).toBeVisible();
}

async function unlock({ page }: Device, passphrase: string): Promise<void> {
  await expect(page.getByRole('heading', { name: 'Chorus is locked' })).toBeVisible();
  await page.getByLabel('Passphrase').fill(passphrase);
  await page.getByRole('button', { name: 'Unlock' }).click();
}

test('a locked device opens with its passphrase alone, and catches up then', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'Before the lock');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Before the lock');

  await setPassphrase(laptop, 'Lock with a passphrase');
  await laptop.restart();
  await send(ben.page, 'While it was locked');
  await unlock(laptop, 'correct horse batterY');
  await expect(laptop.page.getByRole('alert')).toHaveText(/This is not the passphrase/);
  await expect(laptop.page.getByText('ben')).toHaveCount(0);
  await unlock(laptop, PASSPHRASE);
  await openConversation(laptop.page, 'ben');
  for (const text of ['Before the lock', 'While it was locked']) await sees(laptop.page, text);
  await send(laptop.page, 'Open again');
  await sees(ben.page, 'Open again');

  // Locked by hand it shows nothing, in any tab, and a new worker asks as well.
  const second = await laptop.newTab();
  await openConversation(second, 'ben');
  await laptop.page.getByRole('link', { name: 'Devices' }).click();
  await laptop.page.getByRole('button', { name: 'Lock now' }).click();
  for (const page of [laptop.page, second]) {
    await expect(page.getByRole('heading', { name: 'Chorus is locked' })).toBeVisible();
    await expect(line(page, 'Open again')).toHaveCount(0);
  }
  await unlock(laptop, PASSPHRASE);
  await sees(second, 'Open again');

  // Turned off, it opens without being asked.
  await laptop.page.getByRole('button', { name: 'Turn it off' }).click();
  await expect(laptop.page.getByRole('button', { name: 'Lock with a passphrase' })).toBeVisible();
  await laptop.restart();
  await openConversation(laptop.page, 'ben');
  await sees(laptop.page, 'Open again');
});

test('a tab that is not told what the lock asks for asks again, and opens then', async ({ device }) => {
  const laptop = await device('laptop');
  const { page } = laptop;
  await createAccount(page, 'anna', 'Laptop');
  await setPassphrase(laptop, 'Lock with a passphrase');
  await laptop.worker.stop();
  // The first time the worker could not look, for another context of this origin stood in its way.
  await page.addInitScript(() => {
    const { postMessage } = ServiceWorker.prototype;
    let isFirst = true;
    ServiceWorker.prototype.postMessage = function (
      this: ServiceWorker,
      message: { readonly call?: string },
      given?: Transferable[] | StructuredSerializeOptions,
    ) {
      const transfer = (Array.isArray(given) ? given : given?.transfer) ?? [];
      const [port] = transfer;
      if (!isFirst || message.call !== 'lockStatus' || !(port instanceof MessagePort)) {
        postMessage.call(this, message, { transfer });
        return;
      }
      isFirst = false;
      port.postMessage({ ok: true, answer: { ok: false, problem: 'storage-blocked' } });
    };
  });
  await page.reload();
  await expect(page.getByRole('heading', { name: 'Chorus is locked' })).toBeVisible();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByLabel('Passphrase')).toBeVisible();
  await expect(page.getByRole('alert')).toHaveCount(0);
  await unlock(laptop, PASSPHRASE);
  await expect(page.getByRole('link', { name: 'Devices' })).toBeVisible();
});

test('who has forgotten the passphrase deletes what is there, and links the device anew', async ({ device }) => {
  const [laptop, phone] = await Promise.all([device('laptop'), device('phone')]);
  await createAccount(laptop.page, 'anna', 'Laptop');
  await linkDevice(phone.page, laptop.page, 'Phone');
  await setPassphrase(phone, 'Lock with a passphrase');
  await phone.worker.stop();
  await phone.page.reload();
  await phone.page.getByRole('button', { name: 'Delete this device’s data' }).click();
  await phone.page.getByRole('button', { name: 'Yes, delete everything here' }).click();
  await expect(phone.page.getByRole('button', { name: 'Link to an existing account' })).toBeVisible();
});

test('a copy of the profile of a device with an app lock opens with the passphrase alone, also what was sealed before', async ({
  device,
}) => {
  const laptop = await device('laptop');
  await createAccount(laptop.page, 'anna', 'Laptop');
  const before = await sealedIn(laptop.page);
  await setPassphrase(laptop, 'Lock with a passphrase');
  const now = await sealedIn(laptop.page);
  const { salt, iterations } = await lockOf(laptop);
  const copy = await copyOf(laptop);

  const [oldKey, key, record] = [before.find(({ store }) => store === 'keys')!, now.find(({ store }) => store === 'keys')!, now[0]!];
  const factor = pbkdf2Sync(PASSPHRASE, salt, iterations, 32, 'sha256');
  const found = { opens: 0, opensWithPassphrase: 0 };
  // The app's own files, which the browser keeps of the network, hold nothing of a device.
  searchProfile(copy, /ScriptCache|CacheStorage|Cache_Data/, (window) => {
    const wrapping = wrappingKeyOf(window);
    if (openWith(wrapping, oldKey) ?? openWith(wrapping, key) ?? openWith(window, key) ?? openWith(window, record)) found.opens += 1;
    if (openWith(wrappingKeyOf(window, factor), key)) found.opensWithPassphrase += 1;
    return false;
  });
  await rm(copy, { recursive: true, force: true });
  expect(record.store).toBe('records');
  expect(found).toEqual({ opens: 0, opensWithPassphrase: 1 });
});

/** The system's own authenticator, as far as a test can have one: it takes its owner's finger for given. It is gone with the browser. */
async function fingerprintReader({ context, page }: Device, hasPrf = true): Promise<{ forgetFinger(): Promise<void> }> {
  const session = await context.newCDPSession(page);
  await session.send('WebAuthn.enable');
  const { authenticatorId } = await session.send('WebAuthn.addVirtualAuthenticator', {
    options: {
      protocol: 'ctap2',
      ctap2Version: 'ctap2_1',
      transport: 'internal',
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      hasPrf,
    },
  });
  return {
    forgetFinger: async () => {
      await session.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: false });
    },
  };
}

test('a passkey opens the lock, and a copy of the profile does not have it', async ({ device }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  const { page } = laptop;
  await Promise.all([createAccount(page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(page, ['ben']);
  await send(page, 'Before the lock');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'Before the lock');

  const reader = await fingerprintReader(laptop);
  await page.getByRole('link', { name: 'Devices' }).click();
  const before = await sealedIn(page);
  await page.getByRole('button', { name: 'Lock with a passkey' }).click();
  await expect(page.getByText('On. Chorus asks for your passkey')).toBeVisible();
  const now = await sealedIn(page);
  const copy = await copyOf(laptop);

  // The worker forgets, and the passkey opens again.
  await laptop.worker.stop();
  await page.reload();
  await expect(page.getByRole('heading', { name: 'Chorus is locked' })).toBeVisible();
  await expect(page.getByLabel('Passphrase')).toHaveCount(0);
  await send(ben.page, 'While it was locked');
  await page.getByRole('button', { name: 'Unlock with your passkey' }).click();
  await openConversation(page, 'ben');
  for (const text of ['Before the lock', 'While it was locked']) await sees(page, text);

  // With every window of the copy as a root nothing opens, unless the passkey's value is there too.
  const lock = await lockOf(laptop);
  const factor = await valueOf(laptop, lock);
  const [oldKey, key, record] = [before.find(({ store }) => store === 'keys')!, now.find(({ store }) => store === 'keys')!, now[0]!];
  const found = { opens: 0, opensWithPasskey: 0 };
  searchProfile(copy, /ScriptCache|CacheStorage|Cache_Data/, (window) => {
    const wrapping = wrappingKeyOf(window);
    if (openWith(wrapping, oldKey) ?? openWith(wrapping, key) ?? openWith(window, key) ?? openWith(window, record)) found.opens += 1;
    if (openWith(wrappingKeyOf(window, window), key)) found.opens += 1;
    if (openWith(wrappingKeyOf(window, factor), key)) found.opensWithPasskey += 1;
    return window.equals(factor);
  });
  await rm(copy, { recursive: true, force: true });
  expect(found).toEqual({ opens: 0, opensWithPasskey: 1 });

  // A passphrase takes its place, and then it is good no more.
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('button', { name: 'Use a passphrase instead' }).click();
  await page.getByLabel('New passphrase').fill(PASSPHRASE);
  await page.getByLabel('The same again').fill(PASSPHRASE);
  await page.getByRole('button', { name: 'Use a passphrase instead' }).click();
  await page.getByRole('button', { name: 'Lock now' }).click();
  await unlock(laptop, PASSPHRASE);
  await expect(page.getByText('On. Chorus asks for your passphrase')).toBeVisible();

  // And a passkey that of the passphrase: a reader that does not know the finger gives nothing.
  await page.getByRole('button', { name: 'Use a passkey instead' }).click();
  await expect(page.getByText('On. Chorus asks for your passkey')).toBeVisible();
  await reader.forgetFinger();
  await page.getByRole('button', { name: 'Lock now' }).click();
  await page.getByRole('button', { name: 'Unlock with your passkey' }).click();
  await expect(page.getByRole('alert')).toHaveText(/did not get anything from your passkey/);
  await expect(page.getByRole('heading', { name: 'Chorus is locked' })).toBeVisible();
});

test('a passkey that can only tell who somebody is locks nothing, and the person is told', async ({ device }) => {
  const laptop = await device('laptop');
  const { page } = laptop;
  await createAccount(page, 'anna', 'Laptop');
  await fingerprintReader(laptop, false);
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('button', { name: 'Lock with a passkey' }).click();
  await expect(page.getByRole('alert')).toHaveText(/has nothing to lock Chorus with/);
  await page.reload();
  await expect(page.getByRole('button', { name: 'Lock with a passphrase' })).toBeVisible();
});

test('a passkey that nobody confirms locks nothing, and the person is told', async ({ device }) => {
  const laptop = await device('laptop');
  const { page } = laptop;
  await createAccount(page, 'anna', 'Laptop');
  const reader = await fingerprintReader(laptop);
  await reader.forgetFinger();
  await page.getByRole('link', { name: 'Devices' }).click();
  await page.getByRole('button', { name: 'Lock with a passkey' }).click();
  await expect(page.getByRole('alert')).toHaveText(/did not get anything from your passkey/);
  await page.reload();
  await expect(page.getByRole('button', { name: 'Lock with a passphrase' })).toBeVisible();
});

/** What the passkey gives for the lock, asked for by the test itself. */
async function valueOf({ page }: Device, { salt, credentialId }: { salt: Buffer; credentialId: Buffer }): Promise<Buffer> {
  const value = await page.evaluate(
    async (asked) => {
      const credential = await navigator.credentials.get({
        publicKey: {
          challenge: new Uint8Array(32),
          allowCredentials: [{ type: 'public-key', id: Uint8Array.from(asked.credentialId) }],
          userVerification: 'required',
          extensions: { prf: { eval: { first: Uint8Array.from(asked.salt) } } },
        },
      });
      const { prf } = (credential as PublicKeyCredential).getClientExtensionResults();
      return [...new Uint8Array(prf!.results!.first as ArrayBuffer)];
    },
    { salt: [...salt], credentialId: [...credentialId] },
  );
  return Buffer.from(value);
}

/** What is stored of the lock: nothing of it is secret. */
async function lockOf({ page }: Device): Promise<{ salt: Buffer; iterations: number; credentialId: Buffer }> {
  const lock = await page.evaluate(async () => {
    const done = <Value>(request: IDBRequest<Value>): Promise<Value> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(new Error(String(request.error)));
      });
    const database = await done(indexedDB.open('chorus'));
    const root: unknown = await done(database.transaction('meta').objectStore('meta').get('root'));
    database.close();
    const { salt, iterations = 0, credentialId = [] } = (root as { lock: StoredLock }).lock;
    return { salt: [...salt], iterations, credentialId: [...credentialId] };
  });
  return { ...lock, salt: Buffer.from(lock.salt), credentialId: Buffer.from(lock.credentialId) };
}
