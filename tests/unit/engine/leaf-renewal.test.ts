import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { toHex } from '../../../src/bytes/index.ts';
import { howToRenew, isLeisurely, isProposed, pathDueAt, queueLeafUpdate, UPDATE_PATIENCE } from '../../../src/engine/leaf-renewal.ts';
import type { Conversation, EmulationState, EngineState, PendingUpdate } from '../../../src/engine/state.ts';
import type { Proposal } from '../../../src/mls/index.ts';
import { Turn } from '../../../src/engine/turn.ts';
import { allocate } from '../../../src/engine/virtual-leaf.ts';
import { committed } from '../../support/engine-forgery.ts';
import { entryFor, playScene, random, stateOf, take, taken, type Scene } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

// When a leaf is renewed by an Update and when by a path.

const world = new EngineWorld();
let scene: Scene;
let state: EngineState;
let conversation: Conversation;

beforeAll(async () => {
  scene = await playScene(world);
  state = stateOf(scene.laptop);
  conversation = state.conversations.get(scene.id)!;
});

afterAll(() => world.close());

const ask = (changed: Partial<Conversation>, of = state): string =>
  howToRenew(of.account!, of.emulation!, { ...conversation, ...changed }, of.groups.get(scene.id)!);

function pending(at: number, of = state): PendingUpdate {
  return { operation: allocate(new Turn(of, random, Date.now())), encryptionKey: random(32), at };
}

/** A regular renewal by this device that asks for leaves of this emulation epoch. */
const renewing = (epoch: bigint): EmulationState => ({
  ...state.emulation!,
  renewal: { ...state.emulation!.renewal, epoch, by: state.emulation!.group.ownLeaf, leisurely: true },
});

const queued = (turn: Turn): string[] => turn.conversation(scene.id).queue.map(({ kind }) => kind);

describe('a leaf that is to be renewed at leisure', () => {
  it('gets an Update where another member could commit it', () => {
    expect(ask({})).toBe('update');
  });

  it('gets a path where nobody could, where it must not stay, and where a commit is due anyway', async () => {
    expect(ask({ members: conversation.members.slice(0, 1) })).toBe('path');
    expect(ask({ refusedCommit: 3 })).toBe('path');
    expect(ask({ keyVersion: 0 })).toBe('path');
    const below = { ...state.emulation!, floor: { ...state.emulation!.floor, epoch: state.emulation!.group.context.epoch + 1n } };
    expect(ask({}, { ...state, emulation: below })).toBe('path');
    const turn = new Turn(stateOf(scene.ben), random, Date.now());
    queueLeafUpdate(turn, scene.id);
    const made = await taken(turn.state, { type: 'prepare', what: { kind: 'message', conversationId: scene.id } });
    const { kind, epoch, message } = made.conversations.get(scene.id)!.pending!.submission;
    const seen = await taken(stateOf(scene.laptop), entryFor(state, scene.groupId, { kind, epoch, message }));
    expect(ask({}, seen)).toBe('path');
  });

  it('gets a path where the epoch has ended without the Update: who commits there may never take one', async () => {
    const turn = new Turn(stateOf(scene.laptop), random, Date.now());
    queueLeafUpdate(turn, scene.id);
    const made = await taken(turn.state, { type: 'prepare', what: { kind: 'message', conversationId: scene.id } });
    const { kind, epoch, message, messageId } = made.conversations.get(scene.id)!.pending!.submission;
    let mine = await taken(made, entryFor(made, scene.groupId, { kind, epoch, message, messageId }));
    mine = await taken(mine, entryFor(mine, scene.groupId, (await committed(stateOf(scene.ben), scene.id, [])).sent));
    const after = mine.conversations.get(scene.id)!;
    expect(after.updates).toEqual([]);
    expect(ask(after, mine)).toBe('path');
    const emulation = renewing(mine.emulation!.group.context.epoch);
    expect(isLeisurely(mine.account!, emulation, after)).toBe(false);
    // The path is a new beginning.
    const own = await committed(mine, scene.id, []);
    const renewed = await taken(own.state, entryFor(own.state, scene.groupId, own.sent));
    const again = renewed.conversations.get(scene.id)!;
    expect(ask(again, renewed)).toBe('update');
    expect(isLeisurely(renewed.account!, emulation, again)).toBe(true);
  });

  it('gets nothing more while an Update waits that does it, and a path while only one from before the renewal does', () => {
    const updates = [pending(0)];
    expect(ask({ updates })).toBe('nothing');
    const emulation = renewing(state.emulation!.group.context.epoch + 1n);
    expect(isProposed(state.account!, state.emulation!, { ...conversation, updates })).toBe(true);
    expect(isProposed(state.account!, emulation, { ...conversation, updates })).toBe(false);
    // In the log it is among the group's proposals too.
    const own = state.groups.get(scene.id)!;
    const sender = { senderType: 'member', leafIndex: own.ownLeaf } as const;
    const proposal: Proposal = { proposalType: 'remove', remove: { removed: 1 } };
    const group = { ...own, proposals: [{ reference: random(32), proposal, sender }] };
    expect(ask({ updates }, { ...state, emulation, groups: new Map([[scene.id, group]]) })).toBe('path');
  });

  it('is asked for once, and not where the device is not in the group', () => {
    const turn = new Turn(state, random, Date.now());
    queueLeafUpdate(turn, scene.id);
    queueLeafUpdate(turn, scene.id);
    expect(queued(turn)).toEqual(['update']);
    for (const left of ['left', 'out-of-step', 'creating'] as const) {
      const outside = new Turn({ ...state, conversations: new Map([[scene.id, { ...conversation, state: left }]]) }, random, Date.now());
      queueLeafUpdate(outside, scene.id);
      expect(queued(outside)).toEqual([]);
    }
  });

  it('is one of a renewal that this device began without anybody waiting, and it is not below the floor', () => {
    const { account } = state;
    const leisurely = renewing(1n);
    expect(isLeisurely(account!, leisurely, conversation)).toBe(true);
    expect(isLeisurely(account!, { ...leisurely, renewal: { ...leisurely.renewal, leisurely: false } }, conversation)).toBe(false);
    expect(isLeisurely(account!, { ...leisurely, floor: { ...leisurely.floor, epoch: 1n << 32n } }, conversation)).toBe(false);
    expect(isLeisurely({ ...account!, keyVersion: 2 }, leisurely, conversation)).toBe(false);
    expect(isLeisurely(account!, leisurely, { ...conversation, updates: [pending(0)] })).toBe(false);
  });
});

