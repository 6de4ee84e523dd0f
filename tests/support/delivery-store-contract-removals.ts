import { describe, expect, it } from 'vitest';
import type { Caller } from '../../server/store/store.ts';
import { adding, hex, NOW, type Person, refusal, type StoreWorld } from './delivery-store-world.ts';
import { commit, creation, emulationCommit, linking, randomBytes } from './submissions.ts';

/** Cutting off devices and binding new account keys (reading section 12). */
export function removalContract(world: StoreWorld): void {
  /** Links a second device; moves the emulation group from `epoch` to the next. */
  async function secondDevice(owner: Person, epoch: number): Promise<Caller> {
    const [linkId, tokenHash, deviceId] = [randomBytes(16), randomBytes(32), randomBytes(16)];
    await world.store.putLinkSlot(linkId, tokenHash, 'request', randomBytes(8), NOW);
    const coversPosition = (await world.store.readGroup(owner, owner.emulationGroup, undefined)).position;
    const device = { deviceId, deviceKey: randomBytes(32), linkId, coversPosition };
    await world.store.submit(owner, linking(owner.emulationGroup, epoch, device), NOW);
    return { accountId: owner.accountId, deviceId };
  }

  const remove = (by: Caller, { deviceId }: Caller, statement = randomBytes(100)): Promise<boolean> =>
    world.store.beginRemoval(by, deviceId, statement, randomBytes(16), NOW);
  const key = (keyVersion: number) => ({ keyVersion, signatureKey: randomBytes(32), binding: randomBytes(140) });

  describe('removing a device', () => {
    it('shuts it out of everything at once, and says so once in the sequence of the others', async () => {
      const ada = await world.person('ada');
      const phone = await secondDevice(ada, 0);
      const statement = randomBytes(100);
      expect(await remove(ada, phone, statement)).toBe(true);
      expect(await remove(ada, phone, statement)).toBe(false);
      const { accountId, deviceId } = phone;
      expect(await world.store.findDevice(deviceId)).toBeUndefined();
      const refused = await Promise.all([
        refusal(world.store.readSequence(phone, 0, 1, 1, NOW)),
        refusal(world.store.submit(phone, emulationCommit(ada.emulationGroup, 1), NOW)),
        refusal(remove(phone, ada)),
        refusal(world.store.bindAccountKey(phone, key(2), randomBytes(16), NOW)),
      ]);
      expect(refused).toEqual(['unknown-device', 'unknown-device', 'unknown-device', 'unknown-device']);
      const entries = (await world.entriesOf(ada)).filter(({ kind }) => kind === 'begin-removal');
      expect(entries.map(({ message }) => hex(message))).toEqual([hex(statement)]);
      expect(entries.map(({ position }) => position)).toEqual([(await world.store.readGroup(ada, ada.emulationGroup, undefined)).position]);
      expect(hex(accountId)).toBe(hex(ada.accountId));
    });

    it('leaves the last device and devices of others alone', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      await secondDevice(ada, 0);
      expect(await refusal(remove(ada, bob))).toBe('no-such-device');
      expect(await refusal(remove(bob, bob))).toBe('last-device');
    });

    it('is told to the others though the server does not know the device, so that it can be removed from their group', async () => {
      const ada = await world.person('ada');
      await world.stock(ada, 2);
      const stranger = { accountId: ada.accountId, deviceId: randomBytes(16) };
      const statement = randomBytes(100);
      expect(await remove(ada, stranger, statement)).toBe(true);
      expect(await remove(ada, stranger, statement)).toBe(false);
      const kinds = (await world.entriesOf(ada)).map(({ kind }) => kind);
      expect(kinds.filter((kind) => kind === 'begin-removal')).toHaveLength(1);
      expect((await world.store.readSequence(ada, 0, 1, 1, NOW)).stock).toBe(0);
    });

    it('that is asked for with another statement is told to the others once more: the first may be no good', async () => {
      const ada = await world.person('ada');
      const phone = await secondDevice(ada, 0);
      const statements = [randomBytes(100), randomBytes(100)] as const;
      for (const statement of statements) expect(await remove(ada, phone, statement)).toBe(true);
      for (const statement of statements) expect(await remove(ada, phone, statement)).toBe(false);
      const entries = (await world.entriesOf(ada)).filter(({ kind }) => kind === 'begin-removal');
      expect(entries.map(({ message }) => hex(message))).toEqual(statements.map(hex));
    });

    it('of two devices by each other, does what came first', async () => {
      const ada = await world.person('ada');
      const phone = await secondDevice(ada, 0);
      const outcomes = await Promise.all([refusal(remove(ada, phone)), refusal(remove(phone, ada))]);
      expect(outcomes.toSorted()).toEqual(['accepted', 'unknown-device']);
    });

    it('never lets the same device back in', async () => {
      const ada = await world.person('ada');
      const phone = await secondDevice(ada, 0);
      await remove(ada, phone);
      const [linkId, tokenHash] = [randomBytes(16), randomBytes(32)];
      await world.store.putLinkSlot(linkId, tokenHash, 'request', randomBytes(8), NOW);
      const device = { deviceId: phone.deviceId, deviceKey: randomBytes(32), linkId, coversPosition: 2 };
      expect(await refusal(world.store.submit(ada, linking(ada.emulationGroup, 1, device), NOW))).toBe('malformed');
    });

    it('revokes every KeyPackage that is announced, in stock or claimed, and no Welcome can use one any more', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      await world.stock(bob, 2);
      const phone = await secondDevice(bob, 1);
      const claimed = await world.claimOne(ada, bob);
      const announced = randomBytes(32);
      await world.store.submit(bob, emulationCommit(bob.emulationGroup, 2, { announces: [announced] }), NOW);
      await remove(bob, phone);
      const groupId = randomBytes(32);
      await world.store.submit(ada, creation(groupId), NOW);
      expect(await refusal(world.store.submit(ada, commit(groupId, 0, adding(claimed)), NOW))).toBe('spent-key-package');
      expect(await refusal(world.claimOne(ada, bob))).toBe('no-key-package');
      const late = [{ keyPackageRef: announced, keyPackage: randomBytes(100) }];
      expect(await refusal(world.store.uploadKeyPackages(bob, late, NOW))).toBe('unannounced-key-package');
    });

    it('takes no announcement from an epoch that the device knows, and any from the next on', async () => {
      const ada = await world.person('ada');
      const phone = await secondDevice(ada, 0);
      await remove(ada, phone);
      const announcing = (epoch: number) => emulationCommit(ada.emulationGroup, epoch, { announces: [randomBytes(32)] });
      expect(await refusal(world.store.submit(ada, announcing(1), NOW))).toBe('stale-emulation-epoch');
      await world.store.submit(ada, emulationCommit(ada.emulationGroup, 1), NOW);
      expect(await refusal(world.store.submit(ada, announcing(2), NOW))).toBe('accepted');
    });

    it('outdates a Welcome to the emulation group that is on its way', async () => {
      const ada = await world.person('ada');
      const phone = await secondDevice(ada, 0);
      const { position } = await world.store.readGroup(ada, ada.emulationGroup, undefined);
      await remove(ada, phone);
      const [linkId, tokenHash] = [randomBytes(16), randomBytes(32)];
      await world.store.putLinkSlot(linkId, tokenHash, 'request', randomBytes(8), NOW);
      const device = { deviceId: randomBytes(16), deviceKey: randomBytes(32), linkId, coversPosition: position };
      expect(await refusal(world.store.submit(ada, linking(ada.emulationGroup, 1, device), NOW))).toBe('stale-log');
    });
  });

  describe('a new account key', () => {
    it('takes the place of the one before it, and the sequence says so once', async () => {
      const ada = await world.person('ada');
      const second = key(2);
      expect(await world.store.bindAccountKey(ada, second, randomBytes(16), NOW)).toBe(true);
      expect(await world.store.bindAccountKey(ada, { ...second, keyVersion: 3 }, randomBytes(16), NOW)).toBe(false);
      const now = await world.store.accountKey(ada);
      expect([now.keyVersion, hex(now.signatureKey), hex(now.binding)]).toEqual([2, hex(second.signatureKey), hex(second.binding)]);
      const entries = (await world.entriesOf(ada)).filter(({ kind }) => kind === 'account-key');
      expect(entries.map(({ message }) => hex(message))).toEqual([hex(second.binding)]);
    });

    it('is refused when another one came first, and commits with the key before it are refused from then on', async () => {
      const ada = await world.person('ada');
      await world.store.bindAccountKey(ada, key(2), randomBytes(16), NOW);
      expect(await refusal(world.store.bindAccountKey(ada, key(2), randomBytes(16), NOW))).toBe('stale-key-version');
      expect(await refusal(world.store.submit(ada, creation(randomBytes(32)), NOW))).toBe('stale-key-version');
      const fence = { emulationEpoch: 0, keyVersion: 2 };
      expect(await refusal(world.store.submit(ada, creation(randomBytes(32), { fence }), NOW))).toBe('accepted');
    });
  });
}
