import { afterEach, describe, expect, it } from 'vitest';
import { toHex } from '../../../src/bytes/index.ts';
import type { SequenceEntry } from '../../../src/engine/ports.ts';
import { GROUP_SUITE } from '../../../src/engine/protocol.ts';
import { open } from '../../../src/mls/index.ts';
import { settle } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

let world: EngineWorld | undefined;

afterEach(() => world?.close());

/** Anna with two devices and ben in one conversation, with the renewal of her leaf behind them. */
async function meet(): Promise<{ laptop: TestDevice; phone: TestDevice; ben: TestDevice; id: string }> {
  world = new EngineWorld();
  await world.start();
  const laptop = await world.person('anna');
  const ben = await world.person('ben');
  const id = await laptop.startConversation(['ben'], 'club');
  await ben.conversation(id, ({ state }) => state === 'ready');
  const phone = await world.link(laptop, 'phone');
  await phone.conversation(id, ({ state }) => state === 'ready');
  await settle(laptop, phone, ben);
  return { laptop, phone, ben, id };
}

/** Everything that the server has ever handed to ben of the conversation. */
async function receivedBy(ben: TestDevice, id: string): Promise<readonly SequenceEntry[]> {
  const hands = await ben.hands();
  const received: SequenceEntry[] = [];
  for (;;) {
    const { entries } = await hands.ask('fetch-sequence', { after: received.length, limit: 100 });
    received.push(...entries);
    if (entries.length === 0) return received.filter(({ groupId }) => toHex(groupId) === id);
  }
}

/** One run: which device sends which message is the only difference. */
async function run(senders: readonly ('laptop' | 'phone')[]): Promise<readonly SequenceEntry[]> {
  const { laptop, phone, ben, id } = await meet();
  const devices = { laptop, phone };
  for (const [i, name] of senders.entries()) {
    await devices[name].send(id, `message ${i}`);
    await ben.texts(id, i + 1);
    await Promise.all(
      [laptop, phone].map((device) =>
        device.messages(id, (all) => all.some(({ text, position }) => text === `message ${i}` && position !== undefined)),
      ),
    );
  }
  const entries = await receivedBy(ben, id);
  await world?.close();
  world = undefined;
  return entries;
}

/** What of an entry does not depend on keys: all that could tell devices apart by count, order or length. */
function shape({ kind, position, epoch, message, messageId }: SequenceEntry): unknown {
  return { kind, position, epoch, length: message.length, messageId };
}

describe('ben, holding all that ben holds', () => {
  it('receives the same in count, order and length when anna’s senders are swapped, and never a message ID of hers', async () => {
    const senders = ['laptop', 'phone', 'phone', 'laptop', 'phone', 'laptop', 'laptop'] as const;
    const swapped = senders.map((name) => (name === 'laptop' ? 'phone' : 'laptop'));
    const first = await run(senders);
    const second = await run(swapped);
    expect(second.map(shape)).toEqual(first.map(shape));
    expect(first.every(({ messageId }) => messageId === undefined)).toBe(true);
  });

  it('sees reuse guards that are uniform modulo the number of anna’s devices, whichever of them sends', async () => {
    const { laptop, phone, ben, id } = await meet();
    let group = await (await ben.hands()).group(id);
    const before = (await receivedBy(ben, id)).length;
    const count = 120;
    for (const device of [laptop, phone]) {
      for (let i = 0; i < count; i++) await device.send(id, 'x');
      await device.messages(
        id,
        (all) =>
          all.filter(({ text, position, device: by }) => text === 'x' && position !== undefined && by?.own === true).length === count,
      );
    }
    const residues = [0, 0];
    for (const entry of (await receivedBy(ben, id)).slice(before)) {
      const opened = await open(GROUP_SUITE, group, entry.message);
      group = opened.next;
      const guard = opened.value.protection!.reuseGuard;
      residues[new DataView(guard.buffer, guard.byteOffset, 4).getUint32(0) % 2]! += 1;
    }
    expect(residues[0]! + residues[1]!).toBe(2 * count);
    // Mean 120, deviation 7.7: six deviations either way happen once in a billion runs.
    expect(Math.abs(residues[0]! - count)).toBeLessThan(47);
  });

  it('has one leaf for anna in the tree', async () => {
    const { ben, id } = await meet();
    const group = await (await ben.hands()).group(id);
    expect([...group.tree.leaves()]).toHaveLength(2);
  });
});
