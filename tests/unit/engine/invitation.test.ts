import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fromBase64Url, fromHex, toHex } from '../../../src/bytes/index.ts';
import { externalInitOf } from '../../../src/engine/external-join.ts';
import {
  decodeInvitationCode,
  encodeInvitationCode,
  makeInvitationSeed,
  signInvitationRequest,
  signInvitedJoin,
  withInvitationKey,
  type InvitationSeed,
} from '../../../src/engine/invitation-link.ts';
import { GROUP_SUITE } from '../../../src/engine/protocol.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { Turn } from '../../../src/engine/turn.ts';
import type { MessageView } from '../../../src/engine/view.ts';
import { allocate, prepareLeaf } from '../../../src/engine/virtual-leaf.ts';
import { externalCommit } from '../../../src/mls/index.ts';
import { committed } from '../../support/engine-forgery.ts';
import { differences, entryFor, random, settle, stateOf, take, type Incoming } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

/** Longer than any device waits before it finishes what another one has begun, ms. */
const LATER = 120_000;

const textsOf = (messages: readonly MessageView[], kind: MessageView['kind']): string[] =>
  messages.filter((message) => message.kind === kind).map(({ text }) => text);

const reads = (device: TestDevice, id: string, text: string): Promise<MessageView[]> =>
  device.messages(id, (all) => all.some((message) => message.text === text && message.position !== undefined));

const namesIn = async (device: TestDevice, id: string): Promise<string[]> =>
  (await device.conversation(id, ({ members }) => members.every(({ username }) => username !== 'unknown'))).members
    .map(({ username }) => username)
    .sort();

/** The link, as soon as the device can show it. */
const codeOf = (device: TestDevice, id: string): Promise<string> =>
  device.conversation(id, ({ invitation }) => invitation === 'own').then(async () => (await device.runtime.invitationCode(id))!);

async function makeLink(device: TestDevice, id: string): Promise<string> {
  await device.do({ command: 'makeInvitation', conversationId: id, messageId: random(16) });
  return codeOf(device, id);
}

async function annaAndBen(): Promise<{ anna: TestDevice; ben: TestDevice; id: string }> {
  const anna = await world.person('anna');
  const ben = await world.person('ben');
  const id = await anna.startConversation(['ben'], 'Choir');
  await anna.send(id, 'before the link');
  await reads(ben, id, 'before the link');
  return { anna, ben, id };
}

/** Stops the device as soon as the server has taken its external commit, or (`announced`) its message to the emulation group that comes first. */
function diesAfter(device: TestDevice, isIt: (message: Uint8Array, groupId: string) => boolean): Promise<void> {
  return new Promise((resolve) => {
    device.intercept = async (path, body, carryOut) => {
      const response = await carryOut();
      const group = /^\/v1\/groups\/([^/]+)\/messages$/.exec(path)?.[1];
      if (group === undefined || !response.ok) return response;
      if (!isIt(fromBase64Url((JSON.parse(body) as { message: string }).message), toHex(fromBase64Url(group)))) return response;
      device.intercept = (_path, _body, next) => next();
      device.stop();
      resolve();
      return response;
    };
  });
}

/** MLSMessage: version, then wire_format, 1 for a PublicMessage. */
const isExternal = (message: Uint8Array): boolean => message[3] === 1;

