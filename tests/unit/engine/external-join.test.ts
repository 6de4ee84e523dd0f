import { randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { equal, fromBase64Url, fromHex, Secret, toBase64Url, toHex } from '../../../src/bytes/index.ts';
import { toJson } from '../../../src/delivery/frames.ts';
import { newJoin } from '../../../src/engine/external-join.ts';
import { emulatorLeafCheck } from '../../../src/engine/leaf-check.ts';
import { emulatorLeafTemplate } from '../../../src/engine/leaf-templates.ts';
import { canAddDevice } from '../../../src/engine/onboarding.ts';
import type { SequenceEntry, Submission } from '../../../src/engine/ports.ts';
import { COMPONENTS, EMULATION_PROTOCOL, EMULATION_SUITE } from '../../../src/engine/protocol.ts';
import { decodeRecord, encodeRecord } from '../../../src/engine/record-codec.ts';
import { decodeGroupRecords, groupPrefix } from '../../../src/engine/records.ts';
import { prepareNext } from '../../../src/engine/sending.ts';
import type { Conversation, EngineState } from '../../../src/engine/state.ts';
import { step, type StepResult } from '../../../src/engine/step.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { Turn } from '../../../src/engine/turn.ts';
import type { MessageView } from '../../../src/engine/view.ts';
import { commit, type Proposal } from '../../../src/mls/index.ts';
import { encodeActionAad, encodeSafeAad } from '../../../src/virtual-client/index.ts';
import { smallStateOf as stateOf, taken } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

const random = (length: number): Uint8Array => new Uint8Array(randomBytes(length));
/** Longer than any device waits before it finishes what another one has begun, ms. */
const LATER = 120_000;

interface Sent {
  readonly groupId: string;
  readonly external: boolean;
}

/** What a request submitted to a group's log; undefined for any other request. */
function submitted(path: string, body: string): Sent | undefined {
  const group = /^\/v1\/groups\/([^/]+)\/messages$/.exec(path)?.[1];
  if (group === undefined) return undefined;
  const { message } = JSON.parse(body) as { message: string };
  // MLSMessage: version, then wire_format, 1 for a PublicMessage.
  return { groupId: toHex(fromBase64Url(group)), external: fromBase64Url(message)[3] === 1 };
}

/** Calls back with each submission that the server took, before the device hears of it. */
function watch(device: TestDevice, taken: (sent: Sent) => void): void {
  device.intercept = async (path, body, carryOut) => {
    const response = await carryOut();
    const sent = submitted(path, body);
    if (sent !== undefined && response.ok) taken(sent);
    return response;
  };
}

/** External commits of a device that the server took. */
function externalCommits(device: TestDevice): Sent[] {
  const found: Sent[] = [];
  watch(device, (sent) => {
    if (sent.external) found.push(sent);
  });
  return found;
}

/** Stops the device as soon as the server has taken a submission of this kind. */
function diesAfter(device: TestDevice, isIt: (sent: Sent) => boolean): Promise<void> {
  return new Promise((resolve) => {
    watch(device, (sent) => {
      if (!isIt(sent)) return;
      watch(device, () => undefined);
      device.stop();
      resolve();
    });
  });
}

/** A device that believes to have read less of the conversation's log than it has: the next entry does not follow. */
async function loseStep(device: TestDevice, conversationId: string): Promise<void> {
  device.stop();
  await settle();
  const key = `conversation/${conversationId}`;
  const stored = decodeRecord<Conversation>((await device.store.get(key))!);
  await device.store.write({ puts: new Map([[key, encodeRecord({ ...stored, position: stored.position - 1 })]]), deletes: [] });
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 100));

const hasRejoined = (messages: readonly MessageView[]): boolean => messages.some(({ text }) => text.includes('lost step'));
const isText = ({ kind }: MessageView): boolean => kind === 'text';
const textsOf = (messages: readonly MessageView[]): string[] => messages.filter(isText).map(({ text }) => text);
const eventsOf = (messages: readonly MessageView[]): string[] => messages.filter((message) => !isText(message)).map(({ text }) => text);

