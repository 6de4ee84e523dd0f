import { randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import { getRequestListener } from '@hono/node-server';
import { getConnInfo } from '@hono/node-server/conninfo';
import { createApp } from './app.ts';
import { type AuthenticationKey, loadAuthenticationKey } from './authentication-key.ts';
import { clientAddress } from './client-address.ts';
import { dataFiles, lockDataFolder, prepareDatabase } from './data-folder.ts';
import { CLOSE_IDLE_INTERVAL, SHUTDOWN_GRACE, SWEEP_INTERVAL } from './limits.ts';
import { staticFiles } from './static.ts';
import { openSqliteStore } from './store/sqlite.ts';
import type { Consistency, DeliveryStore } from './store/store.ts';

export interface ServerOptions {
  /** 0 takes any free one. */
  readonly port: number;
  /** Address to listen on; by itself only this machine's own, since TLS belongs to a proxy in front. */
  readonly host?: string;
  /** Proxies in front that append to `X-Forwarded-For`; by itself 0, which ignores the header. */
  readonly trustedProxies?: number;
  /** Made when missing; holds all that the server must not lose. */
  readonly dataDir: string;
  /** The built app. */
  readonly appDir: string;
  readonly consistency: Consistency;
}

export interface RunningServer {
  /** Origin, without a slash at the end. */
  readonly url: string;
  /** Takes no more connections, ends streams, lets requests in progress finish, closes the store. */
  close(): Promise<void>;
}

/** Starts the delivery service and serves the app from the same origin. @throws Error when the port cannot be had, DataProblem when the data cannot */
export async function startServer({
  port,
  host = '127.0.0.1',
  trustedProxies = 0,
  dataDir,
  appDir,
  consistency,
}: ServerOptions): Promise<RunningServer> {
  const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
  const { authenticationKey, store, close: closeData } = openData(dataDir, consistency, random);
  const app = createApp(
    {
      store,
      authenticationKey,
      now: Date.now,
      random,
      consistency,
      addressOf: (context) =>
        clientAddress(getConnInfo(context).remote.address ?? '', context.req.header('X-Forwarded-For'), trustedProxies),
    },
    staticFiles(appDir),
  );
  const answer = getRequestListener(app.fetch, { overrideGlobalObjects: false });
  const server = createServer((request, response) => void answer(request, response));
  try {
    await listen(server, port, host);
  } catch (error) {
    await closeData();
    throw error;
  }
  const sweeper = setInterval(() => {
    store.sweep(Date.now()).catch((error: unknown) => console.error(error));
  }, SWEEP_INTERVAL);

  return {
    url: `http://localhost:${portOf(server)}`,
    async close() {
      clearInterval(sweeper);
      const closed = new Promise<void>((resolve) => server.close(() => resolve()));
      app.close();
      const idle = setInterval(() => server.closeIdleConnections(), CLOSE_IDLE_INTERVAL); // they become so as their requests end
      const cut = setTimeout(() => server.closeAllConnections(), SHUTDOWN_GRACE);
      await closed;
      clearInterval(idle);
      clearTimeout(cut);
      await closeData();
    },
  };
}

interface OpenedData {
  readonly authenticationKey: AuthenticationKey;
  readonly store: DeliveryStore;
  close(): Promise<void>;
}

/** For this server alone. @throws DataProblem; the data is as it was */
function openData(folder: string, consistency: Consistency, random: (length: number) => Uint8Array): OpenedData {
  const unlock = lockDataFolder(folder);
  try {
    const { database, key } = dataFiles(folder);
    prepareDatabase(folder);
    const authenticationKey = loadAuthenticationKey(key, random);
    const store = openSqliteStore(database, consistency);
    return { authenticationKey, store, close: () => store.close().finally(unlock) };
  } catch (error) {
    unlock();
    throw error;
  }
}

function listen(server: Server, port: number, host: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  });
}

function portOf(server: Server): number {
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('the server has no port');
  return address.port;
}
