import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { utf8 } from '../../../src/bytes/index.ts';
import { step } from '../../../src/engine/step.ts';
import { answerOf, eventOf, expectNothingSaid, expectSound } from '../../fuzz/entries-engine.ts';
import { hostile, MAKERS } from '../../fuzz/entries-members.ts';
import { attackedServer } from '../../fuzz/entries-server.ts';
import { bridgeOf, click, follow, post, validCalls } from '../../fuzz/entries-tabs.ts';
import { play, type Attack } from '../../fuzz/play.ts';
import { playedScene, type PlayedScene } from '../../fuzz/scene.ts';
import { random } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';
import { rounds } from '../../support/rounds.ts';

// Each way into a device or the server, with valid input that was mutated; the decoders alone are in decoders.test.ts.

const TIMES = rounds({ test: 1, soak: 30 });
const SEED = rounds({ test: 1, soak: Date.now() % 1_000_000_000 });
const PATIENCE = rounds({ test: 120_000, soak: 3_600_000 });

let scene: PlayedScene;

beforeAll(async () => {
  scene = await playedScene();
});

/** @returns how often which outcome came, of which none may be wrong */
async function outcomesOf(name: string, least: number, attack: Attack): Promise<ReadonlyMap<string, number>> {
  const { cases, outcomes, wrong } = await play(name, least * TIMES, SEED, attack);
  expect(wrong).toEqual([]);
  console.info(`${name}, ${cases} cases from seed ${SEED}: ${[...outcomes].map(([what, count]) => `${what} ${count}`).join(', ')}`);
  return outcomes;
}

describe('the engine', () => {
  it(
    'takes whatever a server answers without a fault, and shows nothing that nobody sent',
    async () => {
      const outcomes = await outcomesOf('answers', 200, (seed) => answerOf(scene.came, seed));
      expect([...outcomes.keys()]).toEqual(expect.arrayContaining(['no answer of ours', 'refused', 'done', 'entry refused']));
    },
    PATIENCE,
  );

  it(
    'takes whatever an event stream brings without a fault, and shows nothing that nobody sent',
    async () => {
      const outcomes = await outcomesOf('events', 200, (seed) => eventOf(scene.came, seed));
      expect([...outcomes.keys()]).toEqual(expect.arrayContaining(['no entry', 'entry taken', 'entry refused']));
    },
    PATIENCE,
  );

  it.each(Object.keys(MAKERS))(
    'takes or refuses by name what somebody inside has sealed: %s',
    async (which) => {
      const { cast } = scene;
      const outcomes = await outcomesOf(which, 20, async (seed) => {
        const made = await hostile(cast, which, seed);
        if (made === undefined) return 'not made';
        const result = await step(made.receiver, made.input, { random, now: cast.now, lines: cast.lines });
        expectSound(made.receiver, result);
        if (result.refused.length > 0) expectNothingSaid(made.receiver, result);
        return result.refused[0]?.code ?? result.state.link?.problem ?? 'taken';
      });
      expect(outcomes.size).toBeGreaterThan(0);
      expect(outcomes.get('not made') ?? 0).toBeLessThan(20 * TIMES);
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
        const outcomes = await outcomesOf('requests', 200, (seed) => server.attack(seed));
        for (const spy of log) expect(spy).not.toHaveBeenCalled();
        expect([...outcomes.keys()]).toEqual(expect.arrayContaining(['200', 'malformed', 'bad-signature', 'too-large']));
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
      const outcomes = await outcomesOf('calls', 300, (seed) => post(server, samples, seed));
      expect([...outcomes.keys()]).toEqual(expect.arrayContaining(['ignored', 'malformed', 'done', 'unknown-conversation']));
      // It is still the same device.
      await anna.send(conversationId, 'still here');
    },
    PATIENCE,
  );

  it('opens nothing but its own conversations when a notification of another version is clicked', async () => {
    const outcomes = await outcomesOf('clicks', 500, click);
    expect([...outcomes.keys()].sort()).toEqual(['brought to the front', 'opened']);
  });

  it(
    'reads a stream that says anything to its end',
    async () => {
      const entry = scene.came.find(({ call }) => call === 'fetch-sequence')!;
      const streams = [
        utf8(`id: 1\nevent: entry\ndata: ${new TextDecoder().decode(entry.body)}\n\n`),
        utf8(': heartbeat\n\nevent: stock\ndata: {"stock":3}\n\nevent: gone\ndata: \n\n'),
      ];
      const outcomes = await outcomesOf('streams', 1000, (seed) => follow(streams, seed));
      expect([...outcomes.keys()].sort()).toEqual(['ended', 'refused']);
    },
    PATIENCE,
  );
});
