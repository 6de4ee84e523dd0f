import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { toHex, type Secret } from '../../../src/bytes/index.ts';
import type { Input } from '../../../src/engine/input.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from '../../../src/engine/protocol.ts';
import { decodeState } from '../../../src/engine/records.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { StateKeeper } from '../../../src/engine/state-keeper.ts';
import { createMemoryStore } from '../../../src/store/memory-store.ts';
import {
  deriveGroupCreationSecret,
  deriveInitKeyPair,
  deriveLeafNodeSecret,
  derivePathSecret,
  type Operation,
} from '../../../src/virtual-client/index.ts';
import { committed } from '../../support/engine-forgery.ts';
import { NonceWatch } from '../../support/engine-nonces.ts';
import {
  entryFor,
  playScene,
  random,
  settle,
  stateOf,
  take,
  taken,
  written,
  type Incoming,
  type Records,
} from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

// What a device keeps, and above all what it does not (reading sections 4, 7 and 14).

let world: EngineWorld;
let watch: NonceWatch;

beforeEach(() => {
  world = new EngineWorld();
  watch = new NonceWatch();
});

afterEach(() => {
  watch.stop();
  return world.close();
});

/** Everything in the store as one string of bytes, to look for others in it. */
const allBytes = (records: Records): Buffer => Buffer.concat([...records.values()]);

/** Operations by the leaf that they give, as they lie in any device's store while they are on their way. */
class Operations {
  readonly #byLeaf = new Map<string, readonly Uint8Array[]>();
  /** How often a live leaf was found whose operation was known. */
  checked = 0;
  readonly found: string[] = [];

  /** Looks at the whole store after every write. */
  audit({ store }: TestDevice): void {
    const write = store.write.bind(store);
    store.write = async (changes) => {
      await write(changes);
      const records = await store.load('');
      const state = decodeState(records);
      for (const operation of operationsIn(state)) this.#remember(operation);
      this.#check(state, allBytes(records));
    };
  }

  /** The operation and whatever follows from it, but for what its leaf keeps. */
  #remember(operation: Operation): void {
    const of = (secret: Secret<string>): Uint8Array => secret.reveal().slice();
    const name = toHex(of(deriveLeafNodeSecret(EMULATION_PROTOCOL, operation)));
    if (this.#byLeaf.has(name)) return;
    this.#byLeaf.set(name, [
      of(operation.operationSecret),
      of(derivePathSecret(EMULATION_PROTOCOL, operation, GROUP_SUITE)),
      of(deriveInitKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE).privateKey),
      of(deriveGroupCreationSecret(EMULATION_PROTOCOL, operation, GROUP_SUITE)),
    ]);
  }

  #check(state: EngineState, bytes: Buffer): void {
    for (const [id, { leaf }] of state.conversations) {
      const secrets = leaf && this.#byLeaf.get(toHex(leaf.leafNodeSecret.reveal()));
      if (secrets === undefined) continue;
      this.checked += 1;
      for (const [index, secret] of secrets.entries()) if (bytes.includes(Buffer.from(secret))) this.found.push(`${id} ${index}`);
    }
  }
}

function operationsIn({ conversations, keyPackages, emulation }: EngineState): Operation[] {
  const pending = emulation?.pending?.keyPackages ?? [];
  return [
    ...[...conversations.values()].flatMap(({ operations }) => operations),
    ...[...keyPackages.values(), ...pending].map(({ operation }) => operation),
  ];
}

/** Private keys and secrets of the newest epoch that no later one may keep. */
async function epochSecretsOf(device: TestDevice, id: string): Promise<Uint8Array[]> {
  const { keys, schedule } = await (await device.hands()).group(id);
  const { initSecret, exporterSecret, externalSecret, confirmationKey, membershipKey } = schedule;
  const secrets: Secret<string>[] = [keys.encryptionPrivateKey, ...keys.pathPrivateKeys.values()];
  secrets.push(initSecret, exporterSecret, externalSecret, confirmationKey, membershipKey);
  return secrets.map((secret) => secret.reveal().slice());
}

