import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import Database from 'better-sqlite3';
import { HEARTBEAT, LINK_LIFETIME, LINK_WAIT, MAX_STREAMS, STALLED, STREAM_PAGE } from '../../../server/limits.ts';
import { followEvents, fromJson, sequenceEntryFrame, stockFrame, type StreamEnd, type StreamEvent } from '../../../src/delivery/index.ts';
import { type DeliveryWorld, newDevice, openWorld, type Person, register } from '../../support/delivery-world.ts';
import { application, creation, emulationCommit, linking, randomBytes } from '../../support/submissions.ts';

const BASE = 'https://chorus.test';

/** A leader tab: what it has heard, and a wait for more. */
class Follower {
  readonly events: StreamEvent[] = [];
  readonly end: Promise<StreamEnd>;
  readonly #stop = new AbortController();
  #heard: () => void = () => {};

  constructor(world: DeliveryWorld, prepared: Parameters<typeof followEvents>[0]) {
    this.end = followEvents(prepared, world.fetch, this.#stop.signal, (event) => {
      this.events.push(event);
      this.#heard();
    });
  }

  get sequences(): number[] {
    return this.events.flatMap((event) => (event.event === 'entry' ? [event.sequence] : []));
  }

  async until(enough: () => boolean): Promise<void> {
    while (!enough()) {
      await new Promise<void>((resolve) => {
        this.#heard = resolve;
      });
    }
  }

  stop(): void {
    this.#stop.abort();
  }
}

describe('the event stream', () => {
  let world: DeliveryWorld;
  let ada: Person;
  let groupId: Uint8Array;
  let followers: Follower[];

  async function follow(after: number, who = ada): Promise<Follower> {
    const follower = new Follower(world, await who.device.client.prepareEventStream(after, who.device.proof));
    followers.push(follower);
    return follower;
  }

  beforeEach(async () => {
    world = await openWorld();
    followers = [];
    ada = await register(
      newDevice(BASE, world.fetch, () => world.clock),
      'ada',
    );
    groupId = randomBytes(32);
    await ada.device.done('submit', creation(groupId));
  });
  afterEach(async () => {
    for (const follower of followers) follower.stop();
    vi.useRealTimers();
    await world.close();
  });

  it('sends what is beyond the cursor, then what comes, each entry once and in order', async () => {
    const backlog = 2 * STREAM_PAGE + 5;
    for (let i = 0; i < backlog; i++) await ada.device.done('submit', application(groupId, 0));
    const follower = await follow(3);
    await follower.until(() => follower.sequences.length === backlog - 2);
    await ada.device.done('submit', application(groupId, 0));
    await follower.until(() => follower.sequences.length === backlog - 1);
    expect(follower.sequences).toEqual(Array.from({ length: backlog - 1 }, (_, index) => index + 4));
  });

  it('an entry on the stream is the entry of the sequence', async () => {
    const follower = await follow(0);
    await follower.until(() => follower.sequences.length === 1);
    const [entry] = follower.events.flatMap((event) => (event.event === 'entry' ? [fromJson(sequenceEntryFrame, event.data)] : []));
    expect(entry).toEqual((await ada.device.done('fetch-sequence', { after: 0, limit: 1 })).entries[0]);
  });

  it('reaches every stream of the account, and no other account', async () => {
    const bob = await register(
      newDevice(BASE, world.fetch, () => world.clock),
      'bob',
    );
    const [one, two, bobs] = [await follow(1), await follow(1), await follow(0, bob)];
    await ada.device.done('submit', application(groupId, 0));
    await one.until(() => one.sequences.length === 1);
    await two.until(() => two.sequences.length === 1);
    await bob.device.done('submit', creation(randomBytes(32)));
    await bobs.until(() => bobs.sequences.length === 1);
    expect(bobs.sequences).toEqual([1]);
  });

  it('tells how many KeyPackages are left when somebody claims one', async () => {
    const bob = await register(
      newDevice(BASE, world.fetch, () => world.clock),
      'bob',
    );
    const refs = [randomBytes(32), randomBytes(32)];
    await ada.device.done('submit', emulationCommit(ada.emulationGroupId, 0, { announces: refs }));
    await ada.device.done('upload-key-packages', {
      keyPackages: refs.map((keyPackageRef) => ({ keyPackageRef, keyPackage: randomBytes(9) })),
    });
    const follower = await follow(0);
    const stocks = () => follower.events.flatMap((event) => (event.event === 'stock' ? [fromJson(stockFrame, event.data)?.stock] : []));
    await follower.until(() => stocks().length === 1);
    await bob.device.done('claim-key-packages', { claimId: randomBytes(16), accountIds: [ada.accountId] });
    await follower.until(() => stocks().length === 2);
    expect(stocks()).toEqual([2, 1]);
  });

  it('a device that is no longer known is told so, and hears nothing more', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const follower = await follow(1);
    await follower.until(() => follower.events.length === 2); // open, stock
    const database = new Database(world.databasePath);
    database.prepare('DELETE FROM devices WHERE device_id = ?').run(ada.device.proof.deviceId);
    database.close();
    await vi.advanceTimersByTimeAsync(HEARTBEAT);
    expect(await follower.end).toBe('ended');
    expect(follower.events.at(-1)).toEqual({ event: 'gone' });
  });

  it('is refused without a proof', async () => {
    const follower = new Follower(world, { url: `${BASE}/v1/events?after=0`, headers: {} });
    expect(await follower.end).toBe('refused');
  });

  it('a device that opens too many loses its oldest', async () => {
    const streams = [];
    for (let i = 0; i <= MAX_STREAMS; i++) {
      const follower = await follow(1);
      await follower.until(() => follower.events.length > 0);
      streams.push(follower);
    }
    expect(await streams[0]!.end).toBe('ended');
    await ada.device.done('submit', application(groupId, 0));
    for (const follower of streams.slice(1)) await follower.until(() => follower.sequences.length === 1);
  });

  it('ends when the server closes', async () => {
    const follower = await follow(0);
    await follower.until(() => follower.sequences.length === 1);
    world.app.close();
    expect(await follower.end).toBe('ended');
  });

  it('a reader that takes nothing is cut', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
    const prepared = await ada.device.client.prepareEventStream(0, ada.device.proof);
    const response = await world.fetch(prepared.url, { headers: prepared.headers });
    const reader = response.body!.getReader();
    await reader.read();
    await reader.read(); // the first page is there; the reader takes no more
    await vi.advanceTimersByTimeAsync(STALLED);
    const rest = [];
    for (let part = await reader.read(); !part.done; part = await reader.read()) rest.push(part.value);
    expect(rest.length).toBeLessThanOrEqual(STREAM_PAGE);
  });
});