describe('a pending Update', () => {
  it('is waited for an hour by who made it and two by its siblings, the oldest counting', () => {
    const updates = [pending(5_000), pending(1_000)];
    const { emulatorLeaf } = updates[0]!.operation;
    expect(pathDueAt({ ...conversation, updates }, emulatorLeaf)).toBe(1_000 + UPDATE_PATIENCE);
    expect(pathDueAt({ ...conversation, updates }, emulatorLeaf + 1)).toBe(1_000 + 2 * UPDATE_PATIENCE);
    expect(pathDueAt(conversation, emulatorLeaf)).toBeUndefined();
  });

  it('keeps its emulation epoch alive, which goes when the Update does', async () => {
    const before = stateOf(scene.laptop);
    const turn = new Turn(before, random, Date.now());
    const operation = allocate(turn);
    const updates = [{ operation, encryptionKey: random(32), at: 0 }];
    const epochId = toHex(operation.epochId);
    const apart: Partial<Conversation> = { leaf: undefined, pastLeaves: [], updates };
    const held: EngineState = {
      ...turn.state,
      keyPackages: new Map(),
      conversations: new Map([[scene.id, { ...conversation, ...apart }]]),
      emulation: { ...turn.state.emulation!, currentEpochId: [...turn.state.emulation!.epochs.keys()].find((id) => id !== epochId)! },
    };
    const kept = await take(held, { type: 'prepare', what: { kind: 'forget-past' } });
    expect([...kept.state.emulation!.epochs.keys()]).toContain(epochId);
    const over = { ...held, conversations: new Map([[scene.id, { ...conversation, ...apart, updates: [] }]]) };
    const gone = await take(over, { type: 'prepare', what: { kind: 'forget-past' } });
    expect([...gone.state.emulation!.epochs.keys()]).not.toContain(epochId);
  });
});
