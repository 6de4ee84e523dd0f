import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { newJoin } from '../../../src/engine/external-join.ts';
import type { DeliveryAnswer } from '../../../src/engine/ports.ts';
import type { Conversation, EngineState } from '../../../src/engine/state.ts';
import { NO_HOLD } from '../../../src/engine/sending.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { entryFor, playScene, random, stateOf, take, taken, type Scene } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

const world = new EngineWorld();
let scene: Scene;

beforeAll(async () => {
  scene = await playScene(world);
});

afterAll(() => world.close());

type Unclaimable = 'no-key-package' | 'too-many';

const refusing = (type: Unclaimable): DeliveryAnswer<'claim-key-packages'> => ({
  outcome: 'refused',
  problem: { type, status: 409, retryAfter: undefined, accountId: undefined },
});

describe('an add whose KeyPackages are not there yet', () => {
  const conversation = (state: EngineState): Conversation => state.conversations.get(scene.id)!;

  async function refusedClaim(state: EngineState, type: Unclaimable = 'no-key-package'): Promise<EngineState> {
    const { id: conversationId } = scene;
    const { notBefore } = conversation(state).hold ?? {};
    const reserved = await taken(state, { type: 'prepare', what: { kind: 'claim', conversationId } }, notBefore);
    const request = { claimId: conversation(reserved).claim!.claimId, accountIds: [random(16)] };
    return taken(reserved, { type: 'answer', call: 'claim-key-packages', request, answer: refusing(type), conversationId });
  }

  const withAdd = (state: EngineState): Promise<EngineState> => {
    const member = { accountId: random(16), username: 'dora' };
    const add = { command: 'addMember', conversationId: scene.id, messageId: random(16), member } as const;
    return taken(state, { type: 'command', command: add });
  };

  it('waits longer each time, and after a commit that worked as short as at first', async () => {
    const first = await refusedClaim(await withAdd(stateOf(scene.laptop)));
    const { pause } = conversation(first).hold!;
    const second = await refusedClaim(first);
    expect(conversation(second).hold!.pause).toBe(2 * pause);

    const { id: conversationId, groupId } = scene;
    const [ben] = conversation(second).members.filter((member) => !Buffer.from(member).equals(second.account!.accountId));
    const accountId = Buffer.from(ben!).toString('hex');
    const asked = await taken(second, { type: 'command', command: { command: 'removeMember', conversationId, accountId } });
    const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId } });
    const { submission } = conversation(made).pending!;
    const { kind, epoch, message, messageId } = submission;
    const done = await taken(made, entryFor(made, groupId, { kind, epoch, message, messageId }));
    expect(conversation(done).members).toHaveLength(1);
    expect(conversation(await refusedClaim(done)).hold!.pause).toBe(pause);
  });

  it('waits too while other invitations of ours hold as many as they may, and is not given up', async () => {
    const asked = await withAdd(stateOf(scene.laptop));
    const refused = await refusedClaim(asked, 'too-many');
    expect(conversation(refused).queue).toEqual(conversation(asked).queue);
    expect(conversation(refused).queue.map(({ kind }) => kind)).toContain('add');
    expect(conversation(refused).hold?.notBefore).toBeGreaterThan(0);
    expect(refused.notices).toEqual(asked.notices);
  });
});

describe('a new conversation whose KeyPackages the server says to be used up', () => {
  it('claims others after a pause that grows', async () => {
    const groupId = random(16);
    const conversationId = Buffer.from(groupId).toString('hex');
    const accountId = stateOf(scene.laptop).account!.accountId;
    const members = [{ accountId, username: 'anna' }];
    const conversation = (state: EngineState): Conversation => state.conversations.get(conversationId)!;
    const prepared = (state: EngineState, kind: 'message' | 'claim', now?: number): Promise<EngineState> =>
      taken(state, { type: 'prepare', what: { kind, conversationId } }, now);
    let state = await taken(stateOf(scene.ben), {
      type: 'command',
      command: { command: 'startConversation', groupId, members, title: 'club' },
    });
    state = await prepared(state, 'message');
    const { kind, epoch, message, messageId } = conversation(state).pending!.submission;
    state = await taken(state, entryFor(state, groupId, { kind, epoch, message, messageId, position: 0 }));
    const pauses: number[] = [];
    for (let time = 1; time <= 3; time++) {
      const { notBefore: due } = conversation(state).hold ?? {};
      state = await prepared(state, 'claim', due);
      const { claimId } = conversation(state).claim!;
      const value = { keyPackages: [{ ...scene.claimed, accountId }] };
      const answer = { outcome: 'done', value } as const;
      const request = { claimId, accountIds: [accountId] };
      state = await taken(state, { type: 'answer', call: 'claim-key-packages', request, answer, conversationId });
      state = await prepared(state, 'message', due);
      const submission = conversation(state).pending!.submission;
      const problem = { type: 'spent-key-package', status: 409, retryAfter: undefined, accountId } as const;
      const refused = { outcome: 'refused', problem } as const;
      state = await taken(state, { type: 'answer', call: 'submit', request: submission, answer: refused, conversationId });
      expect(conversation(state).queue.map((item) => item.kind)).toEqual(['add']);
      pauses.push(conversation(state).hold?.pause ?? 0);
    }
    expect(pauses[0]).toBeGreaterThan(0);
    expect(pauses).toEqual([1, 2, 4].map((times) => times * pauses[0]!));
  });
});

