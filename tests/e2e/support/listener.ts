import type { Page } from '@playwright/test';

/** One message that a page sent or got. */
export interface Heard {
  readonly way: 'channel' | 'call' | 'answer' | 'worker';
  /** Name of the call that it belongs to. */
  readonly call: string;
  /** Every text in it, by its place, such as `answer.link.code`. */
  readonly texts: readonly (readonly [place: string, text: string])[];
  /** Places of whatever is no plain data: bytes, keys, files. */
  readonly opaque: readonly string[];
}

interface Listening {
  readonly heard: Heard[];
  readonly globals: readonly string[];
}

/** Notes from the next load on every message between the page, its worker and the other tabs. */
export async function listen(page: Page): Promise<void> {
  await page.addInitScript(() => {
    const heard: Heard[] = [];
    const listening: Listening = { heard, globals: Object.getOwnPropertyNames(globalThis) };
    Object.defineProperty(globalThis, 'listening', { value: listening });

    const note = (way: Heard['way'], call: string, data: unknown): void => {
      const texts: [string, string][] = [];
      const opaque: string[] = [];
      const walk = (place: string, value: unknown): void => {
        if (typeof value === 'string') texts.push([place, value]);
        if (typeof value !== 'object' || value === null) return;
        const plain = Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype;
        if (!plain) opaque.push(place);
        else for (const [name, part] of Object.entries(value)) walk(place === '' ? name : `${place}.${name}`, part);
      };
      walk('', data);
      heard.push({ way, call, texts, opaque });
    };

    const Channel = globalThis.BroadcastChannel;
    globalThis.BroadcastChannel = class extends Channel {
      constructor(name: string) {
        super(name);
        this.addEventListener('message', ({ data }) => note('channel', name, data));
      }
      override postMessage(data: unknown): void {
        note('channel', this.name, data);
        super.postMessage(data);
      }
    };
    const post = ServiceWorker.prototype.postMessage;
    const calls = new Map<MessagePort, string>();
    ServiceWorker.prototype.postMessage = function (message: unknown, transfer?: unknown): void {
      const call = (message as { call?: string }).call ?? '';
      note('call', call, message);
      const [port] = Array.isArray(transfer) ? (transfer as MessagePort[]) : [];
      if (port !== undefined) calls.set(port, call);
      post.call(this, message, transfer as StructuredSerializeOptions);
    };
    const Pair = globalThis.MessageChannel;
    globalThis.MessageChannel = class extends Pair {
      constructor() {
        super();
        this.port1.addEventListener('message', ({ data }) => note('answer', calls.get(this.port2) ?? '', data));
      }
    };
    navigator.serviceWorker.addEventListener('message', ({ data }) => note('worker', '', data));
  });
}

export function heardBy(page: Page): Promise<readonly Heard[]> {
  return page.evaluate(() => (globalThis as unknown as { listening: Listening }).listening.heard);
}

/** What the app has put into the page's global scope. */
export function newGlobals(page: Page): Promise<unknown> {
  return page.evaluate(() => {
    const { globals } = (globalThis as unknown as { listening: Listening }).listening;
    const all = Object.getOwnPropertyNames(globalThis).filter((name) => !globals.includes(name) && name !== 'listening');
    const written = all.map((name) => [name, (globalThis as unknown as Record<string, unknown>)[name]]);
    return JSON.parse(
      JSON.stringify(Object.fromEntries(written), (_, value: unknown) => (value instanceof Set ? [...value] : value)),
    ) as unknown;
  });
}
