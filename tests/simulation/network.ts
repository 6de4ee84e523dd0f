import { Dice } from './dice.ts';
import type { Fault } from './faults.ts';
import type { Mortal } from './mortal.ts';
import type { LastWords } from './schedule.ts';
import type { Actor, Scheduler } from './scheduler.ts';
import type { SimServer } from './sim-server.ts';

/** What becomes of one request. */
export type Fate =
  | { readonly fault: 'drop' } // it never arrives
  | { readonly fault: 'cut-after-request' } // it arrives, and the connection is gone before there is an answer
  | { readonly fault: 'cut-before-answer' } // the server has answered, and the answer is lost
  | { readonly fault: 'duplicate' } // it arrives twice
  | { readonly fault: 'delay'; readonly ms: number } // the answer is late
  | { readonly fault: 'reorder'; readonly ms: number } // it arrives after those that were sent later
  | { readonly fault: 'die'; readonly after: LastWords }; // the device dies when the server has taken it

/** A device's end of the network. */
export interface Line {
  readonly online: boolean;
  /** What becomes of the next request. */
  nextFate(path: string, body: Uint8Array | undefined): Fate | undefined;
  /** Sees what leaves. */
  sent(path: string, body: Uint8Array): void;
  /** The server that this device is connected to. */
  readonly server: SimServer;
  /** What that server says. */
  answer(server: SimServer, request: Request): Promise<Response>;
  /** May give out something else than what the server has answered. */
  tamper(url: URL, body: Uint8Array<ArrayBuffer>): Uint8Array<ArrayBuffer> | Promise<Uint8Array<ArrayBuffer>>;
  /** The same for one piece of the event stream. */
  tamperStream(chunk: Uint8Array): Uint8Array;
}

/** One way, ms. */
const FASTEST = 5;
const SPREAD = 60;
/** A client notices a cut connection after this, ms. */
const NOTICED = 200;

const gone = (): Error => new TypeError('the connection is gone');

/** Requests and event streams between devices and the server, in virtual time. */
export class Network {
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  /** Connections that are lost when their server dies, and what forgets them. */
  readonly #connections = new Map<() => void, { readonly server: SimServer; readonly line: Line; readonly forget: () => void }>();
  readonly #befell: (fault: Fault) => void;

  /** @param befell Called when a fate is carried out */
  constructor(scheduler: Scheduler, seed: string, befell: (fault: Fault) => void) {
    this.#scheduler = scheduler;
    this.#dice = new Dice(`${seed}/network`);
    this.#befell = befell;
  }

