import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fromHex } from '../../../src/bytes/index.ts';
import { newConversation } from '../../../src/engine/conversation.ts';
import { newJoin } from '../../../src/engine/external-join.ts';
import { changesBetween, decodeState } from '../../../src/engine/records.ts';
import { EMPTY_STATE, type Conversation, type EngineState, type PendingSubmission, type WorkItem } from '../../../src/engine/state.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

const ID = '07'.repeat(32);
const bytesOf = (length: number, value: number): Uint8Array => new Uint8Array(length).fill(value);
const text = (index: number): WorkItem => ({
  kind: 'text',
  messageId: bytesOf(16, index),
  text: `text ${index}`.padEnd(1000),
  at: index,
  problem: undefined,
});
const sent = (index: number): PendingSubmission => ({
  item: text(index),
  submission: {
    groupId: bytesOf(32, 7),
    messageId: bytesOf(16, index),
    kind: 'application',
    epoch: 1,
    message: bytesOf(5000, index),
    generation: undefined,
    fence: undefined,
    commit: undefined,
  },
});

function stateWith(change: Partial<Conversation>): EngineState {
  return { ...EMPTY_STATE, conversations: new Map([[ID, { ...newConversation(bytesOf(32, 7), 0), ...change }]]) };
}

function changed(state: EngineState, change: Partial<Conversation>): EngineState {
  return { ...state, conversations: new Map([[ID, { ...state.conversations.get(ID)!, ...change }]]) };
}

function written(before: EngineState, after: EngineState): { bytes: number; keys: string[] } {
  const { puts } = changesBetween(before, after, []);
  return { bytes: [...puts.values()].reduce((sum, { length }) => sum + length, 0), keys: [...puts.keys()] };
}

describe('what a step writes', () => {
  const queue = Array.from({ length: 100 }, (_, index) => text(index));
  const busy = stateWith({ queue, pending: sent(150), awaitingEcho: [sent(151), sent(152)], draft: 'half a thought' });

  it('is the draft alone when the draft is kept', () => {
    expect(written(busy, changed(busy, { draft: 'a thought' }))).toEqual({ bytes: expect.any(Number) as number, keys: [`draft/${ID}`] });
  });

  it('is the small record of the conversation when something was read', () => {
    const { bytes, keys } = written(busy, changed(busy, { readPosition: 5, unread: 0 }));
    expect(keys).toEqual([`conversation/${ID}`]);
    expect(bytes).toBeLessThan(2000);
  });

  it('is one text when the hundredth text is queued', () => {
    const { bytes, keys } = written(busy, changed(busy, { queue: [...queue, text(100)] }));
    expect(keys).toHaveLength(1);
    expect(bytes).toBeLessThan(2000);
  });

  it('is one message and the new head of the queue when the first is made', () => {
    const { bytes, keys } = written(changed(busy, { pending: undefined }), changed(busy, { queue: queue.slice(1), pending: sent(0) }));
    expect(keys).toHaveLength(2);
    expect(bytes).toBeLessThan(10_000);
  });

  it('is one join alone when one of many external joins gets on, and nothing of the others when one is done', () => {
    const names = Array.from({ length: 100 }, (_, index) => index.toString(16).padStart(64, '0'));
    const base = { epoch: 1, groupInfo: bytesOf(50, 1) };
    const joins = new Map(names.map((name) => [name, { ...newJoin(fromHex(name)), base }]));
    const many: EngineState = { ...EMPTY_STATE, externalJoins: joins };
    const name = names[50]!;
    const further = new Map(joins).set(name, { ...joins.get(name)!, accepted: true });
    const { keys } = written(many, { ...many, externalJoins: further });
    expect(keys).toEqual([`external-join/${name}`]);
    const fewer = new Map(joins);
    fewer.delete(name);
    expect(changesBetween(many, { ...many, externalJoins: fewer }, [])).toEqual({ puts: new Map(), deletes: [`external-join/${name}`] });
    const { puts } = changesBetween(EMPTY_STATE, many, []);
    expect(decodeState(puts).externalJoins).toEqual(joins);
  });

  it('reads back as it was, in order, after changes at both ends', () => {
    const steps = [
      stateWith({}),
      busy,
      changed(busy, { queue: queue.slice(1), pending: undefined, awaitingEcho: [sent(151), sent(152), sent(150)] }),
      changed(busy, { queue: [text(200), ...queue.slice(3), text(100)], pending: undefined, awaitingEcho: [sent(152)], draft: '' }),
    ];
    const records = new Map<string, Uint8Array>();
    let before = EMPTY_STATE;
    for (const after of steps) {
      const { puts, deletes } = changesBetween(before, after, []);
      for (const key of deletes) records.delete(key);
      for (const [key, value] of puts) records.set(key, value);
      expect(decodeState(records).conversations).toEqual(after.conversations);
      before = after;
    }
    const { deletes } = changesBetween(before, EMPTY_STATE, []);
    for (const key of deletes) records.delete(key);
    expect([...records.keys()]).toEqual([]);
  });

  it('refuses a queue with a record missing', () => {
    const { puts } = changesBetween(EMPTY_STATE, busy, []);
    const records = new Map(puts);
    records.delete(`outgoing/${ID}/queue/${'05'.repeat(16)}`);
    expect(() => decodeState(records)).toThrow('list of records');
  });
});

describe('in a world', () => {
  let world: EngineWorld;

  beforeEach(async () => {
    world = new EngineWorld();
    await world.start();
  });

  afterEach(() => world.close());

  /** Loads of whole MLS states from now on. */
  function countLoads(device: TestDevice): string[] {
    const store = device.store;
    const load = store.load.bind(store);
    const loads: string[] = [];
    store.load = (prefix) => {
      if (prefix.startsWith('group/')) loads.push(prefix);
      return load(prefix);
    };
    return loads;
  }

  it('a slice over many conversations loads each once', async () => {
    const anna = await world.person('anna');
    const ben = await world.person('ben');
    const ids: string[] = [];
    for (let index = 0; index < 5; index += 1) ids.push(await anna.startConversation(['ben'], `talk ${index}`));
    for (const id of ids) {
      await anna.send(id, 'first');
      await ben.texts(id, 1);
    }
    ben.stop();
    for (const id of ids) await anna.send(id, 'second');
    for (const id of ids) await anna.texts(id, 2);
    const loads = countLoads(ben);
    ben.restart();
    for (const id of ids) expect(await ben.texts(id, 2)).toEqual(['first', 'second']);
    expect(new Set(loads).size).toBe(5);
    expect(loads).toHaveLength(5);
  });

  it('asking what is to do looks at no member twice', async () => {
    const anna = await world.person('anna');
    await world.person('ben');
    const id = await anna.startConversation(['ben']);
    await anna.conversation(id, ({ members }) => members.length === 2);
    const state = decodeState(await anna.store.load(''));
    const members = state.conversations.get(id)!.members;
    const map = vi.spyOn(members, 'map');
    for (let count = 0; count < 10; count += 1) todosOf({ ...state }, Date.now());
    expect(map).toHaveBeenCalledTimes(1);
  });
});
