import { describe, expect, it } from 'vitest';
import { KEY_PACKAGE_CLAIMABLE, KEY_PACKAGE_LIFETIME, LINK_LIFETIME, MAX_UNUSED_CLAIMS, WELCOME_LIFETIME } from '../../server/limits.ts';
import { welcome } from './mls-headers.ts';
import { adding, hex, NOW, refusal, type StoreWorld } from './delivery-store-world.ts';
import { commit, creation, emulationCommit, linking, randomBytes } from './submissions.ts';

/** What waits to be fetched: KeyPackages, link mailboxes, blobs. */
export function mailboxContract(world: StoreWorld): void {
  describe('KeyPackages', () => {
    it('only announced ones are taken', async () => {
      const ada = await world.person('ada');
      const keyPackages = [{ keyPackageRef: randomBytes(32), keyPackage: randomBytes(100) }];
      expect(await refusal(world.store.uploadKeyPackages(ada, keyPackages, NOW))).toBe('unannounced-key-package');
    });

    it('each is handed out once, and a repeated claim gets the same', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      await world.stock(bob, 2);
      const claimId = randomBytes(16);
      const [first] = await world.store.claimKeyPackages(ada, claimId, [bob.accountId], NOW);
      const [again] = await world.store.claimKeyPackages(ada, claimId, [bob.accountId], NOW);
      expect(hex(again?.keyPackageRef)).toBe(hex(first?.keyPackageRef));
      expect(hex((await world.claimOne(ada, bob)).keyPackageRef)).not.toBe(hex(first?.keyPackageRef));
      expect(await refusal(world.claimOne(ada, bob))).toBe('no-key-package');
    });

    it('a claim of several is all or nothing', async () => {
      const [ada, bob, cleo] = [await world.person('ada'), await world.person('bob'), await world.person('cleo')];
      await world.stock(bob, 1);
      const both = world.store.claimKeyPackages(ada, randomBytes(16), [bob.accountId, cleo.accountId], NOW);
      expect(await refusal(both)).toBe('no-key-package');
      expect((await world.store.readSequence(bob, 0, 1, 1, NOW)).stock).toBe(1);
      expect(await refusal(world.store.claimKeyPackages(ada, randomBytes(16), [randomBytes(16)], NOW))).toBe('unknown-account');
    });

    it('one used up, or claimed by somebody else, brings nobody in', async () => {
      const [ada, bob, cleo] = [await world.person('ada'), await world.person('bob'), await world.person('cleo')];
      await world.stock(bob, 2);
      const claimed = await world.claimOne(ada, bob);
      const [one, two] = [randomBytes(32), randomBytes(32)];
      for (const groupId of [one, two]) await world.store.submit(ada, creation(groupId), NOW);
      await world.store.submit(ada, commit(one, 0, adding(claimed)), NOW);
      expect(await refusal(world.store.submit(ada, commit(two, 0, adding(claimed)), NOW))).toBe('spent-key-package');
      const notHers = await world.claimOne(cleo, bob);
      expect(await refusal(world.store.submit(ada, commit(two, 0, adding(notHers)), NOW))).toBe('spent-key-package');
    });

    it('a retried upload does not bring back what was used up', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const keyPackages = [{ keyPackageRef: randomBytes(32), keyPackage: randomBytes(100) }];
      await world.store.submit(bob, emulationCommit(bob.emulationGroup, 0, { announces: [keyPackages[0]!.keyPackageRef] }), NOW);
      await world.store.uploadKeyPackages(bob, keyPackages, NOW);
      const groupId = randomBytes(32);
      await world.store.submit(ada, creation(groupId), NOW);
      await world.store.submit(ada, commit(groupId, 0, adding(await world.claimOne(ada, bob))), NOW);
      expect(await world.store.uploadKeyPackages(bob, keyPackages, NOW)).toBe(0);
      expect(await refusal(world.claimOne(ada, bob))).toBe('no-key-package');
    });

    it('an old one is no longer handed out, and brings nobody in after 30 days', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      await world.stock(bob, 2);
      const groupId = randomBytes(32);
      await world.store.submit(ada, creation(groupId), NOW);
      const claimed = await world.claimOne(ada, bob, NOW + KEY_PACKAGE_CLAIMABLE - 1);
      expect(await refusal(world.claimOne(ada, bob, NOW + KEY_PACKAGE_CLAIMABLE))).toBe('no-key-package');
      expect(await refusal(world.store.submit(ada, commit(groupId, 0, adding(claimed)), NOW + KEY_PACKAGE_LIFETIME))).toBe(
        'spent-key-package',
      );
      await world.store.sweep(NOW + KEY_PACKAGE_LIFETIME);
      expect(await refusal(world.store.submit(ada, commit(groupId, 0, adding(claimed)), NOW + KEY_PACKAGE_LIFETIME))).toBe(
        'spent-key-package',
      );
    });

    it('one account cannot draw more than a quarter of the twenty that another keeps', async () => {
      const [ada, bob, cleo] = [await world.person('ada'), await world.person('bob'), await world.person('cleo')];
      await world.stock(bob, 20);
      let drawn = 0;
      while ((await refusal(world.claimOne(ada, bob))) === 'accepted') drawn++;
      expect(drawn).toBe(MAX_UNUSED_CLAIMS);
      expect(drawn).toBeLessThanOrEqual(5);
      expect(await refusal(world.claimOne(ada, bob))).toBe('too-many');
      expect(await refusal(world.claimOne(cleo, bob))).toBe('accepted');
    });

    it('one that was used makes room for the next', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      await world.stock(bob, MAX_UNUSED_CLAIMS + 1);
      const groupId = randomBytes(32);
      await world.store.submit(ada, creation(groupId), NOW);
      const claimed = await world.claimOne(ada, bob);
      for (let i = 1; i < MAX_UNUSED_CLAIMS; i++) await world.claimOne(ada, bob);
      expect(await refusal(world.claimOne(ada, bob))).toBe('too-many');
      await world.store.submit(ada, commit(groupId, 0, adding(claimed)), NOW);
      expect(await refusal(world.claimOne(ada, bob))).toBe('accepted');
    });
  });

  describe('linking', () => {
    const token = randomBytes(32);

    async function mailbox(): Promise<Uint8Array> {
      const linkId = randomBytes(16);
      await world.store.putLinkSlot(linkId, token, 'request', randomBytes(10), NOW);
      return linkId;
    }

    const newDevice = (linkId: Uint8Array, coversPosition = 0) => ({
      deviceId: randomBytes(16),
      deviceKey: randomBytes(32),
      linkId,
      coversPosition,
    });

    it('a Welcome is in its mailbox with the accepted commit, and the device is known from then on', async () => {
      const ada = await world.person('ada');
      const linkId = await mailbox();
      const device = newDevice(linkId);
      const phone = { accountId: ada.accountId, deviceId: device.deviceId };
      expect(await refusal(world.store.readSequence(phone, 0, 1, 1, NOW))).toBe('unknown-device');
      const accepted = await world.store.submit(ada, linking(ada.emulationGroup, 0, device), NOW);
      expect(hex(accepted.link)).toBe(hex(linkId));
      expect(hex((await world.store.readLink(linkId, token, NOW)).welcome)).toBe(hex(welcome()));
      expect((await world.store.readSequence(phone, 0, 1, 1, NOW)).last).toBe(1);
      expect(hex((await world.store.findDevice(device.deviceId))?.deviceKey)).toBe(hex(device.deviceKey));
    });

    it('a refused commit leaves neither Welcome nor device', async () => {
      const ada = await world.person('ada');
      const linkId = await mailbox();
      await world.store.submit(ada, emulationCommit(ada.emulationGroup, 0), NOW);
      const device = newDevice(linkId, 0); // the log has moved to position 1
      expect(await refusal(world.store.submit(ada, linking(ada.emulationGroup, 1, device), NOW))).toBe('stale-log');
      expect((await world.store.readLink(linkId, token, NOW)).welcome).toBeUndefined();
      expect(await world.store.findDevice(device.deviceId)).toBeUndefined();
    });

    it('no Welcome goes to a mailbox that is cancelled, expired or unknown', async () => {
      const ada = await world.person('ada');
      const cancelled = await mailbox();
      await world.store.putLinkSlot(cancelled, token, 'cancelled', new Uint8Array(), NOW);
      const attempt = (linkId: Uint8Array, now: number) =>
        refusal(world.store.submit(ada, linking(ada.emulationGroup, 0, newDevice(linkId)), now));
      expect(await attempt(cancelled, NOW)).toBe('unknown-link');
      expect(await attempt(await mailbox(), NOW + LINK_LIFETIME)).toBe('unknown-link');
      expect(await attempt(randomBytes(16), NOW)).toBe('unknown-link');
      expect((await world.store.readGroup(ada, ada.emulationGroup, undefined)).epoch).toBe(0);
    });

    it('a mailbox links one device, and after the Welcome it is too late to cancel', async () => {
      const ada = await world.person('ada');
      const linkId = await mailbox();
      await world.store.submit(ada, linking(ada.emulationGroup, 0, newDevice(linkId)), NOW);
      expect(await refusal(world.store.submit(ada, linking(ada.emulationGroup, 1, newDevice(linkId, 1)), NOW))).toBe('link-slot-taken');
      expect(await refusal(world.store.putLinkSlot(linkId, token, 'cancelled', new Uint8Array(), NOW))).toBe('link-slot-taken');
    });

    it('a slot is written once; the same again is a retry', async () => {
      const linkId = await mailbox();
      const payload = randomBytes(10);
      await world.store.putLinkSlot(linkId, token, 'answer', payload, NOW);
      expect(await refusal(world.store.putLinkSlot(linkId, token, 'answer', payload, NOW))).toBe('accepted');
      expect(await refusal(world.store.putLinkSlot(linkId, token, 'answer', randomBytes(10), NOW))).toBe('link-slot-taken');
    });

    it('without its token, its request or its time a mailbox is unknown', async () => {
      const linkId = await mailbox();
      expect(await refusal(world.store.readLink(linkId, randomBytes(32), NOW))).toBe('unknown-link');
      expect(await refusal(world.store.putLinkSlot(linkId, randomBytes(32), 'answer', randomBytes(1), NOW))).toBe('unknown-link');
      expect(await refusal(world.store.putLinkSlot(randomBytes(16), token, 'answer', randomBytes(1), NOW))).toBe('unknown-link');
      expect(await refusal(world.store.readLink(linkId, token, NOW + LINK_LIFETIME - 1))).toBe('accepted');
      expect(await refusal(world.store.readLink(linkId, token, NOW + LINK_LIFETIME))).toBe('unknown-link');
    });

    it('with a Welcome it lives seven days', async () => {
      const ada = await world.person('ada');
      const linkId = await mailbox();
      await world.store.submit(ada, linking(ada.emulationGroup, 0, newDevice(linkId)), NOW);
      await world.store.sweep(NOW + WELCOME_LIFETIME - 1);
      expect(await refusal(world.store.readLink(linkId, token, NOW + WELCOME_LIFETIME - 1))).toBe('accepted');
      await world.store.sweep(NOW + WELCOME_LIFETIME);
      expect(await refusal(world.store.readLink(linkId, token, NOW))).toBe('unknown-link');
    });

    it('who has the token deletes it, and a second time does no harm', async () => {
      const linkId = await mailbox();
      await world.store.deleteLink(linkId, randomBytes(32));
      expect(await refusal(world.store.readLink(linkId, token, NOW))).toBe('accepted');
      await world.store.deleteLink(linkId, token);
      await world.store.deleteLink(linkId, token);
      expect(await refusal(world.store.readLink(linkId, token, NOW))).toBe('unknown-link');
    });
  });

  it('a blob is for the own account and for seven days', async () => {
    const [ada, bob] = [await world.person('ada'), await world.person('bob')];
    const [hash, bytes] = [randomBytes(32), randomBytes(100)];
    await world.store.putBlob(ada, hash, bytes, NOW);
    await world.store.putBlob(ada, hash, bytes, NOW);
    expect(hex(await world.store.readBlob(ada, hash, NOW))).toBe(hex(bytes));
    expect(await refusal(world.store.readBlob(bob, hash, NOW))).toBe('unknown-blob');
    expect(await refusal(world.store.readBlob(ada, hash, NOW + WELCOME_LIFETIME))).toBe('unknown-blob');
  });
}