/** Until the device has this text on screen, from the log. */
const reads = (device: TestDevice, id: string, text: string): Promise<MessageView[]> =>
  device.messages(id, (all) => all.some((message) => message.text === text && message.position !== undefined));

async function annaAndBen(): Promise<{ laptop: TestDevice; phone: TestDevice; ben: TestDevice; id: string }> {
  const laptop = await world.person('anna');
  const ben = await world.person('ben');
  const id = await laptop.startConversation(['ben']);
  await laptop.send(id, 'first');
  await reads(ben, id, 'first');
  const phone = await world.link(laptop, 'phone');
  await phone.conversation(id, ({ state }) => state === 'ready');
  await ben.send(id, 'second');
  for (const device of [laptop, phone]) await reads(device, id, 'second');
  return { laptop, phone, ben, id };
}

describe('a device that has lost step', () => {
  it('rejoins by itself, keeps what it had, and sends what was written meanwhile', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    const [byPhone, byLaptop] = [externalCommits(phone), externalCommits(laptop)];
    await loseStep(phone, id);
    phone.restart();
    await ben.send(id, 'not for the phone');
    await phone.conversation(id, ({ state }) => state === 'out-of-step');
    await phone.send(id, 'written out of step');
    await reads(ben, id, 'written out of step');
    await ben.send(id, 'third');
    for (const device of [phone, laptop]) await reads(device, id, 'third');
    expect(textsOf(await reads(phone, id, 'third'))).toEqual(['second', 'written out of step', 'third']);
    expect(textsOf(await reads(laptop, id, 'third'))).toEqual(['first', 'second', 'not for the phone', 'written out of step', 'third']);
    expect(byPhone).toEqual([{ groupId: id, external: true }]);
    expect(byLaptop).toEqual([]);
    // To the others nobody came or went, and there is one leaf of hers.
    expect(eventsOf(await reads(ben, id, 'third'))).toEqual(['You are in this conversation now. Earlier messages are not shown.']);
    expect((await ben.conversation(id, () => true)).members.map(({ username }) => username).sort()).toEqual(['anna', 'ben']);
    expect((await stateOf(phone.store)).externalJoins.size).toBe(0);
    expect((await stateOf(laptop.store)).externalJoins.size).toBe(0);
  });

  it('comes back at once, and the later the more often it has lost step again soon after', async () => {
    const { phone, ben, id } = await annaAndBen();
    const byPhone = externalCommits(phone);
    const rejoined = async (): Promise<Conversation['rejoined']> => (await stateOf(phone.store)).conversations.get(id)!.rejoined;
    expect(await rejoined()).toBeUndefined();
    for (const pause of [0, 2_000]) {
      await loseStep(phone, id);
      phone.restart();
      await ben.send(id, `not for the phone ${pause}`);
      await eventually(async () => expect(await rejoined()).toMatchObject({ pause }));
    }
    expect(byPhone).toHaveLength(2);
    const state = await stateOf(phone.store);
    const conversation = { ...state.conversations.get(id)!, state: 'out-of-step' } as const;
    const lost = { ...state, conversations: new Map(state.conversations).set(id, conversation) };
    const waits = async (now: number): Promise<number> => {
      const planned = await taken(lost, { type: 'prepare', what: { kind: 'plan-join', conversationId: id } }, now);
      return planned.externalJoins.get(id)!.notBefore - now;
    };
    const { at } = conversation.rejoined!;
    expect(await waits(at + 1_000)).toBeGreaterThanOrEqual(2_000);
    expect(await waits(at + 60 * 60_000)).toBeLessThanOrEqual(4_000);
  });

  it('does not go back to an earlier epoch that the server offers it: the person is asked', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    await world.person('cora');
    const { ask } = await phone.hands();
    const earlier = await ask('fetch-group', { groupId: fromHex(id), epoch: undefined });
    await laptop.addMember(id, 'cora');
    for (const device of [laptop, phone, ben]) await device.conversation(id, ({ members }) => members.length === 3);
    await loseStep(phone, id);
    const byPhone = externalCommits(phone);
    const carriedOn = phone.intercept;
    phone.intercept = (path, body, carryOut) =>
      path === `/v1/groups/${toBase64Url(fromHex(id))}`
        ? Promise.resolve(new Response(toJson(earlier), { headers: { 'Content-Type': 'application/json' } }))
        : carriedOn(path, body, carryOut);
    phone.restart();
    await ben.send(id, 'third');
    await phone.conversation(id, ({ state }) => state === 'set-back');
    expect(byPhone).toEqual([]);
    expect(textsOf(await phone.messages(id, () => true))).toEqual(['second']);
  });

  it('is followed by a sibling that has lost step too, and the group is joined once', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    for (const device of [laptop, phone]) await loseStep(device, id);
    const made = [externalCommits(laptop), externalCommits(phone)];
    await ben.send(id, 'for neither');
    laptop.restart();
    phone.restart();
    for (const device of [laptop, phone]) await device.messages(id, hasRejoined);
    await phone.send(id, 'from the phone');
    await laptop.send(id, 'from the laptop');
    for (const text of ['from the phone', 'from the laptop']) for (const device of [laptop, phone, ben]) await reads(device, id, text);
    expect(made.flat()).toHaveLength(1);
  });

  it('is followed, when it dies after the server took its commit, by a sibling in the group and one outside of it', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    const tablet = await world.link(laptop, 'tablet');
    await tablet.conversation(id, ({ state }) => state === 'ready');
    for (const device of [phone, tablet]) await loseStep(device, id);
    await ben.send(id, 'lost on two');
    await reads(laptop, id, 'lost on two');
    const dead = diesAfter(phone, ({ external }) => external);
    phone.restart();
    await dead;
    const byOthers = [externalCommits(laptop), externalCommits(tablet)];
    await laptop.send(id, 'by the sibling inside');
    await reads(ben, id, 'by the sibling inside');
    tablet.restart();
    await reads(tablet, id, 'by the sibling inside');
    await tablet.send(id, 'by the sibling outside');
    for (const device of [laptop, ben]) await reads(device, id, 'by the sibling outside');
    phone.restart();
    await reads(phone, id, 'by the sibling outside');
    await phone.send(id, 'by the maker');
    for (const device of [laptop, tablet, ben]) await reads(device, id, 'by the maker');
    expect(byOthers.flat()).toEqual([]);
  });

  it('commits from outside only after its announcement is in the emulation group’s log', async () => {
    const { phone, ben, id } = await annaAndBen();
    const { groupId } = (await stateOf(phone.store)).emulation!;
    await loseStep(phone, id);
    const asked: string[] = [];
    let announced = false;
    phone.intercept = async (path, body, carryOut) => {
      const sent = submitted(path, body);
      if (sent === undefined) return carryOut();
      asked.push(sent.external ? 'external commit' : sent.groupId === toHex(groupId) ? 'announcement' : 'other');
      if (sent.groupId === toHex(groupId) && !announced) throw new Error('no answer');
      return carryOut();
    };
    phone.restart();
    await ben.send(id, 'lost on the phone');
    await phone.until(() => asked.length >= 3 || undefined);
    expect(new Set(asked)).toEqual(new Set(['announcement']));
    announced = true;
    await phone.messages(id, hasRejoined);
    expect(asked.lastIndexOf('announcement')).toBeLessThan(asked.indexOf('external commit'));
  });

  it('asks for no GroupInfo to join by before that, even while the emulation group takes no message', async () => {
    const { phone, id } = await annaAndBen();
    const state = await stateOf(phone.store);
    const conversation: Conversation = { ...state.conversations.get(id)!, state: 'out-of-step' };
    const now = Date.now();
    const emulation = { ...state.emulation!, hold: { position: undefined, notBefore: now + LATER, pause: 0 }, pending: undefined };
    const asks = (announcedBy: number | undefined): boolean => {
      const join = { ...newJoin(conversation.groupId), announcedBy };
      const conversations = new Map(state.conversations).set(id, conversation);
      const todos = todosOf({ ...state, emulation, conversations, externalJoins: new Map([[id, join]]) }, now);
      return todos.some((todo) => todo.do === 'send' && todo.call === 'fetch-group');
    };
    expect(asks(undefined)).toBe(false);
    expect(asks(emulation.group.ownLeaf)).toBe(true);
  });

  it('has its announced join finished by a sibling when it dies before its commit', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    const { groupId } = (await stateOf(phone.store)).emulation!;
    await loseStep(phone, id);
    const announced = diesAfter(phone, (sent) => sent.groupId === toHex(groupId));
    phone.restart();
    await ben.send(id, 'lost on the phone');
    await announced;
    const byLaptop = externalCommits(laptop);
    await reads(laptop, id, 'lost on the phone');
    await laptop.until(async () => ((await stateOf(laptop.store)).externalJoins.has(id) ? true : undefined));
    laptop.clockAhead = LATER;
    await laptop.runtime.wake();
    await laptop.messages(id, () => byLaptop.length > 0);
    phone.restart();
    await phone.messages(id, hasRejoined);
    await phone.send(id, 'back again');
    for (const device of [laptop, ben]) await reads(device, id, 'back again');
    expect(byLaptop).toEqual([{ groupId: id, external: true }]);
  });
});

