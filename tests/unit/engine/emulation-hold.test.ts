import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { EngineState } from '../../../src/engine/state.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { entryFor, playScene, stateOf, take, taken, type Scene } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

const world = new EngineWorld();
let scene: Scene;

beforeAll(async () => {
  scene = await playScene(world);
});

afterAll(() => world.close());

const NOW = Date.now();
const emulationTodo = (state: EngineState, now: number): string | undefined =>
  todosOf(state, now).find(({ lane }) => lane === 'emulation')?.do;

/** A commit of the emulation group that the server says is too late. */
async function refused(state: EngineState, now: number): Promise<EngineState> {
  const made = (await take(state, { type: 'prepare', what: { kind: 'renew-keys' } }, now)).state;
  const request = made.emulation!.pending!.submission;
  const problem = { type: 'stale-epoch', status: 409, retryAfter: undefined, accountId: undefined } as const;
  const answer = { outcome: 'refused', problem } as const;
  return (await take(made, { type: 'answer', call: 'submit', request, answer, conversationId: undefined }, now)).state;
}

/** What the server puts into the log and nobody can read. */
async function withJunk(state: EngineState): Promise<EngineState> {
  const { groupId, group } = state.emulation!;
  const junk = { kind: 'begin-removal', epoch: Number(group.context.epoch), message: Uint8Array.of(1) } as never;
  return (await take(state, entryFor({ ...state, conversations: new Map() }, groupId, junk), NOW)).state;
}

describe('a server that refuses each commit of the emulation group as too late', () => {
  it('is not asked again before its log has grown', async () => {
    const state = await refused(await taken(stateOf(scene.laptop), { type: 'command', command: { command: 'renewKeys' } }), NOW);
    expect(state.emulation!.hold).toMatchObject({ position: state.emulation!.position, pause: 0 });
    expect(emulationTodo(state, NOW + 3_600_000)).toBeUndefined();
  });

  it('and lets its log grow by what nobody can read, is asked after a pause that is longer each time', async () => {
    let state = await taken(stateOf(scene.laptop), { type: 'command', command: { command: 'renewKeys' } });
    const pauses: number[] = [];
    for (let round = 0, now = NOW; round < 12; round++) {
      state = await withJunk(await refused(state, now));
      const { pause } = state.emulation!.hold!;
      pauses.push(pause);
      if (pause > 0) expect(emulationTodo(state, now + pause - 1)).toBe('wait');
      now += pause;
      expect(emulationTodo(state, now)).toBe('prepare');
    }
    expect(pauses.slice(0, 4)).toEqual([0, 2_000, 4_000, 8_000]);
    expect(pauses.at(-1)).toBe(300_000);
  });
});
