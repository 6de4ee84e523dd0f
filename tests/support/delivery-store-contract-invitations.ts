import { beforeEach, describe, expect, it } from 'vitest';
import type { CommitRouting } from '../../src/engine/ports.ts';
import { publicCommit } from './mls-headers.ts';
import { hex, NOW, refusal, type Person, type StoreWorld } from './delivery-store-world.ts';
import { application, commit, randomBytes } from './submissions.ts';

/** Joining from outside with a key that a member has put into the group. */
export function invitationContract(world: StoreWorld): void {
  describe('invitations by link', () => {
    const KEY = randomBytes(32);
    const PROOF = randomBytes(64);
    let ada: Person;
    let bob: Person;
    let cleo: Person;
    /** Of ada and bob, in epoch 2, which ada's invitation has begun. */
    let groupId: Uint8Array;

    beforeEach(async () => {
      [ada, bob, cleo] = [await world.person('ada'), await world.person('bob'), await world.person('cleo')];
      groupId = await world.conversation(ada, bob);
      await world.store.submit(ada, commit(groupId, 1, { invitation: { key: KEY } }), NOW);
    });

    const joining = (epoch: number, refuses?: number) =>
      commit(groupId, epoch, { invited: PROOF, refuses }, { message: publicCommit(groupId, epoch, 4), generation: undefined });
    const join = (person: Person, epoch = 2, key = KEY) => refusal(world.store.submit(person, joining(epoch), NOW, key));
    /** He has announced KeyPackages: his emulation group is in epoch 1. */
    const bobs = (epoch: number, routing: Partial<CommitRouting> = {}) =>
      commit(groupId, epoch, routing, { fence: { emulationEpoch: 1, keyVersion: 1 } });
    const isMember = async (person: Person): Promise<boolean> =>
      (await refusal(world.store.readGroup(person, groupId, undefined))) === 'accepted';

    it('show the GroupInfo to whom the key vouches for, and to nobody else', async () => {
      expect(hex(await world.store.invitationKey(groupId))).toBe(hex(KEY));
      expect((await world.store.openInvitation(cleo, groupId, KEY)).epoch).toBe(2);
      for (const key of [undefined, randomBytes(32)]) {
        expect(await refusal(world.store.openInvitation(cleo, groupId, key))).toBe('invitation-refused');
      }
      expect(await refusal(world.store.openInvitation(cleo, randomBytes(16), KEY))).toBe('invitation-refused');
      expect(await isMember(cleo)).toBe(false);
    });

    it('make a member of whoever comes in with the key, from that commit on', async () => {
      expect(await join(cleo)).toBe('accepted');
      expect(await isMember(cleo)).toBe(true);
      expect(await refusal(world.store.submit(cleo, application(groupId, 3), NOW))).toBe('accepted');
      const seen = (await world.entriesOf(cleo)).filter((entry) => hex(entry.groupId) === hex(groupId));
      expect(seen.map(({ kind, epoch }) => [kind, epoch])).toEqual([
        ['commit', 2],
        ['application', 3],
      ]);
      expect((await world.entriesOf(bob)).filter(({ epoch, kind }) => kind === 'commit' && epoch === 2)).toHaveLength(1);
      // Her devices follow the commit with the GroupInfo that it was made from.
      expect((await world.store.readGroup(cleo, groupId, 2)).epoch).toBe(2);
    });

    it('let nobody in with another key, without one, by another kind of commit, or twice', async () => {
      expect(await join(cleo, 2, randomBytes(32))).toBe('invitation-refused');
      expect(await refusal(world.store.submit(cleo, joining(2), NOW))).toBe('invitation-refused');
      expect(await refusal(world.store.submit(cleo, commit(groupId, 2, { invited: PROOF }), NOW, KEY))).toBe('malformed');
      expect(await isMember(cleo)).toBe(false);
      expect(await join(cleo)).toBe('accepted');
      expect(await join(cleo, 2)).toBe('stale-epoch');
    });

    it('are over when a commit withdraws or replaces the key', async () => {
      const other = randomBytes(32);
      await world.store.submit(bob, bobs(2, { invitation: { key: other } }), NOW);
      expect(await join(cleo, 3)).toBe('invitation-refused');
      expect(await refusal(world.store.openInvitation(cleo, groupId, other))).toBe('accepted');
      await world.store.submit(bob, bobs(3, { invitation: { key: undefined } }), NOW);
      expect(await join(cleo, 4, other)).toBe('invitation-refused');
      expect(await world.store.invitationKey(groupId)).toBeUndefined();
    });

    it('stay as they are through any other commit', async () => {
      await world.store.submit(bob, bobs(2), NOW);
      expect(await join(cleo, 3)).toBe('accepted');
    });

    it('are as before when the members refuse the commit that changed them, or that came in by them', async () => {
      const { position } = await world.store.submit(bob, bobs(2, { invitation: { key: undefined } }), NOW);
      await world.store.submit(ada, commit(groupId, 2, { refuses: position }), NOW);
      expect(hex(await world.store.invitationKey(groupId))).toBe(hex(KEY));
      const entered = await world.store.submit(cleo, joining(3), NOW, KEY);
      await world.store.submit(ada, commit(groupId, 3, { refuses: entered.position }), NOW);
      expect(await isMember(cleo)).toBe(false);
      expect(await isMember(bob)).toBe(true);
    });
  });
}
