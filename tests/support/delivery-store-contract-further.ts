import { beforeEach, describe, expect, it } from 'vitest';
import { MAX_FURTHER_COMMITS } from '../../server/limits.ts';
import type { CommitRouting } from '../../src/engine/ports.ts';
import { groupInfo, publicCommit } from './mls-headers.ts';
import { adding, hex, NOW, refusal, type Person, type StoreWorld } from './delivery-store-world.ts';
import { application, commit, emulationCommit, randomBytes } from './submissions.ts';

/** Further commits for an epoch whose commit honest members refuse (reading section 15). */
export function furtherContract(world: StoreWorld): void {
  describe('after a commit that the members refuse', () => {
    let ada: Person;
    let bob: Person;
    let cleo: Person;
    /** Of ada and bob, in epoch 1. */
    let groupId: Uint8Array;

    beforeEach(async () => {
      [ada, bob, cleo] = [await world.person('ada'), await world.person('bob'), await world.person('cleo')];
      groupId = await world.conversation(ada, bob);
    });

    /** bob's commit for epoch 1, which the server takes. @returns its position */
    const refused = async (routing: Partial<CommitRouting> = {}): Promise<number> => {
      const fence = { emulationEpoch: 1, keyVersion: 1 };
      return (await world.store.submit(bob, commit(groupId, 1, routing, { fence }), NOW)).position;
    };
    const further = (refuses: number | undefined, routing: Partial<CommitRouting> = {}, epoch = 1) =>
      commit(groupId, epoch, { refuses, ...routing });
    const isMember = async (person: Person): Promise<boolean> =>
      (await refusal(world.store.readGroup(person, groupId, undefined))) === 'accepted';

    it('one that names it takes its place: the epoch stays, the GroupInfo is the new one, and all see both in order', async () => {
      const position = await refused();
      const before = await world.store.readGroup(bob, groupId, undefined);
      const mended = Buffer.concat([groupInfo(groupId, 2), randomBytes(8)]);
      const accepted = await world.store.submit(ada, further(position, { groupInfo: new Uint8Array(mended) }), NOW);
      expect(accepted.position).toBe(position + 1);
      const after = await world.store.readGroup(bob, groupId, undefined);
      expect([before.epoch, after.epoch]).toEqual([2, 2]);
      expect(hex(after.groupInfo)).toBe(mended.toString('hex'));
      for (const reader of [ada, bob]) {
        const commits = (await world.entriesOf(reader)).filter((entry) => entry.kind === 'commit' && entry.epoch === 1);
        expect(commits.map((entry) => entry.position)).toEqual([position, position + 1]);
      }
      expect(await refusal(world.store.submit(bob, application(groupId, 2), NOW))).toBe('accepted');
    });

    it('one that names no commit, another one, or another epoch is stale', async () => {
      const position = await refused();
      const wrong = [further(undefined), further(position - 1), further(position + 1), further(position, {}, 0)];
      for (const submission of wrong) expect(await refusal(world.store.submit(ada, submission, NOW))).toBe('stale-epoch');
      expect((await world.store.readGroup(ada, groupId, undefined)).position).toBe(position);
    });

    it('only commits are taken for the epoch that is over', async () => {
      await refused();
      expect(await refusal(world.store.submit(ada, application(groupId, 1), NOW))).toBe('stale-epoch');
    });

    it('messages in between do not keep the next from naming it', async () => {
      const position = await refused();
      await world.store.submit(bob, application(groupId, 2), NOW);
      expect(await refusal(world.store.submit(ada, further(position), NOW))).toBe('accepted');
    });

    it('of two that name it the first counts, and the second may name the first', async () => {
      const position = await refused();
      const first = await world.store.submit(ada, further(position), NOW);
      expect(await refusal(world.store.submit(ada, further(position), NOW))).toBe('stale-epoch');
      expect(await refusal(world.store.submit(ada, further(first.position), NOW))).toBe('accepted');
    });

    it('a retry of the further commit is answered as the first time', async () => {
      const submission = further(await refused());
      const first = await world.store.submit(ada, submission, NOW);
      expect(await world.store.submit(ada, submission, NOW)).toMatchObject({ position: first.position, reached: [] });
    });

    it('whom it removed is a member again, and gets what comes from then on', async () => {
      const position = await refused({ removes: [ada.accountId] });
      expect(await isMember(ada)).toBe(false);
      // bob's other device is honest and names it.
      const fence = { emulationEpoch: 1, keyVersion: 1 };
      const mended = await world.store.submit(bob, commit(groupId, 1, { refuses: position }, { fence }), NOW);
      expect(await isMember(ada)).toBe(true);
      expect((await world.entriesOf(ada)).at(-1)).toMatchObject({ kind: 'commit', position: mended.position });
    });

    it('whom it removed cannot put that right alone', async () => {
      const position = await refused({ removes: [ada.accountId] });
      expect(await refusal(world.store.submit(ada, further(position), NOW))).toBe('not-a-member');
    });

    it('whom it added is no member any more and gets nothing further, and the KeyPackage stays spent', async () => {
      await world.stock(cleo, 1);
      const claimed = await world.claimOne(bob, cleo);
      const position = await refused(adding(claimed));
      expect(await isMember(cleo)).toBe(true);
      const had = (await world.entriesOf(cleo)).length;
      const { reached } = await world.store.submit(ada, further(position), NOW);
      expect(reached.map(hex)).not.toContain(hex(cleo.accountId));
      await world.store.submit(ada, application(groupId, 2), NOW);
      expect(await isMember(cleo)).toBe(false);
      expect((await world.entriesOf(cleo)).length).toBe(had);
      const fence = { emulationEpoch: 1, keyVersion: 1 };
      const again = commit(groupId, 2, adding(claimed), { fence });
      expect(await refusal(world.store.submit(bob, again, NOW))).toBe('spent-key-package');
    });

    it('members of the further commit are judged from the state before the refused one', async () => {
      const position = await refused({ removes: [ada.accountId] });
      const fence = { emulationEpoch: 1, keyVersion: 1 };
      const removing = commit(groupId, 1, { refuses: position, removes: [ada.accountId] }, { fence });
      expect(await refusal(world.store.submit(bob, removing, NOW))).toBe('accepted');
      expect(await isMember(ada)).toBe(false);
    });

    it('a further commit that breaks a rule leaves the refused one in its place', async () => {
      const position = await refused({ removes: [ada.accountId] });
      const before = await world.store.readGroup(bob, groupId, undefined);
      const fence = { emulationEpoch: 1, keyVersion: 1 };
      const wrong = commit(groupId, 1, { refuses: position, removes: [randomBytes(16)] }, { fence });
      expect(await refusal(world.store.submit(bob, wrong, NOW))).toBe('malformed');
      const stale = commit(groupId, 1, { refuses: position }, { fence: { emulationEpoch: 0, keyVersion: 1 } });
      expect(await refusal(world.store.submit(bob, stale, NOW))).toBe('stale-emulation-epoch');
      expect(await world.store.readGroup(bob, groupId, undefined)).toEqual(before);
      expect(await isMember(ada)).toBe(false);
    });

    it('a few are taken for one epoch and no more, and the next epoch has its own few', async () => {
      let newest = await refused();
      for (let i = 0; i < MAX_FURTHER_COMMITS; i++) newest = (await world.store.submit(ada, further(newest), NOW)).position;
      expect(await refusal(world.store.submit(ada, further(newest), NOW))).toBe('stale-epoch');
      newest = (await world.store.submit(ada, commit(groupId, 2), NOW)).position;
      for (let i = 0; i < MAX_FURTHER_COMMITS; i++) newest = (await world.store.submit(ada, further(newest, {}, 2), NOW)).position;
      expect(await refusal(world.store.submit(ada, further(newest, {}, 2), NOW))).toBe('stale-epoch');
      expect(await refusal(world.store.submit(ada, commit(groupId, 3), NOW))).toBe('accepted');
    });

    it('the epoch after it has generation IDs of its own, also those that it used', async () => {
      const generation = { ratchetType: 'application', generationId: randomBytes(32) } as const;
      const position = await refused();
      await world.store.submit(ada, application(groupId, 2, { generation }), NOW);
      await world.store.submit(ada, further(position), NOW);
      expect(await refusal(world.store.submit(ada, application(groupId, 2, { generation }), NOW))).toBe('accepted');
    });

    it('an external commit in clear may be the one that names it', async () => {
      const position = await refused();
      const inClear = { message: publicCommit(groupId, 1, 4), generation: undefined };
      expect(await refusal(world.store.submit(ada, commit(groupId, 1, { refuses: position }, inClear), NOW))).toBe('accepted');
    });

    it('strangers name nothing', async () => {
      const position = await refused();
      expect(await refusal(world.store.submit(cleo, further(position), NOW))).toBe('not-a-member');
    });
  });

  it('naming one in a commit for the group’s own epoch changes nothing', async () => {
    const [ada, bob] = [await world.person('ada'), await world.person('bob')];
    const groupId = await world.conversation(ada, bob);
    expect(await refusal(world.store.submit(ada, commit(groupId, 1, { refuses: 1 }), NOW))).toBe('accepted');
    expect((await world.store.readGroup(bob, groupId, undefined)).epoch).toBe(2);
  });

  it('the emulation group takes a further commit too, and what the refused one announced stays announced', async () => {
    const ada = await world.person('ada');
    const ref = randomBytes(32);
    const { position } = await world.store.submit(ada, emulationCommit(ada.emulationGroup, 0, { announces: [ref] }), NOW);
    const mended = emulationCommit(ada.emulationGroup, 0, { refuses: position });
    expect(await refusal(world.store.submit(ada, mended, NOW))).toBe('accepted');
    expect((await world.store.readGroup(ada, ada.emulationGroup, undefined)).epoch).toBe(1);
    const keyPackages = [{ keyPackageRef: ref, keyPackage: randomBytes(100) }];
    expect(await refusal(world.store.uploadKeyPackages(ada, keyPackages, NOW))).toBe('accepted');
  });
}
