import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AnswerInput } from '../../../src/engine/input.ts';
import type { Problem } from '../../../src/engine/ports.ts';
import { EMPTY_STATE, type EngineState } from '../../../src/engine/state.ts';
import { todosOf, type Todo } from '../../../src/engine/todo.ts';
import { random, settle, stateOf, taken } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

const world = new EngineWorld();

beforeAll(() => world.start());

afterAll(() => world.close());

const startLink = { type: 'command', command: { command: 'startLink', deviceName: 'phone' } } as const;
const closeLink = { type: 'command', command: { command: 'closeLink' } } as const;

type Sent<Call extends AnswerInput['call']> = Extract<Todo, { do: 'send'; call: Call }>;

function sent<Call extends AnswerInput['call']>(state: EngineState, call: Call): Sent<Call> {
  const found = todosOf(state, Date.now()).find((todo): todo is Sent<Call> => todo.do === 'send' && todo.call === call);
  if (found === undefined) throw new Error(`nothing to ${call}`);
  return found;
}

const refusal = (type: Problem['type']) => ({
  outcome: 'refused' as const,
  problem: { type, status: 409, retryAfter: undefined, accountId: undefined },
});

describe('an answer that comes when something else has taken the place of what it is about', () => {
  it('to a link’s first write is not taken for the next link’s: its code is shown when the server has it', async () => {
    const first = await taken(EMPTY_STATE, startLink);
    const { request } = sent(first, 'put-link-slot');
    const second = await taken(await taken(first, closeLink), startLink);
    const answer = { outcome: 'done', value: {} } as const;
    const late = await taken(second, { type: 'answer', call: 'put-link-slot', request, answer, conversationId: undefined });
    expect(late.link).toEqual(second.link);
  });

  it('from a mailbox that was given up does not end the next link', async () => {
    const first = await taken(EMPTY_STATE, startLink);
    const { request } = sent(first, 'put-link-slot');
    const answer = { outcome: 'done', value: {} } as const;
    const shown = await taken(first, { type: 'answer', call: 'put-link-slot', request, answer, conversationId: undefined });
    const fetch = sent(shown, 'fetch-link').request;
    const second = await taken(await taken(shown, closeLink), startLink);
    const gone = refusal('unknown-link');
    const late = await taken(second, { type: 'answer', call: 'fetch-link', request: fetch, answer: gone, conversationId: undefined });
    expect(late.link).toEqual(second.link);
  });

  it('to a mailbox’s deletion does not keep the next one from being deleted', async () => {
    const answer = { outcome: 'done', value: {} } as const;
    const putFirst = async (started: EngineState): Promise<EngineState> => {
      const { request } = sent(started, 'put-link-slot');
      return taken(started, { type: 'answer', call: 'put-link-slot', request, answer, conversationId: undefined });
    };
    const first = await taken(await putFirst(await taken(EMPTY_STATE, startLink)), closeLink);
    const { request: deletion } = sent(first, 'delete-link');
    const second = await taken(await putFirst(await taken(first, startLink)), closeLink);
    const late = await taken(second, { type: 'answer', call: 'delete-link', request: deletion, answer, conversationId: undefined });
    expect(sent(late, 'delete-link').request).toEqual(sent(second, 'delete-link').request);
  });

  it('to an upload of KeyPackages says nothing of the next one', async () => {
    const dora = await world.person('dora');
    await settle(dora);
    dora.stop();
    const state = { ...stateOf(await dora.store.load('')), stock: 0 };
    const made = await taken(state, { type: 'prepare', what: { kind: 'key-packages' } });
    expect(made.uploads!.keyPackages.length).toBeGreaterThan(0);
    const answered = (keyPackages: readonly { keyPackageRef: Uint8Array; keyPackage: Uint8Array }[]): Promise<EngineState> => {
      const answer = refusal('unannounced-key-package');
      return taken(made, { type: 'answer', call: 'upload-key-packages', request: { keyPackages }, answer, conversationId: undefined });
    };
    expect((await answered([{ keyPackageRef: random(32), keyPackage: random(8) }])).uploads).toBe(made.uploads);
    expect((await answered(made.uploads!.keyPackages)).uploads).toBeUndefined();
  });
});
