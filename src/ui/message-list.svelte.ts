import type { Bridge } from '../bridge/client.ts';
import type { MessageView } from '../bridge/view.ts';
import { mergeNewest, mergeOlder } from './merge.ts';
import { troubleOf, type Trouble } from './words.ts';

/** One answer's length: two screens of short messages. */
const PAGE = 50;
/** After being away the list is filled up by this many pages at most; beyond, it starts anew at the end. */
const MAX_FILL = 10;
/** After a failed look, ms. */
const RETRY = 3_000;

/** The part of a conversation that is on screen: everything from some position to its end. */
export class MessageList {
  /** Oldest first, waiting ones last. */
  messages = $state.raw<readonly MessageView[]>([]);
  /** There are older ones. */
  more = $state(false);
  loaded = $state(false);
  loadingOlder = $state(false);
  /** Why the last look failed; another one follows. */
  trouble = $state<Trouble>();

  readonly conversationId: string;
  readonly #bridge: Bridge;
  #looking = false;
  #lookAgain = false;
  /** Lines may have gone anywhere in what is shown. */
  #readAll = false;

  constructor(bridge: Bridge, conversationId: string) {
    this.#bridge = bridge;
    this.conversationId = conversationId;
  }

  /** Reads all that is shown anew: lines of it may have been deleted. */
  lookAtAll(): void {
    this.#readAll = true;
    this.look();
  }

  /** Asks for the newest messages; looks that overlap become one more at the end. */
  look(): void {
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = true;
    const all = this.#readAll;
    this.#readAll = false;
    this.#readNewest(all)
      .then(
        () => {
          this.trouble = undefined;
        },
        (error: unknown) => {
          this.trouble = troubleOf(error);
          setTimeout(() => (all ? this.lookAtAll() : this.look()), RETRY);
        },
      )
      .finally(() => {
        this.#looking = false;
        if (!this.#lookAgain) return;
        this.#lookAgain = false;
        this.look();
      })
      .catch(() => undefined);
  }

  async loadOlder(): Promise<void> {
    const before = firstPosition(this.messages);
    if (this.loadingOlder || !this.more || before === undefined) return;
    this.loadingOlder = true;
    try {
      const page = await this.#read(before);
      this.messages = mergeOlder(this.messages, page.messages);
      this.more = page.more;
    } catch {
      // The person scrolls or presses the button once more.
    } finally {
      this.loadingOlder = false;
    }
  }

  async #readNewest(all: boolean): Promise<void> {
    const newest = await this.#read(undefined);
    let { more } = newest;
    let read = newest.messages;
    const known = all ? firstPosition(this.messages) : lastPosition(this.messages);
    // After a time away there may be more new ones than one page.
    for (let page = 1; more && known !== undefined && (firstPosition(read.toReversed()) ?? 0) > known; page++) {
      if (page === MAX_FILL) {
        this.messages = [];
        break;
      }
      const next = await this.#read(firstPosition(read.toReversed()));
      read = [...read, ...next.messages];
      more = next.more;
    }
    const reachesKnown = this.messages.some(({ position }) => position !== undefined);
    this.messages = mergeNewest(this.messages, read);
    if (!reachesKnown) this.more = more;
    this.loaded = true;
  }

  #read(before: number | undefined): Promise<{ messages: readonly MessageView[]; more: boolean }> {
    return this.#bridge.call('messages', { conversationId: this.conversationId, before, limit: PAGE });
  }
}

/** Of messages in order. */
function firstPosition(messages: readonly MessageView[]): number | undefined {
  return messages.find(({ position }) => position !== undefined)?.position;
}

function lastPosition(messages: readonly MessageView[]): number | undefined {
  return messages.findLast(({ position }) => position !== undefined)?.position;
}
