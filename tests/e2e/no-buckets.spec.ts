import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { APP } from '../../scripts/build/layout.ts';
import { rounds } from '../support/rounds.ts';
import { callWorker } from './support/bridge.ts';
import { expect, test } from './support/fixtures.ts';
import { createAccount } from './support/person.ts';
import { copyOf, filesInOpfs, filesWith, rootNamesIn } from './support/profile-search.ts';

/** A root's file. */
const NAME = /^chorus-root-[0-9a-f]{16}$/;

test('without Storage Buckets a swept root is in none of the browser’s files, nor one that a killed browser was writing', async ({
  server,
  device,
}) => {
  const kills = rounds({ test: 2, soak: 100 });
  test.setTimeout(120_000 + kills * 20_000);
  const app = await mkdtemp(join(tmpdir(), 'chorus-app-'));
  await cp(APP, app, { recursive: true });
  const worker = await readFile(join(app, 'sw.js'), 'utf8');
  await writeFile(join(app, 'sw.js'), `Reflect.deleteProperty(WorkerNavigator.prototype, 'storageBuckets');\n${worker}`);
  await server.stop();
  await server.start(app);

  const laptop = await device('laptop');
  await createAccount(laptop.page, 'anna', 'Laptop');
  expect(await rootNamesIn(laptop.page)).toEqual([]);
  const [[oldName, oldRoot]] = [...(await filesInOpfs(laptop.page))] as [[string, Buffer]];
  expect(oldRoot).toHaveLength(32);
  const early = await copyOf(laptop);
  expect(filesWith(early, oldRoot)).not.toEqual([]);

  await callWorker(laptop.page, 'sweep', {});
  const swept = await filesInOpfs(laptop.page);
  expect([...swept.keys()]).toEqual([expect.stringMatching(NAME)]);
  expect(swept.has(oldName)).toBe(false);

  const halfWritten = Buffer.from(crypto.getRandomValues(new Uint8Array(32)));
  await laptop.page.evaluate(
    async (bytes) => {
      const directory = await navigator.storage.getDirectory();
      const file = await directory.getFileHandle('chorus-root-0123456789abcdef', { create: true });
      await (await file.createWritable()).write(new Uint8Array(bytes));
    },
    [...halfWritten],
  );
  expect([...(await filesInOpfs(laptop.page)).keys()]).toContain('chorus-root-0123456789abcdef.crswap');
  expect(filesWith(laptop.profile, halfWritten)).not.toEqual([]);

  for (let kill = 1; kill <= kills; kill++) {
    // A profile for each: what Chromium does at the start after next is its own (docs/threat-model.md).
    const username = kill === 1 ? 'anna' : `anna-${kill}`;
    const killed = kill === 1 ? laptop : await device(`laptop ${kill}`);
    if (kill > 1) await createAccount(killed.page, username, 'Laptop');
    const older = kill === 1 ? [oldRoot, halfWritten] : [];
    for (const content of (await filesInOpfs(killed.page)).values()) if (content.length === 32) older.push(content);
    callWorker(killed.page, 'sweep', {}).catch(() => undefined);
    await new Promise((resolve) => setTimeout(resolve, Math.random() * 40));
    await killed.kill();

    await expect(killed.page.getByRole('link', { name: 'Devices' })).toBeVisible();
    await expect.poll(async () => [...(await filesInOpfs(killed.page)).keys()]).toEqual([expect.stringMatching(NAME)]);
    expect((await callWorker(killed.page, 'state', {})).account?.username).toBe(username);
    const [present] = (await filesInOpfs(killed.page)).values();
    const copy = await copyOf(killed);
    expect(filesWith(copy, present!)).toHaveLength(1);
    for (const root of older) if (!root.equals(present!)) expect(filesWith(copy, root), `kill ${kill}`).toEqual([]);
    await rm(copy, { recursive: true, force: true });
    await killed.dispose();
  }
  for (const folder of [app, early]) await rm(folder, { recursive: true, force: true });
});