describe('an invitation by link', () => {
  it('brings an account with all its devices into a group that none of them was in', async () => {
    const { anna, ben, id } = await annaAndBen();
    const cora = await world.person('cora');
    const tablet = await world.link(cora, 'tablet');
    const code = await makeLink(anna, id);
    expect(await cora.runtime.openInvitation(code)).toMatchObject({ ok: true, invitation: { title: 'Choir', count: 2, joined: false } });
    await cora.do({ command: 'joinByInvitation', code });
    for (const device of [cora, tablet]) await device.conversation(id, ({ state, title }) => state === 'ready' && title === 'Choir');
    await tablet.send(id, 'from the tablet');
    await ben.send(id, 'welcome');
    for (const device of [anna, ben, cora, tablet]) for (const text of ['from the tablet', 'welcome']) await reads(device, id, text);
    for (const device of [anna, ben, cora, tablet]) expect(await namesIn(device, id)).toEqual(['anna', 'ben', 'cora']);
    const seenByBen = textsOf(await reads(ben, id, 'welcome'), 'event');
    expect(seenByBen.slice(-2)).toEqual(['anna made a link to this conversation. Who has it can join.', 'cora joined by a link']);
    expect(textsOf(await reads(cora, id, 'welcome'), 'text')).not.toContain('before the link');
    for (const device of [cora, tablet]) expect(stateOf(await device.store.load('')).externalJoins.size).toBe(0);
    expect(await cora.runtime.command({ command: 'joinByInvitation', code })).toEqual({ ok: false, problem: 'already-member' });
  });

  it('is known to every device of the account that made it, and gone from all of them when it is withdrawn', async () => {
    const { anna, ben, id } = await annaAndBen();
    const phone = await world.link(anna, 'phone');
    await phone.conversation(id, ({ state }) => state === 'ready');
    const code = await makeLink(anna, id);
    expect(await codeOf(phone, id)).toBe(code);
    await ben.conversation(id, ({ invitation }) => invitation === 'other');
    expect(await ben.runtime.invitationCode(id)).toBeUndefined();
    const seed = Buffer.from(decodeInvitationCode(code)!.seed.reveal());
    const holds = async (device: TestDevice): Promise<boolean> =>
      [...(await device.store.load('')).values()].some((record) => Buffer.from(record).includes(seed));
    expect(await Promise.all([anna, phone, ben].map(holds))).toEqual([true, true, false]);
    await ben.do({ command: 'withdrawInvitation', conversationId: id, messageId: random(16) });
    for (const device of [anna, phone]) await device.conversation(id, ({ invitation }) => invitation === 'none');
    await settle(anna, phone, ben);
    expect(await Promise.all([anna, phone, ben].map(holds))).toEqual([false, false, false]);
    const cora = await world.person('cora');
    expect(await cora.runtime.openInvitation(code)).toEqual({ ok: false, problem: 'invitation-over' });
  });

  it('is good no more when another one has taken its place, or a member was removed', async () => {
    const { anna, ben, id } = await annaAndBen();
    const cora = await world.person('cora');
    const first = await makeLink(anna, id);
    await anna.do({ command: 'makeInvitation', conversationId: id, messageId: random(16) });
    await anna.conversation(id, ({ pendingChanges }) => pendingChanges.length === 0);
    const second = await codeOf(anna, id);
    expect(await cora.runtime.openInvitation(first)).toEqual({ ok: false, problem: 'invitation-over' });
    expect(await cora.runtime.openInvitation(second)).toMatchObject({ ok: true });
    const { account } = await ben.runtime.state();
    await anna.do({ command: 'removeMember', conversationId: id, accountId: account!.accountId });
    await ben.conversation(id, ({ state }) => state === 'left');
    await anna.conversation(id, ({ invitation }) => invitation === 'none');
    expect(await ben.runtime.openInvitation(second)).toEqual({ ok: false, problem: 'invitation-over' });
    // A newer one lets back in who has it.
    const third = await makeLink(anna, id);
    await ben.do({ command: 'joinByInvitation', code: third });
    await ben.conversation(id, ({ state }) => state === 'ready');
    await ben.send(id, 'back again');
    await reads(anna, id, 'back again');
  });

  it('is used by two at once, one after the other', async () => {
    const { anna, ben, id } = await annaAndBen();
    const code = await makeLink(anna, id);
    const guests = [await world.person('cora'), await world.person('dora')];
    await Promise.all(guests.map((guest) => guest.do({ command: 'joinByInvitation', code })));
    for (const guest of guests) await guest.conversation(id, ({ state }) => state === 'ready');
    await guests[0]!.send(id, 'all here');
    for (const device of [anna, ben, ...guests]) await reads(device, id, 'all here');
    expect(await namesIn(ben, id)).toEqual(['anna', 'ben', 'cora', 'dora']);
  });

  it('that is over by the time of joining is reported to who asked, and leaves nothing to do', async () => {
    const { anna, id } = await annaAndBen();
    const code = await makeLink(anna, id);
    const cora = await world.person('cora');
    const tablet = await world.link(cora, 'tablet');
    await settle(cora, tablet);
    cora.goOffline();
    await cora.do({ command: 'joinByInvitation', code });
    expect(await cora.runtime.openInvitation(code)).toEqual({ ok: false, problem: 'offline' });
    await anna.do({ command: 'withdrawInvitation', conversationId: id, messageId: random(16) });
    await anna.conversation(id, ({ invitation }) => invitation === 'none');
    cora.goOnline();
    await cora.until(({ notices }) => notices.find(({ kind }) => kind === 'invitation-over'));
    expect(stateOf(await cora.store.load('')).externalJoins.size).toBe(0);
    tablet.clockAhead = LATER;
    tablet.restart();
    await eventually(async () => expect(stateOf(await tablet.store.load('')).externalJoins.size).toBe(0));
    expect((await tablet.runtime.state()).notices.some(({ kind }) => kind === 'invitation-over')).toBe(false);
  });
});

