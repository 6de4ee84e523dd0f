import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { equal, toHex } from '../../../src/bytes/index.ts';
import { queueLeafUpdate, UPDATE_PATIENCE } from '../../../src/engine/leaf-renewal.ts';
import type { Submission } from '../../../src/engine/ports.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from '../../../src/engine/protocol.ts';
import { changesBetween } from '../../../src/engine/records.ts';
import { prepareNext } from '../../../src/engine/sending.ts';
import type { Conversation, EngineState } from '../../../src/engine/state.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { Turn } from '../../../src/engine/turn.ts';
import { MAX_PENDING_UPDATES } from '../../../src/engine/update-proposals.ts';
import { allocate, currentEpoch, currentGuardKey, prepareLeaf } from '../../../src/engine/virtual-leaf.ts';
import { buildUpdateLeaf, leafAt, propose } from '../../../src/mls/index.ts';
import {
  createReuseGuard,
  deriveEncryptionKeyPair,
  deriveInitKeyPair,
  derivePathSecret,
  sealDerivationInfo,
  type Operation,
} from '../../../src/virtual-client/index.ts';
import { committed, pathOf } from '../../support/engine-forgery.ts';
import { NonceWatch } from '../../support/engine-nonces.ts';
import { entryFor, playScene, random, settle, stateOf, take, taken, type Incoming, type Scene } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

// Update proposals of the virtual client (draft section 5.3, reading sections 4 to 6 and 14).

let world: EngineWorld;
let watch: NonceWatch;

beforeEach(() => {
  world = new EngineWorld();
  watch = new NonceWatch();
});

afterEach(async () => {
  watch.stop();
  await world.close();
});

interface People {
  readonly laptop: TestDevice;
  readonly phone: TestDevice;
  readonly ben: TestDevice;
  readonly all: readonly TestDevice[];
  readonly id: string;
}

/** Two devices of anna's in a conversation with ben, at rest. */
async function annaAndBen(): Promise<People> {
  await world.start();
  const laptop = await world.person('anna', 'laptop');
  const ben = await world.person('ben');
  await settle(laptop, ben);
  const id = await laptop.startConversation(['ben'], 'club');
  await laptop.send(id, 'first');
  await ben.texts(id, 1);
  const phone = await world.link(laptop, 'phone');
  await phone.conversation(id, ({ state }) => state === 'ready');
  const all = [laptop, phone, ben];
  await settle(...all);
  for (const device of all) watch.watch(device);
  return { laptop, phone, ben, all, id };
}

const read = async ({ store }: TestDevice): Promise<EngineState> => stateOf(await store.load(''));
const conversationOf = async (device: TestDevice, id: string): Promise<Conversation> => (await read(device)).conversations.get(id)!;

/** The worker is stopped, asked to renew the leaf at leisure, and started again. */
async function askForUpdate(device: TestDevice, id: string): Promise<void> {
  device.stop();
  const before = await read(device);
  const turn = new Turn(before, random, Date.now());
  queueLeafUpdate(turn, id);
  await device.store.write(changesBetween(before, turn.state, []));
  device.restart();
}

/** `device` has proposed an Update, and everybody has seen it. */
async function proposed(device: TestDevice, { all, id }: People): Promise<Operation> {
  await askForUpdate(device, id);
  for (const each of all) await eventually(async () => expect((await read(each)).groups.get(id)!.proposals).toHaveLength(1));
  await settle(...all);
  return (await conversationOf(device, id)).updates[0]!.operation;
}

const keyOf = (operation: Operation): Uint8Array => deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE).publicKey;

/** The operation and what follows from it that must not stay beside, or after, its leaf. */
function secretsOf(operation: Operation): Uint8Array[] {
  return [
    operation.operationSecret,
    derivePathSecret(EMULATION_PROTOCOL, operation, GROUP_SUITE),
    deriveInitKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE).privateKey,
  ].map((secret) => secret.reveal().slice());
}

