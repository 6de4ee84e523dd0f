import { expect, it } from 'vitest';
import { MAX_LATE_EPOCHS } from '../../server/limits.ts';
import { NOW, refusal, type StoreWorld } from './delivery-store-world.ts';
import { application, commit, randomBytes } from './submissions.ts';

/** Draft section 5.9: what an eventually consistent service lets through, and what it orders all the same. */
export function eventualContract(world: StoreWorld): void {
  it('messages of one generation both get into the log, and a retry of either is no second entry', async () => {
    const [ada, bob] = [await world.person('ada'), await world.person('bob')];
    const groupId = await world.conversation(ada, bob);
    const generation = { ratchetType: 'application', generationId: randomBytes(32) } as const;
    const [first, second] = [application(groupId, 1, { generation }), application(groupId, 1, { generation })];
    const { position } = await world.store.submit(ada, first, NOW);
    expect((await world.store.submit(ada, second, NOW)).position).toBe(position + 1);
    expect((await world.store.submit(ada, first, NOW)).position).toBe(position);
  });

  it('a message of an epoch that is over gets in as long as clients keep it, and not one of an epoch to come', async () => {
    const [ada, bob] = [await world.person('ada'), await world.person('bob')];
    const groupId = await world.conversation(ada, bob);
    for (let epoch = 1; epoch <= MAX_LATE_EPOCHS + 1; epoch += 1) await world.store.submit(ada, commit(groupId, epoch), NOW);
    expect(await refusal(world.store.submit(bob, application(groupId, 2), NOW))).toBe('accepted');
    expect(await refusal(world.store.submit(bob, application(groupId, 1), NOW))).toBe('stale-epoch');
    expect(await refusal(world.store.submit(bob, application(groupId, MAX_LATE_EPOCHS + 3), NOW))).toBe('stale-epoch');
  });

  it('commits are ordered: one per epoch', async () => {
    const [ada, bob] = [await world.person('ada'), await world.person('bob')];
    const groupId = await world.conversation(ada, bob);
    await world.store.submit(ada, commit(groupId, 1), NOW);
    expect(await refusal(world.store.submit(bob, commit(groupId, 1), NOW))).toBe('stale-epoch');
    expect(await refusal(world.store.submit(ada, commit(groupId, 2), NOW))).toBe('accepted');
  });
}