describe('a device that dies while it joins by a link', () => {
  it('is followed by its sibling when the server had taken its external commit', async () => {
    const { anna, ben, id } = await annaAndBen();
    const cora = await world.person('cora');
    const tablet = await world.link(cora, 'tablet');
    const code = await makeLink(anna, id);
    const dead = diesAfter(cora, isExternal);
    await cora.do({ command: 'joinByInvitation', code });
    await dead;
    await tablet.conversation(id, ({ state, title }) => state === 'ready' && title === 'Choir');
    await tablet.send(id, 'by the sibling');
    for (const device of [anna, ben]) await reads(device, id, 'by the sibling');
    cora.restart();
    await reads(cora, id, 'by the sibling');
  });

  it('has its join finished by its sibling when it had come no further than to say so', async () => {
    const { anna, ben, id } = await annaAndBen();
    const cora = await world.person('cora');
    const tablet = await world.link(cora, 'tablet');
    await settle(cora, tablet);
    const emulation = toHex(stateOf(await cora.store.load('')).emulation!.groupId);
    const code = await makeLink(anna, id);
    const dead = diesAfter(cora, (_message, groupId) => groupId === emulation);
    await cora.do({ command: 'joinByInvitation', code });
    await dead;
    await eventually(async () => expect(stateOf(await tablet.store.load('')).externalJoins.size).toBe(1));
    tablet.clockAhead = LATER;
    tablet.restart();
    await tablet.conversation(id, ({ state }) => state === 'ready');
    await tablet.send(id, 'finished by the sibling');
    for (const device of [anna, ben]) await reads(device, id, 'finished by the sibling');
    cora.restart();
    await reads(cora, id, 'finished by the sibling');
  });
});

