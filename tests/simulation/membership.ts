import { decodeRecord } from '../../src/engine/record-codec.ts';
import type { Conversation } from '../../src/engine/state.ts';
import type { StoreChanges } from '../../src/engine/ports.ts';
import type { Device } from './device.ts';

/** Positions of a log beyond `from`, up to `to`, at which a device was in the group. */
interface Stay {
  readonly from: number;
  /** The group's epoch by which it came in; 0 where it was linked to an account that was in. */
  readonly since: bigint;
  /** What is of an earlier epoch it cannot read: its account was not in. */
  readonly readFrom: bigint;
  /** The newest place that was followed. */
  last: number;
  to: number | undefined;
  /** Of one that is over: the last place that it has surely read. Where it lost step within a slice is not stored. */
  readTo: number;
}

/** When each device was in which conversation, by what it stored. */
export class Membership {
  readonly #stays = new Map<string, Stay[]>();

  /**
   * @param siblings Other devices of its account
   * @param lost Called for a device that cannot follow a conversation any more
   */
  stored(device: Device, siblings: readonly Device[], { puts }: StoreChanges, lost: (conversationId: string) => void): void {
    for (const [key, bytes] of puts) {
      if (!key.startsWith('conversation/')) continue;
      const id = key.slice('conversation/'.length);
      const { state, position, since } = decodeRecord<Conversation>(bytes);
      if (state === 'out-of-step') lost(id);
      const stays = this.of(device, id);
      const open = stays.find(({ to }) => to === undefined);
      if (state !== 'member') {
        if (open !== undefined) Object.assign(open, { to: position, readTo: state === 'out-of-step' ? open.last : position });
      } else if (open?.since === since) open.last = position;
      else {
        // Out and in again in one slice: where it went out is not stored.
        if (open !== undefined) Object.assign(open, { to: open.last, readTo: open.last });
        const from = Math.min(position, ...linesIn(puts, id));
        const readFrom = since === 0n ? this.#accountSince(siblings, id, from) : since;
        stays.push({ from, since, readFrom, last: position, to: undefined, readTo: position });
      }
    }
  }

  /** The epoch by which the account had come in at this place. */
  #accountSince(devices: readonly Device[], conversationId: string, place: number): bigint {
    const stays = devices.flatMap((device) => this.of(device, conversationId)).filter(({ from }) => from <= place);
    return stays.reduce((latest, { readFrom }) => (readFrom > latest ? readFrom : latest), 0n);
  }

  /** Whether the device was in the conversation before this place of its log, and when it came to it. */
  wasIn(device: Device, conversationId: string, place: number): boolean {
    return this.of(device, conversationId).some(({ from, to }) => from < place && place <= (to ?? Infinity));
  }

  of(device: Device, conversationId: string): Stay[] {
    const key = `${device.name}/${conversationId}`;
    const stays = this.#stays.get(key) ?? [];
    this.#stays.set(key, stays);
    return stays;
  }
}

/** Positions of lines that were stored in the same moment: the first is the one by which the device came in. */
function linesIn(puts: StoreChanges['puts'], id: string): number[] {
  const prefix = `message/${id}/`;
  return [...puts.keys()].filter((key) => key.startsWith(prefix)).map((key) => Number(key.slice(prefix.length)));
}
