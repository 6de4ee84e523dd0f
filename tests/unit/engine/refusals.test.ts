import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EMULATION_PROTOCOL, GROUP_SUITE } from '../../../src/engine/protocol.ts';
import type { EngineState, WorkItem } from '../../../src/engine/state.ts';
import { allocate, currentEpoch } from '../../../src/engine/virtual-leaf.ts';
import { findLeaf, MAX_MESSAGE_LENGTH, memberLeaves, open, type GroupState } from '../../../src/mls/index.ts';
import {
  allocateOperation,
  derivePathSecret,
  sealDerivationInfo,
  type EmulationEpoch,
  type Operation,
} from '../../../src/virtual-client/index.ts';
import { committed, createdBy, pathOf, publicKeyOf } from '../../support/engine-forgery.ts';
import {
  differences,
  entryFor,
  playScene,
  random,
  stateOf,
  take,
  taken,
  written,
  type Incoming,
  type Scene,
} from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

// Each test hands one device's step what an attacker could have put into the log, and looks at what changed.

const world = new EngineWorld();
let scene: Scene;
let id: string;
let groupId: Uint8Array;

beforeAll(async () => {
  scene = await playScene(world);
  ({ id, groupId } = scene);
});

afterAll(() => world.close());

const laptop = (): EngineState => stateOf(scene.laptop);
const phone = (): EngineState => stateOf(scene.phone);
const ben = (): EngineState => stateOf(scene.ben);
const group = (state: EngineState): GroupState => state.groups.get(id)!;

/** What the message of `sent` does to `receiver`: it is refused with the code, and nothing but the place read changed. */
async function expectRefused(receiver: EngineState, sent: Incoming, code: unknown): Promise<EngineState> {
  const result = await take(receiver, entryFor(receiver, groupId, sent));
  expect(result.refused.map((refusal) => refusal.code)).toEqual([code]);
  expect(differences(receiver, result)).toEqual([]);
  expect(result.notifications).toEqual([]);
  return result.state;
}

describe('a message that is not what it claims to be is refused, and the genuine one is read afterwards', () => {
  it('replayed', async () => {
    const { sent } = await written(laptop(), id, 'once');
    const read = await taken(ben(), entryFor(ben(), groupId, sent));
    await expectRefused(read, sent, 'message-key-gone');
  });

  it('truncated at any place, or with a byte behind it', async () => {
    const { sent } = await written(laptop(), id, 'whole');
    const receiver = ben();
    for (let length = 0; length < sent.message.length; length += 5) {
      await expectRefused(receiver, { ...sent, message: sent.message.slice(0, length) }, expect.any(String));
    }
    await expectRefused(receiver, { ...sent, message: Uint8Array.of(...sent.message, 0) }, 'trailing-bytes');
    await taken(receiver, entryFor(receiver, groupId, sent));
  });

  it('with any bit of any byte turned', async () => {
    const { sent } = await written(laptop(), id, 'whole');
    const receiver = ben();
    for (let index = 0; index < sent.message.length; index += 1) {
      const message = sent.message.slice();
      message[index]! ^= 1 << (index % 8);
      await expectRefused(receiver, { ...sent, message }, expect.any(String));
    }
    await taken(receiver, entryFor(receiver, groupId, sent));
  });

  it('with any bit of a commit turned', async () => {
    const { state, sent } = await committed(laptop(), id, []);
    const receiver = ben();
    for (let index = 0; index < sent.message.length; index += 13) {
      const message = sent.message.slice();
      message[index]! ^= 1 << (index % 8);
      await expectRefused(receiver, { ...sent, message }, expect.any(String));
    }
    const followed = await taken(receiver, entryFor(receiver, groupId, sent));
    expect(group(followed).context.epoch).toBe(group(state).context.epoch + 1n);
  });

  it('longer than any message of a group is', async () => {
    const { sent } = await written(laptop(), id, 'long');
    await expectRefused(ben(), { ...sent, message: new Uint8Array(MAX_MESSAGE_LENGTH + 1) }, 'message-too-long');
  });

  it('announced as another kind', async () => {
    const { sent } = await written(laptop(), id, 'a text');
    await expectRefused(ben(), { ...sent, kind: 'commit' }, 'wrong-kind');
  });

  it('out of another group', async () => {
    const { sent } = await written(laptop(), id, 'here');
    const other = sent.message.slice();
    other.set(random(4), Buffer.from(other).indexOf(groupId));
    await expectRefused(ben(), { ...sent, message: other }, 'wrong-group');
  });
});