describe('a device that has lost step in many conversations', () => {
  it('rejoins all of them', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    const ids = [id];
    for (const title of ['one', 'two', 'three']) {
      const other = await laptop.startConversation(['ben'], title);
      await laptop.send(other, title);
      for (const device of [ben, phone]) await reads(device, other, title);
      ids.push(other);
    }
    for (const each of ids) await loseStep(phone, each);
    const byPhone = externalCommits(phone);
    for (const each of ids) await ben.send(each, 'lost on the phone');
    phone.restart();
    for (const each of ids) await phone.messages(each, hasRejoined);
    for (const each of ids) {
      await phone.send(each, 'back');
      for (const device of [laptop, ben]) await reads(device, each, 'back');
    }
    expect(byPhone.map(({ groupId }) => groupId).sort()).toEqual([...ids].sort());
  });
});

describe('an own-leaf commit that honest devices cannot follow', () => {
  it('takes no device out of the conversation for good', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    const made = [externalCommits(laptop), externalCommits(phone)];
    // Who holds a device's keys of an emulation epoch that is over commits with them, and the others cannot tell.
    await (await laptop.hands()).ask('submit', await staleCommit(laptop, id));
    await ben.send(id, 'after the stale commit');
    for (const device of [laptop, phone]) await device.messages(id, hasRejoined);
    const said = [
      [laptop, 'the laptop is back'],
      [phone, 'the phone is back'],
      [ben, 'ben never left'],
    ] as const;
    for (const [device, text] of said) {
      await device.send(id, text);
      for (const reader of [laptop, phone, ben]) await reads(reader, id, text);
    }
    expect(made.flat()).toHaveLength(1);
  });

  async function staleCommit(device: TestDevice, id: string): Promise<Submission> {
    const state = await stateOf(device.store);
    const group = decodeGroupRecords(id, await device.store.load(groupPrefix(id)))!;
    const emulation = state.emulation!;
    const old = [...emulation.epochs].find(([, { epoch }]) => epoch < emulation.floor.epoch)!;
    const conversation = { ...state.conversations.get(id)!, queue: [{ kind: 'renew' as const, messageId: random(16) }] };
    const stale: EngineState = {
      ...state,
      emulation: { ...emulation, currentEpochId: old[0] },
      groups: new Map([[id, group]]),
      conversations: new Map([[id, conversation]]),
    };
    const turn = new Turn(stale, random, Date.now());
    await prepareNext(turn, id);
    return turn.conversation(id).pending!.submission;
  }
});

