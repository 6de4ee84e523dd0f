import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { acceptedIn, takeLostBack } from '../../../src/engine/accepted.ts';
import { newJoin } from '../../../src/engine/external-join.ts';
import type { Command } from '../../../src/engine/command.ts';
import type { Preparation } from '../../../src/engine/input.ts';
import type { StoreChanges, Submission } from '../../../src/engine/ports.ts';
import { changesBetween, decodeState } from '../../../src/engine/records.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { Turn } from '../../../src/engine/turn.ts';
import { StoreError } from '../../../src/store/index.ts';
import { random, settle, smallStateOf, stateOf, taken } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

/** Anna and ben in a conversation, a backup of that, and anna's worker stopped. */
async function scene(): Promise<{ anna: TestDevice; ben: TestDevice; id: string; backup: string }> {
  const [anna, ben] = await Promise.all([world.person('anna'), world.person('ben')]);
  const id = await anna.startConversation(['ben']);
  await anna.send(id, 'one');
  await ben.texts(id, 1);
  await settle(anna, ben);
  const backup = world.backUp();
  anna.stop();
  ben.stop();
  return { anna, ben, id, backup };
}

/** Anna asks for it, the server takes it, and her worker is stopped when it has heard so and not met it in the log. */
async function acceptedOnly(anna: TestDevice, id: string | undefined, command: Command, kind: 'message' | 'renew-keys'): Promise<void> {
  const before = stateOf(await anna.store.load(''));
  const what: Preparation = kind === 'message' ? { kind, conversationId: id! } : { kind };
  const made = await taken(await taken(before, { type: 'command', command }), { type: 'prepare', what });
  const request = sentOf(made, id)!;
  const value = await (await anna.hands()).ask('submit', request);
  const answer = { outcome: 'done', value } as const;
  const after = await taken(made, { type: 'answer', call: 'submit', request, answer, conversationId: id });
  expect(acceptedIn(after)).toContain(Buffer.from(request.messageId).toString('hex'));
  await anna.store.write(changesBetween(before, after, []));
}

function sentOf(state: EngineState, id: string | undefined): Submission | undefined {
  return (id === undefined ? state.emulation!.pending : state.conversations.get(id)!.pending)?.submission;
}

const sending = (conversationId: string, text: string): Command => ({ command: 'send', conversationId, messageId: random(16), text });

const benIn = async (anna: TestDevice, id: string): Promise<string> => {
  const { account, conversations } = await smallStateOf(anna.store);
  const [ben] = conversations.get(id)!.members.map((member) => Buffer.from(member).toString('hex'));
  const own = Buffer.from(account!.accountId).toString('hex');
  return ben === own ? Buffer.from(conversations.get(id)!.members[1]!).toString('hex') : ben!;
};