describe('the stores of a life with several devices', () => {
  it('hold no operation beside its leaf, no key of a message that was read, and nothing of an epoch’s tree after the epoch', async () => {
    await world.start();
    const operations = new Operations();
    const laptop = world.device();
    const [ben, cara] = [await world.person('ben'), await world.person('cara')];
    operations.audit(laptop);
    await laptop.do({ command: 'createAccount', username: 'anna', deviceName: 'laptop' });
    await settle(laptop, ben, cara);
    const club = await laptop.startConversation(['ben', 'cara'], 'club');
    await laptop.send(club, 'one');
    const phone = await world.link(laptop, 'phone');
    operations.audit(phone);
    for (const device of [ben, cara]) await device.texts(club, 1);
    await Promise.all([phone.send(club, 'two'), laptop.send(club, 'three'), ben.send(club, 'four')]);
    await cara.texts(club, 4);
    const invited = await ben.startConversation(['anna']);
    await ben.send(invited, 'hi');
    for (const device of [laptop, phone]) await device.texts(invited, 1);
    const devices = [laptop, phone, ben, cara];
    await settle(...devices);

    const before = new Map(await Promise.all(devices.map(async (device) => [device, await epochSecretsOf(device, club)] as const)));
    const caraAccount = (await cara.runtime.state()).account!.accountId;
    await phone.do({ command: 'removeMember', conversationId: club, accountId: caraAccount });
    await cara.conversation(club, ({ state }) => state === 'left');
    await ben.addMember(club, 'cara');
    await cara.conversation(club, ({ state }) => state === 'ready');
    await laptop.send(club, 'five');
    await ben.texts(club, 5);
    await settle(...devices);

    expect(operations.checked).toBeGreaterThan(50);
    expect(operations.found).toEqual([]);
    expect(watch.consumed.size).toBeGreaterThan(5);
    for (const { store } of devices) {
      const bytes = allBytes(await store.load(''));
      for (const key of watch.consumed) expect(bytes.includes(Buffer.from(key, 'hex'))).toBe(false);
    }
    for (const device of devices) {
      const bytes = allBytes(await device.store.load(''));
      for (const secret of before.get(device)!) expect(bytes.includes(Buffer.from(secret))).toBe(false);
    }
  });
});

/** A keeper over a copy of what a device had stored. */
async function keeperOf(records: Records) {
  const store = createMemoryStore();
  await store.write({ puts: records, deletes: [] });
  return { store, keeper: new StateKeeper({ store, random, now: Date.now, exclusive: (task) => task() }) };
}

describe('what a step has used up', () => {
  it('is overwritten once the step is stored: operation, path and old leaf', async () => {
    const { id, groupId, laptop, phone } = await playScene(world);
    const { keeper } = await keeperOf(laptop);
    await keeper.step({ type: 'command', command: { command: 'removeMember', conversationId: id, accountId: benIn(stateOf(laptop), id) } });
    await keeper.step({ type: 'prepare', what: { kind: 'message', conversationId: id } });
    const state = await keeper.state();
    const { leaf, operations, pending } = state.conversations.get(id)!;
    expect(operations).toHaveLength(1);
    const { kind, epoch, message, messageId } = pending!.submission;
    for (const [device, own] of [
      [keeper, true],
      [(await keeperOf(phone)).keeper, false],
    ] as const) {
      const { result } = await device.step(entryFor(await device.state(), groupId, { kind, epoch, message, messageId }));
      expect(result.refused).toEqual([]);
      expect(result.spent.map((secret) => secret.kind)).toEqual(expect.arrayContaining(['operation_secret', 'path_secret']));
      expect(result.spent.filter(({ wiped }) => !wiped)).toEqual([]);
      if (!own) continue;
      expect(operations[0]!.operationSecret.wiped).toBe(true);
      expect(leaf!.encryptionPrivateKey.wiped).toBe(true);
    }
    expect((await keeper.state()).conversations.get(id)!.members).toHaveLength(1);
  });

  it('is left alone when the step cannot be stored, so that it can be taken again', async () => {
    const { id, groupId, laptop, phone } = await playScene(world);
    const { sent } = await written(stateOf(laptop), id, 'once more');
    const { store, keeper } = await keeperOf(phone);
    const write = store.write.bind(store);
    store.write = () => Promise.reject(new Error('disk full'));
    const entry = entryFor(await keeper.state(), groupId, sent);
    await expect(keeper.step(entry)).rejects.toThrow('disk full');
    store.write = write;
    const { result } = await keeper.step(entry);
    expect(result.refused).toEqual([]);
    expect(result.lines.map(({ message }) => message.text)).toEqual(['once more']);
  });
});