async function holds({ store }: TestDevice, secret: Uint8Array): Promise<boolean> {
  return Buffer.concat([...(await store.load('')).values()]).includes(Buffer.from(secret));
}

/** The public key of anna's leaf, the same for everybody in the conversation. */
async function annasLeafKey({ all, id }: People): Promise<Uint8Array> {
  const { context, ownLeaf } = (await read(all[0]!)).groups.get(id)!;
  const keys: Uint8Array[] = [];
  for (const device of all) {
    const group = (await read(device)).groups.get(id)!;
    expect(group.context).toEqual(context);
    keys.push(leafAt(group, ownLeaf).hpkePublicKey);
  }
  for (const key of keys) expect(key).toEqual(keys[0]);
  return keys[0]!;
}

/** All of them read `text`, once. */
async function expectRead({ all, id }: Pick<People, 'all' | 'id'>, text: string): Promise<void> {
  for (const device of all) {
    const isIt = (line: { readonly text: string; readonly status: string }): boolean => line.text === text && line.status === 'sent';
    const lines = await device.messages(id, (found) => found.some(isIt));
    expect(lines.filter(isIt)).toHaveLength(1);
  }
}

/** Each of them says something, and all read it; nobody has used a key or a nonce twice. */
async function expectAllSpeak(people: People): Promise<void> {
  for (const [index, device] of people.all.entries()) {
    const text = `device ${index} speaks ${toHex(random(4))}`;
    await device.send(people.id, text);
    await expectRead(people, text);
  }
  expect(watch.misuse()).toMatchObject({ keys: [], nonces: [] });
}

describe('an Update that another member commits', () => {
  it('is evaluated by the sibling when it comes in, and becomes the leaf of both, its operation nowhere any more', async () => {
    const people = await annaAndBen();
    const { laptop, phone, ben, id } = people;
    const old = await annasLeafKey(people);
    const operation = await proposed(laptop, people);
    expect(await annasLeafKey(people)).toEqual(old);
    const [there] = (await conversationOf(phone, id)).updates;
    expect(there!.operation.operationSecret.reveal()).toEqual(operation.operationSecret.reveal());
    expect((await conversationOf(ben, id)).updates).toEqual([]);
    const epochId = toHex(operation.epochId);
    const secrets = secretsOf(operation);
    const key = keyOf(operation);
    for (const device of [laptop, phone]) expect(await holds(device, secrets[0]!)).toBe(true);

    await ben.send(id, 'second');
    await expectRead(people, 'second');
    await settle(...people.all);
    expect(await annasLeafKey(people)).toEqual(key);
    for (const device of [laptop, phone]) {
      const { leaf, updates, operations, keyVersion } = await conversationOf(device, id);
      expect({ updates, operations, keyVersion }).toEqual({ updates: [], operations: [], keyVersion: 1 });
      expect(toHex(leaf!.epochId)).toBe(epochId);
      for (const secret of secrets) expect(await holds(device, secret)).toBe(false);
    }
    await expectAllSpeak(people);
    expect(laptop.refusals.size + phone.refusals.size).toBe(0);
  });

  it('rides along with whatever that member commits', async () => {
    const people = await annaAndBen();
    const { laptop, phone, ben, id } = people;
    await settle(await world.person('cara'));
    const operation = await proposed(phone, people);
    await ben.addMember(id, 'cara');
    for (const device of [laptop, phone]) await device.conversation(id, ({ members }) => members.length === 3);
    await settle(...people.all);
    expect(await annasLeafKey(people)).toEqual(keyOf(operation));
    await expectAllSpeak(people);
  });

  it('is followed by its maker after the worker died, before the request or after the server took it', async () => {
    const people = await annaAndBen();
    const { laptop, phone, ben, id } = people;
    for (const when of ['after the server took it', 'before it is sent']) {
      const dead = new Promise<void>((resolve) => {
        laptop.intercept = async (_path, body, carryOut) => {
          if (!body.includes('"kind":"proposal"')) return carryOut();
          laptop.intercept = (_again, _body, others) => others();
          if (when === 'after the server took it') expect((await carryOut()).status).toBe(200);
          laptop.stop();
          resolve();
          return new Promise(() => {});
        };
      });
      await askForUpdate(laptop, id);
      await dead;
      const stored = await conversationOf(laptop, id);
      expect(stored.pending?.item.kind).toBe('update');
      const [operation] = stored.operations;
      if (when === 'before it is sent') laptop.restart();
      await eventually(async () => expect((await conversationOf(phone, id)).updates).toHaveLength(1));
      await ben.send(id, `ben, ${when}`);
      await expectRead({ id, all: [ben, phone] }, `ben, ${when}`);
      if (when === 'after the server took it') laptop.restart();
      await expectRead(people, `ben, ${when}`);
      await settle(...people.all);
      expect(await annasLeafKey(people)).toEqual(keyOf(operation!));
      await laptop.send(id, `laptop, ${when}`);
      await expectRead(people, `laptop, ${when}`);
    }
    await expectAllSpeak(people);
  });
});