describe('what a server had taken and lost by a restore, with nothing set back that was followed', () => {
  it('is sent again: texts, in the order in which they were written, each once', async () => {
    const { anna, ben, id, backup } = await scene();
    await acceptedOnly(anna, id, sending(id, 'two'), 'message');
    await acceptedOnly(anna, id, sending(id, 'three'), 'message');
    await world.restore(backup);
    ben.restart();
    anna.restart();
    expect(await ben.texts(id, 3)).toEqual(['one', 'two', 'three']);
    await anna.send(id, 'four');
    expect(await ben.texts(id, 4)).toEqual(['one', 'two', 'three', 'four']);
    await settle(anna, ben);
    expect(await anna.texts(id, 4)).toEqual(['one', 'two', 'three', 'four']);
    expect(await ben.texts(id, 4)).toEqual(['one', 'two', 'three', 'four']);
  });

  it('is sent again: a commit of a conversation', async () => {
    const { anna, ben, id, backup } = await scene();
    await acceptedOnly(anna, id, { command: 'removeMember', conversationId: id, accountId: await benIn(anna, id) }, 'message');
    await world.restore(backup);
    ben.restart();
    anna.restart();
    await ben.conversation(id, ({ state }) => state === 'left');
    await anna.conversation(id, ({ members }) => members.length === 1);
    expect(acceptedIn(await smallStateOf(anna.store))).toEqual([]);
  });

  it('is made anew behind another commit for its epoch, and what is written goes out', async () => {
    const { anna, ben, id, backup } = await scene();
    await acceptedOnly(anna, id, { command: 'makeInvitation', conversationId: id, messageId: random(16) }, 'message');
    await world.restore(backup);
    ben.restart();
    await ben.do({ command: 'makeInvitation', conversationId: id, messageId: random(16) });
    await ben.conversation(id, ({ invitation }) => invitation === 'own');
    anna.restart();
    await anna.conversation(id, ({ invitation }) => invitation === 'own');
    await anna.send(id, 'two');
    expect(await ben.texts(id, 2)).toEqual(['one', 'two']);
  });

  it('is waited for no longer: a commit that a text was called late for', async () => {
    const { anna, ben, id, backup } = await scene();
    ben.restart();
    await ben.do({ command: 'makeInvitation', conversationId: id, messageId: random(16) });
    await ben.conversation(id, ({ invitation }) => invitation === 'own');
    ben.stop();
    const before = stateOf(await anna.store.load(''));
    const asked = await taken(before, { type: 'command', command: sending(id, 'two') });
    const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId: id } });
    const request = sentOf(made, id)!;
    await expect((await anna.hands()).ask('submit', request)).rejects.toThrow('stale-epoch');
    const problem = { type: 'stale-epoch' as const, status: 409, retryAfter: undefined, accountId: undefined };
    const answer = { outcome: 'refused', problem } as const;
    const after = await taken(made, { type: 'answer', call: 'submit', request, answer, conversationId: id });
    await anna.store.write(changesBetween(before, after, []));
    await world.restore(backup);
    anna.restart();
    await anna.messages(id, (lines) => lines.some(({ text, status }) => text === 'two' && status === 'sent'));
  });

  it('is sent again: a commit of the emulation group, which makes no other before that', async () => {
    const { anna, backup } = await scene();
    await acceptedOnly(anna, undefined, { command: 'renewKeys' }, 'renew-keys');
    const epoch = (await smallStateOf(anna.store)).emulation!.group.context.epoch;
    await world.restore(backup);
    anna.restart();
    await eventually(async () => {
      const { emulation } = await smallStateOf(anna.store);
      expect(emulation!.group.context.epoch).toBeGreaterThan(epoch);
      expect(emulation!.pending).toBeUndefined();
    });
  });
});

describe('an entry that a restore has lost before it was followed is waited for no longer', () => {
  const told = (state: EngineState, now: number): Promise<EngineState> => {
    const accepted = acceptedIn(state);
    expect(accepted).toHaveLength(1);
    return taken(state, { type: 'prepare', what: { kind: 'take-lost-back', accepted } }, now);
  };

  it('by what the emulation group makes', async () => {
    const { anna } = await scene();
    const state = stateOf(await anna.store.load(''));
    const emulation = state.emulation!;
    const waiting = { ...state, emulation: { ...emulation, hold: { position: emulation.position, notBefore: 0, pause: 0 } } };
    const now = emulation.renewal.at;
    const wants = (of: EngineState, at: number): unknown[] =>
      todosOf({ ...of, emulation: { ...of.emulation!, renewalAsked: true } }, at).filter(({ lane }) => lane === 'emulation');
    expect(wants(waiting, now)).toEqual([]);
    const after = await told(waiting, now);
    const { notBefore } = after.emulation!.hold!;
    expect(wants(after, now)).toMatchObject([{ do: 'wait', until: notBefore }]);
    expect(wants(after, notBefore)).toMatchObject([{ do: 'prepare', what: { kind: 'renew-keys' } }]);
    expect(acceptedIn(after)).toEqual([]);
  });

  it.each(['afterEmulationEpoch', 'afterPosition'] as const)('by an external join: %s', async (what) => {
    const { anna, id } = await scene();
    const state = stateOf(await anna.store.load(''));
    const { groupId, position } = state.conversations.get(id)!;
    const ahead =
      what === 'afterPosition' ? { afterPosition: position + 1 } : { afterEmulationEpoch: state.emulation!.group.context.epoch };
    const join = { ...newJoin(groupId), announcedBy: 0, ...ahead };
    const waiting: EngineState = { ...state, externalJoins: new Map([[id, join]]) };
    const now = state.emulation!.renewal.at;
    const wants = (of: EngineState, at: number): unknown[] => todosOf(of, at).filter(({ lane }) => lane === `external-join/${id}`);
    expect(wants(waiting, now)).toEqual([]);
    const after = await told(waiting, now);
    const { notBefore } = after.externalJoins.get(id)!;
    expect(wants(after, now)).toMatchObject([{ do: 'wait', until: notBefore }]);
    expect(wants(after, notBefore)).toMatchObject([{ do: 'send', call: 'fetch-group' }]);
    expect(acceptedIn(after)).toEqual([]);
  });
});