  isConnected(line: Line): boolean {
    return [...this.#connections.values()].some((connection) => connection.line === line);
  }

  /** Nobody answers any more on what is open to this server. */
  cutAll(server: SimServer): void {
    for (const [cut, to] of [...this.#connections]) if (to.server === server) cut();
  }

  /** Nobody waits any more. Node keeps signals that are listened to, and with them the whole world. */
  close(): void {
    for (const { forget } of [...this.#connections.values()]) forget();
  }

  /** `fetch` of one process of a device. `cut` aborts when the device's network goes. */
  fetchOf(client: Mortal, line: Line, cut: () => AbortSignal): (input: string, init: RequestInit) => Promise<Response> {
    return async (input, init) => {
      await client.point();
      if (!line.online) throw gone();
      return this.#request(client, line, input, init, cut());
    };
  }

  #latency(): number {
    return FASTEST + this.#dice.roll(SPREAD);
  }

  #request(client: Mortal, line: Line, input: string, init: RequestInit, cut: AbortSignal): Promise<Response> {
    const url = new URL(input);
    const path = url.pathname;
    const { server } = line;
    const body = init.body instanceof Uint8Array ? new Uint8Array(init.body) : undefined;
    line.sent(path, body ?? new Uint8Array());
    const isStream = path.endsWith('/events');
    const fate = isStream ? undefined : line.nextFate(path, body);
    return new Promise((resolve, reject) => {
      const away = new AbortController();
      const end = (): void => {
        this.#connections.delete(lost);
        cut.removeEventListener('abort', lost);
        init.signal?.removeEventListener('abort', lost);
      };
      const lost = (): void => {
        end();
        away.abort();
        this.#scheduler.at(this.#latency(), client, () => reject(gone()));
      };
      this.#connections.set(lost, { server, line, forget: end });
      cut.addEventListener('abort', lost);
      init.signal?.addEventListener('abort', lost);
      if (fate?.fault === 'drop') {
        this.#befell('drop');
        this.#scheduler.at(NOTICED, client, lost);
        return;
      }
      const arrives = this.#latency() + (fate?.fault === 'reorder' ? fate.ms : 0);
      const arrive = (answer: (response: Response) => void): void => {
        const { actor } = server;
        if (actor === undefined) return lost();
        const signal = away.signal;
        const request = new Request(input, { ...init, body: body ?? null, signal, cache: 'default', credentials: 'same-origin' });
        line.answer(server, request).then(answer, lost);
      };
      const arrivesAt = (delay: number, answer: (response: Response) => void): void => {
        const { actor } = server;
        if (actor === undefined) return lost();
        this.#scheduler.at(delay, actor, () => arrive(answer));
      };
      if (fate?.fault === 'duplicate') arrivesAt(arrives + this.#latency() * 3, () => this.#befell('duplicate'));
      arrivesAt(arrives, (response) => {
        if (fate?.fault === 'die' && response.ok && client.alive) {
          this.#befell(`die-after-${fate.after}`);
          client.die();
        }
        if (fate?.fault === 'reorder' || fate?.fault === 'delay') this.#befell(fate.fault);
        if (fate?.fault === 'cut-after-request' || fate?.fault === 'cut-before-answer') {
          this.#befell(fate.fault);
          return lost();
        }
        if (isStream && response.status === 200) {
          this.#scheduler.at(this.#latency(), client, () => resolve(this.#stream(client, line, response, end, away.signal)));
          return;
        }
        void response.arrayBuffer().then((bytes) => {
          const { status, headers } = response;
          const delay = this.#latency() + (fate?.fault === 'delay' ? fate.ms : 0);
          this.#scheduler.at(delay, client, () => {
            end();
            const given = async (): Promise<Response> => {
              const told = status === 200 ? await line.tamper(url, new Uint8Array(bytes)) : new Uint8Array(bytes);
              return new Response(told, { status, headers });
            };
            given().then(resolve, reject);
          });
        }, lost);
      });
      if (fate?.fault === 'cut-after-request') this.#scheduler.at(arrives, client, lost);
    });
  }

  /** The server's stream at the client's end, piece by piece and in order. */
  #stream(client: Actor, line: Line, response: Response, end: () => void, away: AbortSignal): Response {
    const reader = response.body!.getReader();
    let open = true;
    let last = 0;
    const deliver = (controller: ReadableStreamDefaultController<Uint8Array>, run: () => void): void => {
      last = Math.max(last, this.#scheduler.now + this.#latency());
      this.#scheduler.at(last - this.#scheduler.now, client, () => {
        if (open) run();
        if (!open) controller.error(gone());
      });
    };
    const body = new ReadableStream<Uint8Array>({
      start: (controller) => {
        const pump = async (): Promise<void> => {
          for (;;) {
            const part = await reader.read();
            if (!open) return;
            if (part.done) {
              deliver(controller, () => (open = false));
              return;
            }
            deliver(controller, () => {
              controller.enqueue(line.tamperStream(part.value));
            });
          }
        };
        away.addEventListener('abort', () => {
          if (!open) return;
          open = false;
          this.#scheduler.at(this.#latency(), client, () => controller.error(gone())); // whoever hears of it is the client
          reader.cancel().catch(() => undefined);
        });
        pump().catch(() => undefined);
      },
      cancel: () => {
        open = false;
        end();
        return reader.cancel();
      },
    });
    return new Response(body, { status: response.status, headers: response.headers });
  }
}