describe('members, whatever the server lets through,', () => {
  /** Cora's external commit into the group, made with whatever the test has in hand. */
  async function comingIn(cora: EngineState, published: Uint8Array, authenticatedData: Uint8Array): Promise<Incoming> {
    const turn = new Turn(cora, random, Date.now());
    const operation = allocate(turn);
    const { template, own } = prepareLeaf(turn, operation, GROUP_SUITE);
    const made = await externalCommit(GROUP_SUITE, published, {
      leaf: template,
      signer: cora.account!.signer,
      own,
      externalInit: externalInitOf(operation).pair,
      checkLeaf: () => Promise.resolve(),
      authenticatedData,
      random,
      useSafeExporter: false,
    });
    return { kind: 'commit', epoch: 0, message: made.message };
  }

  it('let nobody in without the signature of the key in their group, for this account, key and epoch', async () => {
    const { anna, ben, id } = await annaAndBen();
    const cora = await world.person('cora');
    const { seed } = decodeInvitationCode(await makeLink(anna, id))!;
    await settle(anna, ben, cora);
    const { groupInfo, epoch } = await (await ben.hands()).ask('fetch-group', { groupId: fromHex(id), epoch: undefined });
    for (const device of [anna, ben, cora]) device.stop();
    const { account } = stateOf(await cora.store.load(''));
    const join = { groupId: fromHex(id), epoch: BigInt(epoch), accountId: account!.accountId, signatureKey: account!.signatureKey };
    const judgedWith = async (authenticatedData: Uint8Array): Promise<string | undefined> => {
      const [records, incoming] = [
        await ben.store.load(''),
        await comingIn(stateOf(await cora.store.load('')), groupInfo, authenticatedData),
      ];
      const state = stateOf(records);
      const result = await take(state, entryFor(state, fromHex(id), { ...incoming, epoch }));
      const code = result.refused[0]?.code;
      if (code !== undefined) expect(differences(state, result)).toEqual([]);
      return code;
    };
    const stranger: InvitationSeed = makeInvitationSeed(random);
    expect(await judgedWith(signInvitedJoin(seed, join))).toBeUndefined();
    expect(await judgedWith(new Uint8Array())).toBe('truncated');
    expect(await judgedWith(signInvitedJoin(stranger, join))).toBe('unexpected-sender');
    expect(await judgedWith(signInvitedJoin(seed, { ...join, epoch: join.epoch - 1n }))).toBe('unexpected-sender');
    expect(await judgedWith(signInvitedJoin(seed, { ...join, accountId: random(16) }))).toBe('unexpected-sender');
    expect(await judgedWith(signInvitedJoin(seed, { ...join, signatureKey: random(32) }))).toBe('unexpected-sender');
    expect(await judgedWith(signInvitedJoin(seed, { ...join, groupId: random(16) }))).toBe('unexpected-sender');
  });

  it('refuse a commit that changes their group’s context in any other way', async () => {
    const { anna, ben, id } = await annaAndBen();
    await settle(anna, ben);
    for (const device of [anna, ben]) device.stop();
    const annas = stateOf(await anna.store.load(''));
    const { extensions } = annas.groups.get(id)!.context;
    const judged = async (changed: typeof extensions): Promise<string | undefined> => {
      const proposal = { proposalType: 'group_context_extensions', groupContextExtensions: { extensions: changed } } as const;
      const { sent } = await committed(stateOf(await anna.store.load('')), id, [proposal]);
      const state = stateOf(await ben.store.load(''));
      return (await take(state, entryFor(state, fromHex(id), { ...sent, epoch: Number(state.groups.get(id)!.context.epoch) }))).refused[0]
        ?.code;
    };
    expect(await judged(withInvitationKey([...extensions], randomBytes(32)))).toBeUndefined();
    expect(await judged([])).toBe('bad-content');
    expect(await judged(withInvitationKey([...extensions], randomBytes(31)))).toBe('bad-content');
  });
});

describe('the code in a link', () => {
  it('says what it was made of, and is refused when anything of it is changed or missing', () => {
    const invitation = { groupId: random(16), seed: makeInvitationSeed(random), title: 'Chœur' };
    const code = encodeInvitationCode(invitation);
    const read = decodeInvitationCode(code)!;
    expect([read.groupId, read.title, [...read.seed.reveal()]]).toEqual([invitation.groupId, 'Chœur', [...invitation.seed.reveal()]]);
    for (let i = 0; i < code.length; i += 1) {
      expect(decodeInvitationCode(code.slice(0, i))).toBeUndefined();
      expect(decodeInvitationCode(code.slice(0, i) + (code[i] === 'A' ? 'B' : 'A') + code.slice(i + 1))).toBeUndefined();
    }
    expect(decodeInvitationCode(`${code}AAAA`)).toBeUndefined();
  });

  it('gives the server no way in: its proof is for one account, and not the members’', () => {
    const [seed, groupId, accountId, signatureKey] = [makeInvitationSeed(random), random(16), random(16), random(32)];
    const proofs = [accountId, random(16)].map((account) => toHex(signInvitationRequest(seed, groupId, account)));
    const joining = toHex(signInvitedJoin(seed, { groupId, epoch: 1n, accountId, signatureKey }));
    expect(new Set([...proofs, joining.slice(-128)]).size).toBe(3);
  });
});
