import { ed25519 } from '@noble/curves/ed25519.js';
import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { createDeliveryClient } from '../../../src/delivery/index.ts';
import type { DeliveryCall, DeliveryCalls, SequenceEntry, StorePort } from '../../../src/engine/ports.ts';
import { signingKeysOf } from '../../../src/engine/account-keys.ts';
import { decodeGroupRecords, decodeState } from '../../../src/engine/records.ts';
import { needsRenewal } from '../../../src/engine/removal-state.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { step, type StepResult } from '../../../src/engine/step.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import type { StateView } from '../../../src/engine/view.ts';
import { createMemoryStore } from '../../../src/store/memory-store.ts';
import { encodeRemovalStatement, removalContent } from '../../../src/virtual-client/removal-statement.ts';
import { entryFor, taken } from '../../support/engine-snapshot.ts';
import { EngineWorld, TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';
import { twoDevicesAndBen } from '../../support/two-devices.ts';

let world: EngineWorld;
/** How far this process's clock is ahead, ms: siblings wait before they take over. */
let ahead = 0;
const extra: TestDevice[] = [];

beforeEach(async () => {
  ahead = 0;
  const real = Date.now.bind(Date);
  vi.spyOn(Date, 'now').mockImplementation(() => real() + ahead);
  world = new EngineWorld();
  await world.start();
});

afterEach(async () => {
  for (const device of extra.splice(0)) device.stop();
  await world.close();
  vi.restoreAllMocks();
});

/** Longer than any sibling waits. */
const SIBLINGS_TAKE_OVER = 45_000;

async function idOf(device: TestDevice, name: string): Promise<string> {
  return device.until(({ devices }) => devices.find((candidate) => candidate.name === name)?.deviceId);
}

async function remove(device: TestDevice, name: string): Promise<void> {
  await device.do({ command: 'removeDevice', deviceId: await idOf(device, name) });
}

/** Nothing of the removal is left to do, and so many devices remain. */
function finished(device: TestDevice, remaining: number): Promise<StateView> {
  return device.until((view) =>
    view.removal === undefined && view.devices.length === remaining && view.notices.some(({ kind }) => kind === 'device-removed')
      ? view
      : undefined,
  );
}

const unlinked = (device: TestDevice): Promise<boolean> => device.until(({ phase }) => phase === 'unlinked' || undefined);

/** Everything that the device's store holds, as somebody who copied it would read it. */
async function stolen(store: StorePort): Promise<EngineState> {
  const records = await store.load('');
  const state = decodeState(records);
  const groups = new Map([...state.conversations.keys()].map((id) => [id, decodeGroupRecords(id, records)!] as const));
  return { ...state, groups };
}

const given = (): Parameters<typeof step>[2] => ({ random: (length) => new Uint8Array(randomBytes(length)), now: Date.now() });

/** A request to the server as the device of that state would make it. */
async function ask<Call extends DeliveryCall>(state: EngineState, call: Call, request: DeliveryCalls[Call]['request']) {
  const { deviceId, deviceKeySeed } = state.device!;
  const client = createDeliveryClient({ baseUrl: world.url, now: Date.now, fetch });
  return client.send(call, request, { deviceId, deviceKeySeed: deviceKeySeed.reveal() }, new AbortController().signal);
}

async function sequenceOf(device: TestDevice, after: number): Promise<readonly SequenceEntry[]> {
  const answer = await ask(await stolen(device.store), 'fetch-sequence', { after, limit: 200 });
  if (answer.outcome !== 'done') throw new Error(answer.outcome);
  return answer.value.entries;
}

describe('after a device is removed', () => {
  it('its complete store reads nothing new, commits nothing, joins nothing and gets nothing from the server', async () => {
    const laptop = await world.person('anna', 'laptop');
    const ben = await world.person('ben');
    const [direct, group] = [await laptop.startConversation(['ben']), await laptop.startConversation(['ben'], 'trip')];
    for (const id of [direct, group]) {
      await laptop.send(id, 'before');
      await ben.texts(id, 1);
    }
    const phone = await world.link(laptop, 'phone');
    for (const id of [direct, group]) {
      await phone.conversation(id, ({ state }) => state === 'ready');
      await ben.send(id, 'to both');
      await phone.texts(id, 1);
    }
    await remove(laptop, 'phone');
    await unlinked(phone);
    const view = await finished(laptop, 1);
    expect(view.devices.map(({ name }) => name)).toEqual(['laptop']);
    const thief = await stolen(phone.store);
    for (const id of [direct, group]) {
      await laptop.send(id, 'secret');
      await ben.texts(id, 3);
      await ben.send(id, 'secret too');
      expect(await ben.texts(id, 4)).toEqual(['before', 'to both', 'secret', 'secret too']);
      expect(await laptop.texts(id, 4)).toEqual(['before', 'to both', 'secret', 'secret too']);
    }

    // A conspirator hands the whole sequence over, but the removal itself, to a device that knows no better.
    const entries = await sequenceOf(laptop, thief.cursor.sequence);
    const theirs = entries.filter(({ groupId }) => thief.conversations.has(Buffer.from(groupId).toString('hex')));
    const handed = theirs.map((entry, i) => ({ ...entry, sequence: thief.cursor.sequence + i + 1 }));
    const read: StepResult = await step({ ...thief, unlinked: false }, { type: 'entries', entries: handed, last: 0 }, given());
    expect(read.lines).toEqual([]);
    expect(read.refused.map(({ code }) => code)).toContain('unknown-emulation-epoch');
    expect([...read.state.conversations.values()].map(({ state }) => state)).toEqual(['out-of-step', 'out-of-step']);
    const emulation = entries.filter(({ groupId }) => Buffer.from(groupId).equals(thief.emulation!.groupId));
    const after = emulation.map((entry, i) => ({ ...entry, sequence: thief.cursor.sequence + i + 1 }));
    const followed = await step({ ...thief, unlinked: false }, { type: 'entries', entries: after, last: 0 }, given());
    expect(followed.state.unlinked).toBe(true);
    expect(followed.state.account!.keyVersion).toBe(1);
    expect(followed.state.emulation!.removal.told).toEqual([]);

    const now = await stolen(laptop.store);
    expect(now.account!.keyVersion).toBe(2);
    expect(now.account!.formerKeys).toEqual([]);
    expect(now.keyPackages.size).toBeGreaterThan(0);
    for (const ref of thief.keyPackages.keys()) expect(now.keyPackages.has(ref)).toBe(false);

    // What it still can make is refused from it, and too late from anybody who passes it on.
    const wish = { command: 'removeMember', conversationId: group, accountId: (await ben.runtime.state()).account!.accountId } as const;
    const asked = await step({ ...thief, unlinked: false }, { type: 'command', command: wish }, given());
    const made = await step(asked.state, { type: 'prepare', what: { kind: 'message', conversationId: group } }, given());
    const { submission } = made.state.conversations.get(group)!.pending!;
    expect(submission.kind).toBe('commit');
    expect(await ask(thief, 'submit', submission)).toMatchObject({ outcome: 'refused', problem: { type: 'unknown-device' } });
    for (const accomplice of [await stolen(ben.store), await stolen(laptop.store)]) {
      expect(await ask(accomplice, 'submit', submission)).toMatchObject({ outcome: 'refused', problem: { type: 'stale-epoch' } });
    }

    for (const [call, request] of [
      ['fetch-sequence', { after: 0, limit: 1 }],
      ['fetch-group', { groupId: thief.emulation!.groupId, epoch: undefined }],
      ['claim-key-packages', { claimId: randomBytes(16), accountIds: [thief.account!.accountId] }],
    ] as const) {
      expect(await ask(thief, call, request)).toMatchObject({ outcome: 'refused', problem: { type: 'unknown-device' } });
    }
  });

  it('looks like an ordinary update to the others', async () => {
    const { laptop, ben, id } = await twoDevicesAndBen(world);
    await remove(laptop, 'phone');
    await finished(laptop, 1);
    await laptop.send(id, 'after');
    const lines = await ben.messages(id, (all) => all.some(({ text }) => text === 'after'));
    expect(lines.filter(({ kind }) => kind === 'event').map(({ text }) => text)).toEqual([
      'You are in this conversation now. Earlier messages are not shown.',
    ]);
    expect((await ben.runtime.state()).notices).toEqual([]);
  });

  it('a text written meanwhile waits for the new leaf and is sent', async () => {
    const laptop = await world.person('anna', 'laptop');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben']);
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    await Promise.all([remove(laptop, 'phone'), laptop.send(id, 'one'), laptop.send(id, 'two')]);
    expect(await ben.texts(id, 2)).toEqual(['one', 'two']);
    await finished(laptop, 1);
  });

  it('new devices can be linked, and new people still reach the account', async () => {
    const laptop = await world.person('anna', 'laptop');
    await world.link(laptop, 'phone');
    await remove(laptop, 'phone');
    await finished(laptop, 1);
    const ben = await world.person('ben');
    const id = await ben.startConversation(['anna']);
    await ben.send(id, 'hello');
    expect(await laptop.texts(id, 1)).toEqual(['hello']);
    const tablet = await world.link(laptop, 'tablet');
    await tablet.conversation(id, ({ state }) => state === 'ready');
    await tablet.send(id, 'from the tablet');
    expect(await ben.texts(id, 2)).toEqual(['hello', 'from the tablet']);
  });
});

/** The store of a device that dies right after a write: whatever it asks for then never comes. */
class MortalStore {
  readonly inner = createMemoryStore();
  dead = false;
  onWrite: () => void = () => undefined;
  readonly port: StorePort = {
    load: (prefix) => this.#alive(() => this.inner.load(prefix)),
    get: (key) => this.#alive(() => this.inner.get(key)),
    page: (from, to, limit) => this.#alive(() => this.inner.page(from, to, limit)),
    write: (changes) => this.#alive(() => this.inner.write(changes)).then(() => this.onWrite()),
    destroy: () => this.#alive(() => this.inner.destroy()),
  };

  #alive<Value>(work: () => Promise<Value>): Promise<Value> {
    return this.dead ? new Promise<never>(() => undefined) : work();
  }
}