describe('what a device has written, when the server has made it lose step', () => {
  async function outOfStep(): Promise<{ state: EngineState; sent: Incoming }> {
    const { state, sent } = await written(laptop(), id, 'mine');
    const { state: lost } = await take(state, entryFor(state, groupId, { ...sent, messageId: random(16), position: 1_000 }));
    expect(lost.conversations.get(id)!.state).toBe('out-of-step');
    return { state: lost, sent: { ...sent, position: 1_001 } };
  }

  it('is not gone when something else comes under its name, but shown as not sent', async () => {
    const { state, sent } = await outOfStep();
    const result = await take(state, entryFor(state, groupId, { ...sent, message: random(200) }));
    expect(result.lines).toEqual([]);
    expect(result.state.conversations.get(id)!.queue).toMatchObject([{ kind: 'text', text: 'mine', problem: 'refused-by-ourselves' }]);
  });

  it('is a line when it comes, also if it was to be made anew', async () => {
    const { state, sent } = await outOfStep();
    const conversation = state.conversations.get(id)!;
    const queue = conversation.awaitingEcho.map(({ item }) => ({ ...item, unanswered: true }) as WorkItem);
    const anew = { ...state, conversations: new Map([[id, { ...conversation, awaitingEcho: [], queue }]]) };
    for (const [waiting, message] of [
      [state, sent.message],
      [anew, random(200)],
    ] as const) {
      const result = await take(waiting, entryFor(waiting, groupId, { ...sent, message }));
      expect(result.lines).toMatchObject([{ message: { kind: 'text', text: 'mine' } }]);
      expect(result.state.conversations.get(id)).toMatchObject({ queue: [], awaitingEcho: [] });
    }
  });
});

/** The commit is taken by ben, who cannot know better, and the sibling refuses it: it can follow the group no more, and spends nothing. */
async function expectNotFollowed(sent: Incoming, code: string): Promise<void> {
  const receiver = phone();
  const result = await take(receiver, entryFor(receiver, groupId, sent));
  expect(result.refused.map((refusal) => refusal.code)).toEqual([code]);
  expect(result.state.conversations.get(id)!.state).toBe('out-of-step');
  expect(result.state.emulation).toBe(receiver.emulation);
  expect(result.state.keyPackages).toBe(receiver.keyPackages);
  expect(result.lines).toEqual([]);
  await taken(ben(), entryFor(ben(), groupId, sent));
}