/** The server answers the next message as if it had taken it, which is all that a restore leaves of it. */
function loseNextMessage(anna: TestDevice): Promise<void> {
  return new Promise((resolve) => {
    anna.intercept = async (path, _body, carryOut) => {
      if (!path.endsWith('/messages')) return carryOut();
      anna.intercept = (_path, _more, next) => next();
      resolve();
      return Response.json({ position: 99, sequence: 99, checked: true });
    };
  });
}

describe('what was lost by a restore is taken back', () => {
  it('as soon as that can be stored, however often it could not', async () => {
    const { anna, ben, id, backup } = await scene();
    await acceptedOnly(anna, id, sending(id, 'two'), 'message');
    await world.restore(backup);
    const { write } = anna.store;
    let failed = 0;
    const failing = async (changes: StoreChanges): Promise<void> => {
      const after = new Map([...(await anna.store.load('')), ...changes.puts]);
      for (const path of changes.deletes) after.delete(path);
      if (acceptedIn(decodeState(after)).length > 0) return write(changes);
      failed += 1;
      throw new StoreError('quota-exceeded');
    };
    Object.assign(anna.store, { write: failing });
    anna.restart();
    for (let time = 1; time <= 8; time += 1) {
      anna.clockAhead += 10 * 60_000; // longer than any pause
      await eventually(async () => {
        await anna.runtime.synchronise().catch(() => undefined);
        expect(failed).toBeGreaterThanOrEqual(time);
      });
    }
    Object.assign(anna.store, { write });
    ben.restart();
    await eventually(() => anna.runtime.synchronise());
    expect(await ben.texts(id, 2)).toEqual(['one', 'two']);
  });

  it('when it is lost again just after that, a pause later and by itself', async () => {
    const { anna, ben, id, backup } = await scene();
    await acceptedOnly(anna, id, sending(id, 'two'), 'message');
    await world.restore(backup);
    const lostAgain = loseNextMessage(anna);
    anna.restart();
    await lostAgain;
    await eventually(async () => expect(acceptedIn(await smallStateOf(anna.store))).toHaveLength(1));
    await anna.runtime.synchronise().catch(() => undefined);
    ben.restart();
    expect(await ben.texts(id, 2)).toEqual(['one', 'two']);
  });

  it('by a device that has been awake all the time, when its event stream is opened anew', async () => {
    const { anna, ben, id } = await scene();
    for (const device of [anna, ben]) device.restart();
    await eventually(() => anna.runtime.synchronise()); // it asks for nothing by itself now
    const lost = loseNextMessage(anna);
    await anna.send(id, 'two');
    await lost;
    await eventually(async () => expect(acceptedIn(await smallStateOf(anna.store))).toHaveLength(1));
    anna.goOffline();
    anna.goOnline();
    expect(await ben.texts(id, 2)).toEqual(['one', 'two']);
  });
});

describe('a server that takes a message and never brings it', () => {
  it('is not sent it again and again without a pause', async () => {
    const { anna, id } = await scene();
    let sent = 0;
    anna.intercept = async (path, _body, carryOut) => {
      if (!path.endsWith('/messages')) return carryOut();
      sent += 1;
      return Response.json({ position: 99, sequence: 99, checked: true });
    };
    anna.restart();
    await anna.send(id, 'two');
    for (let round = 0; round < 10; round += 1) await anna.runtime.synchronise().catch(() => undefined);
    // The first, and again at once, after two seconds, and four later.
    expect(sent).toBeGreaterThan(1);
    expect(sent).toBeLessThanOrEqual(5);
  });
});

describe('what a server has, and the log is only late', () => {
  it('is not sent twice though it was taken for lost', async () => {
    const { anna, ben, id } = await scene();
    await acceptedOnly(anna, id, sending(id, 'two'), 'message');
    const before = stateOf(await anna.store.load(''));
    const turn = new Turn(before, random, Date.now());
    takeLostBack(turn, acceptedIn(before));
    expect(acceptedIn(turn.state)).toEqual([]);
    await anna.store.write(changesBetween(before, turn.state, []));
    ben.restart();
    anna.restart();
    await anna.send(id, 'three');
    for (const device of [anna, ben]) expect(await device.texts(id, 3)).toEqual(['one', 'two', 'three']);
    await settle(anna, ben);
    for (const device of [anna, ben]) expect(await device.texts(id, 3)).toEqual(['one', 'two', 'three']);
  });
});