describe('a commit beside one of the log that this device refused', () => {
  it('waits longer each time that the server calls it late, and all that is to be sent with it', async () => {
    const { id: conversationId } = scene;
    const problem = { type: 'stale-epoch', status: 409, retryAfter: undefined, accountId: undefined } as const;
    const before = stateOf(scene.laptop);
    const conversation = before.conversations.get(conversationId)!;
    const refusedCommit = conversation.position;
    let state: EngineState = {
      ...before,
      conversations: new Map(before.conversations).set(conversationId, { ...conversation, refusedCommit }),
    };
    const [ben] = conversation.members.filter((member) => !Buffer.from(member).equals(before.account!.accountId));
    const accountId = Buffer.from(ben!).toString('hex');
    state = await taken(state, { type: 'command', command: { command: 'removeMember', conversationId, accountId } });
    const pauses: number[] = [];
    for (let time = 1; time <= 3; time++) {
      const { notBefore: due } = state.conversations.get(conversationId)!.hold ?? {};
      state = await taken(state, { type: 'prepare', what: { kind: 'message', conversationId } }, due);
      const request = state.conversations.get(conversationId)!.pending!.submission;
      state = await taken(state, { type: 'answer', call: 'submit', request, answer: { outcome: 'refused', problem }, conversationId });
      const { notBefore, pause } = state.conversations.get(conversationId)!.hold!;
      pauses.push(pause);
      const here = (now: number): string[] =>
        todosOf(state, now).flatMap((todo) => (todo.lane === `conversation/${conversationId}` ? [todo.do] : []));
      expect([here(notBefore! - 1), here(notBefore!)]).toEqual([['wait'], ['prepare']]);
    }
    expect(pauses[0]).toBeGreaterThan(0);
    expect(pauses).toEqual([pauses[0], 2 * pauses[0]!, 4 * pauses[0]!]);
  });
});

describe('a text of which the server says that a sibling was first', () => {
  it('goes again at once after a race, waits longer and longer after many in a row, and not when one has come back', async () => {
    const { id: conversationId } = scene;
    const hold = (state: EngineState) => state.conversations.get(conversationId)!.hold;
    const refuse = async (state: EngineState): Promise<EngineState> => {
      const made = await taken(state, { type: 'prepare', what: { kind: 'message', conversationId } }, hold(state)?.notBefore);
      const request = made.conversations.get(conversationId)!.pending!.submission;
      const problem = { type: 'generation-taken', status: 409, retryAfter: undefined, accountId: undefined } as const;
      return taken(made, { type: 'answer', call: 'submit', request, answer: { outcome: 'refused', problem }, conversationId });
    };
    const todosHere = (state: EngineState, now: number): string[] =>
      todosOf(state, now).flatMap((todo) => (todo.lane === `conversation/${conversationId}` ? [todo.do] : []));
    const send = { command: 'send', conversationId, messageId: random(16), text: 'again' } as const;
    let state = await taken(stateOf(scene.laptop), { type: 'command', command: send });
    const pauses: number[] = [];
    for (let race = 1; race <= 20; race++) {
      state = await refuse(state);
      const { notBefore, pause } = hold(state)!;
      pauses.push(pause);
      if (notBefore === undefined) expect(todosHere(state, Date.now())).toEqual(['prepare']);
      else expect([todosHere(state, notBefore - 1), todosHere(state, notBefore)]).toEqual([['wait'], ['prepare']]);
    }
    expect(pauses.slice(0, 16)).toEqual(Array<number>(16).fill(0));
    expect(pauses[16]).toBeGreaterThan(0);
    expect(pauses.slice(17)).toEqual([2, 4, 8].map((times) => times * pauses[16]!));

    const made = await taken(state, { type: 'prepare', what: { kind: 'message', conversationId } }, hold(state)!.notBefore);
    const { kind, epoch, message, messageId } = made.conversations.get(conversationId)!.pending!.submission;
    const back = await taken(made, entryFor(made, scene.groupId, { kind, epoch, message, messageId }));
    const next = await refuse(await taken(back, { type: 'command', command: { ...send, messageId: random(16) } }));
    expect(todosHere(next, Date.now())).toEqual(['prepare']);
    expect(hold(next)).toMatchObject({ pause: 0, collisions: 1 });
  });
});

