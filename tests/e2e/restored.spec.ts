import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { ROOT } from '../../scripts/build/layout.ts';
import { expect, test, type ServerProcess } from './support/fixtures.ts';
import { createAccount, openConversation, renewKeys, sees, send, startConversation } from './support/person.ts';

/** What `npm run backup` and `npm run restore` run. */
function operate(script: 'backup' | 'restore', { dataDir }: ServerProcess, ...options: readonly string[]): void {
  const file = join(ROOT, `scripts/${script}.ts`);
  execFileSync(process.execPath, ['--import', 'tsx', file, ...options], { cwd: ROOT, env: { ...process.env, DATA_DIR: dataDir } });
}

async function restore(server: ServerProcess, backup: string): Promise<void> {
  await server.stop();
  operate('restore', server, '--from', backup, '--replace');
  await server.start();
}

test('a server that was restored from a backup is found out, and conversations go on without a line lost', async ({ device, server }) => {
  const [laptop, ben] = await Promise.all([device('laptop'), device('ben')]);
  await Promise.all([createAccount(laptop.page, 'anna', 'Laptop'), createAccount(ben.page, 'ben', 'Desk')]);
  await startConversation(laptop.page, ['ben']);
  await send(laptop.page, 'before the backup');
  await openConversation(ben.page, 'anna');
  await sees(ben.page, 'before the backup');
  const backup = join(server.dataDir, 'first.backup');
  operate('backup', server, '--to', backup);

  await send(laptop.page, 'after the backup');
  await sees(ben.page, 'after the backup');
  await send(ben.page, 'and an answer');
  await sees(laptop.page, 'and an answer');
  await restore(server, backup);

  for (const { page } of [laptop, ben]) {
    await expect(page.getByText('The server was put back to an earlier state')).toBeVisible();
    for (const text of ['before the backup', 'after the backup', 'and an answer']) await sees(page, text);
    await page.getByRole('button', { name: 'Go on with this conversation' }).click();
    await expect(page.getByRole('button', { name: 'Go on with this conversation' })).toBeHidden();
  }
  for (const { page } of [laptop, ben]) {
    await expect(page.getByTestId('event-text').filter({ hasText: 'You are in this conversation again.' })).toHaveCount(1);
  }
  await send(laptop.page, 'we go on');
  await sees(ben.page, 'we go on');
  await send(ben.page, 'so we do');
  for (const { page } of [laptop, ben]) for (const text of ['after the backup', 'we go on', 'so we do']) await sees(page, text);

  const second = join(server.dataDir, 'second.backup');
  operate('backup', server, '--to', second);
  await renewKeys(laptop);
  await restore(server, second);
  await expect(laptop.page.getByRole('heading', { name: 'The server has lost data that this device needs' })).toBeVisible();
  await laptop.page.getByRole('navigation', { name: 'Conversations' }).getByRole('link').filter({ hasText: 'ben' }).click();
  await expect(laptop.page.getByRole('alert')).toContainText('Nothing can be sent or received on this device any more');
  await sees(laptop.page, 'so we do');
  await laptop.page.getByRole('link', { name: 'What has happened' }).click();
  await laptop.page.getByRole('button', { name: 'Delete this device’s data' }).click();
  await laptop.page.getByRole('button', { name: 'Yes, delete everything here' }).click();
  await expect(laptop.page.getByRole('button', { name: 'Link to an existing account' })).toBeVisible();
});