describe('a pending Update of our own', () => {
  it('holds up no message: the commit that goes before it leaves the Update out and renews the leaf itself', async () => {
    const people = await annaAndBen();
    const { laptop, phone, id } = people;
    const old = await annasLeafKey(people);
    for (const [maker, speaker] of [
      [laptop, phone],
      [phone, phone],
    ] as const) {
      const operation = await proposed(maker, people);
      const secrets = secretsOf(operation);
      const proposedKey = keyOf(operation);
      const text = `beside an Update of ${maker === speaker ? 'its own' : 'its sibling’s'}`;
      await speaker.send(id, text);
      await expectRead(people, text);
      await settle(...people.all);
      const key = await annasLeafKey(people);
      expect(key).not.toEqual(old);
      expect(key).not.toEqual(proposedKey);
      for (const device of [laptop, phone]) {
        expect((await conversationOf(device, id)).updates).toEqual([]);
        for (const secret of secrets) expect(await holds(device, secret)).toBe(false);
      }
    }
    await expectAllSpeak(people);
  });

  it('holds up no other commit', async () => {
    const people = await annaAndBen();
    const { laptop, ben, id } = people;
    await settle(await world.person('cara'));
    await proposed(laptop, people);
    await laptop.addMember(id, 'cara');
    await ben.conversation(id, ({ members }) => members.length === 3);
    await settle(...people.all);
    for (const device of people.all) expect((await conversationOf(device, id)).updates).toEqual([]);
    await expectAllSpeak(people);
  });

  it('is replaced by a path when nobody has committed it in time: by its maker, else by a sibling', async () => {
    const people = await annaAndBen();
    const { laptop, phone, id } = people;
    for (const [committer, patience] of [
      [laptop, UPDATE_PATIENCE],
      [phone, 2 * UPDATE_PATIENCE],
    ] as const) {
      const operation = await proposed(laptop, people);
      const now = Date.now();
      const renewals = async (device: TestDevice, at: number): Promise<string[]> =>
        todosOf(await read(device), at).map((todo) => (todo.do === 'prepare' ? todo.what.kind : todo.do));
      expect(await renewals(committer, now + patience - 60_000)).not.toContain('renewal');
      committer.clockAhead = patience + 1_000;
      await committer.runtime.wake();
      await eventually(async () => expect((await conversationOf(committer, id)).updates).toEqual([]));
      await settle(...people.all);
      committer.clockAhead = 0;
      expect(await annasLeafKey(people)).not.toEqual(keyOf(operation));
      for (const device of [laptop, phone]) expect((await conversationOf(device, id)).queue).toEqual([]);
    }
    await expectAllSpeak(people);
  });

  it('is known to a device that is linked while it is pending, which follows it when it is committed', async () => {
    const people = await annaAndBen();
    const { laptop, ben, id } = people;
    const operation = await proposed(laptop, people);
    // The renewal that follows the Add would end the Update's epoch.
    const renewal = laptop.holdBack('"fence":{');
    const linking = world.link(laptop, 'tablet');
    await renewal.reached;
    const tablet = await linking;
    const given = (await conversationOf(tablet, id)).updates;
    expect(given.map((update) => update.operation.operationSecret.reveal())).toEqual([operation.operationSecret.reveal()]);
    await ben.send(id, 'second');
    expect(await tablet.texts(id, 1)).toEqual(['second']);
    const { leaf, updates } = await conversationOf(tablet, id);
    expect(updates).toEqual([]);
    expect(equal(leaf!.epochId, operation.epochId)).toBe(true);
    for (const secret of secretsOf(operation)) expect(await holds(tablet, secret)).toBe(false);
    renewal.open();
    await tablet.conversation(id, ({ state }) => state === 'ready');
    await tablet.send(id, 'from the tablet');
    expect(await ben.texts(id, 3)).toEqual(['first', 'second', 'from the tablet']);
  });

  it('is committed together with those of other people by whoever comes first', async () => {
    const people = await annaAndBen();
    const { laptop, ben, id } = people;
    const operation = await proposed(laptop, people);
    // Ben's turn comes while anna's waits: one commit does for both.
    await askForUpdate(ben, id);
    await eventually(async () => expect((await conversationOf(laptop, id)).updates).toEqual([]));
    await settle(...people.all);
    expect(await annasLeafKey(people)).toEqual(keyOf(operation));
    expect((await conversationOf(ben, id)).queue).toEqual([]);
    await expectAllSpeak(people);
  });
});