describe('a sibling’s commit', () => {
  it('is followed when it is honest', async () => {
    const { sent } = await committed(laptop(), id, []);
    await taken(phone(), entryFor(phone(), groupId, sent));
  });

  it('is refused when its leaf’s keys do not match its DerivationInfo', async () => {
    const { sent } = await committed(laptop(), id, [], ({ leaf }, turn) => {
      const [told, used] = [allocate(turn), allocate(turn)];
      return pathOf(leaf, used, sealDerivationInfo(EMULATION_PROTOCOL, currentEpoch(turn), told, publicKeyOf(used)));
    });
    await expectNotFollowed(sent, 'leaf-keys-mismatch');
  });

  it('is refused when the path is not the one that the operation gives', async () => {
    const { sent } = await committed(laptop(), id, [], ({ leaf, own }, turn) => ({
      leaf,
      own: { ...own, pathSecret: derivePathSecret(EMULATION_PROTOCOL, allocate(turn), GROUP_SUITE) },
    }));
    await expectNotFollowed(sent, 'leaf-keys-mismatch');
  });

  it('is refused when its leaf comes from an older emulation epoch than the active one', async () => {
    const { sent } = await committed(laptop(), id, [], ({ leaf }, turn) => {
      const older = [...turn.emulation().epochs.values()].find(({ epoch }) => epoch < currentEpoch(turn).epoch)!;
      const { value } = allocateOperation(EMULATION_PROTOCOL, older, random);
      return pathOf(leaf, value, sealDerivationInfo(EMULATION_PROTOCOL, older, value, publicKeyOf(value)));
    });
    await expectNotFollowed(sent, 'stale-emulation-epoch');
  });

  it('is refused when it names an emulation epoch that nobody knows', async () => {
    const { sent } = await committed(laptop(), id, [], ({ leaf }, turn) => {
      const operation = { ...allocate(turn), epochId: random(32) as Operation['epochId'] };
      const epoch: EmulationEpoch = { ...currentEpoch(turn), epochId: operation.epochId };
      return pathOf(leaf, operation, sealDerivationInfo(EMULATION_PROTOCOL, epoch, operation, publicKeyOf(operation)));
    });
    await expectNotFollowed(sent, 'unknown-emulation-epoch');
  });

  it('is refused when its DerivationInfo was taken from another leaf', async () => {
    const { sent } = await committed(laptop(), id, [], ({ leaf }, turn) => {
      const [first, second] = [allocate(turn), allocate(turn)];
      return pathOf(leaf, second, sealDerivationInfo(EMULATION_PROTOCOL, currentEpoch(turn), first, publicKeyOf(first)));
    });
    await expectNotFollowed(sent, 'derivation-info-not-ours');
  });

  it('is refused, and any other leaf too, when its operation was used before', async () => {
    let operation: Operation | undefined;
    const { sent } = await committed(laptop(), id, [], ({ leaf }, turn) => {
      operation = allocate(turn);
      return pathOf(leaf, operation, sealDerivationInfo(EMULATION_PROTOCOL, currentEpoch(turn), operation, publicKeyOf(operation)));
    });
    const fresh = phone();
    const followed = await taken(phone(), entryFor(phone(), groupId, sent));
    const again = await createdBy(laptop(), operation!);
    for (const [receiver, refused] of [
      [fresh, []],
      [followed, ['leaf-punctured']],
    ] as const) {
      const result = await take(receiver, entryFor(receiver, again.groupId, { kind: 'creation', epoch: 0, position: 0, ...again }));
      expect(result.refused.map(({ code }) => code)).toEqual(refused);
      if (refused.length > 0) expect(differences(receiver, result)).toEqual([]);
    }
  });
});

describe('a member that was removed', () => {
  it('reads nothing that is said afterwards, even if it keeps what it had', async () => {
    const removed = findLeaf(group(laptop()), ({ signaturePublicKey }) =>
      Buffer.from(signaturePublicKey).equals(ben().account!.signatureKey),
    )!;
    const { sent } = await committed(laptop(), id, [{ proposalType: 'remove', remove: { removed } }]);
    const without = await taken(laptop(), entryFor(laptop(), groupId, sent));
    expect(memberLeaves(group(without))).toHaveLength(1);
    const later = await written(without, id, 'without ben');
    // Ben's own client lets go.
    const left = await taken(ben(), entryFor(ben(), groupId, sent));
    expect(left.conversations.get(id)!.state).toBe('left');
    expect(left.groups.has(id)).toBe(false);
    const after = await take(left, entryFor(left, groupId, later.sent));
    expect(after.lines).toEqual([]);
    // One that does not let go has no key.
    await expect(open(GROUP_SUITE, group(ben()), later.sent.message)).rejects.toMatchObject({ code: 'unknown-epoch' });
  });
});