describe('a removed member', () => {
  it('does not rejoin, whether it could follow its removal or not', async () => {
    const { laptop, phone, ben, id } = await annaAndBen();
    await loseStep(phone, id);
    const made = [externalCommits(laptop), externalCommits(phone)];
    const { accountId } = await laptop.until(({ account }) => account);
    await ben.do({ command: 'removeMember', conversationId: id, accountId });
    phone.restart();
    for (const device of [laptop, phone]) await device.conversation(id, ({ state }) => state === 'left');
    laptop.clockAhead = LATER;
    await laptop.runtime.wake();
    await settle();
    expect(textsOf(await reads(phone, id, 'second'))).toEqual(['second']);
    expect(made.flat()).toEqual([]);
    for (const device of [laptop, phone]) expect((await stateOf(device.store)).externalJoins.size).toBe(0);
  });
});

describe('a newcomer that is the only device online', () => {
  it('renews the leaf by an external commit of its own and can send', async () => {
    const laptop = await world.person('anna');
    const ben = await world.person('ben');
    const id = await laptop.startConversation(['ben']);
    await laptop.send(id, 'first');
    await reads(ben, id, 'first');
    const phone = world.device();
    await phone.do({ command: 'startLink', deviceName: 'phone' });
    const code = await phone.until(({ link }) => link?.code);
    await laptop.do({ command: 'acceptLinkCode', code });
    for (const device of [phone, laptop]) await device.until(({ link }) => (link?.step === 'compare' ? true : undefined));
    await laptop.until(async () => ((await stateOf(laptop.store)).emulation?.pending === undefined ? true : undefined));
    const { groupId } = (await stateOf(laptop.store)).emulation!;
    const added = diesAfter(laptop, (sent) => sent.groupId === toHex(groupId));
    await phone.do({ command: 'confirmLink', yes: true });
    await laptop.do({ command: 'confirmLink', yes: true });
    await added;
    await phone.conversation(id, ({ state }) => state === 'renewing');
    await phone.until(async () => {
      const { position, joinedAt } = (await stateOf(phone.store)).emulation!;
      return position >= joinedAt ? true : undefined;
    });
    const byPhone = externalCommits(phone);
    await phone.send(id, 'alone');
    expect(byPhone).toEqual([]);
    phone.clockAhead = LATER;
    await phone.runtime.wake();
    await phone.conversation(id, ({ state }) => state === 'ready');
    expect(await ben.texts(id, 2)).toEqual(['first', 'alone']);
    expect(byPhone).toEqual([{ groupId: id, external: true }]);
    laptop.restart();
    expect(await laptop.texts(id, 2)).toEqual(['first', 'alone']);
    await laptop.send(id, 'both');
    await reads(phone, id, 'both');
  });
});

