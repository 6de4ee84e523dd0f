import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/bytes/index.ts';
import type { Preparation } from '../../../src/engine/input.ts';
import { mailboxOf } from '../../../src/engine/linking.ts';
import { canAddDevice } from '../../../src/engine/onboarding.ts';
import type { Submission } from '../../../src/engine/ports.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { entryFor, random, settle, smallStateOf, stateOf, taken } from '../../support/engine-snapshot.ts';
import { confirmNewPhrase, tryRecovery } from '../../support/engine-recovery.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

const world = new EngineWorld();

beforeAll(() => world.start());

afterAll(() => world.close());

/** A new device that is being linked by `adder`, as far as to its own yes, which the other has heard. */
async function comparing(adder: TestDevice): Promise<TestDevice> {
  const phone = world.device();
  await phone.do({ command: 'startLink', deviceName: 'phone' });
  await adder.do({ command: 'acceptLinkCode', code: await phone.until(({ link }) => link?.code) });
  for (const side of [phone, adder]) await side.until(({ link }) => link?.step === 'compare' || undefined);
  await phone.do({ command: 'confirmLink', yes: true });
  await eventually(async () => expect((await smallStateOf(adder.store)).link).toMatchObject({ otherSaidYes: true }));
  return phone;
}

/** A laptop whose person has said yes to a phone. */
async function saidYes(username: string): Promise<EngineState> {
  const laptop = await world.person(username, 'laptop');
  await settle(laptop);
  await comparing(laptop);
  laptop.stop();
  return taken(stateOf(await laptop.store.load('')), { type: 'command', command: { command: 'confirmLink', yes: true } });
}

/** One who has also asked for a conversation in the same moment. */
async function both(): Promise<EngineState> {
  const said = await saidYes('anna');
  const member = { accountId: random(16), username: 'ben' };
  const command = { command: 'startConversation', groupId: random(16), members: [member], title: '' } as const;
  return taken(said, { type: 'command', command });
}

describe('a device that is linked by one which is still coming back itself', () => {
  it('is told of the conversations that one has yet to join, and joins them when it does not come to it', async () => {
    const laptop = await world.person('emma', 'laptop');
    const finn = await world.person('finn');
    const id = await laptop.startConversation(['finn'], 'trip');
    await laptop.send(id, 'before');
    await finn.texts(id, 1);
    const entropy = await confirmNewPhrase(laptop);
    await settle(laptop, finn);
    laptop.stop();
    const fresh = world.device();
    // It hears late of its conversations, and then it gets no further than to the Add.
    let listed = (): void => undefined;
    const late = new Promise<void>((resolve) => (listed = resolve));
    let messagesLeft = Infinity;
    fresh.intercept = async (path, body, carryOut) => {
      if (path === '/v1/groups' && body === '') await late;
      if (path.endsWith('/messages') && messagesLeft-- <= 0) throw new Error('no network');
      return carryOut();
    };
    expect(await tryRecovery(fresh, 'emma', entropy)).toBe('joined');
    const phone = await comparing(fresh);
    await fresh.do({ command: 'confirmLink', yes: true });
    await eventually(async () => expect((await smallStateOf(fresh.store)).link).toMatchObject({ step: 'adding' }));
    expect(canAddDevice(await smallStateOf(fresh.store))).toBe(false);
    await eventually(async () =>
      expect(await smallStateOf(fresh.store)).toMatchObject({ emulation: { pending: undefined }, uploads: undefined }),
    );
    messagesLeft = 1;
    listed();
    await phone.until(({ phase }) => phase === 'ready' || undefined);
    fresh.stop();
    phone.clockAhead = 120_000;
    await phone.runtime.wake();
    await phone.conversation(id, ({ state }) => state === 'ready');
    await phone.send(id, 'after');
    expect(await finn.texts(id, 2)).toEqual(['before', 'after']);
  });
});