describe('what the server calls late', () => {
  const refusedFor = async (type: 'stale-epoch' | 'stale-key-version' | 'stale-emulation-epoch'): Promise<EngineState> => {
    const { id: conversationId } = scene;
    const send = { command: 'send', conversationId, messageId: random(16), text: 'late' } as const;
    const asked = await taken(stateOf(scene.laptop), { type: 'command', command: send });
    const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId } });
    const request = made.conversations.get(conversationId)!.pending!.submission;
    const problem = { type, status: 409, retryAfter: undefined, accountId: undefined } as const;
    return taken(made, { type: 'answer', call: 'submit', request, answer: { outcome: 'refused', problem }, conversationId });
  };
  const todosHere = (state: EngineState, now: number): string[] =>
    todosOf(state, now).flatMap((todo) => (todo.lane === `conversation/${scene.id}` ? [todo.do] : []));

  it('for its epoch waits for the commit that ended it, whether the conversation’s keys are in memory or not', async () => {
    const state = await refusedFor('stale-epoch');
    expect(todosHere(state, Date.now())).toEqual([]);
    expect(todosHere({ ...state, groups: new Map() }, Date.now())).toEqual([]);
    const { id: conversationId, groupId } = scene;
    const command = { command: 'makeInvitation', conversationId, messageId: random(16) } as const;
    const asked = await taken(stateOf(scene.ben), { type: 'command', command });
    const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId } });
    const { kind, epoch, message, messageId } = made.conversations.get(conversationId)!.pending!.submission;
    const followed = await taken(state, entryFor(state, groupId, { kind, epoch, message, messageId }));
    expect(todosHere(followed, Date.now())).toEqual(['prepare']);
  });

  it('for the account’s key goes out again by itself after a pause: a new key makes no new epoch', async () => {
    const state = await refusedFor('stale-key-version');
    const { notBefore } = state.conversations.get(scene.id)!.hold!;
    expect(todosHere(state, notBefore! - 1)).toEqual(['wait']);
    expect(todosHere(state, notBefore!)).toEqual(['prepare']);
  });

  it('for an emulation epoch that a text does not name goes out again after a pause', async () => {
    const state = await refusedFor('stale-emulation-epoch');
    const { notBefore } = state.conversations.get(scene.id)!.hold!;
    expect(todosHere(state, notBefore! - 1)).toEqual(['wait']);
    expect(todosHere(state, notBefore!)).toEqual(['prepare']);
  });

  it('is made again after a pause when it is a new conversation', async () => {
    const groupId = random(16);
    const members = [{ accountId: random(16), username: 'dora' }];
    const command = { command: 'startConversation', groupId, members, title: '' } as const;
    const asked = await taken(stateOf(scene.laptop), { type: 'command', command });
    const conversationId = Buffer.from(groupId).toString('hex');
    const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId } });
    const request = made.conversations.get(conversationId)!.pending!.submission;
    const problem = { type: 'stale-key-version', status: 409, retryAfter: undefined, accountId: undefined } as const;
    const answer = { outcome: 'refused', problem } as const;
    const state = await taken(made, { type: 'answer', call: 'submit', request, answer, conversationId });
    const { notBefore } = state.conversations.get(conversationId)!.hold!;
    const todos = (now: number): string[] =>
      todosOf(state, now).flatMap((todo) => (todo.lane === `conversation/${conversationId}` ? [todo.do] : []));
    expect([todos(notBefore! - 1), todos(notBefore!)]).toEqual([['wait'], ['prepare']]);
  });
});

describe('names of accounts', () => {
  const accountIds = [random(16), random(16)];
  const [known, unknown] = accountIds.map((accountId) => Buffer.from(accountId).toString('hex'));

  const told = (answer: DeliveryAnswer<'describe-accounts'>): Promise<EngineState> => {
    const request = { accountIds };
    return taken(stateOf(scene.laptop), { type: 'answer', call: 'describe-accounts', request, answer, conversationId: undefined });
  };

  it('are learned beside one that the server does not know, which is asked for no more', async () => {
    const { contacts } = await told({ outcome: 'done', value: { accounts: [{ accountId: accountIds[0]!, username: 'dora' }] } });
    expect([contacts.get(known!), contacts.get(unknown!)]).toEqual(['dora', '']);
  });

  it('stay unknown when the server asks to wait, and are asked for again', async () => {
    const problem = { type: 'rate-limited', status: 429, retryAfter: 1000, accountId: undefined } as const;
    const { contacts } = await told({ outcome: 'refused', problem });
    expect([contacts.has(known!), contacts.has(unknown!)]).toEqual([false, false]);
  });
});

