import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { SERVER_ENTRY } from '../../../scripts/build/layout.ts';

/** How long a server may take from its start to its first answer, ms. */
const START_LIMIT = 20_000;
/** How long a server may take to end after SIGTERM, ms. */
const STOP_LIMIT = 10_000;

/** The built server as a process of its own, on a port and a data folder that stay the same over restarts. */
export interface ServerProcess {
  readonly port: number;
  readonly dataDir: string;
  /** Everything the server has printed so far. */
  output(): string;
  /** @param appDir Another build of the app to serve than the one that was built last. */
  start(appDir?: string): Promise<void>;
  /** Asks it to end (SIGTERM). @throws Error when it does not, or not with exit code 0. */
  stop(): Promise<void>;
  /** Ends it in the middle of whatever it does (SIGKILL). */
  kill(): Promise<void>;
}

/** Starts a server with an empty store. */
export async function startServer(delivery: 'strong' | 'eventual'): Promise<ServerProcess> {
  const dataDir = await mkdtemp(join(tmpdir(), 'chorus-server-'));
  const port = await freePort();
  let child: ChildProcess | undefined;
  let output = '';

  const end = async (signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> => {
    const running = child;
    child = undefined;
    if (running === undefined || running.exitCode !== null || running.signalCode !== null) return running?.exitCode ?? 0;
    const ended = once(running, 'exit') as Promise<[number | null]>;
    running.kill(signal);
    const late = setTimeout(() => running.kill('SIGKILL'), STOP_LIMIT);
    const [code] = await ended;
    clearTimeout(late);
    return code;
  };

  const server: ServerProcess = {
    port,
    dataDir,
    output: () => output,
    start: async (appDir) => {
      const started = spawn(process.execPath, [SERVER_ENTRY], {
        env: {
          PATH: process.env['PATH'],
          NODE_ENV: 'production',
          PORT: String(port),
          DATA_DIR: dataDir,
          DELIVERY: delivery,
          ...(appDir === undefined ? {} : { APP_DIR: appDir }),
        },
        stdio: ['ignore', 'pipe', 'pipe'],
      });
      for (const stream of [started.stdout, started.stderr]) stream.on('data', (text: Buffer) => (output += text.toString()));
      child = started;
      await answers(port, () => {
        if (started.exitCode !== null || started.signalCode !== null) throw new Error(`the server ended at once:\n${output}`);
      });
    },
    stop: async () => {
      const code = await end('SIGTERM');
      if (code !== 0) throw new Error(`the server ended with ${code ?? 'a signal'}:\n${output}`);
    },
    kill: async () => {
      await end('SIGKILL');
    },
  };
  await server.start();
  return server;
}

/** Ends a server for good and deletes its data. */
export async function disposeServer(server: ServerProcess): Promise<void> {
  await server.kill();
  await rm(server.dataDir, { recursive: true, force: true });
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

async function answers(port: number, check: () => void): Promise<void> {
  for (const limit = Date.now() + START_LIMIT; ;) {
    check();
    try {
      const response = await fetch(`http://127.0.0.1:${port}/v1/server`);
      await response.arrayBuffer();
      if (response.ok) return;
    } catch {
      // not listening yet
    }
    if (Date.now() > limit) throw new Error('the server does not answer');
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}
