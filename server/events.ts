import { toHex, utf8 } from '../src/bytes/index.ts';
import { toJson } from '../src/delivery/frames.ts';
import { HEARTBEAT, MAX_PAGE_BYTES, MAX_STREAMS, STALLED, STREAM_PAGE } from './limits.ts';
import { accountTopic, type Notices } from './notices.ts';
import { Refusal } from './problems.ts';
import type { Caller, DeliveryStore } from './store/store.ts';

type Bytes = Uint8Array<ArrayBuffer>;

function frame(event: string, data: object, id?: number): Bytes {
  return new Uint8Array(utf8(`${id === undefined ? '' : `id: ${id}\n`}event: ${event}\ndata: ${toJson(data)}\n\n`));
}

const ALIVE = new Uint8Array(utf8(': alive\n\n'));

/** The event streams of all devices. Each reads the store from its own cursor, so none can miss or reorder an entry. */
export class EventStreams {
  readonly #store: DeliveryStore;
  readonly #notices: Notices;
  readonly #now: () => number;
  /** Open streams by device, oldest first. */
  readonly #open = new Map<string, EventStream[]>();

  constructor(store: DeliveryStore, notices: Notices, now: () => number) {
    this.#store = store;
    this.#notices = notices;
    this.#now = now;
  }

  /** A stream of what is beyond `after`, then of what comes. Its reader pulls: nothing is read ahead of it but one page. */
  open(caller: Caller, after: number): ReadableStream<Bytes> {
    const key = toHex(caller.deviceId);
    const streams = this.#open.get(key) ?? [];
    if (streams.length >= MAX_STREAMS) streams[0]?.end();
    const stream = new EventStream(this.#store, this.#notices, this.#now, caller, after, () => this.#forget(key, stream));
    this.#open.set(key, [...(this.#open.get(key) ?? []), stream]);
    return stream.readable;
  }

  /** Ends every stream; devices come back with their cursors. */
  close(): void {
    for (const streams of [...this.#open.values()]) for (const stream of streams) stream.end();
  }

  #forget(key: string, stream: EventStream): void {
    const left = (this.#open.get(key) ?? []).filter((other) => other !== stream);
    if (left.length === 0) this.#open.delete(key);
    else this.#open.set(key, left);
  }
}

class EventStream {
  readonly readable: ReadableStream<Bytes>;
  readonly #read: (after: number) => ReturnType<DeliveryStore['readSequence']>;
  readonly #unsubscribe: () => void;
  readonly #onEnd: () => void;
  #controller: ReadableStreamDefaultController<Bytes> | undefined;
  #cursor: number;
  #stock: number | undefined;
  #noticed = true; // the backlog
  #wake: () => void = () => {};
  #stalled: ReturnType<typeof setTimeout> | undefined;
  #ended = false;

  constructor(store: DeliveryStore, notices: Notices, now: () => number, caller: Caller, after: number, onEnd: () => void) {
    this.#cursor = after;
    this.#onEnd = onEnd;
    this.#read = (cursor) => store.readSequence(caller, cursor, STREAM_PAGE, MAX_PAGE_BYTES, now());
    this.#unsubscribe = notices.subscribe(accountTopic(caller.accountId), () => {
      this.#noticed = true;
      this.#wake();
    });
    this.readable = new ReadableStream<Bytes>(
      {
        start: (controller) => {
          this.#controller = controller;
          controller.enqueue(ALIVE); // so that the reader learns at once that it is connected
        },
        pull: () => this.#pull(),
        cancel: () => this.end(),
      },
      { highWaterMark: 0 },
    );
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    clearTimeout(this.#stalled);
    this.#unsubscribe();
    this.#wake();
    this.#onEnd();
    try {
      this.#controller?.close();
    } catch {
      // the reader has cancelled it
    }
  }

  /** Enqueues something, or ends the stream. */
  async #pull(): Promise<void> {
    clearTimeout(this.#stalled);
    try {
      if (!this.#noticed) await this.#wait();
      if (this.#ended) return;
      if (!(await this.#sendNews())) this.#send(ALIVE);
    } catch (error) {
      if (error instanceof Refusal && error.type === 'unknown-device') this.#send(frame('gone', {}));
      else console.error('event stream:', error instanceof Error ? error.name : 'failed');
      this.end();
    }
    if (!this.#ended) this.#stalled = setTimeout(() => this.end(), STALLED);
  }

  /** Until a notice or the heartbeat's time. */
  async #wait(): Promise<void> {
    let timer: ReturnType<typeof setTimeout> | undefined;
    await new Promise<void>((resolve) => {
      timer = setTimeout(resolve, HEARTBEAT);
      this.#wake = resolve;
    });
    clearTimeout(timer);
    this.#wake = () => {};
  }

  /** Whether there were any. The store is asked at every heartbeat too, so that a removed device goes. */
  async #sendNews(): Promise<boolean> {
    this.#noticed = false;
    const { entries, last, stock } = await this.#read(this.#cursor);
    const frames = entries.map((entry) => frame('entry', entry, entry.sequence));
    if (stock !== this.#stock) frames.push(frame('stock', { stock }));
    for (const bytes of frames) this.#send(bytes);
    this.#cursor = entries.at(-1)?.sequence ?? this.#cursor;
    this.#stock = stock;
    if (this.#cursor < last) this.#noticed = true; // a page was full
    return frames.length > 0;
  }

  #send(bytes: Bytes): void {
    if (!this.#ended) this.#controller?.enqueue(bytes);
  }
}
