import { equal, toHex } from '../../src/bytes/index.ts';
import { fromJson, sequenceEntryFrame } from '../../src/delivery/index.ts';
import { toJson } from '../../src/delivery/frames.ts';
import type { SequenceEntry } from '../../src/engine/ports.ts';
import type { Device } from './device.ts';
import type { Dice } from './dice.ts';
import type { SequenceLie } from './schedule.ts';
import type { SimServer } from './sim-server.ts';

/**
 * What a lying server tells one device: a sequence of its own, without gaps in its numbers, that was the
 * truth up to a moment. Every entry in it was once made by a member; what is changed is the server's part.
 */
export class Liar {
  #server: SimServer;
  readonly #device: Device;
  readonly #dice: Dice;
  readonly #onLie: (kind: SequenceLie) => void;
  #caller: Parameters<SimServer['sequenceOf']>[0] | undefined;
  readonly #told: SequenceEntry[] = [];
  /** Last true sequence number that was looked at, of each server that the device was connected to. */
  readonly #seenOf = new Map<SimServer, number>();
  /** An entry that is told later than its successor. */
  #held: SequenceEntry | undefined;
  kind: SequenceLie | undefined;
  /** What this device is never told of each server's story. */
  readonly #withheldOf = new Map<SimServer, readonly SequenceEntry[]>();

  /** @param onLie Called for each lie that is in the sequence */
  constructor(server: SimServer, device: Device, dice: Dice, onLie: (kind: SequenceLie) => void) {
    this.#server = server;
    this.#device = device;
    this.#dice = dice;
    this.#onLie = onLie;
  }

  /** What it is never told of the story that it hears now. */
  get withheld(): readonly SequenceEntry[] {
    return this.#withheldOf.get(this.#server) ?? [];
  }

  get #seen(): number {
    return this.#seenOf.get(this.#server) ?? 0;
  }

  /** Another server goes on, from where it was left, or from where it came off this one. */
  moveTo(server: SimServer): void {
    if (!this.#seenOf.has(server)) {
      this.#seenOf.set(server, this.#seen);
      this.#withheldOf.set(server, this.withheld);
    }
    this.#server = server;
  }

  /** Answer to `GET /v1/sequence`. */
  async page(after: number, limit: number, truth: string): Promise<string> {
    const { stock } = JSON.parse(truth) as { stock: number };
    await this.#lookAround();
    const entries = this.#told.slice(after, after + limit);
    return toJson({ entries, last: this.#told.length, stock });
  }

  /** One piece of the event stream, with the entries that this device is told in the place of the true ones. */
  stream(piece: string, after: number): string {
    const blocks = piece.split('\n\n').filter((block) => block !== '');
    const others = blocks.filter((block) => !block.includes('event: entry'));
    for (const block of blocks) {
      const data = /^data: (.*)$/m.exec(block)?.[1];
      const entry = block.includes('event: entry') && data !== undefined ? fromJson(sequenceEntryFrame, data) : undefined;
      if (entry !== undefined && entry.sequence === this.#seen + 1) this.#tell(entry);
    }
    const news = this.#told.slice(after).map((entry) => `id: ${entry.sequence}\nevent: entry\ndata: ${toJson(entry)}`);
    return [...news, ...others].map((block) => `${block}\n\n`).join('');
  }

  async #lookAround(): Promise<void> {
    if (this.#caller === undefined) {
      const { account, device } = this.#device.state;
      if (account === undefined || device === undefined) return;
      this.#caller = { accountId: account.accountId, deviceId: device.deviceId };
    }
    const page = await this.#server.sequenceOf(this.#caller, this.#seen);
    for (const entry of page?.entries ?? []) if (entry.sequence === this.#seen + 1) this.#tell(entry);
  }

  /** Takes the next true entry and decides what becomes of it. */
  #tell(entry: SequenceEntry): void {
    this.#seenOf.set(this.#server, entry.sequence);
    const lies = this.kind !== undefined && this.#dice.chance(40);
    if (!lies) return this.#append(entry);
    if (this.kind !== 'lie-reorder') this.#onLie(this.kind!);
    switch (this.kind!) {
      case 'lie-withhold':
        // Of another story it may have been told that place already.
        if (!this.#isTold(entry)) this.#withheldOf.set(this.#server, [...this.withheld, entry]);
        return;
      case 'lie-replay':
        this.#append(entry);
        return this.#append(this.#dice.pick(this.#told));
      case 'lie-reorder':
        if (this.#held === undefined) this.#held = entry;
        else this.#append(entry);
        return;
      case 'lie-corrupt': {
        const message = entry.message.slice();
        message[this.#dice.roll(message.length)]! ^= 1 + this.#dice.roll(255);
        return this.#append({ ...entry, message });
      }
    }
  }

  /** Whether something else stands at this place of the group's log for the device, or beyond it: by this liar's word, or from before. */
  #isTold({ groupId, position }: SequenceEntry): boolean {
    const conversation = this.#device.state.conversations.get(toHex(groupId));
    if (conversation !== undefined && conversation.position >= position) return true;
    return this.#told.some((other) => equal(other.groupId, groupId) && other.position >= position);
  }

  #append(entry: SequenceEntry): void {
    for (const next of [entry, this.#held]) {
      if (next !== undefined) this.#told.push({ ...next, sequence: this.#told.length + 1 });
    }
    if (this.#held !== undefined) this.#onLie('lie-reorder');
    this.#held = undefined;
  }

  /** Up to where the device has been told the truth, before the first lie. */
  async begin(): Promise<void> {
    await this.#lookAround();
  }
}