describe('an Update that does not count', () => {
  /** With what somebody has who holds a device's state of an emulation epoch that is over. */
  async function staleUpdate(device: TestDevice, id: string): Promise<Submission> {
    const state = await read(device);
    const emulation = state.emulation!;
    const old = [...emulation.epochs].find(([, { epoch }]) => epoch < emulation.floor.epoch)!;
    const turn = new Turn(
      { ...state, emulation: { ...emulation, currentEpochId: old[0], floor: { ...emulation.floor, epoch: 0n } } },
      random,
      Date.now(),
    );
    queueLeafUpdate(turn, id);
    await prepareNext(turn, id);
    return turn.conversation(id).pending!.submission;
  }

  it('as it is from below the floor: harmless until somebody commits it, and then the devices rejoin', async () => {
    const people = await annaAndBen();
    const { laptop, phone, ben, id } = people;
    const hands = await laptop.hands();
    await hands.ask('submit', await staleUpdate(laptop, id));
    for (const device of people.all) {
      await eventually(async () => expect((await read(device)).groups.get(id)!.proposals).toHaveLength(1));
    }
    for (const device of [laptop, phone]) expect((await conversationOf(device, id)).updates).toEqual([]);
    await phone.send(id, 'second');
    await expectRead(people, 'second');
    await settle(...people.all);

    await hands.ask('submit', await staleUpdate(laptop, id));
    await eventually(async () => expect((await read(ben)).groups.get(id)!.proposals).toHaveLength(1));
    await ben.send(id, 'third');
    for (const device of [laptop, phone])
      await device.messages(id, (lines) => lines.some(({ kind, text }) => kind === 'event' && text.includes('had lost step')));
    for (const [index, device] of people.all.entries()) {
      await device.send(id, `back ${index}`);
      await expectRead(people, `back ${index}`);
    }
  });

  it('as it states an old emulation epoch or key version, or none: the server refuses it', async () => {
    const { laptop, id } = await annaAndBen();
    const hands = await laptop.hands();
    const { submission } = await updateOf(await read(laptop), id);
    const { emulationEpoch, keyVersion } = submission.fence!;
    expect(submission.fence).toEqual(await hands.fence());
    const stating = (fence: Submission['fence']): Promise<unknown> => hands.ask('submit', { ...submission, fence });
    await expect(stating({ emulationEpoch: emulationEpoch - 1, keyVersion })).rejects.toThrow('stale-emulation-epoch');
    await expect(stating({ emulationEpoch, keyVersion: keyVersion - 1 })).rejects.toThrow('stale-key-version');
    await expect(stating(undefined)).rejects.toThrow('malformed');
    await stating(submission.fence);
  });
});

