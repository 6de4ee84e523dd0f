import { execFile } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import Database from 'better-sqlite3';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { makeBackup, restoreBackup } from '../../../server/backup.ts';
import { DataProblem } from '../../../server/data-problem.ts';
import { type RunningServer, startServer } from '../../../server/start.ts';
import { newDevice, type Person, register, TestDevice } from '../../support/delivery-world.ts';
import { application, creation, randomBytes } from '../../support/submissions.ts';

const network = (input: string, init?: RequestInit) => fetch(input, init);
const run = promisify(execFile);
const ROOT = join(import.meta.dirname, '../../..');

describe('a backup', () => {
  let folder: string;
  let dataDir: string;
  let backup: string;
  let server: RunningServer | undefined;
  let ada: Person;
  let groupId: Uint8Array;

  const start = async (at: string): Promise<RunningServer> => {
    server = await startServer({ port: 0, dataDir: at, appDir: join(folder, 'no-app'), consistency: 'strong' });
    return server;
  };
  const stop = async (): Promise<void> => {
    await server?.close();
    server = undefined;
  };
  const sequences = async (url: string): Promise<number[]> => {
    const device = new TestDevice(newDevice(url, network, Date.now).client, ada.device.proof);
    return (await device.done('fetch-sequence', { after: 0, limit: 256 })).entries.map(({ sequence }) => sequence);
  };
  const problem = (work: () => unknown): string => {
    try {
      work();
      return 'none';
    } catch (error) {
      if (error instanceof DataProblem) return error.code;
      throw error;
    }
  };
  const restore = (at: string, replace = false) => restoreBackup(at, backup, replace, Date.now());
  const program = (name: 'backup' | 'restore', at: string, ...options: string[]) =>
    run(process.execPath, ['--import', 'tsx', `scripts/${name}.ts`, ...options], { cwd: ROOT, env: { ...process.env, DATA_DIR: at } });

  beforeEach(async () => {
    folder = mkdtempSync(join(tmpdir(), 'chorus-backup-'));
    [dataDir, backup] = [join(folder, 'data'), join(folder, 'chorus.backup')];
    const { url } = await start(dataDir);
    ada = await register(newDevice(url, network, Date.now), 'ada');
    groupId = randomBytes(32);
    await ada.device.done('submit', creation(groupId));
  });
  afterEach(async () => {
    await stop();
    rmSync(folder, { recursive: true });
  });

  it('made under load holds everything acknowledged before it began, no gap, and the key; only its owner can read it', async () => {
    const acknowledged: number[] = [];
    let writing = true;
    const writer = async () => {
      while (writing) acknowledged.push((await ada.device.done('submit', application(groupId, 0))).sequence);
    };
    const writers = [writer(), writer()];
    while (acknowledged.length < 10) await new Promise((resolve) => setTimeout(resolve, 5));
    const before = [...acknowledged];
    const { stdout } = await program('backup', dataDir, '--to', backup); // a process of its own, as an operator runs it
    writing = false;
    await Promise.all(writers);
    expect(stdout).toContain(backup);
    expect(statSync(backup).mode & 0o777).toBe(0o600);
    expect(readdirSync(folder).sort()).toEqual(['chorus.backup', 'data']);

    const key = await ada.device.done('describe-server', {});
    await stop();
    const other = join(folder, 'other');
    expect((await program('restore', other, '--from', backup)).stdout).toContain('Restored');
    const { url } = await start(other);
    const kept = await sequences(url);
    expect(kept).toEqual(kept.map((_, i) => i + 1));
    expect(before.filter((sequence) => !kept.includes(sequence))).toEqual([]);
    expect(await newDevice(url, network, Date.now).done('describe-server', {})).toEqual(key);
    await new TestDevice(newDevice(url, network, Date.now).client, ada.device.proof).done('submit', application(groupId, 0));
  });

  it('replaces no file, and leaves nothing half made', () => {
    writeFileSync(backup, 'something dear');
    expect(problem(() => makeBackup(dataDir, backup, Date.now()))).toBe('exists');
    expect(readFileSync(backup, 'utf8')).toBe('something dear');
    expect(problem(() => makeBackup(join(folder, 'nowhere'), join(folder, 'b'), Date.now()))).toBe('incomplete');
    expect(existsSync(join(folder, 'b'))).toBe(false);
  });

  it('is not restored under a running server, nor over data unless asked, and then the data of before is kept', async () => {
    makeBackup(dataDir, backup, Date.now());
    expect(problem(() => restore(dataDir, true))).toBe('in-use');
    await ada.device.done('submit', application(groupId, 0));
    await stop();
    expect(problem(() => restore(dataDir))).toBe('exists');
    const { keptAside } = restore(dataDir, true);
    expect(await sequences((await start(dataDir)).url)).toEqual([1]);
    await stop();
    expect(await sequences((await start(keptAside!)).url)).toEqual([1, 2]);
  });

  it('is restored without the key in the database, where it would lie a second time', async () => {
    makeBackup(dataDir, backup, Date.now());
    await stop();
    const seed = readFileSync(join(dataDir, 'authentication.key'));
    expect(readFileSync(backup).includes(seed)).toBe(true);
    restore(dataDir, true);
    expect(readFileSync(join(dataDir, 'authentication.key')).equals(seed)).toBe(true);
    expect(readFileSync(join(dataDir, 'chorus.sqlite')).includes(seed)).toBe(false);
    expect(statSync(join(dataDir, 'authentication.key')).mode & 0o777).toBe(0o600);
    expect(readdirSync(dataDir).filter((name) => name.includes('restored'))).toEqual([]);
  });

  it('that is damaged, or no backup at all, is refused and the data left as it is', async () => {
    makeBackup(dataDir, backup, Date.now());
    await stop();
    const whole = readFileSync(backup);
    const before = readFileSync(join(dataDir, 'chorus.sqlite'));
    writeFileSync(backup, whole.subarray(0, whole.length - 4096));
    expect(problem(() => restore(dataDir, true))).toBe('damaged');
    writeFileSync(backup, 'a text');
    expect(problem(() => restore(dataDir, true))).toBe('foreign');
    rmSync(backup);
    cpSync(join(dataDir, 'chorus.sqlite'), backup);
    expect(problem(() => restore(dataDir, true))).toBe('foreign');
    const newer = new Database(backup);
    newer.pragma('user_version = 99');
    newer.close();
    expect(problem(() => restore(dataDir, true))).toBe('newer');
    expect(readFileSync(join(dataDir, 'chorus.sqlite')).equals(before)).toBe(true);
  });

  it('that a crash has cut short on the way back leaves what no server starts on, and the same command mends it', async () => {
    makeBackup(dataDir, backup, Date.now());
    await stop();
    rmSync(join(dataDir, 'chorus.sqlite')); // the old data has another name by then, the new one not its own yet
    expect(await start(dataDir).catch((error: unknown) => error)).toMatchObject({ code: 'incomplete' });
    restore(dataDir, true);
    expect(await sequences((await start(dataDir)).url)).toEqual([1]);
  });
});