describe('waiting at a link mailbox', () => {
  let world: DeliveryWorld;
  beforeEach(async () => {
    world = await openWorld();
  });
  afterEach(() => world.close());

  const device = () => newDevice(BASE, world.fetch, () => world.clock);
  const link = () => ({ linkId: randomBytes(16), token: randomBytes(32) });

  it('answers as soon as the other side writes', async () => {
    const [phone, laptop, box] = [device(), device(), link()];
    await phone.done('put-link-slot', { ...box, slot: 'request', payload: randomBytes(5) });
    expect(Object.keys((await laptop.done('fetch-link', { ...box, have: [] })).slots)).toEqual(['request']);
    const waiting = phone.done('fetch-link', { ...box, have: ['request'] });
    const payload = randomBytes(5);
    await laptop.done('put-link-slot', { ...box, slot: 'answer', payload });
    expect((await waiting).slots).toEqual({ answer: payload });
  });

  it('answers with the Welcome when the commit is accepted', async () => {
    const [phone, box] = [device(), link()];
    const ada = await register(device(), 'ada');
    await phone.done('put-link-slot', { ...box, slot: 'request', payload: randomBytes(5) });
    const waiting = phone.done('fetch-link', { ...box, have: ['request'] });
    const added = { deviceId: phone.proof.deviceId, deviceKey: randomBytes(32), linkId: box.linkId, coversPosition: 0 };
    await ada.device.done('submit', linking(ada.emulationGroupId, 0, added));
    expect(Object.keys((await waiting).slots)).toEqual(['welcome']);
  });

  it('learns at once that the mailbox is deleted', async () => {
    const [phone, laptop, box] = [device(), device(), link()];
    await phone.done('put-link-slot', { ...box, slot: 'request', payload: randomBytes(5) });
    const waiting = laptop.refused('fetch-link', { ...box, have: ['request'] });
    await phone.done('delete-link', box);
    expect(await waiting).toBe('unknown-link');
  });

  it('a mailbox past its time is unknown to both sides', async () => {
    const [phone, laptop, box] = [device(), device(), link()];
    await phone.done('put-link-slot', { ...box, slot: 'request', payload: randomBytes(5) });
    world.clock += LINK_LIFETIME;
    expect(await laptop.refused('put-link-slot', { ...box, slot: 'answer', payload: randomBytes(5) })).toBe('unknown-link');
    expect(await phone.refused('fetch-link', { ...box, have: ['request'] })).toBe('unknown-link');
  });

  it('ends with no slots when the server closes', async () => {
    const [phone, box] = [device(), link()];
    await phone.done('put-link-slot', { ...box, slot: 'request', payload: randomBytes(5) });
    const waiting = phone.done('fetch-link', { ...box, have: ['request'] });
    world.app.close();
    expect((await waiting).slots).toEqual({});
    expect(LINK_WAIT).toBeLessThan(30_000);
  });

  it('nobody can put a Welcome there by request', async () => {
    const [phone, box] = [device(), link()];
    await phone.done('put-link-slot', { ...box, slot: 'request', payload: randomBytes(5) });
    expect(await phone.refused('put-link-slot', { ...box, slot: 'welcome', payload: randomBytes(5) })).toBe('malformed');
  });
});
