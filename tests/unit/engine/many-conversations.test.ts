import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../../src/bytes/index.ts';
import type { StateView } from '../../../src/engine/view.ts';
import { Figures } from '../../support/engine-figures.ts';
import { confirmNewPhrase, tryRecovery } from '../../support/engine-recovery.ts';
import { settle, smallStateOf, stateOf } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { rounds } from '../../support/rounds.ts';

// One identity in many conversations: what is done for all of them happens in the background, and restarts.

/** `npm run soak` takes what Chorus is made for. */
const CONVERSATIONS = rounds({ test: 24, soak: 200 });
const DEVICES = rounds({ test: 3, soak: 8 });
/** What is sent in between waits for what is under way, and not for what is still to do. */
const FEW = 12;

vi.setConfig({ testTimeout: rounds({ test: 120_000, soak: 3_600_000 }), hookTimeout: rounds({ test: 120_000, soak: 3_600_000 }) });

const world = new EngineWorld();
const devices: TestDevice[] = [];
/** All that there ever were. */
const all: TestDevice[] = [];
const figures = new Figures(all);
const ids: string[] = [];
let ben: TestDevice;

beforeAll(async () => {
  await world.start();
  devices.push(await world.person('anna'));
  all.push(...devices);
  ben = await world.person('ben');
  for (let i = 0; i < CONVERSATIONS; i += 1) {
    const id = await devices[0]!.startConversation(['ben'], `number ${i}`);
    await devices[0]!.send(id, 'hello');
    await ben.conversation(id, ({ state }) => state === 'ready');
    ids.push(id);
  }
  for (const id of ids) await ben.texts(id, 1);
  figures.lap('start');
});

afterAll(() => world.close());

const patience = { timeout: rounds({ test: 60_000, soak: 1_200_000 }), interval: rounds({ test: 200, soak: 1000 }) };

/** How many leaves are of an emulation epoch before the newest renewal. */
async function leftToRenew(device: TestDevice): Promise<number> {
  const { emulation, conversations } = await smallStateOf(device.store);
  const { epochs, renewal } = emulation!;
  return [...conversations.values()].filter(({ leaf }) => epochs.get(toHex(leaf!.epochId))!.epoch < renewal.epoch).length;
}

const renewed = (device: TestDevice): Promise<void> => vi.waitFor(async () => expect(await leftToRenew(device)).toBe(0), patience);