function benIn(state: EngineState, id: string): string {
  const [ben] = state.conversations
    .get(id)!
    .members.map(toHex)
    .filter((member) => member !== toHex(state.account!.accountId));
  return ben!;
}

describe('emulation epochs', () => {
  it('go when nothing names them any more, and their secrets with them', async () => {
    const { laptop } = await playScene(world);
    const rounds = 3;
    let state: EngineState = { ...stateOf(laptop), stock: 6 };
    const kept = state.emulation!.epochs.size;
    const announce = async (acceptedAt: number): Promise<EngineState> => {
      const made = await taken({ ...state, uploads: undefined }, { type: 'prepare', what: { kind: 'key-packages' } });
      const { kind, epoch, message, messageId } = made.emulation!.pending!.submission;
      const input = entryFor(made, made.emulation!.groupId, { kind, epoch, message, messageId });
      return taken(made, { ...input, entries: input.entries.map((entry) => ({ ...entry, acceptedAt })) });
    };
    for (let round = 0; round < rounds; round += 1) state = { ...(await announce(Date.now())), stock: 6 };
    // Each announced KeyPackages, which name the epoch that it was made in.
    expect(state.emulation!.epochs.size).toBe(kept + rounds);
    const old = [...state.emulation!.epochs.values()];
    state = await announce(Date.now() + 31 * 24 * 60 * 60 * 1000);
    const named = new Set([
      state.emulation!.currentEpochId,
      ...[...state.keyPackages.values()].map(({ operation }) => toHex(operation.epochId)),
      ...[...state.conversations.values()].flatMap(({ leaf, pastLeaves }) =>
        [leaf!.epochId, ...pastLeaves.map(({ guardKey }) => guardKey.epochId)].map(toHex),
      ),
    ]);
    expect([...state.emulation!.epochs.keys()].toSorted()).toEqual([...named].toSorted());
    expect(state.emulation!.epochs.size).toBeLessThan(kept + 2);
    expect(old.length).toBeGreaterThan(state.emulation!.epochs.size);
  });
});

describe('the emulation epoch of a commit that the server turns down', () => {
  it('goes with the answer, and not only when something new comes in', async () => {
    const { id, laptop, phone } = await playScene(world);
    const renewed = async (mine: EngineState, other: EngineState): Promise<[EngineState, EngineState]> => {
      const asked = { ...other, emulation: { ...other.emulation!, renewalAsked: true } };
      const made = await taken(asked, { type: 'prepare', what: { kind: 'renew-keys' } });
      const { kind, epoch, message, messageId } = made.emulation!.pending!.submission;
      const input = entryFor(made, made.emulation!.groupId, { kind, epoch, message, messageId });
      return [await taken(mine, entryFor(mine, mine.emulation!.groupId, { kind, epoch, message })), await taken(made, input)];
    };
    const [first, other] = await renewed(stateOf(laptop), stateOf(phone));
    let mine = first;
    const between = mine.emulation!.currentEpochId;
    const { othersFrom } = mine.emulation!.renewal;
    mine = await taken(mine, { type: 'prepare', what: { kind: 'renewal', conversationId: id } }, othersFrom);
    mine = await taken(mine, { type: 'prepare', what: { kind: 'message', conversationId: id } }, othersFrom);
    const { submission } = mine.conversations.get(id)!.pending!;
    [mine] = await renewed(mine, other);
    expect(mine.emulation!.epochs.has(between)).toBe(true);
    const problem = { type: 'stale-emulation-epoch', status: 409, retryAfter: undefined, accountId: undefined } as const;
    const answer = { outcome: 'refused', problem } as const;
    const { state, spent } = await take(mine, { type: 'answer', call: 'submit', request: submission, answer, conversationId: id });
    expect(state.emulation!.epochs.has(between)).toBe(false);
    expect(spent).toEqual(expect.arrayContaining([mine.emulation!.epochs.get(between)!.epochEncryptionKey]));
  });
});

