import type { Page } from '@playwright/test';
import { drawQr } from '../../src/ui/qr.ts';
import { fromBase64Url, toBase64Url } from '../../src/bytes/index.ts';
import { callWorker } from './support/bridge.ts';
import { expect, test, type Device, type ServerProcess } from './support/fixtures.ts';
import { askForLink, createAccount, linkDevice, shortNumber, takeCode } from './support/person.ts';
import { changeLinks, readServerLog } from './support/server-log.ts';

// Whatever way linking ends, each screen says why, and nothing of it stays anywhere.

const REFUSED = 'You said no, so linking was stopped. Nothing was shared.';
const REFUSED_THERE = 'The other device said no, so linking was stopped. Nothing was shared.';
const TAMPERED = 'What the other device sent was changed on the way, so linking was stopped. Nothing was shared.';
const UNKNOWN = 'The link code has expired, or it was used before.';
const TIMED_OUT = 'The other device did not answer in time.';

interface Scene {
  readonly laptop: Page;
  readonly phone: Page;
  /** Closes what the screens still show and compares all that is stored with how it was before. */
  readonly leftNothing: () => Promise<void>;
}

/** Anna's laptop, and a phone that wants to be linked. */
async function scene(device: (name: string) => Promise<Device>, server: ServerProcess): Promise<Scene> {
  const [laptop, phone] = (await Promise.all([device('laptop'), device('phone')])).map(({ page }) => page) as [Page, Page];
  await createAccount(laptop, 'anna', 'Laptop');
  // What a new account does by itself is done: its KeyPackages are uploaded.
  await expect.poll(() => readServerLog(server.dataDir).rows['key_packages']).toBe(20);
  await expect.poll(() => recordsOf(laptop)).not.toContain('uploads');
  await callWorker(phone, 'state', {});
  const before = { rows: readServerLog(server.dataDir).rows, records: await recordsOf(laptop) };
  const close = (page: Page): Promise<void> => page.getByRole('button', { name: /^(Close|Start over)$/ }).click();
  return {
    laptop,
    phone,
    leftNothing: async () => {
      for (const page of [laptop, phone]) if ((await callWorker(page, 'state', {})).link?.step === 'ended') await close(page);
      await expect(phone.getByRole('button', { name: 'Create account' })).toBeVisible();
      await expect.poll(() => readServerLog(server.dataDir).rows).toEqual(before.rows);
      await expect.poll(() => recordsOf(laptop)).toEqual(before.records);
      await expect.poll(() => recordsOf(phone)).toEqual([]);
      const { phase, account, devices, link } = await callWorker(phone, 'state', {});
      expect({ phase, account, devices, link }).toEqual({ phase: 'new', account: undefined, devices: [], link: undefined });
      expect((await callWorker(laptop, 'state', {})).devices).toHaveLength(1);
    },
  };
}

/** Names of all records in the store. */
function recordsOf(page: Page): Promise<string[]> {
  return page.evaluate(
    () =>
      new Promise<string[]>((resolve, reject) => {
        const opening = indexedDB.open('chorus');
        opening.onerror = () => reject(new Error('cannot be opened'));
        opening.onsuccess = () => {
          const keys = opening.result.transaction('records').objectStore('records').getAllKeys();
          keys.onsuccess = () => {
            opening.result.close();
            resolve(keys.result.map(String));
          };
        };
      }),
  );
}

async function untilNumbers(...pages: Page[]): Promise<void> {
  const numbers = await Promise.all(pages.map(shortNumber));
  for (const number of numbers) expect(number).toMatch(/^\d{3} \d{3}$/);
  expect(new Set(numbers).size).toBe(1);
}

const yes = (page: Page): Promise<void> => page.getByRole('button', { name: 'Yes, they match' }).click();
const no = (page: Page): Promise<void> => page.getByRole('button', { name: 'No, they differ' }).click();
const says = (page: Page, text: string): Promise<void> => expect(page.getByRole('alert')).toHaveText(text);

test('a "no" or a change of mind on either side ends it on both', async ({ device, server }) => {
  const { laptop, phone, leftNothing } = await scene(device, server);

  await test.step('"no" on the new device', async () => {
    await takeCode(laptop, await askForLink(phone, 'Phone'));
    await untilNumbers(laptop, phone);
    await no(phone);
    await says(phone, REFUSED);
    await says(laptop, REFUSED_THERE);
    await leftNothing();
  });

  await test.step('"no" on the linked device, after the new one said yes', async () => {
    await takeCode(laptop, await askForLink(phone, 'Phone'));
    await untilNumbers(laptop, phone);
    await yes(phone);
    await expect(phone.getByText('Confirm on “anna (Laptop)” too. Then your conversations come over.')).toBeVisible();
    await no(laptop);
    await says(laptop, REFUSED);
    await says(phone, REFUSED_THERE);
    await leftNothing();
  });

  await test.step('the linked device said yes and then gave up', async () => {
    await takeCode(laptop, await askForLink(phone, 'Phone'));
    await untilNumbers(laptop, phone);
    await yes(laptop);
    await laptop.getByRole('button', { name: 'Cancel' }).click();
    await says(phone, REFUSED_THERE);
    await leftNothing();
  });

  await test.step('the new device gave up before anybody took its code', async () => {
    await askForLink(phone, 'Phone');
    await phone.getByRole('button', { name: 'Cancel' }).click();
    await leftNothing();
  });
});

