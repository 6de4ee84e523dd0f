import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../../src/bytes/index.ts';
import { decodeKeyPackage } from '../../../src/engine/key-package-messages.ts';
import { EMULATION_PROTOCOL } from '../../../src/engine/protocol.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { Turn } from '../../../src/engine/turn.ts';
import { currentEpoch, evaluate } from '../../../src/engine/virtual-leaf.ts';
import type { Proposal } from '../../../src/mls/index.ts';
import {
  allocateOperation,
  canEvaluateOperation,
  encodePprfState,
  operationLeaf,
  sealDerivationInfo,
  type EmulationEpoch,
  type Operation,
} from '../../../src/virtual-client/index.ts';
import { committed, createdBy, foundedBy, pathOf, publicKeyOf } from '../../support/engine-forgery.ts';
import { differences, entryFor, random, settle, stateOf, take, taken, written, type Records } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

// What may come to a virtual client's leaf through the log, one step of one device at a time.

const world = new EngineWorld();
const BATCH = 4;
let stored: ReadonlyMap<string, Records>;
let id: string;
let groupId: Uint8Array;
/** KeyPackages that ben has claimed: of anna, and one of cara. */
let ofAnna: readonly { readonly keyPackage: Uint8Array; readonly keyPackageRef: Uint8Array }[];
let ofCara: Uint8Array;

beforeAll(async () => {
  await world.start();
  const laptop = await world.person('anna', 'laptop');
  const [ben, cara] = [await world.person('ben'), await world.person('cara')];
  await settle(laptop, ben, cara);
  id = await laptop.startConversation(['ben']);
  groupId = new Uint8Array(Buffer.from(id, 'hex'));
  const phone = await world.link(laptop, 'phone');
  await phone.conversation(id, ({ state }) => state === 'ready');
  await settle(laptop, phone, ben, cara);
  const hands = await ben.hands();
  const claim = async (username: string): Promise<(typeof ofAnna)[number]> => {
    const { accountId } = await hands.ask('find-account', { username });
    const { keyPackages } = await hands.ask('claim-key-packages', { claimId: random(16), accountIds: [accountId] });
    return keyPackages[0]!;
  };
  const claimed = [];
  for (let i = 0; i < BATCH; i++) claimed.push(await claim('anna'));
  ofAnna = claimed;
  ofCara = (await claim('cara')).keyPackage;
  const devices = { laptop, phone, ben, cara };
  for (const device of Object.values(devices)) device.stop();
  stored = new Map(await Promise.all(Object.entries(devices).map(async ([name, { store }]) => [name, await store.load('')] as const)));
});

afterAll(() => world.close());

const device = (name: string): EngineState => stateOf(stored.get(name)!);
const follow = (receiver: EngineState, sent: Parameters<typeof entryFor>[2]): Promise<EngineState> =>
  taken(receiver, entryFor(receiver, groupId, sent));
const adding = (keyPackage: Uint8Array): Proposal => ({ proposalType: 'add', add: { keyPackage: decodeKeyPackage(keyPackage) } });
/** Every emulation epoch with its PPRF as it is punctured. */
const epochsOf = ({ emulation }: EngineState): unknown[] =>
  [...emulation!.epochs].map(([epochId, { pprf }]) => [epochId, toHex(encodePprfState(pprf))]);
const authenticator = (state: EngineState, group = id): string => toHex(state.groups.get(group)!.schedule.epochAuthenticator);

/** What `writer` says comes to `reader` as from that device. */
async function expectFrom(name: string, writer: EngineState, reader: EngineState): Promise<void> {
  const { sent } = await written(writer, id, `from the ${name}`);
  const { lines, refused } = await take(reader, entryFor(reader, groupId, sent));
  expect(refused).toEqual([]);
  expect(lines[0]!.message).toMatchObject({ text: `from the ${name}`, device: { name, known: true, own: false }, alarm: false });
}