describe('a past epoch of a conversation', () => {
  const HOUR = 60 * 60 * 1000;

  /** The phone after a commit of the laptop's, and what ben had written before he saw it. */
  async function late(): Promise<{ id: string; groupId: Uint8Array; phone: EngineState; sent: Incoming; endedAt: number }> {
    const { id, groupId, laptop, phone, ben } = await playScene(world);
    const { sent } = await written(stateOf(ben), id, 'late');
    const commit = entryFor(stateOf(phone), groupId, (await committed(stateOf(laptop), id, [])).sent);
    return { id, groupId, phone: await taken(stateOf(phone), commit), sent, endedAt: commit.entries[0]!.acceptedAt };
  }

  const at = (input: Extract<Input, { type: 'entries' }>, acceptedAt: number): Input => ({
    ...input,
    entries: input.entries.map((entry) => ({ ...entry, acceptedAt })),
  });

  it('reads a message that was accepted within a day of its end, however much later the device comes to it', async () => {
    const { id, groupId, phone, sent, endedAt } = await late();
    const input = at(entryFor(phone, groupId, sent), endedAt + 23 * HOUR);
    const { refused, lines, state } = await take(phone, input, endedAt + 300 * HOUR);
    expect(refused).toEqual([]);
    expect(lines.map(({ message }) => message.text)).toEqual(['late']);
    expect(state.conversations.get(id)!.endedEpochs.map(({ endedAt: end }) => end)).toContain(endedAt);
  });

  it('is gone for one that was accepted later, with all that could have opened it', async () => {
    const { id, groupId, phone, sent, endedAt } = await late();
    const past = phone.groups.get(id)!.pastEpochs[0]!;
    const { refused, spent, state } = await take(phone, at(entryFor(phone, groupId, sent), endedAt + 24 * HOUR));
    expect(refused.map(({ code }) => code)).toEqual(['unknown-epoch']);
    expect(state.conversations.get(id)!.state).toBe('member');
    // A refused entry changes nothing; the next one that is followed, or the end of the sequence, does.
    const after = await take(state, { type: 'prepare', what: { kind: 'forget-past' } }, endedAt + 24 * HOUR);
    expect(spent).toEqual([]);
    expect(after.state.conversations.get(id)).toMatchObject({ endedEpochs: [], pastLeaves: [] });
    expect(after.state.groups.get(id)!.pastEpochs).toEqual([]);
    expect(after.spent).toEqual(expect.arrayContaining([past.senderDataSecret, past.resumptionPsk, ...past.secretTree.nodes.values()]));
  });

  it('is forgotten by an idle device too, in the conversation and in the emulation group, and its store opens nothing of it', async () => {
    await world.start();
    const [laptop, ben] = [await world.person('anna'), await world.person('ben')];
    await world.person('cara');
    const id = await laptop.startConversation(['ben']);
    await laptop.conversation(id, ({ state }) => state === 'ready');
    await laptop.addMember(id, 'cara');
    await laptop.conversation(id, ({ members }) => members.length === 3);
    await settle(laptop, ben);
    const before = stateOf(await laptop.store.load(''));
    const groups = [before.groups.get(id)!, before.emulation!.group];
    const secrets = groups.flatMap(({ pastEpochs }) =>
      pastEpochs.flatMap(({ senderDataSecret, resumptionPsk, secretTree }) => [
        senderDataSecret,
        resumptionPsk,
        ...secretTree.nodes.values(),
      ]),
    );
    expect(secrets.length).toBeGreaterThan(4);
    const holds = (records: Records): boolean => {
      const bytes = allBytes(records);
      return secrets.some((secret) => bytes.includes(Buffer.from(secret.reveal())));
    };
    expect(holds(await laptop.store.load(''))).toBe(true);

    laptop.clockAhead = 24 * HOUR;
    await laptop.runtime.wake();
    await eventually(async () => expect(stateOf(await laptop.store.load('')).emulation!.endedEpochs).toEqual([]));
    const records = await laptop.store.load('');
    expect(holds(records)).toBe(false);
    expect([...records.keys()].filter((key) => key.includes('/past/'))).toEqual([]);
    expect(stateOf(records).conversations.get(id)).toMatchObject({ endedEpochs: [], pastLeaves: [] });
  });
});