/** What `progress` says, each number once, until it says nothing; `at` is called with each. */
async function followed(
  device: TestDevice,
  progress: (view: StateView) => number | undefined,
  at: (done: number) => Promise<void>,
): Promise<number[]> {
  const seen: number[] = [];
  const deadline = Date.now() + patience.timeout;
  for (;;) {
    if (Date.now() > deadline) throw new Error(`stopped at ${seen.at(-1)}`);
    const done = progress(await device.runtime.state());
    if (done === undefined && seen.length > 0) return seen;
    if (done !== undefined && done !== seen.at(-1)) {
      seen.push(done);
      await at(done);
    }
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Sends a text. @returns how many commits of conversations the device gave to the server first */
async function commitsBefore(device: TestDevice, id: string, text: string): Promise<number> {
  let commits = 0;
  const out = new Promise<number>((resolve) => {
    device.intercept = (path, body, carryOut) => {
      if (path.endsWith('/messages')) {
        const { kind, fence } = JSON.parse(body) as { kind: string; fence?: object };
        if (kind === 'application' && path.includes(Buffer.from(id, 'hex').toString('base64url'))) resolve(commits);
        else if (fence !== undefined && fence !== null) commits += 1;
      }
      return carryOut();
    };
  });
  await device.send(id, text);
  const before = await out;
  device.intercept = (_path, _body, carryOut) => carryOut();
  return before;
}

describe('an account in many conversations', () => {
  it('links device after device, each of which reads and writes in all of them', async () => {
    for (let i = 1; i < DEVICES; i += 1) {
      const device = await world.link(devices[0]!, `device ${i}`);
      devices.push(device);
      all.push(device);
      await vi.waitFor(async () => {
        const { conversations } = await device.runtime.state();
        expect(conversations.filter(({ state }) => state === 'ready')).toHaveLength(CONVERSATIONS);
      }, patience);
      figures.lap(`link device ${i}`);
    }
    const last = devices.at(-1)!;
    for (const id of [ids[0]!, ids.at(-1)!]) {
      await last.send(id, 'from the last device');
      await ben.texts(id, 2);
    }
    await renewed(devices[0]!);
    await settle(ben, ...devices);
    figures.lap('rest');
  });

  it('renews all of them at a wish, through a stopped worker, with progress, and messages go out in between', async () => {
    const [device] = devices as [TestDevice];
    const waited: number[] = [];
    await device.do({ command: 'renewKeys' });
    const progress = await followed(
      device,
      ({ renewal }) => renewal?.progress?.done,
      async (done) => {
        if (done === 0 || waited.length > 3) return;
        const id = ids.at(-1 - waited.length)!;
        waited.push(await commitsBefore(device, id, `in between ${waited.length}`));
        if (waited.length === 2) device.restart();
      },
    );
    expect(waited).toHaveLength(4);
    expect(Math.max(...waited)).toBeLessThanOrEqual(FEW);
    expect(progress.toSorted((a, b) => a - b)).toEqual(progress);
    expect(progress.length).toBeGreaterThan(4);
    for (const i of waited.keys()) await ben.messages(ids.at(-1 - i)!, (all) => all.some(({ text }) => text === `in between ${i}`));
    expect(await leftToRenew(device)).toBe(0);
    await settle(...devices);
    figures.lap('renew');
  });

  it('removes a device from all of them, first from where somebody writes', async () => {
    const [device] = devices as [TestDevice];
    const gone = devices.pop()!;
    const { deviceId } = (await device.runtime.state()).devices.find(({ name }) => name === `device ${DEVICES - 1}`)!;
    await device.do({ command: 'removeDevice', deviceId });
    const before = await commitsBefore(device, ids.at(-1)!, 'without it');
    expect(before).toBeLessThanOrEqual(FEW);
    await vi.waitFor(async () => expect((await device.runtime.state()).removal).toBeUndefined(), patience);
    await gone.until(({ phase }) => (phase === 'unlinked' ? true : undefined));
    expect(await leftToRenew(device)).toBe(0);
    await settle(...devices);
    figures.lap('remove');
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

  it('joins all of them on a recovered device, through a stopped worker, with progress, and messages go out in between', async () => {
    const [device, ...siblings] = devices as [TestDevice, ...TestDevice[]];
    const entropy = await confirmNewPhrase(device);
    await settle(...devices);
    device.stop();
    const fresh = world.device();
    all.push(fresh);
    figures.lap('phrase');
    expect(await tryRecovery(fresh, 'anna', entropy)).toBe('joined');
    const waited: number[] = [];
    const progress = await followed(
      fresh,
      ({ rejoining }) => rejoining && (rejoining.listed ? rejoining.done : 0),
      async (done) => {
        if (done === 0 || waited.length > 2) return;
        const back = (await fresh.runtime.state()).conversations.find(({ state }) => state === 'ready')!;
        waited.push(await commitsBefore(fresh, back.conversationId, `back ${waited.length}`));
        if (waited.length === 2) fresh.restart();
      },
    );
    expect(waited).toHaveLength(3);
    expect(Math.max(...waited)).toBeLessThanOrEqual(FEW);
    expect(progress.toSorted((a, b) => a - b)).toEqual(progress);
    expect(progress.length).toBeGreaterThan(4);
    const { conversations } = await fresh.runtime.state();
    expect(conversations.filter(({ state }) => state === 'ready')).toHaveLength(CONVERSATIONS);
    // One GroupInfo, one announcement and one external commit for each, and what the stopped worker repeats.
    expect(fresh.cost.requests.get('GET /v1/groups/…')).toBeLessThanOrEqual(CONVERSATIONS + FEW);
    expect(fresh.cost.requests.get('POST /v1/groups/…/messages')).toBeLessThanOrEqual(2 * CONVERSATIONS + 2 * FEW);
    expect(fresh.cost.written / CONVERSATIONS).toBeLessThan(50_000);
    figures.lap('recover');
    await settle(ben, fresh, ...siblings);
    for (const id of ids) await fresh.send(id, 'I am back');
    for (const id of ids) await ben.messages(id, (all) => all.some(({ text }) => text === 'I am back'));
    await settle(ben, fresh, ...siblings);
    const [sibling] = siblings as [TestDevice];
    for (const id of ids) await sibling.messages(id, (all) => all.some(({ text }) => text === 'I am back'));
    const { externalJoins, emulation } = await smallStateOf(fresh.store);
    expect(externalJoins.size).toBe(0);
    // Several leaves are of one emulation epoch: not one epoch is kept for each conversation.
    expect(emulation!.epochs.size).toBeLessThan(CONVERSATIONS / 2);
    figures.lap('write in all');
  });
});