describe('a batch of KeyPackages', () => {
  it('may be used in any order: each device joins each group, and the secrets of each KeyPackage go with its Welcome', async () => {
    const groups: { groupId: Uint8Array; message: Uint8Array; keyPackageRef: Uint8Array }[] = [];
    for (const { keyPackage, keyPackageRef } of ofAnna) {
      const { groupId: made, welcome } = await foundedBy(device('ben'), [adding(keyPackage)]);
      groups.push({ groupId: made, message: welcome, keyPackageRef });
    }
    const orders = [
      [3, 0, 2, 1],
      [1, 3, 0, 2],
    ] as const;
    const ends: EngineState[] = [];
    for (const [name, order] of [['laptop', orders[0]] as const, ['phone', orders[1]] as const]) {
      let state = device(name);
      for (const index of order) {
        const { groupId: joined, ...welcome } = groups[index]!;
        expect(state.keyPackages.has(toHex(welcome.keyPackageRef))).toBe(true);
        state = await taken(state, entryFor(state, joined, { kind: 'welcome', epoch: 1, position: 1, ...welcome }));
        expect(state.keyPackages.has(toHex(welcome.keyPackageRef))).toBe(false);
      }
      ends.push(state);
    }
    for (const { groupId: joined } of groups) {
      const [one, other] = ends.map((state) => authenticator(state, toHex(joined)));
      expect(one).toBe(other);
    }
  });
});

describe('a commit that leaves the virtual leaf as it is', () => {
  it('by another member changes nothing for the devices but the epoch: guards and generation IDs go on from the same leaf', async () => {
    const { sent } = await committed(device('ben'), id, []);
    const [laptop, phone] = [await follow(device('laptop'), sent), await follow(device('phone'), sent)];
    for (const [name, after] of [['laptop', laptop] as const, ['phone', phone] as const]) {
      const [was, is] = [device(name).conversations.get(id)!.leaf!, after.conversations.get(id)!.leaf!];
      expect(toHex(is.leafNodeSecret.reveal())).toBe(toHex(was.leafNodeSecret.reveal()));
      expect(toHex(is.epochId)).toBe(toHex(was.epochId));
      expect(epochsOf(after)).toEqual(epochsOf(device(name)));
    }
    expect(authenticator(laptop)).toBe(authenticator(phone));
    await expectFrom('laptop', laptop, phone);
    await expectFrom('phone', phone, laptop);
  });

  it('by a sibling, without a path, is followed: nothing is derived and nothing punctured', async () => {
    const { sent, welcome } = await committed(device('laptop'), id, [adding(ofCara)], () => undefined);
    expect(welcome).toBeDefined();
    const [laptop, phone] = [await follow(device('laptop'), sent), await follow(device('phone'), sent)];
    expect(phone.conversations.get(id)!.members).toHaveLength(3);
    expect(epochsOf(phone)).toEqual(epochsOf(device('phone')));
    expect(authenticator(laptop)).toBe(authenticator(phone));
    expect(authenticator(await follow(device('ben'), sent))).toBe(authenticator(phone));
    await expectFrom('phone', phone, laptop);
    await expectFrom('laptop', laptop, phone);
  });
});

describe('an Add that the server refuses because its state did not cover the log', () => {
  it('is made anew at once when the entry that it lacked has come before the answer, else after it', async () => {
    const made = await taken({ ...device('laptop'), stock: 0 }, { type: 'prepare', what: { kind: 'key-packages' } });
    const { pending, position } = made.emulation!;
    const { commit } = pending!.submission;
    const newDevice = { deviceId: random(16), deviceKey: random(32), linkId: random(16), coversPosition: position };
    const submission = { ...pending!.submission, commit: { ...commit!, newDevice } };
    const problem = { type: 'stale-log' as const, status: 409, retryAfter: undefined, accountId: undefined };
    const lanesAt = async (readUpTo: number): Promise<readonly string[]> => {
      const emulation = { ...made.emulation!, pending: { ...pending!, submission }, position: readUpTo };
      const answer = { outcome: 'refused', problem } as const;
      const input = { type: 'answer', call: 'submit', request: submission, answer, conversationId: undefined } as const;
      const { state } = await take({ ...made, emulation }, input);
      expect(state.emulation!.pending).toBeUndefined();
      return todosOf({ ...state, stock: 0 }, Date.now()).flatMap((todo) => (todo.do === 'prepare' ? [todo.lane] : []));
    };
    expect(await lanesAt(position)).not.toContain('emulation');
    expect(await lanesAt(position + 1)).toContain('emulation');
  });
});