test('a wrong, stale, tampered or reused code links nothing, and a fresh one still does', async ({ device, server }) => {
  const { laptop, phone, leftNothing } = await scene(device, server);

  await test.step('text that is no code, or a code with a slip in it', async () => {
    const code = await askForLink(phone, 'Phone');
    // What the QR code holds is the text.
    await expect(phone.getByRole('img', { name: 'Link code as a QR code' }).locator('path').last()).toHaveAttribute('d', drawQr(code).path);
    await takeCode(laptop, 'my code');
    await says(laptop, 'This is not a complete link code. Copy the whole code from the new device.');
    const slip = code.at(20) === 'A' ? 'B' : 'A';
    await laptop.getByLabel('Link code').fill(code.slice(0, 20) + slip + code.slice(21));
    await laptop.getByRole('button', { name: 'Continue' }).click();
    await says(laptop, 'This is not a complete link code. Copy the whole code from the new device.');
    await laptop.getByRole('button', { name: 'Cancel' }).click();
    await phone.getByRole('button', { name: 'Cancel' }).click();
    await leftNothing();
  });

  let stale = '';
  await test.step('a code that its device has taken back', async () => {
    stale = await askForLink(phone, 'Phone');
    await phone.getByRole('button', { name: 'Cancel' }).click();
    await takeCode(laptop, stale);
    await says(laptop, UNKNOWN);
    await leftNothing();
  });

  await test.step('a code that has expired', async () => {
    const code = await askForLink(phone, 'Phone');
    changeLinks(server.dataDir, 'UPDATE links SET expires_at = 0');
    await takeCode(laptop, code);
    await says(laptop, UNKNOWN);
    await says(phone, TIMED_OUT);
    await leftNothing();
  });

  await test.step('a request that was changed on its way', async () => {
    const code = await askForLink(phone, 'Phone');
    changeLinks(server.dataDir, "UPDATE link_slots SET payload = zeroblob(length(payload)) WHERE slot = 'request'");
    await takeCode(laptop, code);
    await says(laptop, TAMPERED);
    await says(phone, TAMPERED);
    await leftNothing();
  });

  await test.step('a code made up by somebody else, sound in itself', async () => {
    const bytes = fromBase64Url((await askForLink(phone, 'Phone')).slice('CHORUS1-'.length));
    await phone.getByRole('button', { name: 'Cancel' }).click();
    await takeCode(laptop, `CHORUS1-${toBase64Url(bytes)}`);
    await says(laptop, UNKNOWN);
    await leftNothing();
  });

  const rows = { ...readServerLog(server.dataDir).rows };
  await test.step('the same code twice', async () => {
    const code = await askForLink(phone, 'Phone');
    await takeCode(laptop, code);
    await untilNumbers(laptop, phone);
    await yes(phone);
    await yes(laptop);
    await expect(laptop.getByText('It is in all your conversations now.')).toBeVisible();
    await expect(phone.getByRole('navigation', { name: 'Conversations' })).toBeVisible();
    await laptop.getByRole('button', { name: 'Close' }).click();
    await takeCode(laptop, code);
    await says(laptop, UNKNOWN);
    await laptop.getByRole('button', { name: 'Close' }).click();
  });

  // Of all of it one device is there, and no mailbox.
  await expect.poll(() => readServerLog(server.dataDir).rows['links']).toBe(0);
  const { devices, link_slots: slots } = readServerLog(server.dataDir).rows;
  expect({ devices, slots }).toEqual({ devices: (rows['devices'] ?? 0) + 1, slots: 0 });
});

test('linking goes on after a reload and a stopped worker on either side', async ({ device, server }) => {
  const laptop = await device('laptop');
  const phone = await device('phone');
  await createAccount(laptop.page, 'anna', 'Laptop');
  const code = await askForLink(phone.page, 'Phone');
  await phone.worker.stop();
  await phone.page.reload();
  await expect(phone.page.getByLabel('Link code', { exact: true })).toHaveValue(code);
  await takeCode(laptop.page, code);
  await untilNumbers(laptop.page, phone.page);
  await laptop.worker.stop();
  await laptop.page.reload();
  await untilNumbers(laptop.page, phone.page);
  await yes(phone.page);
  await server.stop();
  await server.start();
  await yes(laptop.page);
  await expect(phone.page.getByRole('navigation', { name: 'Conversations' })).toBeVisible({ timeout: 30_000 });
  await expect.poll(() => readServerLog(server.dataDir).rows['devices']).toBe(2);

  // The account can be linked from the device that was new a moment ago.
  const tablet = await device('tablet');
  await laptop.page.close();
  await linkDevice(tablet.page, phone.page, 'Tablet');
  expect((await callWorker(tablet.page, 'state', {})).devices.map(({ name }) => name).sort()).toEqual(['Laptop', 'Phone', 'Tablet']);
});
