import { once } from 'node:events';
import { createServer, request, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { freePort } from './server.ts';

/** Which requests a fault is for. */
export type Matching = (request: { readonly method: string; readonly path: string }) => boolean;

/**
 * A device's connection to the server: a forwarding HTTP server of its own that can be cut like a
 * cable, also at a chosen request. The browser believes that it is the server.
 * A single lost answer would show nothing: on a connection used before, Chromium repeats the request by itself.
 */
export interface Cable {
  readonly port: number;
  /** Ends every connection, open event streams included, and refuses new ones. */
  cut(): Promise<void>;
  mend(): Promise<void>;
  /** Cut when the next matching request comes, which never reaches the server. Resolves when that has happened. */
  cutBefore(matching: Matching): Promise<void>;
  /** Cut when the server has carried out the next matching request, whose answer is lost. Resolves when that has happened. */
  cutAfter(matching: Matching): Promise<void>;
  /** Every request that reached the server, as `METHOD /path`. */
  readonly requests: readonly string[];
}

interface Fault {
  readonly matching: Matching;
  readonly when: 'before' | 'after';
  readonly happened: () => void;
}

export async function layCable(serverPort: number): Promise<Cable> {
  const port = await freePort();
  const sockets = new Set<Socket>();
  const faults: Fault[] = [];
  const requests: string[] = [];

  const forward = (incoming: IncomingMessage, outgoing: ServerResponse): void => {
    const line = { method: incoming.method ?? 'GET', path: incoming.url ?? '/' };
    const index = faults.findIndex(({ matching }) => matching(line));
    const fault = index < 0 ? undefined : faults.splice(index, 1)[0];
    if (fault?.when === 'before') {
      void cut().then(fault.happened);
      return;
    }
    requests.push(`${line.method} ${line.path}`);
    const options = { host: '127.0.0.1', port: serverPort, method: line.method, path: line.path, headers: incoming.headers };
    const onward = request(options, (response) => {
      if (fault !== undefined) {
        response.resume().once('end', () => void cut().then(fault.happened));
        return;
      }
      outgoing.writeHead(response.statusCode ?? 502, response.rawHeaders);
      outgoing.flushHeaders();
      response.pipe(outgoing);
      response.on('error', () => outgoing.destroy());
    });
    onward.on('error', () => incoming.socket.destroy());
    outgoing.on('close', () => onward.destroy());
    incoming.pipe(onward);
  };

  const server = createServer(forward);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket));
  });

  const addFault = (when: Fault['when'], matching: Matching): Promise<void> =>
    new Promise((happened) => faults.push({ matching, when, happened }));
  const mend = async (): Promise<void> => {
    server.listen(port, '127.0.0.1');
    await once(server, 'listening');
  };
  const cut = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };

  await mend();
  return {
    port,
    cut,
    mend,
    cutBefore: (matching) => addFault('before', matching),
    cutAfter: (matching) => addFault('after', matching),
    requests,
  };
}