describe('a leaf of an emulation epoch that is over', () => {
  it('is refused after a leaf of the next one, though no device has come or gone in between', async () => {
    const start: EngineState = { ...device('laptop'), stock: 0 };
    const made = await taken(start, { type: 'prepare', what: { kind: 'key-packages' } });
    const { kind, epoch, message, messageId } = made.emulation!.pending!.submission;
    const announced = { kind, epoch, message, messageId };
    const intoNext = (state: EngineState) => taken(state, entryFor(state, state.emulation!.groupId, announced));
    const [laptop, phone] = [await intoNext(made), await intoNext(device('phone'))];
    const older = laptop.emulation!.epochs.get(start.emulation!.currentEpochId)!;
    expect(older.epoch).toBeGreaterThanOrEqual(phone.emulation!.floor.epoch);
    const byOlder = (state: EngineState) =>
      committed(state, id, [], ({ leaf }) => {
        const { value } = allocateOperation(EMULATION_PROTOCOL, older, random);
        return pathOf(leaf, value, sealDerivationInfo(EMULATION_PROTOCOL, older, value, publicKeyOf(value)));
      });
    // As long as the active leaf is no newer, it is followed: the message may have been on its way.
    await follow(phone, (await byOlder(laptop)).sent);
    const { sent } = await committed(laptop, id, []);
    const [renewed, receiver] = [await follow(laptop, sent), await follow(phone, sent)];
    const late = await take(receiver, entryFor(receiver, groupId, (await byOlder(renewed)).sent));
    expect(late.refused.map(({ code }) => code)).toEqual(['stale-emulation-epoch']);
    expect(late.state.emulation).toBe(receiver.emulation);
  });
});

describe('two siblings that hit the same PPRF leaf, as they may without the residue rule', () => {
  it('make the same keys, and of the two operations the one that comes second is refused by name', async () => {
    const first = device('laptop');
    const second = device('phone');
    const epoch = first.emulation!.epochs.get(first.emulation!.currentEpochId)!;
    const [laptopLeaf, phoneLeaf] = [first.emulation!.group.ownLeaf, second.emulation!.group.ownLeaf];
    const [laptopRandom, phoneRandom] = collision(epoch, laptopLeaf, phoneLeaf);
    let byLaptop: Operation | undefined;
    const { sent } = await committed(first, id, [], ({ leaf }, turn) => {
      byLaptop = evaluate(turn, currentEpoch(turn), laptopLeaf, laptopRandom);
      return pathOf(leaf, byLaptop, sealDerivationInfo(EMULATION_PROTOCOL, currentEpoch(turn), byLaptop, publicKeyOf(byLaptop)));
    });
    const turn = new Turn(second, random, Date.now());
    const byPhone = evaluate(turn, currentEpoch(turn), phoneLeaf, phoneRandom);
    expect(publicKeyOf(byPhone)).toEqual(publicKeyOf(byLaptop!));
    const created = await createdBy(second, byPhone);
    for (const name of ['laptop', 'phone']) {
      const receiver = await follow(device(name), sent);
      const result = await take(receiver, entryFor(receiver, created.groupId, { kind: 'creation', epoch: 0, position: 0, ...created }));
      expect(result.refused.map(({ code }) => code)).toEqual(['leaf-punctured']);
      expect(differences(receiver, result)).toEqual([]);
    }
  });
});

/** Two random values, one for each device, with one unpunctured PPRF leaf: about 2^16 hashes each. */
function collision(epoch: EmulationEpoch, one: number, other: number): readonly [Uint8Array, Uint8Array] {
  const seen = new Map<number, Uint8Array>();
  const value = (counter: number): Uint8Array => {
    const bytes = new Uint8Array(EMULATION_PROTOCOL.suite.nh);
    new DataView(bytes.buffer).setUint32(0, counter);
    return bytes;
  };
  for (let counter = 0; counter < 2 ** 22; counter++) {
    const bytes = value(counter);
    seen.set(operationLeaf(EMULATION_PROTOCOL, one, bytes), bytes);
    const match = seen.get(operationLeaf(EMULATION_PROTOCOL, other, bytes));
    if (match !== undefined && canEvaluateOperation(EMULATION_PROTOCOL, epoch, one, match)) return [match, bytes];
  }
  throw new Error('no collision');
}