/** An Update made by the device with `state`, as far as bytes. */
async function updateOf(state: EngineState, id: string): Promise<{ state: EngineState; submission: Submission; sent: Incoming }> {
  const turn = new Turn(state, random, Date.now());
  queueLeafUpdate(turn, id);
  const made = await taken(turn.state, { type: 'prepare', what: { kind: 'message', conversationId: id } });
  const { submission } = made.conversations.get(id)!.pending!;
  return { state: made, submission, sent: sentAs(submission) };
}

const sentAs = ({ kind, epoch, message, messageId }: Submission): Incoming => ({ kind, epoch, message, messageId });

async function accepted(state: EngineState, id: string): Promise<EngineState> {
  const { submission } = state.conversations.get(id)!.pending!;
  const answer = { outcome: 'done', value: { position: Number.MAX_SAFE_INTEGER, sequence: 0, checked: true } } as const;
  return taken(state, { type: 'answer', call: 'submit', request: submission, answer, conversationId: id });
}

/** Ben's commit before his next text. */
async function committedBy(state: EngineState, id: string): Promise<Incoming> {
  const asked = await taken(state, {
    type: 'command',
    command: { command: 'send', conversationId: id, messageId: random(16), text: 'hi' },
  });
  const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId: id } });
  return sentAs(made.conversations.get(id)!.pending!.submission);
}

const follow = (state: EngineState, { groupId }: Scene, sent: Incoming): Promise<EngineState> =>
  taken(state, entryFor(state, groupId, sent));

describe('a text that has to wait for a commit', () => {
  it('waits longer each time when the commit cannot be made or is refused, and costs nothing meanwhile', async () => {
    const scene = await playScene(world);
    const { id } = scene;
    const { sent, state: ben } = await updateOf(stateOf(scene.ben), id);
    let state = await follow(stateOf(scene.laptop), scene, sent);
    const send = { command: 'send', conversationId: id, messageId: random(16), text: 'after the commit' } as const;
    state = await taken(state, { type: 'command', command: send });
    const refused = { type: 'not-a-member', status: 403, retryAfter: undefined, accountId: undefined } as const;
    let now = Date.now();
    const mine = (): ReturnType<typeof todosOf> => todosOf(state, now).filter(({ lane }) => lane === `conversation/${id}`);
    const waits: number[] = [];
    for (let i = 0; i < 4; i += 1) {
      expect(mine()).toMatchObject([{ do: 'prepare' }]);
      ({ state } = await take(state, { type: 'prepare', what: { kind: 'message', conversationId: id } }, now));
      const { submission, item } = state.conversations.get(id)!.pending!;
      expect(item.kind).toBe('renew');
      const answer = { outcome: 'refused', problem: refused } as const;
      ({ state } = await take(state, { type: 'answer', call: 'submit', request: submission, answer, conversationId: id }, now));
      const [todo] = mine();
      if (todo?.do !== 'wait') throw new Error('it is tried again at once');
      waits.push(todo.until - now);
      now = todo.until;
    }
    expect(waits).toEqual([...waits].sort((a, b) => a - b));
    expect(new Set(waits).size).toBe(4);
    expect(state.conversations.get(id)!.queue).toMatchObject([{ kind: 'text', text: 'after the commit', problem: undefined }]);
    // Another member's commit does as well.
    now -= 1;
    expect(mine()).toMatchObject([{ do: 'wait' }]);
    state = await follow(state, scene, (await committed(ben, id, [])).sent);
    expect(mine()).toMatchObject([{ do: 'prepare' }]);
  });
});

