import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../../src/bytes/index.ts';
import { settle, stateOf } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { rounds } from '../../support/rounds.ts';

// One identity in many conversations: what is done for all of them happens in the background, and restarts.

/** `npm run soak` takes what Chorus is made for. */
const CONVERSATIONS = rounds({ test: 24, soak: 200 });
const DEVICES = rounds({ test: 3, soak: 8 });

vi.setConfig({ testTimeout: rounds({ test: 120_000, soak: 3_600_000 }), hookTimeout: rounds({ test: 120_000, soak: 3_600_000 }) });

const world = new EngineWorld();
const devices: TestDevice[] = [];
const ids: string[] = [];
let ben: TestDevice;

beforeAll(async () => {
  await world.start();
  devices.push(await world.person('anna'));
  ben = await world.person('ben');
  for (let i = 0; i < CONVERSATIONS; i += 1) {
    const id = await devices[0]!.startConversation(['ben'], `number ${i}`);
    await devices[0]!.send(id, 'hello');
    await ben.conversation(id, ({ state }) => state === 'ready');
    ids.push(id);
  }
  for (const id of ids) await ben.texts(id, 1);
});

afterAll(() => world.close());

const patience = { timeout: rounds({ test: 60_000, soak: 1_200_000 }), interval: 200 };

/** How many leaves are of an emulation epoch before the newest renewal. */
async function leftToRenew(device: TestDevice): Promise<number> {
  const { emulation, conversations } = stateOf(await device.store.load(''));
  const { epochs, renewal } = emulation!;
  return [...conversations.values()].filter(({ leaf }) => epochs.get(toHex(leaf!.epochId))!.epoch < renewal.epoch).length;
}

const renewed = (device: TestDevice): Promise<void> => vi.waitFor(async () => expect(await leftToRenew(device)).toBe(0), patience);

describe('an account in many conversations', () => {
  it('links device after device, each of which reads and writes in all of them', async () => {
    for (let i = 1; i < DEVICES; i += 1) {
      const device = await world.link(devices[0]!, `device ${i}`);
      await vi.waitFor(async () => {
        const { conversations } = await device.runtime.state();
        expect(conversations.filter(({ state }) => state === 'ready')).toHaveLength(CONVERSATIONS);
      }, patience);
      devices.push(device);
    }
    const last = devices.at(-1)!;
    for (const id of [ids[0]!, ids.at(-1)!]) {
      await last.send(id, 'from the last device');
      await ben.texts(id, 2);
    }
    await renewed(devices[0]!);
  });

  it('renews all of them at a wish, through a stopped worker, with progress, and a message goes out in between', async () => {
    const [device] = devices as [TestDevice];
    const progress: number[] = [];
    await device.do({ command: 'renewKeys' });
    const half = device.until(({ renewal }) => {
      const done = renewal?.progress?.done ?? CONVERSATIONS;
      progress.push(done);
      return done >= CONVERSATIONS / 3 ? done : undefined;
    });
    const position = ids.at(-1)!;
    await device.send(position, 'in between');
    expect(await half).toBeLessThan(CONVERSATIONS);
    device.restart();
    await ben.messages(position, (all) => all.some(({ text }) => text === 'in between'));
    const { renewal } = await device.runtime.state();
    expect(renewal?.progress?.done ?? 0).toBeLessThan(CONVERSATIONS);
    await renewed(device);
    expect(progress.toSorted((a, b) => a - b)).toEqual(progress);
    expect(new Set(progress).size).toBeGreaterThan(2);
  });

  it('removes a device from all of them', async () => {
    const [device] = devices as [TestDevice];
    const gone = devices.pop()!;
    const { deviceId } = (await device.runtime.state()).devices.find(({ name }) => name === `device ${DEVICES - 1}`)!;
    await device.do({ command: 'removeDevice', deviceId });
    await vi.waitFor(async () => expect((await device.runtime.state()).removal).toBeUndefined(), patience);
    await gone.until(({ phase }) => (phase === 'unlinked' ? true : undefined));
    expect(await leftToRenew(device)).toBe(0);
    await settle(device);
    // Whatever is kept is kept for what is live: one leaf per conversation, the KeyPackages, the epochs that they name.
    const state = stateOf(await device.store.load(''));
    const named = new Set([
      state.emulation!.currentEpochId,
      ...[...state.keyPackages.values()].map(({ operation }) => toHex(operation.epochId)),
      ...[...state.conversations.values()].flatMap(({ leaf, pastLeaves }) =>
        [leaf!.epochId, ...pastLeaves.map(({ guardKey }) => guardKey.epochId)].map(toHex),
      ),
    ]);
    expect(new Set(state.emulation!.epochs.keys())).toEqual(named);
    for (const { operations, queue, pending, awaitingEcho } of state.conversations.values()) {
      expect([operations, queue, awaitingEcho, pending]).toEqual([[], [], [], undefined]);
    }
  });
});
