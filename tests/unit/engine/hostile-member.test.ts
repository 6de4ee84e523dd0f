import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { CONVERSATION_COMPONENT } from '../../../src/engine/content.ts';
import { decodeKeyPackage } from '../../../src/engine/key-package-messages.ts';
import { GROUP_SUITE } from '../../../src/engine/protocol.ts';
import { buildUpdateLeaf, propose, setComponent, type Proposal } from '../../../src/mls/index.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { groupInfo, privateMessage } from '../../support/mls-headers.ts';
import { eventually } from '../../support/eventually.ts';

let world: EngineWorld;
let anna: TestDevice;
let ben: TestDevice;
let id: string;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
  anna = await world.person('anna');
  ben = await world.person('ben');
  await world.person('cara');
  id = await anna.startConversation(['ben'], 'club');
  await anna.send(id, 'one');
  await ben.texts(id, 1);
});

afterEach(() => world.close());

const bytes = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

/** Ben, who wrote a client of his own, sends a proposal. */
async function benProposes(make: (hands: Awaited<ReturnType<TestDevice['hands']>>) => Promise<Proposal>): Promise<void> {
  const hands = await ben.hands();
  const group = await hands.group(id);
  ben.stop();
  const { value } = await propose(GROUP_SUITE, group, await make(hands), {
    signer: hands.signer,
    authenticatedData: new Uint8Array(),
    guard: () => bytes(4),
    wireFormat: 'private',
  });
  await hands.ask('submit', {
    groupId: group.context.groupId,
    messageId: bytes(16),
    kind: 'proposal',
    epoch: Number(group.context.epoch),
    message: value.message,
    generation: { ratchetType: 'handshake', generationId: bytes(32) },
    fence: await hands.fence(),
    commit: undefined,
  });
}

describe('a member with a client of its own', () => {
  it('proposes an Add that nobody can route: messages still go out, and no requests pile up', async () => {
    await benProposes(async (hands) => {
      const { accountId } = await hands.ask('find-account', { username: 'cara' });
      const { keyPackages } = await hands.ask('claim-key-packages', { claimId: bytes(16), accountIds: [accountId] });
      return { proposalType: 'add', add: { keyPackage: decodeKeyPackage(keyPackages[0]!.keyPackage) } };
    });
    await anna.send(id, 'two');
    expect(await anna.texts(id, 2)).toEqual(['one', 'two']);
    const phone = await world.link(anna, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    expect([...anna.refusals.values()].reduce((sum, count) => sum + count, 0)).toBeLessThan(5);
  });

  it('breaks the conversation’s profile: members can still be added, and the title stays', async () => {
    await benProposes(async (hands) => {
      const { context } = await hands.group(id);
      const extensions = setComponent(context.extensions, CONVERSATION_COMPONENT, Uint8Array.of(9));
      return { proposalType: 'group_context_extensions', groupContextExtensions: { extensions } };
    });
    await anna.send(id, 'two');
    await anna.addMember(id, 'cara');
    const { title } = await anna.conversation(id, ({ members }) => members.length === 3);
    expect(title).toBe('club');
  });

  it('proposes a leaf to whose key nothing can be encrypted: it is left out, and messages still go out', async () => {
    await benProposes(async (hands) => {
      const { context, ownLeaf, tree } = await hands.group(id);
      const { extensions, capabilities, credential, signaturePublicKey } = tree.occupiedLeaf(ownLeaf);
      const place = { groupId: context.groupId, leafIndex: ownLeaf };
      const template = { extensions, capabilities, credential, signaturePublicKey };
      const leafNode = await buildUpdateLeaf(GROUP_SUITE, template, new Uint8Array(32), place, hands.signer);
      return { proposalType: 'update', update: { leafNode } };
    });
    const hands = await anna.hands();
    await eventually(async () => expect((await hands.group(id)).proposals).toHaveLength(1));
    await anna.send(id, 'two');
    expect(await anna.texts(id, 2)).toEqual(['one', 'two']);
  });
});

describe('a member that commits without a pause', () => {
  it('does not keep the others from being heard: what anna writes meanwhile is in the log before the flood ends', async () => {
    let heard = false;
    let commits = 0;
    const flood = async (): Promise<void> => {
      for (; !heard && commits < 300; commits += 1) {
        const wanted = commits % 2 === 0 ? 'own' : 'none';
        const command = wanted === 'own' ? 'makeInvitation' : 'withdrawInvitation';
        await ben.do({ command, conversationId: id, messageId: bytes(16) });
        await ben.conversation(id, ({ invitation }) => invitation === wanted);
      }
    };
    const flooding = flood();
    await eventually(() => expect(commits).toBeGreaterThan(3));
    for (const text of ['two', 'three', 'four']) await anna.send(id, text);
    const texts = await ben.texts(id, 4);
    heard = true;
    await flooding;
    expect(texts).toEqual(['one', 'two', 'three', 'four']);
    expect(commits).toBeLessThan(300);
  });
});

describe('an account', () => {
  it('follows what was accepted between its state’s export and the commit that adds the new device', async () => {
    const gate = anna.holdBack('"newDevice":{');
    const linking = world.link(anna, 'phone');
    await gate.reached;
    await anna.addMember(id, 'cara');
    await anna.conversation(id, ({ members }) => members.length === 3);
    const second = await anna.startConversation(['cara']);
    await anna.send(second, 'in between');
    await anna.texts(second, 1);
    gate.open();
    const phone = await linking;
    await phone.conversation(id, ({ state, members }) => state === 'ready' && members.length === 3);
    await phone.conversation(second, ({ state }) => state === 'ready');
    expect(await phone.texts(second, 1)).toEqual(['in between']);
  });

  it('stays reachable when an upload’s answer is lost and a Welcome uses one of the KeyPackages meanwhile', async () => {
    const dora = world.device();
    dora.loseAnswers('/v1/key-packages');
    await dora.do({ command: 'createAccount', username: 'dora', deviceName: 'desk' });
    const first = await anna.startConversation(['dora']);
    await anna.send(first, 'hello');
    await dora.texts(first, 1);
    dora.loseAnswers(undefined);
    await eventually(async () => expect(await dora.store.get('uploads')).toBeUndefined());
  });
});

describe('a commit that every honest member refuses', () => {
  it('does not end the conversation: the next one names it and counts', async () => {
    const hands = await ben.hands();
    const group = await hands.group(id);
    const epoch = Number(group.context.epoch);
    const { groupId } = group.context;
    const garbage = {
      groupId,
      messageId: bytes(16),
      kind: 'commit' as const,
      epoch,
      message: privateMessage(groupId, epoch, 'commit', 'nothing that anybody could open, of a commit’s length'),
      generation: { ratchetType: 'handshake' as const, generationId: bytes(32) },
      fence: await hands.fence(),
      commit: {
        adds: [],
        removes: [],
        welcome: undefined,
        groupInfo: groupInfo(groupId, epoch + 1),
        announces: [],
        newDevice: undefined,
        recoveryKey: undefined,
        invitation: undefined,
        invited: undefined,
        devices: undefined,
        refuses: undefined,
      },
    };
    await hands.ask('submit', garbage);
    await anna.send(id, 'two');
    expect(await anna.texts(id, 2)).toEqual(['one', 'two']);
    expect(await ben.texts(id, 2)).toEqual(['one', 'two']);
    await ben.send(id, 'three');
    expect(await anna.texts(id, 3)).toEqual(['one', 'two', 'three']);
  });
});