describe('a message of the emulation group that comes back as one that nobody can read', () => {
  it('is made anew at once, then after pauses that grow', async () => {
    const wanting = stateOf(scene.laptop);
    const emulation = wanting.emulation!;
    let state: EngineState = { ...wanting, emulation: { ...emulation, removal: { ...emulation.removal, keyDue: true } } };
    const pauses: number[] = [];
    for (let time = 1; time <= 4; time++) {
      state = await taken(state, { type: 'prepare', what: { kind: 'account-key' } }, state.emulation!.hold?.notBefore);
      const { kind, epoch, message, messageId } = state.emulation!.pending!.submission;
      const broken = message.map((byte, at) => (at === message.length - 1 ? byte ^ 1 : byte));
      state = (await take(state, entryFor(state, emulation.groupId, { kind, epoch, message: broken, messageId }))).state;
      expect(state.emulation!.pending).toBeUndefined();
      pauses.push(state.emulation!.hold!.pause);
    }
    expect(pauses).toEqual([0, 2_000, 4_000, 8_000]);
  });
});

describe('a pause of all that is to be said in a conversation', () => {
  const held = (state: EngineState, hold: Partial<NonNullable<Conversation['hold']>>): EngineState => {
    const conversation = { ...state.conversations.get(scene.id)!, hold: { ...NO_HOLD, textsToo: true, ...hold } };
    return { ...state, conversations: new Map(state.conversations).set(scene.id, conversation) };
  };
  const lane = (state: EngineState, now: number): unknown[] =>
    todosOf(state, now).filter((todo) => todo.lane === `conversation/${scene.id}`);

  it('is not a year long because the clock was a year ahead when it began', async () => {
    const send = { command: 'send', conversationId: scene.id, messageId: random(16), text: 'soon' } as const;
    const asked = await taken(stateOf(scene.laptop), { type: 'command', command: send });
    const now = 1_000_000_000_000;
    expect(lane(held(asked, { notBefore: now + 300_000, pause: 300_000 }), now)).toMatchObject([{ do: 'wait' }]);
    expect(lane(held(asked, { notBefore: now + 365 * 86_400_000, pause: 300_000 }), now)).toMatchObject([{ do: 'prepare' }]);
  });

  it('is over when one of ours has come back, and the next one begins as short as the first', async () => {
    const { id: conversationId, groupId } = scene;
    const send = { command: 'send', conversationId, messageId: random(16), text: 'back' } as const;
    const asked = await taken(stateOf(scene.laptop), { type: 'command', command: send });
    const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId } });
    const paused = held(made, { notBefore: 1, pause: 256_000, collisions: 24 });
    const { submission } = paused.conversations.get(conversationId)!.pending!;
    const after = await taken(paused, entryFor(paused, groupId, submission));
    expect(after.conversations.get(conversationId)!.hold).toBeUndefined();
  });
});

describe('an external join that the server has no GroupInfo for', () => {
  it('is tried again after seconds at first, and longer each time up to minutes', async () => {
    const { id: conversationId, groupId } = scene;
    const joinIn = (state: EngineState): ReturnType<typeof newJoin> => state.externalJoins.get(conversationId)!;
    const now = stateOf(scene.laptop).emulation!.renewal.at;
    let state: EngineState = {
      ...stateOf(scene.laptop),
      externalJoins: new Map([[conversationId, { ...newJoin(groupId), announcedBy: 0 }]]),
    };
    const request = { groupId, epoch: undefined };
    const problem = { type: 'internal' as const, status: 500, retryAfter: undefined, accountId: undefined };
    const answer = { outcome: 'refused', problem } as const;
    const pauses: number[] = [];
    for (let tries = 0; tries < 9; tries++) {
      state = await taken(state, { type: 'answer', call: 'fetch-group', request, answer, conversationId }, now);
      const { pause, notBefore } = joinIn(state);
      expect(notBefore).toBeGreaterThanOrEqual(now + pause);
      pauses.push(pause);
    }
    expect(pauses).toEqual([2_000, 4_000, 8_000, 16_000, 32_000, 64_000, 128_000, 256_000, 300_000]);
  });
});
