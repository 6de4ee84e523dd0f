import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { KEY_PACKAGE_CLAIMABLE, KEY_PACKAGE_LIFETIME, LINK_LIFETIME, MAX_UNUSED_CLAIMS, WELCOME_LIFETIME } from '../../server/limits.ts';
import { Refusal } from '../../server/problems.ts';
import type { Caller, DeliveryStore } from '../../server/store/store.ts';
import type { ClaimedKeyPackage, ProblemType } from '../../src/engine/ports.ts';
import { groupInfo, privateMessage, publicCommit, welcome } from './mls-headers.ts';
import { application, commit, creation, emulationCommit, FIRST_FENCE, linking, randomBytes } from './submissions.ts';

const NOW = 1_800_000_000_000;

async function refusal(work: Promise<unknown>): Promise<ProblemType | 'accepted'> {
  try {
    await work;
    return 'accepted';
  } catch (error) {
    if (error instanceof Refusal) return error.type;
    throw error;
  }
}

const hex = (bytes: Uint8Array | undefined): string | undefined => (bytes === undefined ? undefined : Buffer.from(bytes).toString('hex'));

/** What every adapter of DeliveryStore must do. `open` gives an empty store; `close` deletes it. */
export function deliveryStoreContract(name: string, open: () => Promise<{ store: DeliveryStore; close: () => Promise<void> }>): void {
  describe(`delivery store on ${name}`, () => {
    let store: DeliveryStore;
    let close: () => Promise<void>;

    interface Person extends Caller {
      readonly emulationGroup: Uint8Array;
    }

    async function person(username: string): Promise<Person> {
      const [deviceId, emulationGroup] = [randomBytes(16), randomBytes(32)];
      const { accountId } = await store.createAccount({
        accountId: randomBytes(16),
        username,
        deviceId,
        deviceKey: randomBytes(32),
        signatureKey: randomBytes(32),
        emulationGroupId: emulationGroup,
        emulationGroupInfo: groupInfo(emulationGroup, 0),
        keyVersion: 1,
        binding: randomBytes(140),
      });
      return { accountId, deviceId, emulationGroup };
    }

    /** Announces and uploads `count` KeyPackages; moves the emulation group by one epoch. */
    async function stock(owner: Person, count: number, epoch = 0, now = NOW): Promise<Uint8Array[]> {
      const refs = Array.from({ length: count }, () => randomBytes(32));
      await store.submit(owner, emulationCommit(owner.emulationGroup, epoch, { announces: refs }), now);
      await store.uploadKeyPackages(
        owner,
        refs.map((keyPackageRef) => ({ keyPackageRef, keyPackage: randomBytes(100) })),
        now,
      );
      return refs;
    }

    async function claimOne(claimer: Caller, owner: Caller, now = NOW): Promise<ClaimedKeyPackage> {
      const [claimed] = await store.claimKeyPackages(claimer, randomBytes(16), [owner.accountId], now);
      if (claimed === undefined) throw new Error('no KeyPackage');
      return claimed;
    }

    const adding = ({ accountId, keyPackageRef }: ClaimedKeyPackage) => ({
      adds: [accountId],
      welcome: { message: welcome(), uses: [{ accountId, keyPackageRef }] },
    });

    /** A group of `a` and `b` in epoch 1. */
    async function conversation(a: Person, b: Person): Promise<Uint8Array> {
      const groupId = randomBytes(32);
      await stock(b, 1);
      await store.submit(a, creation(groupId), NOW);
      await store.submit(a, commit(groupId, 0, adding(await claimOne(a, b))), NOW);
      return groupId;
    }

    const entriesOf = async (reader: Caller, after = 0) => (await store.readSequence(reader, after, 256, 1 << 24, NOW)).entries;

    beforeEach(async () => {
      ({ store, close } = await open());
    });
    afterEach(() => close());

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
        const first = await store.createAccount(account);
        const again = await store.createAccount({ ...account, accountId: randomBytes(16), binding: randomBytes(140) });
        expect(hex(again.accountId)).toBe(hex(first.accountId));
        expect(hex(again.binding)).toBe(hex(account.binding));
      });

      it('a username belongs to one account', async () => {
        await person('ada');
        expect(await refusal(person('ada'))).toBe('username-taken');
      });

      it('two accounts cannot share an emulation group', async () => {
        const ada = await person('ada');
        const bob = store.createAccount({
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
        expect(await refusal(store.findAccount(ada, 'bob'))).toBe('unknown-account');
      });

      it('finds and describes accounts that exist, and no others', async () => {
        const ada = await person('ada');
        const bob = await person('bob');
        expect(hex((await store.findAccount(ada, 'bob')).accountId)).toBe(hex(bob.accountId));
        expect((await store.describeAccounts(ada, [bob.accountId, ada.accountId])).map(({ username }) => username)).toEqual(['bob', 'ada']);
        expect(await refusal(store.describeAccounts(ada, [randomBytes(16)]))).toBe('unknown-account');
      });

      it('a device counts for its own account only', async () => {
        const ada = await person('ada');
        const bob = await person('bob');
        const impostor = { accountId: bob.accountId, deviceId: ada.deviceId };
        const groupId = randomBytes(32);
        expect(await refusal(store.readSequence(impostor, 0, 10, 1000, NOW))).toBe('unknown-device');
        expect(await refusal(store.submit(impostor, creation(groupId), NOW))).toBe('unknown-device');
        expect(await refusal(store.readGroup({ ...ada, deviceId: randomBytes(16) }, ada.emulationGroup))).toBe('unknown-device');
      });
    });

    describe('a group log', () => {
      it('a retry by message ID gets the same position and sequence, and adds nothing', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const message = application(groupId, 1);
        const first = await store.submit(ada, message, NOW);
        await store.submit(ada, application(groupId, 1), NOW);
        const again = await store.submit(ada, message, NOW + 1000);
        expect(again).toMatchObject({ position: first.position, sequence: first.sequence, reached: [] });
        expect((await entriesOf(bob)).length).toBe(4); // own upload, welcome and two messages
      });

      it('a retry is recognised in a later epoch too', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const moving = commit(groupId, 1);
        const first = await store.submit(ada, moving, NOW);
        expect((await store.submit(ada, moving, NOW)).position).toBe(first.position);
      });

      it('a message ID cannot be used for another group', async () => {
        const ada = await person('ada');
        const first = creation(randomBytes(32));
        await store.submit(ada, first, NOW);
        expect(await refusal(store.submit(ada, creation(randomBytes(32), { messageId: first.messageId }), NOW))).toBe('malformed');
      });

      it('of two commits of one epoch exactly one wins, the other learns that it is stale', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const bobsFence = { emulationEpoch: 1, keyVersion: 1 };
        const outcomes = await Promise.all([
          refusal(store.submit(ada, commit(groupId, 1), NOW)),
          refusal(store.submit(bob, commit(groupId, 1, {}, { fence: bobsFence }), NOW)),
        ]);
        expect(outcomes.toSorted()).toEqual(['accepted', 'stale-epoch']);
        expect((await store.readGroup(ada, groupId)).epoch).toBe(2);
      });

      it('takes messages of the current epoch only', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        expect(await refusal(store.submit(bob, application(groupId, 0), NOW))).toBe('stale-epoch');
        expect(await refusal(store.submit(bob, application(groupId, 2), NOW))).toBe('stale-epoch');
      });

      it('positions rise by one over all kinds of messages', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const positions = [];
        for (const sent of [application(groupId, 1), commit(groupId, 1), application(groupId, 2)]) {
          positions.push((await store.submit(ada, sent, NOW)).position);
        }
        expect(positions).toEqual([2, 3, 4]);
        expect(await store.readGroup(bob, groupId)).toMatchObject({ epoch: 2, position: 4 });
      });

      it('a generation ID is taken once per account, epoch and ratchet, and a retry is no second use', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const generation = { ratchetType: 'application', generationId: randomBytes(32) } as const;
        const first = application(groupId, 1, { generation });
        await store.submit(ada, first, NOW);
        expect(await refusal(store.submit(ada, application(groupId, 1, { generation }), NOW))).toBe('generation-taken');
        expect(await refusal(store.submit(ada, first, NOW))).toBe('accepted');
        expect(await refusal(store.submit(bob, application(groupId, 1, { generation }), NOW))).toBe('accepted');
        const handshake = { ratchetType: 'handshake', generationId: generation.generationId } as const;
        expect(await refusal(store.submit(ada, commit(groupId, 1, {}, { generation: handshake }), NOW))).toBe('accepted');
        expect(await refusal(store.submit(ada, application(groupId, 2, { generation }), NOW))).toBe('accepted');
      });

      it('strangers can neither read nor write a group, and an unknown one is named so', async () => {
        const [ada, bob, eve] = [await person('ada'), await person('bob'), await person('eve')];
        const groupId = await conversation(ada, bob);
        expect(await refusal(store.submit(eve, application(groupId, 1), NOW))).toBe('not-a-member');
        expect(await refusal(store.readGroup(eve, groupId))).toBe('not-a-member');
        expect(await refusal(store.submit(eve, emulationCommit(ada.emulationGroup, 0), NOW))).toBe('not-a-member');
        expect(await refusal(store.submit(eve, application(randomBytes(32), 0), NOW))).toBe('unknown-group');
        expect(await refusal(store.readGroup(eve, randomBytes(32)))).toBe('unknown-group');
        expect(await entriesOf(eve)).toEqual([]);
      });

      it('a group ID is used once', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = randomBytes(32);
        await store.submit(ada, creation(groupId), NOW);
        expect(await refusal(store.submit(bob, creation(groupId), NOW))).toBe('group-exists');
      });

      it('the creation reaches the creator alone', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const creations = async (reader: Caller) => (await entriesOf(reader)).filter(({ kind }) => kind === 'creation');
        expect((await creations(ada)).map((entry) => hex(entry.groupId))).toEqual([hex(groupId)]);
        expect(await creations(bob)).toEqual([]);
      });

      it('commits and creations state the newest emulation epoch and key version', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        await store.submit(ada, emulationCommit(ada.emulationGroup, 0), NOW);
        expect(await refusal(store.submit(ada, commit(groupId, 1), NOW))).toBe('stale-emulation-epoch');
        expect(await refusal(store.submit(ada, creation(randomBytes(32)), NOW))).toBe('stale-emulation-epoch');
        const otherKey = { emulationEpoch: 1, keyVersion: 2 };
        expect(await refusal(store.submit(ada, commit(groupId, 1, {}, { fence: otherKey }), NOW))).toBe('stale-key-version');
        const newest = { emulationEpoch: 1, keyVersion: 1 };
        expect(await refusal(store.submit(ada, commit(groupId, 1, {}, { fence: newest }), NOW))).toBe('accepted');
      });

      it('a refused commit leaves group, generations and KeyPackages as they were', async () => {
        const [ada, bob, cleo] = [await person('ada'), await person('bob'), await person('cleo')];
        const groupId = await conversation(ada, bob);
        await stock(cleo, 1);
        const claimed = await claimOne(ada, cleo);
        const wrong = commit(groupId, 1, { ...adding(claimed), removes: [randomBytes(16)] });
        const before = await store.readGroup(ada, groupId);
        expect(await refusal(store.submit(ada, wrong, NOW))).toBe('malformed');
        expect(await store.readGroup(ada, groupId)).toEqual(before);
        const right = commit(groupId, 1, adding(claimed), { generation: wrong.generation });
        expect(await refusal(store.submit(ada, right, NOW))).toBe('accepted');
      });

      it('what does not fit the kind of group is malformed', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const device = { deviceId: randomBytes(16), deviceKey: randomBytes(32), linkId: randomBytes(16), coversPosition: 0 };
        const wrong = [
          application(groupId, 1, { generation: undefined }),
          application(groupId, 1, { fence: FIRST_FENCE }),
          commit(groupId, 1, {}, { fence: undefined }),
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
        for (const submission of wrong) expect(await refusal(store.submit(ada, submission, NOW))).toBe('malformed');
      });

      it('a member account may come back by an external commit in clear', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const external = commit(groupId, 1, {}, { message: publicCommit(groupId, 1, 4), generation: undefined });
        expect(await refusal(store.submit(ada, external, NOW))).toBe('accepted');
      });
    });

    describe('fan-out', () => {
      it('gives each account its own unbroken sequence in acceptance order over all its groups', async () => {
        const [ada, bob, cleo] = [await person('ada'), await person('bob'), await person('cleo')];
        const first = await conversation(ada, bob);
        const second = await conversation(ada, cleo);
        for (const groupId of [first, second, second, first]) await store.submit(ada, application(groupId, 1), NOW);
        const entries = await entriesOf(ada);
        expect(entries.map(({ sequence }) => sequence)).toEqual(entries.map((_, index) => index + 1));
        const sent = entries.filter(({ kind }) => kind === 'application').map((entry) => hex(entry.groupId));
        expect(sent).toEqual([first, second, second, first].map(hex));
        expect((await entriesOf(bob)).map(({ sequence }) => sequence)).toEqual([1, 2, 3, 4]);
      });

      it('a message ID never reaches another account', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        const message = application(groupId, 1);
        await store.submit(ada, message, NOW);
        expect(hex((await entriesOf(ada)).at(-1)?.messageId)).toBe(hex(message.messageId));
        const seenByBob = (await entriesOf(bob)).filter((entry) => hex(entry.groupId) === hex(groupId));
        expect(seenByBob.length).toBe(2);
        for (const entry of seenByBob) expect(entry.messageId).toBeUndefined();
      });

      it('an added account gets the Welcome at the place of the commit, with its KeyPackage, and no commit', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const [ref] = await stock(bob, 1);
        const groupId = randomBytes(32);
        await store.submit(ada, creation(groupId), NOW);
        const added = await store.submit(ada, commit(groupId, 0, adding(await claimOne(ada, bob))), NOW);
        const entries = (await entriesOf(bob)).filter((entry) => hex(entry.groupId) === hex(groupId));
        expect(entries.map(({ kind, position }) => ({ kind, position }))).toEqual([{ kind: 'welcome', position: added.position }]);
        expect(hex(entries[0]?.keyPackageRef)).toBe(hex(ref));
        expect(hex(entries[0]?.message)).toBe(hex(welcome()));
        expect((await entriesOf(ada)).at(-1)).toMatchObject({ kind: 'commit', keyPackageRef: undefined });
      });

      it('a removed account gets its removal and nothing after it', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        await store.submit(ada, commit(groupId, 1, { removes: [bob.accountId] }), NOW);
        await store.submit(ada, application(groupId, 2), NOW);
        const last = (await entriesOf(bob)).at(-1);
        expect(last).toMatchObject({ kind: 'commit', epoch: 1 });
        expect(await refusal(store.submit(bob, application(groupId, 2), NOW))).toBe('not-a-member');
        expect(await refusal(store.readGroup(bob, groupId))).toBe('not-a-member');
      });

      it('pages by cursor, count and size, and a page is never empty while there is more', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const groupId = await conversation(ada, bob);
        for (let i = 0; i < 5; i++) {
          const message = privateMessage(groupId, 1, 'application', 'x'.repeat(1000));
          await store.submit(ada, application(groupId, 1, { message }), NOW);
        }
        const page = async (after: number, limit: number, maxBytes: number) =>
          (await store.readSequence(bob, after, limit, maxBytes, NOW)).entries.map(({ sequence }) => sequence);
        expect(await page(2, 3, 1 << 20)).toEqual([3, 4, 5]);
        expect(await page(2, 100, 2500)).toEqual([3, 4]);
        expect(await page(4, 100, 1)).toEqual([5]);
        expect(await page(7, 100, 1 << 20)).toEqual([]);
        expect((await store.readSequence(bob, 7, 1, 1, NOW)).last).toBe(7);
      });
    });

    describe('KeyPackages', () => {
      it('only announced ones are taken', async () => {
        const ada = await person('ada');
        const keyPackages = [{ keyPackageRef: randomBytes(32), keyPackage: randomBytes(100) }];
        expect(await refusal(store.uploadKeyPackages(ada, keyPackages, NOW))).toBe('unannounced-key-package');
      });

      it('each is handed out once, and a repeated claim gets the same', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        await stock(bob, 2);
        const claimId = randomBytes(16);
        const [first] = await store.claimKeyPackages(ada, claimId, [bob.accountId], NOW);
        const [again] = await store.claimKeyPackages(ada, claimId, [bob.accountId], NOW);
        expect(hex(again?.keyPackageRef)).toBe(hex(first?.keyPackageRef));
        expect(hex((await claimOne(ada, bob)).keyPackageRef)).not.toBe(hex(first?.keyPackageRef));
        expect(await refusal(claimOne(ada, bob))).toBe('no-key-package');
      });

      it('a claim of several is all or nothing', async () => {
        const [ada, bob, cleo] = [await person('ada'), await person('bob'), await person('cleo')];
        await stock(bob, 1);
        const both = store.claimKeyPackages(ada, randomBytes(16), [bob.accountId, cleo.accountId], NOW);
        expect(await refusal(both)).toBe('no-key-package');
        expect((await store.readSequence(bob, 0, 1, 1, NOW)).stock).toBe(1);
        expect(await refusal(store.claimKeyPackages(ada, randomBytes(16), [randomBytes(16)], NOW))).toBe('unknown-account');
      });

      it('one used up, or claimed by somebody else, brings nobody in', async () => {
        const [ada, bob, cleo] = [await person('ada'), await person('bob'), await person('cleo')];
        await stock(bob, 2);
        const claimed = await claimOne(ada, bob);
        const [one, two] = [randomBytes(32), randomBytes(32)];
        for (const groupId of [one, two]) await store.submit(ada, creation(groupId), NOW);
        await store.submit(ada, commit(one, 0, adding(claimed)), NOW);
        expect(await refusal(store.submit(ada, commit(two, 0, adding(claimed)), NOW))).toBe('spent-key-package');
        const notHers = await claimOne(cleo, bob);
        expect(await refusal(store.submit(ada, commit(two, 0, adding(notHers)), NOW))).toBe('spent-key-package');
      });

      it('a retried upload does not bring back what was used up', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        const keyPackages = [{ keyPackageRef: randomBytes(32), keyPackage: randomBytes(100) }];
        await store.submit(bob, emulationCommit(bob.emulationGroup, 0, { announces: [keyPackages[0]!.keyPackageRef] }), NOW);
        await store.uploadKeyPackages(bob, keyPackages, NOW);
        const groupId = randomBytes(32);
        await store.submit(ada, creation(groupId), NOW);
        await store.submit(ada, commit(groupId, 0, adding(await claimOne(ada, bob))), NOW);
        expect(await store.uploadKeyPackages(bob, keyPackages, NOW)).toBe(0);
        expect(await refusal(claimOne(ada, bob))).toBe('no-key-package');
      });

      it('an old one is no longer handed out, and brings nobody in after 30 days', async () => {
        const [ada, bob] = [await person('ada'), await person('bob')];
        await stock(bob, 2);
        const groupId = randomBytes(32);
        await store.submit(ada, creation(groupId), NOW);
        const claimed = await claimOne(ada, bob, NOW + KEY_PACKAGE_CLAIMABLE - 1);
        expect(await refusal(claimOne(ada, bob, NOW + KEY_PACKAGE_CLAIMABLE))).toBe('no-key-package');
        expect(await refusal(store.submit(ada, commit(groupId, 0, adding(claimed)), NOW + KEY_PACKAGE_LIFETIME))).toBe('spent-key-package');
        await store.sweep(NOW + KEY_PACKAGE_LIFETIME);
        expect(await refusal(store.submit(ada, commit(groupId, 0, adding(claimed)), NOW + KEY_PACKAGE_LIFETIME))).toBe('spent-key-package');
      });

      it('one account cannot draw all of another', async () => {
        const [ada, bob, cleo] = [await person('ada'), await person('bob'), await person('cleo')];
        await stock(bob, MAX_UNUSED_CLAIMS + 1);
        for (let i = 0; i < MAX_UNUSED_CLAIMS; i++) await claimOne(ada, bob);
        expect(await refusal(claimOne(ada, bob))).toBe('too-many');
        expect(await refusal(claimOne(cleo, bob))).toBe('accepted');
      });
    });

    describe('linking', () => {
      const token = randomBytes(32);

      async function mailbox(): Promise<Uint8Array> {
        const linkId = randomBytes(16);
        await store.putLinkSlot(linkId, token, 'request', randomBytes(10), NOW);
        return linkId;
      }

      const newDevice = (linkId: Uint8Array, coversPosition = 0) => ({
        deviceId: randomBytes(16),
        deviceKey: randomBytes(32),
        linkId,
        coversPosition,
      });

      it('a Welcome is in its mailbox with the accepted commit, and the device is known from then on', async () => {
        const ada = await person('ada');
        const linkId = await mailbox();
        const device = newDevice(linkId);
        const phone = { accountId: ada.accountId, deviceId: device.deviceId };
        expect(await refusal(store.readSequence(phone, 0, 1, 1, NOW))).toBe('unknown-device');
        const accepted = await store.submit(ada, linking(ada.emulationGroup, 0, device), NOW);
        expect(hex(accepted.link)).toBe(hex(linkId));
        expect(hex((await store.readLink(linkId, token, NOW)).welcome)).toBe(hex(welcome()));
        expect((await store.readSequence(phone, 0, 1, 1, NOW)).last).toBe(1);
        expect(hex((await store.findDevice(device.deviceId))?.deviceKey)).toBe(hex(device.deviceKey));
      });

      it('a refused commit leaves neither Welcome nor device', async () => {
        const ada = await person('ada');
        const linkId = await mailbox();
        await store.submit(ada, emulationCommit(ada.emulationGroup, 0), NOW);
        const device = newDevice(linkId, 0); // the log has moved to position 1
        expect(await refusal(store.submit(ada, linking(ada.emulationGroup, 1, device), NOW))).toBe('stale-log');
        expect((await store.readLink(linkId, token, NOW)).welcome).toBeUndefined();
        expect(await store.findDevice(device.deviceId)).toBeUndefined();
      });

      it('no Welcome goes to a mailbox that is cancelled, expired or unknown', async () => {
        const ada = await person('ada');
        const cancelled = await mailbox();
        await store.putLinkSlot(cancelled, token, 'cancelled', new Uint8Array(), NOW);
        const attempt = (linkId: Uint8Array, now: number) =>
          refusal(store.submit(ada, linking(ada.emulationGroup, 0, newDevice(linkId)), now));
        expect(await attempt(cancelled, NOW)).toBe('unknown-link');
        expect(await attempt(await mailbox(), NOW + LINK_LIFETIME)).toBe('unknown-link');
        expect(await attempt(randomBytes(16), NOW)).toBe('unknown-link');
        expect((await store.readGroup(ada, ada.emulationGroup)).epoch).toBe(0);
      });

      it('a mailbox links one device, and after the Welcome it is too late to cancel', async () => {
        const ada = await person('ada');
        const linkId = await mailbox();
        await store.submit(ada, linking(ada.emulationGroup, 0, newDevice(linkId)), NOW);
        expect(await refusal(store.submit(ada, linking(ada.emulationGroup, 1, newDevice(linkId, 1)), NOW))).toBe('link-slot-taken');
        expect(await refusal(store.putLinkSlot(linkId, token, 'cancelled', new Uint8Array(), NOW))).toBe('link-slot-taken');
      });

      it('a slot is written once; the same again is a retry', async () => {
        const linkId = await mailbox();
        const payload = randomBytes(10);
        await store.putLinkSlot(linkId, token, 'answer', payload, NOW);
        expect(await refusal(store.putLinkSlot(linkId, token, 'answer', payload, NOW))).toBe('accepted');
        expect(await refusal(store.putLinkSlot(linkId, token, 'answer', randomBytes(10), NOW))).toBe('link-slot-taken');
      });

      it('without its token, its request or its time a mailbox is unknown', async () => {
        const linkId = await mailbox();
        expect(await refusal(store.readLink(linkId, randomBytes(32), NOW))).toBe('unknown-link');
        expect(await refusal(store.putLinkSlot(linkId, randomBytes(32), 'answer', randomBytes(1), NOW))).toBe('unknown-link');
        expect(await refusal(store.putLinkSlot(randomBytes(16), token, 'answer', randomBytes(1), NOW))).toBe('unknown-link');
        expect(await refusal(store.readLink(linkId, token, NOW + LINK_LIFETIME - 1))).toBe('accepted');
        expect(await refusal(store.readLink(linkId, token, NOW + LINK_LIFETIME))).toBe('unknown-link');
      });

      it('with a Welcome it lives seven days', async () => {
        const ada = await person('ada');
        const linkId = await mailbox();
        await store.submit(ada, linking(ada.emulationGroup, 0, newDevice(linkId)), NOW);
        await store.sweep(NOW + WELCOME_LIFETIME - 1);
        expect(await refusal(store.readLink(linkId, token, NOW + WELCOME_LIFETIME - 1))).toBe('accepted');
        await store.sweep(NOW + WELCOME_LIFETIME);
        expect(await refusal(store.readLink(linkId, token, NOW))).toBe('unknown-link');
      });

      it('who has the token deletes it, and a second time does no harm', async () => {
        const linkId = await mailbox();
        await store.deleteLink(linkId, randomBytes(32));
        expect(await refusal(store.readLink(linkId, token, NOW))).toBe('accepted');
        await store.deleteLink(linkId, token);
        await store.deleteLink(linkId, token);
        expect(await refusal(store.readLink(linkId, token, NOW))).toBe('unknown-link');
      });
    });

    it('a blob is for the own account and for seven days', async () => {
      const [ada, bob] = [await person('ada'), await person('bob')];
      const [hash, bytes] = [randomBytes(32), randomBytes(100)];
      await store.putBlob(ada, hash, bytes, NOW);
      await store.putBlob(ada, hash, bytes, NOW);
      expect(hex(await store.readBlob(ada, hash, NOW))).toBe(hex(bytes));
      expect(await refusal(store.readBlob(bob, hash, NOW))).toBe('unknown-blob');
      expect(await refusal(store.readBlob(ada, hash, NOW + WELCOME_LIFETIME))).toBe('unknown-blob');
    });
  });
}
