import { afterEach, describe, expect, it, vi } from 'vitest';
import { toHex } from '../../../src/bytes/index.ts';
import { MAX_PAST_EPOCHS } from '../../../src/mls/index.ts';
import { settle, stateOf } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { rounds } from '../../support/rounds.ts';

// Lives at random: people with several devices each, over the real server, through everything that happens to devices.

const STEPS = rounds({ test: 80, soak: 3_000 });
const MOST_DEVICES = 3;

vi.setConfig({ testTimeout: rounds({ test: 180_000, soak: 7_200_000 }) });

let world: EngineWorld | undefined;

afterEach(() => world?.close());

/** Mulberry32: what happens is the seed's choice, when it happens is the machine's. */
function dice(seed: number): (sides: number) => number {
  let state = seed >>> 0;
  return (sides) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % sides;
  };
}

interface Owned {
  readonly device: TestDevice;
  readonly name: string;
  online: boolean;
  /** How many texts had been written when it came to the account. */
  readonly since: number;
}

interface Person {
  readonly username: string;
  readonly devices: Owned[];
}

class Life {
  readonly people: Person[] = [];
  readonly written: string[] = [];
  readonly happened: string[] = [];
  readonly #world: EngineWorld;
  readonly #roll: (sides: number) => number;
  club = '';
  fickle = '';
  #named = 0;

  constructor(lifeWorld: EngineWorld, seed: number) {
    this.#world = lifeWorld;
    this.#roll = dice(seed);
  }

  get all(): Owned[] {
    return this.people.flatMap(({ devices }) => devices);
  }

  async begin(): Promise<void> {
    for (const username of ['anna', 'ben', 'cara']) {
      const device = await this.#world.person(username);
      this.people.push({ username, devices: [{ device, name: `${username}'s laptop`, online: true, since: 0 }] });
    }
    const [anna] = this.all as [Owned];
    this.club = await anna.device.startConversation(['ben', 'cara'], 'club');
    this.fickle = await anna.device.startConversation(['ben'], 'fickle');
    for (const { device } of this.all) await device.conversation(this.club, ({ state }) => state === 'ready');
  }

  async step(): Promise<void> {
    const person = this.people[this.#roll(this.people.length)]!;
    const owned = person.devices[this.#roll(person.devices.length)]!;
    const chance = this.#roll(100);
    if (chance < 55) return this.#write(owned);
    if (chance < 65) return this.#cut(owned);
    if (chance < 80) return this.#back(owned);
    if (chance < 86) return this.#die(owned);
    if (chance < 90) return this.#renew(owned);
    if (chance < 94) return this.#change();
    if (chance < 97) return this.#link(person);
    return this.#remove(person);
  }

  /** Everybody is back, and nothing is on its way any more. */
  async end(): Promise<void> {
    for (const owned of this.all) await this.#back(owned);
    await settle(...this.all.map(({ device }) => device));
  }

  #note(what: string): void {
    this.happened.push(what);
  }

  async #write({ device, name }: Owned): Promise<void> {
    const text = `${this.written.length} by ${name}`;
    this.#note(`write ${text}`);
    await device.send(this.club, text);
    this.written.push(text);
  }