describe('what one state called for together', () => {
  it('is made only as long as it is called for: no device is added beside a group creation that it would not be told of', async () => {
    const state = await both();
    const called = todosOf(state, Date.now()).flatMap((todo) => (todo.do === 'prepare' ? [todo.what] : []));
    const of = (kind: Preparation['kind']): Preparation => called.find((what) => what.kind === kind)!;
    const prepare = (before: EngineState, kind: Preparation['kind']): Promise<EngineState> =>
      taken(before, { type: 'prepare', what: of(kind) });

    const created = await prepare(state, 'message');
    expect([...created.conversations.values()].map(({ pending }) => pending?.submission.kind)).toEqual(['creation']);
    expect((await prepare(created, 'add-device')).emulation!.pending).toBeUndefined();

    expect((await prepare(state, 'add-device')).emulation!.pending?.purpose).toBe('add-device');
  });
});

describe('a commit on its way that adds a device', () => {
  let adding: EngineState;
  let sent: Submission;

  beforeAll(async () => {
    adding = await taken(await saidYes('gina'), { type: 'prepare', what: { kind: 'add-device' } });
    sent = adding.emulation!.pending!.submission;
  });

  /** It has heard nothing of an earlier slot, puts it again, and the mailbox is gone by then. */
  function withoutMailbox(state: EngineState): Promise<EngineState> {
    const put = { slot: 'answer', payload: random(8) } as const;
    const waiting = { ...state, link: { ...state.link!, toPut: [put] } };
    const request = { ...mailboxOf(state.link!), ...put };
    const problem = { type: 'unknown-link', status: 404, retryAfter: undefined, accountId: undefined } as const;
    const answer = { outcome: 'refused', problem } as const;
    return taken(waiting, { type: 'answer', call: 'put-link-slot', request, answer, conversationId: undefined });
  }

  const comesBack = (state: EngineState): Promise<EngineState> => {
    const { kind, epoch, message, messageId } = sent;
    return taken(state, entryFor(state, sent.groupId, { kind, epoch, message, messageId }));
  };

  const epochOf = ({ emulation }: EngineState): bigint => emulation!.group.context.epoch;

  it('ends its link well', async () => {
    const followed = await comesBack(adding);
    expect(epochOf(followed)).toBe(epochOf(adding) + 1n);
    expect(followed.link).toMatchObject({ step: 'done' });
  });

  it('is followed all the same when its link is over, or forgotten, or another one has begun', async () => {
    const closed = await withoutMailbox(adding);
    expect(closed.link).toMatchObject({ step: 'ended' });
    expect(closed.emulation!.pending).toBeDefined();
    for (const link of [closed.link, undefined]) expect(epochOf(await comesBack({ ...closed, link }))).toBe(epochOf(adding) + 1n);
    const other = { ...adding.link!, secret: Secret.of('link_secret', random(32)), step: 'compare' } as const;
    const followed = await comesBack({ ...adding, link: other });
    expect(epochOf(followed)).toBe(epochOf(adding) + 1n);
    expect(followed.link).toEqual(other);
  });

  it('is given up when the server refuses it, whatever became of its link', async () => {
    const problem = { type: 'unknown-link', status: 404, retryAfter: undefined, accountId: undefined } as const;
    const answer = {
      type: 'answer',
      call: 'submit',
      request: sent,
      answer: { outcome: 'refused', problem },
      conversationId: undefined,
    } as const;
    expect((await taken(adding, answer)).link).toMatchObject({ step: 'ended', problem: 'timed-out' });
    const forgotten = await taken({ ...adding, link: undefined }, answer);
    expect([forgotten.emulation!.pending, forgotten.link]).toEqual([undefined, undefined]);
  });

  it('is not sent any more when its link ends before all that its Welcome names is at the server', async () => {
    const closed = await withoutMailbox({ ...adding, linkBlobs: new Map([['00', random(8)]]) });
    expect(closed.emulation!.pending).toBeUndefined();
    expect(closed.link).toMatchObject({ step: 'ended' });
  });
});
