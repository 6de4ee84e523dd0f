import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Preparation } from '../../../src/engine/input.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { todosOf } from '../../../src/engine/todo.ts';
import { random, settle, smallStateOf, stateOf, taken } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

const world = new EngineWorld();

beforeAll(() => world.start());

afterAll(() => world.close());

/** A laptop whose person has said yes to a phone and asked for a conversation in the same moment. */
async function both(): Promise<EngineState> {
  const laptop = await world.person('anna', 'laptop');
  await settle(laptop);
  const phone = world.device();
  await phone.do({ command: 'startLink', deviceName: 'phone' });
  await laptop.do({ command: 'acceptLinkCode', code: await phone.until(({ link }) => link?.code) });
  await phone.until(({ link }) => link?.step === 'compare' || undefined);
  await laptop.until(({ link }) => link?.step === 'compare' || undefined);
  await phone.do({ command: 'confirmLink', yes: true });
  await eventually(async () => expect((await smallStateOf(laptop.store)).link).toMatchObject({ otherSaidYes: true }));
  laptop.stop();
  const said = await taken(stateOf(await laptop.store.load('')), { type: 'command', command: { command: 'confirmLink', yes: true } });
  const member = { accountId: random(16), username: 'ben' };
  const command = { command: 'startConversation', groupId: random(16), members: [member], title: '' } as const;
  return taken(said, { type: 'command', command });
}

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
