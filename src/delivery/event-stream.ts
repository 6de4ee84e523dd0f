/**
 * The server's event stream, read by fetch because EventSource cannot send headers. It runs in the
 * leader tab, so it knows neither keys nor frames: entries go to the worker as the text that came.
 */

/** Made by `DeliveryClient.prepareEventStream`; structured-cloneable. */
export interface PreparedEventStream {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

export type StreamEvent =
  /** The server has accepted the request; the backlog follows. */
  | { readonly event: 'open' }
  /** `data` is JSON of a SequenceEntry; the worker reads it with `sequenceEntryFrame`. */
  | { readonly event: 'entry'; readonly sequence: number; readonly data: string }
  /** `data` is JSON of `stockFrame`: somebody has claimed KeyPackages of this account. */
  | { readonly event: 'stock'; readonly data: string }
  /** The server no longer knows this device; the stream ends. */
  | { readonly event: 'gone' };

export type StreamEnd =
  /** The connection is gone: prepare anew from the last entry handed over. */
  | 'ended'
  /** The server answered with a problem document, or something in between did with anything: let the worker make a call to learn which. */
  | 'refused';

/** The server sends a comment every 15 s; three of them missing mean that the connection is dead, ms. */
const SILENCE = 45_000;
/** An entry holds at most a commit of 8 MiB in base64url. */
const MAX_EVENT = 12 * 1024 * 1024;

/**
 * Follows the stream until it ends, is refused or `signal` aborts; never rejects for these. Events come
 * in order, each after the promise for the one before it, so a slow receiver slows the server down.
 */
export async function followEvents(
  prepared: PreparedEventStream,
  fetch: (input: string, init: RequestInit) => Promise<Response>,
  signal: AbortSignal,
  onEvent: (event: StreamEvent) => void | Promise<void>,
): Promise<StreamEnd> {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(), SILENCE);
  };
  const either = AbortSignal.any([signal, silence.signal]);
  heard();
  try {
    const init: RequestInit = {
      headers: { ...prepared.headers, Accept: 'text/event-stream' },
      signal: either,
      cache: 'no-store',
      credentials: 'omit',
    };
    const response = await connect(() => fetch(prepared.url, init));
    if (response === undefined) return 'ended';
    if (response.status !== 200 || response.body === null) return 'refused';
    await onEvent({ event: 'open' });
    const parser = new EventParser();
    const reader = response.body.getReader();
    const cancelled = new Promise<undefined>((resolve) => either.addEventListener('abort', () => resolve(undefined), { once: true }));
    try {
      for (;;) {
        heard();
        const part = await Promise.race([connect(() => reader.read()), cancelled]);
        if (part === undefined || part.done) return 'ended';
        clearTimeout(timer); // the receiver's time is not the server's silence
        for (const event of parser.push(part.value)) {
          if (either.aborted) return 'ended';
          await onEvent(event);
        }
      }
    } finally {
      reader.cancel().catch(() => {}); // it may have ended already
    }
  } catch (error) {
    if (error instanceof EventStreamError) return 'ended';
    throw error;
  } finally {
    clearTimeout(timer);
  }
}

/** What `make` gives, or undefined when the connection fails. */
async function connect<Value>(make: () => Promise<Value>): Promise<Value | undefined> {
  try {
    return await make();
  } catch {
    return undefined;
  }
}

/** The server sent what no event stream of ours holds. */
export class EventStreamError extends Error {
  override readonly name = 'EventStreamError';
}

/** Parser of `text/event-stream` in pieces of any length: the fields `event`, `id` and `data` with LF line ends, as our server writes them. */
export class EventParser {
  readonly #decoder = new TextDecoder();
  #rest = '';

  /** Events completed by `bytes`. @throws EventStreamError when an event is longer than any can be. */
  push(bytes: Uint8Array): StreamEvent[] {
    this.#rest += this.#decoder.decode(bytes, { stream: true });
    const blocks = this.#rest.split('\n\n');
    this.#rest = blocks.pop() ?? '';
    if (this.#rest.length > MAX_EVENT) throw new EventStreamError('event too long');
    return blocks.map(parseBlock).filter((event) => event !== undefined);
  }
}

function parseBlock(block: string): StreamEvent | undefined {
  const fields = new Map<string, string>();
  for (const line of block.split('\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) fields.set(line.slice(0, colon), line.slice(colon + 2));
  }
  const data = fields.get('data') ?? '';
  switch (fields.get('event')) {
    case 'entry': {
      const sequence = Number(fields.get('id'));
      if (!Number.isSafeInteger(sequence)) throw new EventStreamError('entry without its place');
      return { event: 'entry', sequence, data };
    }
    case 'stock':
      return { event: 'stock', data };
    case 'gone':
      return { event: 'gone' };
    default:
      return undefined; // a heartbeat, or an event of a later server
  }
}
