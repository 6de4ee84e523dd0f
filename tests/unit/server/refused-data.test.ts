import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { DataProblem } from '../../../server/data-problem.ts';
import { type RunningServer, startServer } from '../../../server/start.ts';
import { newDevice, type Person, register, TestDevice } from '../../support/delivery-world.ts';
import { ServerProcess } from '../../support/server-process.ts';
import { privateMessage } from '../../support/mls-headers.ts';
import { application, creation, randomBytes } from '../../support/submissions.ts';

const network = (input: string, init?: RequestInit) => fetch(input, init);
const MESSAGES = 40;
/** Pages overwritten, one at a time. */
const SPOILT_PAGES = 12;

describe('a server’s data', () => {
  let folder: string;
  let original: string;
  /** As a crash leaves it: the newest transactions are in the write-ahead log alone. */
  let crashed: string;
  let ada: Person;
  let dataDir: string;
  let running: RunningServer | undefined;

  const start = async (at = dataDir): Promise<RunningServer> => {
    running = await startServer({ port: 0, dataDir: at, appDir: join(folder, 'no-app'), consistency: 'strong' });
    return running;
  };
  const stop = async (): Promise<void> => {
    await running?.close();
    running = undefined;
  };
  const file = (name: string): string => join(dataDir, name);

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'chorus-data-'));
    [original, crashed] = [join(folder, 'original'), join(folder, 'crashed')];
    const { url } = await start(original);
    ada = await register(newDevice(url, network, Date.now), 'ada');
    const groupId = randomBytes(32);
    await ada.device.done('submit', creation(groupId));
    for (let i = 0; i < MESSAGES; i++) {
      const message = privateMessage(groupId, 0, 'application', Buffer.from(randomBytes(3000)).toString('hex'));
      await ada.device.done('submit', application(groupId, 0, { message }));
    }
    cpSync(original, crashed, { recursive: true });
    await stop();
  });
  beforeEach(() => {
    dataDir = mkdtempSync(join(folder, 'data-'));
    cpSync(original, dataDir, { recursive: true });
  });
  afterEach(stop);
  afterAll(() => rmSync(folder, { recursive: true }));

  /** Why it does not start; the files are as they were, byte for byte. */
  async function refusal(): Promise<DataProblem> {
    const names = ['chorus.sqlite', 'authentication.key'];
    const look = () =>
      names.map(
        (name) =>
          existsSync(file(name)) &&
          createHash('sha256')
            .update(readFileSync(file(name)))
            .digest('hex'),
      );
    const before = look();
    const error: unknown = await start().then(
      () => undefined,
      (reason: unknown) => reason,
    );
    expect(look()).toEqual(before);
    expect(error).toBeInstanceOf(DataProblem);
    return error as DataProblem;
  }

  async function kept(): Promise<number[]> {
    const { url } = await start();
    const device = new TestDevice(newDevice(url, network, Date.now).client, ada.device.proof);
    return (await device.done('fetch-sequence', { after: 0, limit: 256 })).entries.map(({ sequence }) => sequence);
  }

  it('is taken up again when it is whole', async () => {
    expect(await kept()).toHaveLength(MESSAGES + 1);
  });

  it('is refused when it is cut off, and the words name the file and the command that helps', async () => {
    const { size } = statSync(file('chorus.sqlite'));
    for (const length of [Math.floor(size / 2), size - 4096, 5000]) {
      truncateSync(file('chorus.sqlite'), length);
      const { code, message } = await refusal();
      expect(code).toBe('damaged');
      expect(message).toContain(file('chorus.sqlite'));
      expect(message).toContain('npm run restore -- --from FILE');
    }
  });

  it('is refused when any page has been overwritten', async () => {
    const whole = readFileSync(file('chorus.sqlite'));
    for (let i = 0; i < SPOILT_PAGES; i++) {
      const page = Math.floor(Math.random() * (whole.length / 4096));
      const spoilt = Buffer.from(whole);
      spoilt.set(randomBytes(4096), page * 4096);
      writeFileSync(file('chorus.sqlite'), spoilt);
      expect(['damaged', 'foreign'], `page ${page}`).toContain((await refusal()).code);
    }
  });

  it('is refused when there is a text, nothing, or another program’s database in its place', async () => {
    writeFileSync(file('chorus.sqlite'), 'not what it should be\n'.repeat(1000));
    expect((await refusal()).code).toBe('foreign');
    writeFileSync(file('chorus.sqlite'), '');
    expect((await refusal()).code).toBe('foreign');
    const other = new Database(file('chorus.sqlite'));
    other.exec('CREATE TABLE recipes (name TEXT)');
    other.close();
    expect((await refusal()).code).toBe('foreign');
  });

  it('is refused when a newer server made it', async () => {
    const database = new Database(file('chorus.sqlite'));
    database.pragma('user_version = 99');
    database.close();
    expect((await refusal()).code).toBe('newer');
  });

  it('is refused when the key, the database, or what the key should be is missing', async () => {
    rmSync(file('authentication.key'));
    expect((await refusal()).code).toBe('incomplete');
    cpSync(join(original, 'authentication.key'), file('authentication.key'));
    rmSync(file('chorus.sqlite'));
    expect((await refusal()).code).toBe('incomplete');
    cpSync(join(original, 'chorus.sqlite'), file('chorus.sqlite'));
    writeFileSync(file('authentication.key'), 'short');
    expect((await refusal()).code).toBe('damaged');
  });

  it('loses nothing to a crash, and only what nobody was told of to a torn end of the write-ahead log', async () => {
    cpSync(crashed, dataDir, { recursive: true });
    expect(await kept()).toHaveLength(MESSAGES + 1);
    await stop();
    cpSync(crashed, dataDir, { recursive: true });
    const wal = file('chorus.sqlite-wal');
    rmSync(file('chorus.sqlite-shm'), { force: true });
    truncateSync(wal, statSync(wal).size - 100);
    const left = await kept();
    expect(left).toEqual(left.map((_, i) => i + 1));
    expect(left.length).toBe(MESSAGES); // the last transaction is the torn one
  });

  it('serves one server at a time, and the next when that one is gone', async () => {
    const first = await start();
    const error: unknown = await startServer({ port: 0, dataDir, appDir: folder, consistency: 'strong' }).catch(
      (reason: unknown) => reason,
    );
    expect(error).toMatchObject({ code: 'in-use' });
    await first.close();
    await start();
  });
});

describe('the program', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.build();
  });
  afterAll(() => server.dispose());

  const exitCode = async (): Promise<unknown> => {
    const error: unknown = await server.run().catch((reason: unknown) => reason);
    return error instanceof Error ? error.cause : 'it runs';
  };

  it('says in words why it does not start and ends with 1; killed, it leaves no lock behind', async () => {
    await server.run();
    await server.end('SIGKILL');
    await server.run();
    await server.end('SIGTERM');
    writeFileSync(join(server.dataDir, 'chorus.sqlite'), 'not what it should be\n'.repeat(1000));
    expect(await exitCode()).toBe(1);
    expect(server.errors).toMatch(
      /^Chorus does not start\. .*chorus\.sqlite.*npm run restore -- --from FILE.*Nothing has been changed\.\n$/,
    );
  });
});
