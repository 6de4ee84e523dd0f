import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { utf8 } from '../../../src/bytes/index.ts';
import { step } from '../../../src/engine/step.ts';
import { ONLY_CASE, SEED } from '../../fuzz/chance.ts';
import type { Confidential } from '../../fuzz/confidential.ts';
import { accountsOf, invitationOf, recoveryOf } from '../../fuzz/entries-asked.ts';
import { answerOf, eventOf, expectSound } from '../../fuzz/entries-engine.ts';
import { hostile, MAKERS } from '../../fuzz/entries-members.ts';
import { attackedServer } from '../../fuzz/entries-server.ts';
import { bridgeOf, click, follow, post, validCalls } from '../../fuzz/entries-tabs.ts';
import { play, type Attack } from '../../fuzz/play.ts';
import { expectNothingLinked, expectNothingSaid } from '../../fuzz/refused.ts';
import { confidentialIn, playedScene, type PlayedScene } from '../../fuzz/scene.ts';
import { random } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';
import { rounds } from '../../support/rounds.ts';

// Each way into a device or the server, with valid input that was mutated; the decoders alone are in decoders.test.ts.

const TIMES = rounds({ test: 1, soak: 30 });
/** Of each way in, ms: some twenty of them make up for the other half of a minute. */
const TIME = rounds({ test: 1_800, soak: 0 });
const PATIENCE = rounds({ test: 120_000, soak: 3_600_000 });

let scene: PlayedScene;
let confidential: Confidential;

beforeAll(async () => {
  scene = await playedScene();
  confidential = confidentialIn(scene);
});

/** Nothing is wrong, and of the outcomes there are at least those that show that the cases come far enough. */
async function expectNothingWrong(
  name: string,
  least: number,
  kinds: readonly string[],
  attack: Attack,
  order?: 'in-order',
): Promise<ReadonlyMap<string, number>> {
  const { cases, outcomes, wrong } = await play(name, { least: least * TIMES, time: TIME }, attack, order);
  expect(wrong).toEqual([]);
  console.info(`${name}, ${cases} cases from seed ${SEED}: ${[...outcomes].map(([what, count]) => `${what} ${count}`).join(', ')}`);
  if (ONLY_CASE === undefined) expect([...outcomes.keys()]).toEqual(expect.arrayContaining([...kinds]));
  return outcomes;
}

describe('the engine', () => {
  // The scene's own time, which the makers of forged messages read off the clock.
  beforeAll(() => {
    vi.useFakeTimers({ toFake: ['Date'], now: scene.cast.now });
  });
  afterAll(() => {
    vi.useRealTimers();
  });

  it(
    'takes whatever a server answers without a fault, and shows nothing that nobody sent',
    async () => {
      const kinds = ['no answer of ours', 'refused', 'done'];
      await expectNothingWrong('answers', 200, kinds, (one) => answerOf(scene.came, one));
    },
    PATIENCE,
  );

  it(
    'takes whatever an event stream brings without a fault, and shows nothing that nobody sent',
    async () => {
      await expectNothingWrong('events', 200, ['no entry', 'entry taken', 'entry refused'], (one) => eventOf(scene.came, one));
    },
    PATIENCE,
  );

  it(
    'gives up a recovery whose answers are tampered with, with nothing left of it and no phrase in memory',
    async () => {
      await expectNothingWrong('recoveries', 30, ['recovery-tampered', 'offline'], (one) => recoveryOf(scene, one));
    },
    PATIENCE,
  );

  it(
    'shows of a link’s conversation what the link says, whatever the server answers',
    async () => {
      await expectNothingWrong('invitations', 50, ['opened', 'invitation-over', 'offline'], (one) => invitationOf(scene, one));
    },
    PATIENCE,
  );

  it(
    'finds accounts or says why not, whatever the server answers, and stores nothing',
    async () => {
      await expectNothingWrong('accounts', 50, ['found', 'offline'], (one) => accountsOf(scene, one));
    },
    PATIENCE,
  );

  it.each(Object.keys(MAKERS))(
    'takes or refuses by name what somebody inside has sealed: %s',
    async (which) => {
      const { cast } = scene;
      const outcomes = await expectNothingWrong(which, 20, [], async (one) => {
        const made = await hostile(cast, which, one, confidential);
        if (made === undefined) return 'not made';
        const result = await step(made.receiver, made.input, { random, now: cast.now, lines: cast.lines });
        expectSound(made.receiver, result);
        if (result.refused.length > 0) expectNothingSaid(made.receiver, result);
        if (result.state.link?.problem !== undefined) expectNothingLinked(made.receiver, result);
        return result.refused[0]?.code ?? result.state.link?.problem ?? 'taken';
      });
      if (ONLY_CASE === undefined) expect([...outcomes.keys()]).not.toEqual(['not made']);
    },
    PATIENCE,
  );
});

describe('the server', () => {
  it(
    'answers whatever is asked with a documented status, changes nothing when it refuses, and logs none of it',
    async () => {
      const log = [vi.spyOn(console, 'error'), vi.spyOn(console, 'warn')];
      const server = await attackedServer();
      try {
        const kinds = ['200', 'malformed', 'bad-signature', 'too-large'];
        await expectNothingWrong('requests', 200, kinds, (one) => server.attack(one), 'in-order');
        for (const spy of log) expect(spy).not.toHaveBeenCalled();
      } finally {
        await server.close();
        vi.restoreAllMocks();
      }
    },
    PATIENCE,
  );
});

describe('the worker', () => {
  const world = new EngineWorld();
  afterAll(() => world.close());

  it(
    'gives a tab that posts anything one answer of the protocol’s, and never a fault of its own',
    async () => {
      await world.start();
      const anna = await world.person('anna');
      await world.person('ben');
      const conversationId = await anna.startConversation(['ben'], 'Choir');
      await anna.conversation(conversationId, ({ state }) => state === 'ready');
      await anna.do({ command: 'makeInvitation', conversationId, messageId: new Uint8Array(randomBytes(16)) });
      await anna.conversation(conversationId, ({ invitation }) => invitation === 'own');
      const invitation = (await anna.runtime.invitationCode(conversationId))!;
      const newcomer = world.device();
      await newcomer.do({ command: 'startLink', deviceName: 'phone' });
      const code = await newcomer.until(({ link }) => link?.code);
      const samples = validCalls(conversationId, code, invitation);
      const server = bridgeOf(anna);
      const kinds = ['ignored', 'malformed', 'done', 'unknown-conversation'];
      await expectNothingWrong('calls', 300, kinds, (one) => post(server, samples, one), 'in-order');
      // It is still the same device.
      await anna.send(conversationId, 'still here');
    },
    PATIENCE,
  );

  it('opens nothing but its own conversations when a notification of another version is clicked', async () => {
    await expectNothingWrong('clicks', 500, ['brought to the front', 'opened'], click);
  });

  it(
    'reads a stream that says anything to its end',
    async () => {
      const entry = scene.came.find(({ call }) => call === 'fetch-sequence')!;
      const streams = [
        utf8(`id: 1\nevent: entry\ndata: ${new TextDecoder().decode(entry.body)}\n\n`),
        utf8(': heartbeat\n\nevent: stock\ndata: {"stock":3}\n\nevent: gone\ndata: \n\n'),
      ];
      await expectNothingWrong('streams', 1000, ['ended', 'refused'], (one) => follow(streams, one));
    },
    PATIENCE,
  );
});
