import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeliveryAnswer } from '../../../src/engine/ports.ts';
import type { Conversation, EngineState } from '../../../src/engine/state.ts';
import { entryFor, playScene, random, stateOf, taken, type Scene } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

const world = new EngineWorld();
let scene: Scene;

beforeAll(async () => {
  scene = await playScene(world);
}, 60_000);

afterAll(() => world.close());

const nobodyThere: DeliveryAnswer<'claim-key-packages'> = {
  outcome: 'refused',
  problem: { type: 'no-key-package', status: 409, retryAfter: undefined, accountId: undefined },
};

describe('an add whose KeyPackages are not there yet', () => {
  const conversation = (state: EngineState): Conversation => state.conversations.get(scene.id)!;

  async function refusedClaim(state: EngineState): Promise<EngineState> {
    const { id: conversationId } = scene;
    const reserved = await taken(state, { type: 'prepare', what: { kind: 'claim', conversationId } });
    const request = { claimId: conversation(reserved).claim!.claimId, accountIds: [random(16)] };
    return taken(reserved, { type: 'answer', call: 'claim-key-packages', request, answer: nobodyThere, conversationId });
  }

  it('waits longer each time, and after a commit that worked as short as at first', async () => {
    const first = await refusedClaim(stateOf(scene.laptop));
    const { pause } = conversation(first).hold!;
    const second = await refusedClaim(first);
    expect(conversation(second).hold!.pause).toBe(2 * pause);

    const { id: conversationId, groupId } = scene;
    const [ben] = conversation(second).members.filter((member) => !Buffer.from(member).equals(second.account!.accountId));
    const accountId = Buffer.from(ben!).toString('hex');
    const asked = await taken(second, { type: 'command', command: { command: 'removeMember', conversationId, accountId } });
    const made = await taken(asked, { type: 'prepare', what: { kind: 'message', conversationId } });
    const { submission } = conversation(made).pending!;
    const { kind, epoch, message, messageId } = submission;
    const done = await taken(made, entryFor(made, groupId, { kind, epoch, message, messageId }));
    expect(conversation(done).members).toHaveLength(1);
    expect(conversation(await refusedClaim(done)).hold!.pause).toBe(pause);
  });
});
