import { describe, expect, it } from 'vitest';
import type { Caller } from '../../server/store/store.ts';
import { sequenceMark } from '../../src/virtual-client/sequence-mark.ts';
import { groupInfo, privateMessage, publicCommit, welcome } from './mls-headers.ts';
import { adding, hex, NOW, refusal, type StoreWorld } from './delivery-store-world.ts';
import { application, commit, creation, emulationCommit, FIRST_FENCE, proposal, randomBytes } from './submissions.ts';

/** Accounts, group logs and fan-out. */
export function logContract(world: StoreWorld): void {
  describe('accounts', () => {
    it('a repeated creation answers what the first stored', async () => {
      const account = {
        accountId: randomBytes(16),
        username: 'ada',
        deviceId: randomBytes(16),
        deviceKey: randomBytes(32),
        signatureKey: randomBytes(32),
        emulationGroupId: randomBytes(32),
        emulationGroupInfo: randomBytes(50),
        keyVersion: 1,
        binding: randomBytes(140),
      };
      const first = await world.store.createAccount(account);
      const again = await world.store.createAccount({ ...account, accountId: randomBytes(16), binding: randomBytes(140) });
      expect(hex(again.accountId)).toBe(hex(first.accountId));
      expect(hex(again.binding)).toBe(hex(account.binding));
    });

    it('a username belongs to one account', async () => {
      await world.person('ada');
      expect(await refusal(world.person('ada'))).toBe('username-taken');
    });

    it('two accounts cannot share an emulation group', async () => {
      const ada = await world.person('ada');
      const bob = world.store.createAccount({
        accountId: randomBytes(16),
        username: 'bob',
        deviceId: randomBytes(16),
        deviceKey: randomBytes(32),
        signatureKey: randomBytes(32),
        emulationGroupId: ada.emulationGroup,
        emulationGroupInfo: randomBytes(50),
        keyVersion: 1,
        binding: randomBytes(140),
      });
      expect(await refusal(bob)).toBe('group-exists');
      expect(await refusal(world.store.findAccount(ada, 'bob'))).toBe('unknown-account');
    });

    it('finds and describes accounts that exist, and no others', async () => {
      const ada = await world.person('ada');
      const bob = await world.person('bob');
      expect(hex((await world.store.findAccount(ada, 'bob')).accountId)).toBe(hex(bob.accountId));
      expect((await world.store.describeAccounts(ada, [bob.accountId, ada.accountId])).map(({ username }) => username)).toEqual([
        'bob',
        'ada',
      ]);
    });

    it('describes those it knows, and leaves the unknown out', async () => {
      const ada = await world.person('ada');
      const bob = await world.person('bob');
      const asked = [randomBytes(16), bob.accountId, randomBytes(16), ada.accountId, randomBytes(16)];
      const described = await world.store.describeAccounts(ada, asked);
      expect(described.map(({ accountId, username }) => [hex(accountId), username])).toEqual([
        [hex(bob.accountId), 'bob'],
        [hex(ada.accountId), 'ada'],
      ]);
      expect(await world.store.describeAccounts(ada, [randomBytes(16)])).toEqual([]);
    });

    it('a device counts for its own account only', async () => {
      const ada = await world.person('ada');
      const bob = await world.person('bob');
      const impostor = { accountId: bob.accountId, deviceId: ada.deviceId };
      const groupId = randomBytes(32);
      expect(await refusal(world.store.readSequence(impostor, 0, 10, 1000, NOW))).toBe('unknown-device');
      expect(await refusal(world.store.submit(impostor, creation(groupId), NOW))).toBe('unknown-device');
      expect(await refusal(world.store.readGroup({ ...ada, deviceId: randomBytes(16) }, ada.emulationGroup, undefined))).toBe(
        'unknown-device',
      );
    });
  });

  describe('a group log', () => {
    it('a retry by message ID gets the same position and sequence, and adds nothing', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const message = application(groupId, 1);
      const first = await world.store.submit(ada, message, NOW);
      await world.store.submit(ada, application(groupId, 1), NOW);
      const again = await world.store.submit(ada, message, NOW + 1000);
      expect(again).toMatchObject({ position: first.position, sequence: first.sequence, reached: [] });
      expect((await world.entriesOf(bob)).length).toBe(4); // own upload, welcome and two messages
    });

    it('a retry is recognised in a later epoch too', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const moving = commit(groupId, 1);
      const first = await world.store.submit(ada, moving, NOW);
      expect((await world.store.submit(ada, moving, NOW)).position).toBe(first.position);
    });

    it('a message ID cannot be used for another group', async () => {
      const ada = await world.person('ada');
      const first = creation(randomBytes(32));
      await world.store.submit(ada, first, NOW);
      expect(await refusal(world.store.submit(ada, creation(randomBytes(32), { messageId: first.messageId }), NOW))).toBe('malformed');
    });

    it('of two commits of one epoch exactly one wins, the other learns that it is stale', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const bobsFence = { emulationEpoch: 1, keyVersion: 1 };
      const outcomes = await Promise.all([
        refusal(world.store.submit(ada, commit(groupId, 1), NOW)),
        refusal(world.store.submit(bob, commit(groupId, 1, {}, { fence: bobsFence }), NOW)),
      ]);
      expect(outcomes.toSorted()).toEqual(['accepted', 'stale-epoch']);
      expect((await world.store.readGroup(ada, groupId, undefined)).epoch).toBe(2);
    });

    it('takes messages of the current epoch only', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      expect(await refusal(world.store.submit(bob, application(groupId, 0), NOW))).toBe('stale-epoch');
      expect(await refusal(world.store.submit(bob, application(groupId, 2), NOW))).toBe('stale-epoch');
    });

    it('positions rise by one over all kinds of messages', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const positions = [];
      for (const sent of [application(groupId, 1), commit(groupId, 1), application(groupId, 2)]) {
        positions.push((await world.store.submit(ada, sent, NOW)).position);
      }
      expect(positions).toEqual([2, 3, 4]);
      expect(await world.store.readGroup(bob, groupId, undefined)).toMatchObject({ epoch: 2, position: 4 });
    });

    it('a generation ID is taken once per account, epoch and ratchet, and a retry is no second use', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const generation = { ratchetType: 'application', generationId: randomBytes(32) } as const;
      const first = application(groupId, 1, { generation });
      await world.store.submit(ada, first, NOW);
      expect(await refusal(world.store.submit(ada, application(groupId, 1, { generation }), NOW))).toBe('generation-taken');
      expect(await refusal(world.store.submit(ada, first, NOW))).toBe('accepted');
      expect(await refusal(world.store.submit(bob, application(groupId, 1, { generation }), NOW))).toBe('accepted');
      const handshake = { ratchetType: 'handshake', generationId: generation.generationId } as const;
      expect(await refusal(world.store.submit(ada, commit(groupId, 1, {}, { generation: handshake }), NOW))).toBe('accepted');
      expect(await refusal(world.store.submit(ada, application(groupId, 2, { generation }), NOW))).toBe('accepted');
    });

    it('strangers can neither read nor write a group, and an unknown one is named so', async () => {
      const [ada, bob, eve] = [await world.person('ada'), await world.person('bob'), await world.person('eve')];
      const groupId = await world.conversation(ada, bob);
      expect(await refusal(world.store.submit(eve, application(groupId, 1), NOW))).toBe('not-a-member');
      expect(await refusal(world.store.readGroup(eve, groupId, undefined))).toBe('not-a-member');
      expect(await refusal(world.store.submit(eve, emulationCommit(ada.emulationGroup, 0), NOW))).toBe('not-a-member');
      expect(await refusal(world.store.submit(eve, application(randomBytes(32), 0), NOW))).toBe('unknown-group');
      expect(await refusal(world.store.readGroup(eve, randomBytes(32), undefined))).toBe('unknown-group');
      expect(await world.entriesOf(eve)).toEqual([]);
    });

    it('a group ID is used once', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = randomBytes(32);
      await world.store.submit(ada, creation(groupId), NOW);
      expect(await refusal(world.store.submit(bob, creation(groupId), NOW))).toBe('group-exists');
    });

    it('the creation reaches the creator alone', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const creations = async (reader: Caller) => (await world.entriesOf(reader)).filter(({ kind }) => kind === 'creation');
      expect((await creations(ada)).map((entry) => hex(entry.groupId))).toEqual([hex(groupId)]);
      expect(await creations(bob)).toEqual([]);
    });

    it('commits, creations and proposals state the newest emulation epoch and key version', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      await world.store.submit(ada, emulationCommit(ada.emulationGroup, 0), NOW);
      expect(await refusal(world.store.submit(ada, commit(groupId, 1), NOW))).toBe('stale-emulation-epoch');
      expect(await refusal(world.store.submit(ada, creation(randomBytes(32)), NOW))).toBe('stale-emulation-epoch');
      expect(await refusal(world.store.submit(ada, proposal(groupId, 1), NOW))).toBe('stale-emulation-epoch');
      const otherKey = { emulationEpoch: 1, keyVersion: 2 };
      expect(await refusal(world.store.submit(ada, commit(groupId, 1, {}, { fence: otherKey }), NOW))).toBe('stale-key-version');
      expect(await refusal(world.store.submit(ada, proposal(groupId, 1, { fence: otherKey }), NOW))).toBe('stale-key-version');
      const newest = { emulationEpoch: 1, keyVersion: 1 };
      expect(await refusal(world.store.submit(ada, proposal(groupId, 1, { fence: newest }), NOW))).toBe('accepted');
      expect(await refusal(world.store.submit(ada, commit(groupId, 1, {}, { fence: newest }), NOW))).toBe('accepted');
    });

    it('a refused commit leaves group, generations and KeyPackages as they were', async () => {
      const [ada, bob, cleo] = [await world.person('ada'), await world.person('bob'), await world.person('cleo')];
      const groupId = await world.conversation(ada, bob);
      await world.stock(cleo, 1);
      const claimed = await world.claimOne(ada, cleo);
      const wrong = commit(groupId, 1, { ...adding(claimed), removes: [randomBytes(16)] });
      const before = await world.store.readGroup(ada, groupId, undefined);
      expect(await refusal(world.store.submit(ada, wrong, NOW))).toBe('malformed');
      expect(await world.store.readGroup(ada, groupId, undefined)).toEqual(before);
      const right = commit(groupId, 1, adding(claimed), { generation: wrong.generation });
      expect(await refusal(world.store.submit(ada, right, NOW))).toBe('accepted');
    });

    it('what does not fit the kind of group is malformed', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const device = { deviceId: randomBytes(16), deviceKey: randomBytes(32), linkId: randomBytes(16), coversPosition: 0 };
      const wrong = [
        application(groupId, 1, { generation: undefined }),
        application(groupId, 1, { fence: FIRST_FENCE }),
        commit(groupId, 1, {}, { fence: undefined }),
        proposal(groupId, 1, { fence: undefined }),
        proposal(ada.emulationGroup, 0, { generation: undefined }),
        commit(groupId, 1, { announces: [randomBytes(32)] }),
        commit(groupId, 1, { newDevice: device, welcome: { message: welcome(), uses: [] } }),
        commit(groupId, 1, { welcome: { message: welcome(), uses: [] } }),
        commit(groupId, 1, { removes: [ada.accountId] }),
        commit(ada.emulationGroup, 0),
        emulationCommit(ada.emulationGroup, 0, { adds: [bob.accountId] }),
        emulationCommit(ada.emulationGroup, 0, { removes: [ada.accountId] }),
        emulationCommit(ada.emulationGroup, 0, { newDevice: device }),
        { ...emulationCommit(ada.emulationGroup, 0), message: publicCommit(ada.emulationGroup, 0, 4) },
      ];
      for (const submission of wrong) expect(await refusal(world.store.submit(ada, submission, NOW))).toBe('malformed');
    });

    it('a member account may come back by an external commit in clear', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const external = commit(groupId, 1, {}, { message: publicCommit(groupId, 1, 4), generation: undefined });
      expect(await refusal(world.store.submit(ada, external, NOW))).toBe('accepted');
    });

    it('an external commit adds and removes no other account', async () => {
      const [ada, bob, cleo] = [await world.person('ada'), await world.person('bob'), await world.person('cleo')];
      const groupId = await world.conversation(ada, bob);
      const inClear = { message: publicCommit(groupId, 1, 4), generation: undefined };
      await world.stock(cleo, 1);
      const wrong = [{ removes: [bob.accountId] }, adding(await world.claimOne(ada, cleo))];
      for (const routing of wrong) {
        expect(await refusal(world.store.submit(ada, commit(groupId, 1, routing, inClear), NOW))).toBe('malformed');
      }
    });

    it('the GroupInfo that an external commit was made from stays until every device of the account has passed the commit', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const phone = await world.secondDevice(ada);
      const fence = { emulationEpoch: 1, keyVersion: 1 };
      const external = commit(groupId, 1, {}, { message: publicCommit(groupId, 1, 4), generation: undefined, fence });
      const { sequence } = await world.store.submit(ada, external, NOW);
      const base = groupInfo(groupId, 1);
      await world.store.confirmSequence(ada, sequence);
      await world.store.confirmSequence(phone, sequence - 1);
      expect(hex((await world.store.readGroup(phone, groupId, 1)).groupInfo)).toBe(hex(base));
      expect((await world.store.readGroup(phone, groupId, undefined)).epoch).toBe(2);
      expect(await refusal(world.store.readGroup(bob, groupId, 1))).toBe('stale-epoch');
      await world.store.confirmSequence(phone, sequence);
      expect(await refusal(world.store.readGroup(phone, groupId, 1))).toBe('stale-epoch');
    });
  });

  describe('fan-out', () => {
    it('gives each account its own unbroken sequence in acceptance order over all its groups', async () => {
      const [ada, bob, cleo] = [await world.person('ada'), await world.person('bob'), await world.person('cleo')];
      const first = await world.conversation(ada, bob);
      const second = await world.conversation(ada, cleo);
      for (const groupId of [first, second, second, first]) await world.store.submit(ada, application(groupId, 1), NOW);
      const entries = await world.entriesOf(ada);
      expect(entries.map(({ sequence }) => sequence)).toEqual(entries.map((_, index) => index + 1));
      const sent = entries.filter(({ kind }) => kind === 'application').map((entry) => hex(entry.groupId));
      expect(sent).toEqual([first, second, second, first].map(hex));
      expect((await world.entriesOf(bob)).map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
    });

    it('a message ID never reaches another account', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      const message = application(groupId, 1);
      await world.store.submit(ada, message, NOW);
      expect(hex((await world.entriesOf(ada)).at(-1)?.messageId)).toBe(hex(message.messageId));
      const seenByBob = (await world.entriesOf(bob)).filter((entry) => hex(entry.groupId) === hex(groupId));
      expect(seenByBob.length).toBe(2);
      for (const entry of seenByBob) expect(entry.messageId).toBeUndefined();
    });

    it('an added account gets the Welcome at the place of the commit, with its KeyPackage, and no commit', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const [ref] = await world.stock(bob, 1);
      const groupId = randomBytes(32);
      await world.store.submit(ada, creation(groupId), NOW);
      const added = await world.store.submit(ada, commit(groupId, 0, adding(await world.claimOne(ada, bob))), NOW);
      const entries = (await world.entriesOf(bob)).filter((entry) => hex(entry.groupId) === hex(groupId));
      expect(entries.map(({ kind, position }) => ({ kind, position }))).toEqual([{ kind: 'welcome', position: added.position }]);
      expect(hex(entries[0]?.keyPackageRef)).toBe(hex(ref));
      expect(hex(entries[0]?.message)).toBe(hex(welcome()));
      expect((await world.entriesOf(ada)).at(-1)).toMatchObject({ kind: 'commit', keyPackageRef: undefined });
    });

    it('a removed account gets its removal and nothing after it', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      await world.store.submit(ada, commit(groupId, 1, { removes: [bob.accountId] }), NOW);
      await world.store.submit(ada, application(groupId, 2), NOW);
      const last = (await world.entriesOf(bob)).at(-1);
      expect(last).toMatchObject({ kind: 'commit', epoch: 1 });
      expect(await refusal(world.store.submit(bob, application(groupId, 2), NOW))).toBe('not-a-member');
      expect(await refusal(world.store.readGroup(bob, groupId, undefined))).toBe('not-a-member');
    });

    it('pages by cursor, count and size, and a page is never empty while there is more', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      for (let i = 0; i < 5; i++) {
        const message = privateMessage(groupId, 1, 'application', 'x'.repeat(1000));
        await world.store.submit(ada, application(groupId, 1, { message }), NOW);
      }
      const page = async (after: number, limit: number, maxBytes: number) =>
        (await world.store.readSequence(bob, after, limit, maxBytes, NOW)).entries.map(({ sequence }) => sequence);
      expect(await page(2, 3, 1 << 20)).toEqual([3, 4, 5]);
      expect(await page(2, 100, 2500)).toEqual([3, 4]);
      expect(await page(4, 100, 1)).toEqual([5]);
      expect(await page(7, 100, 1 << 20)).toEqual([]);
      expect((await world.store.readSequence(bob, 7, 1, 1, NOW)).last).toBe(7);
    });

    it('knows each entry of an account by its mark, and no other one', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      for (let i = 0; i < 3; i++) await world.store.submit(ada, application(groupId, 1), NOW);
      for (const reader of [ada, bob]) {
        const entries = await world.entriesOf(reader);
        for (const entry of entries) await world.store.checkMark(reader, entry.sequence, sequenceMark(entry));
        const [first, second] = entries;
        expect(await refusal(world.store.checkMark(reader, first!.sequence, sequenceMark(second!)))).toBe('log-changed');
        const beyond = entries.at(-1)!.sequence + 1;
        expect(await refusal(world.store.checkMark(reader, beyond, sequenceMark({ ...first!, sequence: beyond })))).toBe('log-changed');
        await world.store.checkMark(reader, beyond, undefined);
      }
    });
  });
}
