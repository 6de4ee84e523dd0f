/** Virtual time. Everything that happens is an event of one actor, and events happen one after the other. */

/** Whatever acts: the world, the server, one runtime of a device. */
export interface Actor {
  readonly name: string;
  /** An event of an actor that is gone does not happen. */
  readonly alive: boolean;
  /** Databases of the browser profile that it runs in. */
  readonly indexedDB: IDBFactory | undefined;
  /** Randomness of this actor. */
  bytes(length: number): Uint8Array<ArrayBuffer>;
  /** Passed before every wait for something outside the program; never resolves for an actor that dies here. */
  point(what: string): Promise<void>;
}

interface Event {
  readonly at: number;
  readonly sequence: number;
  readonly actor: Actor;
  run: (() => void) | undefined;
}

/** A queue of JavaScript's own is drained by one turn of the real event loop, as nothing here waits for real I/O. */
const turnOfTheLoop = setImmediate;

export class Scheduler {
  /** Virtual ms since 1970. */
  now: number;
  /** Whose event is happening. */
  actor: Actor | undefined;
  /** Events that have happened. */
  count = 0;
  readonly #events: Event[] = [];
  #sequence = 0;

  constructor(now: number) {
    this.now = now;
  }

  /** @returns what cancels it */
  at(delay: number, actor: Actor, run: () => void): () => void {
    const event: Event = { at: this.now + Math.max(0, delay), sequence: (this.#sequence += 1), actor, run };
    this.#push(event);
    return () => {
      event.run = undefined;
    };
  }

  /** When the next event is due, ms. */
  get next(): number | undefined {
    while (this.#events.length > 0 && (this.#events[0]!.run === undefined || !this.#events[0]!.actor.alive)) this.#pop();
    return this.#events[0]?.at;
  }

  /** The next event with all that follows from it at once. */
  async step(): Promise<void> {
    if (this.next === undefined) throw new Error('nothing will ever happen');
    const event = this.#pop()!;
    this.now = Math.max(this.now, event.at);
    this.count += 1;
    this.actor = event.actor;
    event.run?.();
    event.run = undefined;
    await new Promise((resolve) => turnOfTheLoop(resolve));
    this.actor = undefined;
  }

  /** Nothing happens any more. */
  clear(): void {
    this.#events.length = 0;
  }

  /** Time passes, and nothing happens meanwhile: what was due comes late. */
  skip(ms: number): void {
    this.now += ms;
  }

  #push(event: Event): void {
    const events = this.#events;
    events.push(event);
    for (let child = events.length - 1; child > 0;) {
      const parent = (child - 1) >> 1;
      if (isBefore(events[parent]!, events[child]!)) break;
      [events[parent], events[child]] = [events[child]!, events[parent]!];
      child = parent;
    }
  }

  #pop(): Event | undefined {
    const events = this.#events;
    const first = events[0];
    const last = events.pop();
    if (last === undefined || events.length === 0) return first;
    events[0] = last;
    for (let parent = 0; ;) {
      const left = 2 * parent + 1;
      const right = left + 1;
      let least = parent;
      if (left < events.length && isBefore(events[left]!, events[least]!)) least = left;
      if (right < events.length && isBefore(events[right]!, events[least]!)) least = right;
      if (least === parent) return first;
      [events[parent], events[least]] = [events[least]!, events[parent]!];
      parent = least;
    }
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.at === b.at ? a.sequence < b.sequence : a.at < b.at;
}