describe('an ExternalJoin action', () => {
  interface Made {
    readonly authenticatedData: Uint8Array;
    readonly proposals?: readonly Proposal[];
    /** What the server makes of the message. */
    readonly change?: (message: Uint8Array) => Uint8Array;
  }

  /** How the phone takes a commit that the laptop's keys make in the emulation group. */
  async function taken(laptop: EngineState, phone: EngineState, { authenticatedData, proposals = [], change }: Made): Promise<StepResult> {
    const { group, groupId } = laptop.emulation!;
    const secrets = EMULATION_SUITE.deriveKeyPair(random(EMULATION_SUITE.nh));
    const { value } = await commit(EMULATION_SUITE, group, {
      signer: laptop.device!.emulatorSigner,
      proposals,
      references: 'none',
      path: {
        leaf: emulatorLeafTemplate(laptop.device!),
        own: {
          encryptionPrivateKey: Secret.of('encryption_private_key', secrets.privateKey),
          pathSecret: Secret.of('path_secret', random(EMULATION_SUITE.nh)),
        },
      },
      wireFormat: 'private',
      authenticatedData,
      guard: () => random(4),
      welcomeExtensions: [],
      random,
      checkLeaf: emulatorLeafCheck,
      now: BigInt(Math.floor(Date.now() / 1000)),
    });
    const sequence = phone.cursor.sequence + 1;
    const entry: SequenceEntry = {
      sequence,
      groupId,
      position: phone.emulation!.position + 1,
      kind: 'commit',
      epoch: Number(group.context.epoch),
      message: change?.(value.message) ?? value.message,
      messageId: random(16),
      keyPackageRef: undefined,
      acceptedAt: Date.now(),
    };
    return step(phone, { type: 'entries', entries: [entry], last: sequence }, { random, now: Date.now() });
  }

  const joining = (groupId: Uint8Array): Uint8Array => encodeActionAad(EMULATION_PROTOCOL, { type: 'external_join', groupId });
  const bytesOfAction = (data: Uint8Array): Uint8Array => encodeSafeAad([{ componentId: COMPONENTS.virtualClientAction, data }]);

  async function siblings(): Promise<{ laptop: EngineState; phone: EngineState; id: string; groupId: Uint8Array }> {
    const { laptop, phone, id } = await annaAndBen();
    for (;;) {
      const [a, b] = [await stateOf(laptop.store), await stateOf(phone.store)];
      const idle = [a, b].every(({ emulation }) => emulation?.pending === undefined && emulation?.announceDevices.length === 0);
      const { groupId } = a.conversations.get(id)!;
      if (idle && a.cursor.sequence === b.cursor.sequence) return { laptop: a, phone: b, id, groupId };
      await settle();
    }
  }

  function expectRefused({ refused, state }: StepResult, phone: EngineState, code: string): void {
    expect(refused.map((refusal) => refusal.code)).toEqual([code]);
    expect(state.externalJoins.size).toBe(0);
    expect(state.emulation!.group.context.epoch).toBe(phone.emulation!.group.context.epoch);
  }

  it('is kept until the join is in the log, also by who did not make it', async () => {
    const { laptop, phone, id, groupId } = await siblings();
    const result = await taken(laptop, phone, { authenticatedData: joining(groupId) });
    expect(result.refused).toEqual([]);
    const join = result.state.externalJoins.get(id);
    expect(join?.announcedBy).toBe(laptop.emulation!.group.ownLeaf);
    expect(join!.notBefore).toBeGreaterThan(Date.now());
    expect(canAddDevice(phone)).toBe(true);
    expect(canAddDevice(result.state)).toBe(false);
  });

  it('that names the emulation group, or no group, is refused by name and changes nothing', async () => {
    const { laptop, phone } = await siblings();
    for (const groupId of [laptop.emulation!.groupId, new Uint8Array()]) {
      expectRefused(await taken(laptop, phone, { authenticatedData: joining(groupId) }), phone, 'bad-action');
    }
  });

  it('that is unknown, cut or too long is refused by name and changes nothing', async () => {
    const { laptop, phone } = await siblings();
    const refusals: readonly (readonly [Uint8Array, string])[] = [
      [Uint8Array.of(3, 0), 'invalid-value'],
      [Uint8Array.of(2, 4, 1, 2), 'truncated'],
      [Uint8Array.of(2, 1, 1, 7), 'trailing-bytes'],
    ];
    for (const [data, code] of refusals) {
      expectRefused(await taken(laptop, phone, { authenticatedData: bytesOfAction(data) }), phone, code);
    }
  });

  it('beside a Remove is refused by name and changes nothing', async () => {
    const { laptop, phone, groupId } = await siblings();
    const proposals: Proposal[] = [{ proposalType: 'remove', remove: { removed: phone.emulation!.group.ownLeaf } }];
    const result = await taken(laptop, phone, { authenticatedData: joining(groupId), proposals });
    expectRefused(result, phone, 'bad-action');
    expect(result.state.unlinked).toBe(false);
  });

  it('for a group that the account was removed from brings nobody back', async () => {
    const { laptop, phone, id, groupId } = await siblings();
    const conversation = phone.conversations.get(id)!;
    const out = { ...phone, conversations: new Map(phone.conversations).set(id, { ...conversation, state: 'left' as const }) };
    const result = await taken(laptop, out, { authenticatedData: joining(groupId) });
    expect(result.refused).toEqual([]);
    expect(result.state.externalJoins.size).toBe(0);
  });

  it('that the server changed, as it is in clear, is refused', async () => {
    const { laptop, phone, groupId } = await siblings();
    const change = (message: Uint8Array): Uint8Array => {
      const turned = message.slice();
      turned[turned.findIndex((_, i) => equal(turned.subarray(i, i + groupId.length), groupId))]! ^= 1;
      return turned;
    };
    expectRefused(await taken(laptop, phone, { authenticatedData: joining(groupId), change }), phone, 'ciphertext-unreadable');
  });
});