describe('an Update that the server has taken and says to have refused', () => {
  it('comes back as its device’s own: nobody is told of a copy', async () => {
    const scene = await playScene(world);
    const { id } = scene;
    const { state, submission, sent } = await updateOf(stateOf(scene.laptop), id);
    const problem = { type: 'generation-taken', status: 409, retryAfter: undefined, accountId: undefined } as const;
    const answer = { outcome: 'refused', problem } as const;
    const told = await taken(state, { type: 'answer', call: 'submit', request: submission, answer, conversationId: id });
    expect(told.conversations.get(id)!.queue).toMatchObject([{ kind: 'update' }]);
    const { state: after } = await take(told, entryFor(told, scene.groupId, sent));
    expect(after.groups.get(id)!.proposals).toHaveLength(1);
    expect(after.notices.map(({ kind }) => kind)).not.toContain('cloned-device');
  });
});

describe('Updates of two siblings at once', () => {
  it('are both kept, one of them is committed, and both devices follow it and forget the other', async () => {
    const scene = await playScene(world);
    const { id } = scene;
    let [laptop, phone, ben] = [stateOf(scene.laptop), stateOf(scene.phone), stateOf(scene.ben)];
    const first = await updateOf(laptop, id);
    laptop = await accepted(first.state, id);
    // Neither knew of the other; the server lets one of them have the generation.
    const taking = await updateOf(phone, id);
    const answer = {
      outcome: 'refused',
      problem: { type: 'generation-taken', status: 409, retryAfter: undefined, accountId: undefined },
    } as const;
    const again = await taken(taking.state, { type: 'answer', call: 'submit', request: taking.submission, answer, conversationId: id });
    phone = await taken(again, { type: 'prepare', what: { kind: 'message', conversationId: id } });
    const second = sentAs(phone.conversations.get(id)!.pending!.submission);
    phone = await accepted(phone, id);
    for (const sent of [first.sent, second]) {
      [laptop, phone, ben] = [await follow(laptop, scene, sent), await follow(phone, scene, sent), await follow(ben, scene, sent)];
    }
    const operations = laptop.conversations.get(id)!.updates.map(({ operation }) => operation);
    expect(operations).toHaveLength(2);
    expect(new Set(operations.map(({ emulatorLeaf }) => emulatorLeaf)).size).toBe(2);
    for (const { conversations } of [laptop, phone]) {
      const { operations: unanswered, updates, pending, awaitingEcho } = conversations.get(id)!;
      expect({ unanswered, pending, awaitingEcho }).toEqual({ unanswered: [], pending: undefined, awaitingEcho: [] });
      expect(updates).toHaveLength(2);
    }
    const commit = await committedBy(ben, id);
    ben = await follow(ben, scene, commit);
    for (const state of [laptop, phone]) {
      const { state: after, spent, refused } = await take(state, entryFor(state, scene.groupId, commit));
      expect(refused).toEqual([]);
      const { updates, leaf } = after.conversations.get(id)!;
      expect(updates).toEqual([]);
      const own = leafAt(ben.groups.get(id)!, after.groups.get(id)!.ownLeaf);
      expect(own.leafNodeSource).toBe('update');
      expect(own.hpkePublicKey).toEqual(keyOf(operations[1]!));
      expect(leaf!.encryptionPrivateKey.reveal()).toEqual(after.groups.get(id)!.keys.encryptionPrivateKey.reveal());
      for (const { operation } of state.conversations.get(id)!.updates) expect(spent).toContain(operation.operationSecret);
      expect(after.groups.get(id)!.schedule.epochAuthenticator).toEqual(ben.groups.get(id)!.schedule.epochAuthenticator);
    }
  });

  it('become one when the second device has seen the first: it sends none', async () => {
    const scene = await playScene(world);
    const { id } = scene;
    const { sent } = await updateOf(stateOf(scene.laptop), id);
    const turn = new Turn(stateOf(scene.phone), random, Date.now());
    queueLeafUpdate(turn, id);
    queueLeafUpdate(turn, id);
    expect(turn.conversation(id).queue).toHaveLength(1);
    const seen = await follow(turn.state, scene, sent);
    const done = await taken(seen, { type: 'prepare', what: { kind: 'message', conversationId: id } });
    expect(done.conversations.get(id)).toMatchObject({ queue: [], pending: undefined });
  });
});