describe('a removal', () => {
  it('goes on by itself when the device dies after every single step', async () => {
    const store = new MortalStore();
    const laptop = new TestDevice(world.url, store.port);
    extra.push(laptop);
    await laptop.do({ command: 'createAccount', username: 'anna', deviceName: 'laptop' });
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben']);
    await laptop.send(id, 'before');
    await ben.texts(id, 1);
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    await remove(laptop, 'phone');
    let deaths = 0;
    let next: Promise<void> = Promise.resolve();
    store.onWrite = () => {
      store.dead = true;
      deaths++;
      next = new Promise((resolve) => {
        setTimeout(() => {
          store.dead = false;
          laptop.restart();
          resolve();
        }, 60);
      });
    };
    const deadline = Date.now() + 40_000;
    for (;;) {
      await next;
      const view = await laptop.runtime.state().catch(() => undefined);
      if (view?.removal === undefined && view?.devices.length === 1 && view.notices.length > 0) break;
      if (Date.now() > deadline) throw new Error(`not finished: ${JSON.stringify(view)}`);
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    store.onWrite = () => undefined;
    await next;
    expect(deaths).toBeGreaterThan(6);
    await unlinked(phone);
    await laptop.send(id, 'after');
    expect(await ben.texts(id, 2)).toEqual(['before', 'after']);
    expect((await stolen(store.port)).account!.keyVersion).toBe(2);
  });

  it('keeps the key before it as long as a leaf names it, and speaks through no such leaf', async () => {
    const store = new MortalStore();
    const laptop = new TestDevice(world.url, store.port);
    extra.push(laptop);
    await laptop.do({ command: 'createAccount', username: 'anna', deviceName: 'laptop' });
    await world.person('ben');
    const id = await laptop.startConversation(['ben']);
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    const seen: Promise<EngineState>[] = [];
    store.onWrite = () => void seen.push(stolen(store.port));
    await remove(laptop, 'phone');
    await finished(laptop, 1);
    store.onWrite = () => undefined;
    const states = await Promise.all(seen);
    const between = states.find((state) => state.account?.keyVersion === 2 && state.conversations.get(id)?.keyVersion === 1);
    const { account, emulation, conversations } = between!;
    expect(signingKeysOf(account!).map(({ keyVersion }) => keyVersion)).toEqual([2, 1]);
    expect(needsRenewal(account!, emulation!, conversations.get(id)!)).toBe(true);
    const asked = await step(
      { ...between!, conversations: new Map([[id, { ...conversations.get(id)!, pending: undefined, queue: [] }]]) },
      { type: 'command', command: { command: 'send', conversationId: id, messageId: randomBytes(16), text: 'not through this leaf' } },
      given(),
    );
    const made = await step(asked.state, { type: 'prepare', what: { kind: 'message', conversationId: id } }, given());
    expect(made.state.conversations.get(id)!.pending?.submission.kind).toBe('commit');
    expect(made.state.conversations.get(id)!.queue.map(({ kind }) => kind)).toEqual(['text']);
    const last = await stolen(store.port);
    expect(signingKeysOf(last.account!).map(({ keyVersion }) => keyVersion)).toEqual([2]);
    expect(last.conversations.get(id)!.keyVersion).toBe(2);
  });

  it.each(['cutting-off', 'removing', 'new-key', 'renewing'] as const)(
    'is finished by another device when the one that asked is gone at "%s"',
    async (lost) => {
      const { laptop, phone, ben, id } = await twoDevicesAndBen(world);
      const tablet = await world.link(laptop, 'tablet');
      await tablet.conversation(id, ({ state }) => state === 'ready');
      await tablet.until(({ devices }) => devices.length === 3 || undefined);
      const steps = ['cutting-off', 'removing', 'new-key', 'renewing'];
      const gone = laptop.until(({ removal }) => {
        if (removal === undefined || steps.indexOf(removal.step) < steps.indexOf(lost)) return undefined;
        laptop.stop();
        return true;
      });
      await remove(laptop, 'phone');
      await gone;
      if (lost === 'cutting-off') {
        // The server may not have heard of it: then it is as if nobody had asked, until the device is back.
        laptop.restart();
        await unlinked(phone);
        laptop.stop();
      }
      await unlinked(phone);
      await eventually(async () => {
        ahead += SIBLINGS_TAKE_OVER;
        await tablet.runtime.wake();
        const { removal, devices } = await tablet.runtime.state();
        expect({ removal, devices: devices.map(({ name }) => name).sort() }).toEqual({
          removal: undefined,
          devices: ['laptop', 'tablet'],
        });
      }, 500);
      await tablet.send(id, 'after');
      expect(await ben.texts(id, 2)).toEqual(['before', 'after']);
      laptop.restart();
      await finished(laptop, 2);
      await laptop.send(id, 'back again');
      expect(await ben.texts(id, 3)).toEqual(['before', 'after', 'back again']);
    },
  );

  it('of two devices by each other is won by the one that the server hears first', async () => {
    const laptop = await world.person('anna', 'laptop');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben']);
    const phone = await world.link(laptop, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    await Promise.all([remove(laptop, 'phone'), remove(phone, 'laptop')]);
    const [winner, loser] = await Promise.race([
      unlinked(phone).then(() => [laptop, phone] as const),
      unlinked(laptop).then(() => [phone, laptop] as const),
    ]);
    const view = await finished(winner, 1);
    expect(view.phase).toBe('ready');
    expect((await loser.runtime.state()).phase).toBe('unlinked');
    await winner.send(id, 'still here');
    expect(await ben.texts(id, 1)).toEqual(['still here']);
  });

  it('of one device that two others ask for at once is one, and of two devices by two others is both', async () => {
    const laptop = await world.person('anna', 'laptop');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben']);
    const tablet = await world.link(laptop, 'tablet');
    for (const name of ['phone', 'watch', 'old phone']) await world.link(laptop, name);
    await tablet.until(({ devices }) => (devices.length === 5 && devices.every(({ name }) => name !== '')) || undefined);
    await Promise.all([remove(laptop, 'phone'), remove(tablet, 'phone')]);
    await Promise.all([finished(laptop, 4), finished(tablet, 4)]);
    await Promise.all([remove(laptop, 'watch'), remove(tablet, 'old phone')]);
    await Promise.all([finished(laptop, 2), finished(tablet, 2)]);
    await laptop.send(id, 'from the laptop');
    await tablet.send(id, 'from the tablet');
    expect((await ben.texts(id, 2)).toSorted()).toEqual(['from the laptop', 'from the tablet']);
    const added = await ben.startConversation(['anna'], 'new one');
    await ben.send(added, 'hello');
    expect(await tablet.texts(added, 1)).toEqual(['hello']);
  });

  it('of the last device is refused, and of oneself is finished by the others', async () => {
    const laptop = await world.person('anna', 'laptop');
    await expect(remove(laptop, 'laptop')).rejects.toThrow('last-device');
    await expect(laptop.do({ command: 'removeDevice', deviceId: '00'.repeat(16) })).rejects.toThrow('unknown-device');
    const phone = await world.link(laptop, 'phone');
    await phone.until(({ devices }) => devices.length === 2 || undefined);
    await remove(phone, 'phone');
    await unlinked(phone);
    await laptop.until(({ devices }) => devices.some(({ beingRemoved }) => beingRemoved) || undefined);
    ahead = SIBLINGS_TAKE_OVER;
    await laptop.runtime.wake();
    expect((await finished(laptop, 1)).phase).toBe('ready');
    await expect(remove(laptop, 'laptop')).rejects.toThrow('last-device');
  });

  describe('that meets a commit on its way that announces KeyPackages', () => {
    /** Such a device, and the entry by which it has asked for the removal of another one. */
    async function announcing(laptop: TestDevice, deviceId: Uint8Array) {
      const stored = await stolen(laptop.store);
      const state = await taken({ ...stored, keyPackages: new Map() }, { type: 'prepare', what: { kind: 'key-packages' } });
      const { groupId, group, pending } = state.emulation!;
      const { emulatorSigner, emulatorSignatureKey: signatureKey } = state.device!;
      const signature = ed25519.sign(removalContent(groupId, deviceId), emulatorSigner.reveal());
      const message = encodeRemovalStatement({ deviceId, signatureKey, signature });
      const epoch = Number(group.context.epoch);
      return {
        begun: await taken(state, entryFor(state, groupId, { kind: 'begin-removal', epoch, message })),
        groupId,
        sent: pending!.submission,
      };
    }

    it('leaves it, as the server takes it where the device is out already, and all others follow it', async () => {
      const laptop = await world.person('anna', 'laptop');
      const { begun, groupId, sent } = await announcing(laptop, new Uint8Array(randomBytes(16)));
      const { kind, epoch, message, messageId } = sent;
      const followed = await taken(begun, entryFor(begun, groupId, { kind, epoch, message, messageId }));
      expect(followed.emulation!.group.context.epoch).toBe(BigInt(epoch) + 1n);
      expect(followed.emulation!.refusedCommit).toBeUndefined();
      expect(followed.keyPackages.size).toBeGreaterThan(0);
      const upload = todosOf(followed, Date.now()).find((todo) => todo.do === 'send' && todo.call === 'upload-key-packages');
      expect(upload).toMatchObject({ request: { keyPackages: { length: followed.keyPackages.size } } });
    });

    it('goes on with the Remove as soon as the server has refused it', async () => {
      const laptop = await world.person('anna', 'laptop');
      await world.link(laptop, 'phone');
      const { begun, sent } = await announcing(laptop, new Uint8Array(Buffer.from(await idOf(laptop, 'phone'), 'hex')));
      const problem = { type: 'stale-emulation-epoch', status: 409, retryAfter: undefined, accountId: undefined } as const;
      const answer = { outcome: 'refused', problem } as const;
      const refused = await taken(begun, { type: 'answer', call: 'submit', request: sent, answer, conversationId: undefined });
      const todos = todosOf(refused, Date.now()).filter(({ lane }) => lane === 'emulation');
      expect(todos).toMatchObject([{ do: 'prepare', what: { kind: 'remove-devices' } }]);
      expect([refused.keyPackages.size, refused.uploads]).toEqual([0, undefined]);
    });
  });

  it('that no device of the account has asked for is refused: the server cannot make one up', async () => {
    const laptop = await world.person('anna', 'laptop');
    await world.link(laptop, 'phone');
    await laptop.until(({ devices }) => devices.length === 2 || undefined);
    const state = await stolen(laptop.store);
    const entry: SequenceEntry = {
      sequence: state.cursor.sequence + 1,
      groupId: state.emulation!.groupId,
      position: state.emulation!.position + 1,
      kind: 'begin-removal',
      epoch: Number(state.emulation!.group.context.epoch),
      message: new Uint8Array([16, ...randomBytes(16), 32, ...state.device!.emulatorSignatureKey, 0x40, 64, ...randomBytes(64)]),
      messageId: randomBytes(16),
      keyPackageRef: undefined,
      acceptedAt: Date.now(),
    };
    const { state: after, refused } = await step(state, { type: 'entries', entries: [entry], last: 0 }, given());
    expect(refused.map(({ code }) => code)).toEqual(['bad-removal']);
    expect(after.emulation!.removal.cutOff).toEqual([]);
    expect(after.keyPackages.size).toBe(state.keyPackages.size);
  });
});