  async #cut(owned: Owned): Promise<void> {
    this.#note(`cut ${owned.name}`);
    owned.device.goOffline();
    owned.online = false;
  }

  async #back(owned: Owned): Promise<void> {
    if (owned.online) return;
    this.#note(`back ${owned.name}`);
    owned.device.goOnline();
    owned.online = true;
    await owned.device.runtime.synchronise().catch(() => undefined);
  }

  async #die({ device, name }: Owned): Promise<void> {
    this.#note(`die ${name}`);
    device.restart();
  }

  async #renew({ device, name }: Owned): Promise<void> {
    this.#note(`renew ${name}`);
    await device.do({ command: 'renewKeys' });
  }

  /** Somebody adds cara to the fickle conversation, or takes her out. */
  async #change(): Promise<void> {
    const [anna, , cara] = this.people as [Person, Person, Person];
    const actor = anna.devices.find(({ online }) => online);
    if (actor === undefined) return;
    const { accountId } = (await cara.devices[0]!.device.runtime.state()).account!;
    const there = (await actor.device.runtime.state()).conversations.find(({ conversationId }) => conversationId === this.fickle);
    const isIn = there?.members.some((member) => member.accountId === accountId) === true;
    this.#note(`${isIn ? 'remove' : 'add'} cara`);
    const asked = isIn
      ? actor.device.do({ command: 'removeMember', conversationId: this.fickle, accountId })
      : actor.device.addMember(this.fickle, 'cara');
    await asked.catch(() => undefined); // she may be on her way in or out already
  }

  async #link(person: Person): Promise<void> {
    const adder = person.devices.find(({ online }) => online);
    if (adder === undefined || person.devices.length >= MOST_DEVICES) return;
    await settle(adder.device);
    const name = `${person.username}'s ${(this.#named += 1)}`;
    this.#note(`link ${name}`);
    const since = this.written.length;
    const device = await this.#world.link(adder.device, name);
    person.devices.push({ device, name, online: true, since });
  }

  async #remove(person: Person): Promise<void> {
    const [stays, goes] = person.devices;
    if (stays === undefined || goes === undefined || !stays.online) return;
    await this.#back(goes);
    await settle(goes.device, stays.device);
    this.#note(`remove ${goes.name}`);
    const { devices } = await stays.device.runtime.state();
    const { deviceId } = devices.find(({ name }) => name === goes.name)!;
    await stays.device.do({ command: 'removeDevice', deviceId });
    await goes.device.until(({ phase }) => (phase === 'unlinked' ? true : undefined));
    person.devices.splice(1, 1);
  }
}

describe('a life at random', () => {
  const seed = Number(process.env['CHORUS_SEED'] ?? Date.now() % 1_000_000);

  it.each(['strong', 'eventual'] as const)(
    `ends with one order of all messages, each once, and nothing kept that nothing needs, through a service that is %sly consistent (seed ${seed})`,
    async (consistency) => {
      world = new EngineWorld(consistency);
      await world.start();
      const life = new Life(world, seed);
      await life.begin();
      try {
        for (let i = 0; i < STEPS; i += 1) await life.step();
        await life.end();
        await checkTexts(life);
        for (const { device } of life.all) await checkKept(device);
      } catch (error) {
        throw new Error(`seed ${seed}, after: ${life.happened.slice(-12).join('; ')}`, { cause: error });
      }
    },
  );
});

async function checkTexts({ all, club, written }: Life): Promise<void> {
  const [first] = all as [Owned];
  const order = (await first.device.texts(club, written.length)).slice();
  expect(order.toSorted()).toEqual(written.toSorted());
  for (const { device, since } of all) {
    const texts = await device.texts(club, written.length - since);
    expect(new Set(texts).size).toBe(texts.length);
    expect(order.filter((text) => texts.includes(text))).toEqual(texts);
    // A device that came later has everything that was written from then on.
    expect(texts).toEqual(expect.arrayContaining(written.slice(since)));
  }
}

async function checkKept({ store }: TestDevice): Promise<void> {
  const { emulation, keyPackages, conversations, externalJoins, groups } = stateOf(await store.load(''));
  const named = new Set([
    emulation!.currentEpochId,
    ...[...keyPackages.values()].map(({ operation }) => toHex(operation.epochId)),
    ...[...conversations.values()].flatMap(({ leaf, pastLeaves }) =>
      [...(leaf === undefined ? [] : [leaf.epochId]), ...pastLeaves.map(({ guardKey }) => guardKey.epochId)].map(toHex),
    ),
  ]);
  expect(new Set(emulation!.epochs.keys())).toEqual(named);
  expect(externalJoins.size).toBe(0);
  for (const [id, { operations, pastLeaves, endedEpochs, pending, awaitingEcho, leaf, state }] of conversations) {
    expect([operations, awaitingEcho, pending]).toEqual([[], [], undefined]);
    expect(pastLeaves.length).toBeLessThanOrEqual(MAX_PAST_EPOCHS);
    expect(endedEpochs).toHaveLength(groups.get(id)?.pastEpochs.length ?? 0);
    expect(leaf === undefined).toBe(state !== 'member');
  }
}