describe('an Update whose keys are not those of its DerivationInfo', () => {
  async function forged(scene: Scene): Promise<Incoming> {
    const { id, groupId } = scene;
    const state = stateOf(scene.laptop);
    const turn = new Turn(state, random, Date.now());
    const group = state.groups.get(id)!;
    const operation = allocate(turn);
    const { template } = prepareLeaf(turn, operation, GROUP_SUITE);
    const { signer } = state.account!;
    const { publicKey } = GROUP_SUITE.deriveKeyPair(random(32));
    const info = sealDerivationInfo(EMULATION_PROTOCOL, currentEpoch(turn), operation, publicKey);
    const { leaf } = pathOf(template, operation, info);
    const leafNode = await buildUpdateLeaf(GROUP_SUITE, leaf, publicKey, { groupId, leafIndex: group.ownLeaf }, signer);
    const key = currentGuardKey(turn, state.conversations.get(id)!)!;
    const { value } = await propose(
      GROUP_SUITE,
      group,
      { proposalType: 'update', update: { leafNode } },
      {
        signer,
        authenticatedData: new Uint8Array(),
        guard: (nonce) => createReuseGuard(EMULATION_PROTOCOL, key, nonce, random),
        wireFormat: 'private',
      },
    );
    return { kind: 'proposal', epoch: Number(group.context.epoch), message: value.message };
  }

  it('is kept as the others keep it, punctures nothing, and puts the device out of step when it is committed', async () => {
    const scene = await playScene(world);
    const { id, groupId } = scene;
    const sent = await forged(scene);
    const phone = stateOf(scene.phone);
    const { state, refused } = await take(phone, entryFor(phone, groupId, sent));
    expect(refused.map(({ code }) => code)).toEqual(['leaf-keys-mismatch']);
    expect(state.emulation!.epochs).toBe(phone.emulation!.epochs);
    expect(state.conversations.get(id)).toMatchObject({ state: 'member', updates: [] });
    expect(state.groups.get(id)!.proposals).toHaveLength(1);
    const commit = await committedBy(await follow(stateOf(scene.ben), scene, sent), id);
    const lost = await take(state, entryFor(state, groupId, commit));
    expect(lost.refused.map(({ code }) => code)).toEqual(['update-not-followed']);
    expect(lost.state.conversations.get(id)!.state).toBe('out-of-step');
    expect(lost.state.groups.has(id)).toBe(false);
  });

  it('costs no device more than a bounded number of operations', async () => {
    const scene = await playScene(world);
    const { id } = scene;
    const { sent, state: made } = await updateOf(stateOf(scene.laptop), id);
    const [operation] = made.conversations.get(id)!.operations;
    const phone = stateOf(scene.phone);
    const conversation = phone.conversations.get(id)!;
    const full = Array.from({ length: MAX_PENDING_UPDATES }, () => ({ operation: operation!, encryptionKey: random(32), at: 0 }));
    const after = await follow(
      { ...phone, conversations: new Map(phone.conversations).set(id, { ...conversation, updates: full }) },
      scene,
      sent,
    );
    expect(after.conversations.get(id)!.updates).toBe(full);
    expect(after.groups.get(id)!.proposals).toHaveLength(1);
  });
});
