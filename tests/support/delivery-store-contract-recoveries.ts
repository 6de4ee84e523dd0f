import { describe, expect, it } from 'vitest';
import type { Caller, VouchedFor } from '../../server/store/store.ts';
import { toJson } from '../../src/delivery/frames.ts';
import type { Recovery } from '../../src/engine/ports.ts';
import { adding, hex, NOW, type Person, refusal, type StoreWorld } from './delivery-store-world.ts';
import { publicCommit, groupInfo, privateMessage } from './mls-headers.ts';
import { application, commit, creation, emulationCommit, randomBytes } from './submissions.ts';

/** Bytes as text: a store may hand them out as Buffers. */
const plain = (value: object | undefined): unknown => value && JSON.parse(toJson(value));

/** Recovery keys, and joining with one (reading section 11). */
export function recoveryContract(world: StoreWorld): void {
  const R = randomBytes(32);
  const binding = randomBytes(140);

  /** Moves the emulation group from `epoch` to the next. */
  const setKey = (owner: Person, epoch: number, recoveryKey = R) =>
    world.store.submit(owner, emulationCommit(owner.emulationGroup, epoch, { recoveryKey }), NOW);

  function recovery({ emulationGroup }: Person, epoch: number, change: Partial<Recovery> = {}): Recovery {
    return {
      username: 'ada',
      deviceId: randomBytes(16),
      deviceKey: randomBytes(32),
      proof: randomBytes(64),
      keyVersion: 1,
      signatureKey: randomBytes(32),
      keyProof: randomBytes(64),
      epoch,
      commit: {
        messageId: randomBytes(16),
        message: publicCommit(emulationGroup, epoch, 4),
        groupInfo: groupInfo(emulationGroup, epoch + 1),
      },
      resync: { messageId: randomBytes(16), message: privateMessage(emulationGroup, epoch + 1, 'application') },
      ...change,
    };
  }

  const vouched = ({ accountId }: Caller, recoveryKey = R): VouchedFor => ({ accountId, recoveryKey });
  const recover = (owner: Person, asked: Recovery, by = vouched(owner)) => world.store.recover(by, asked, binding, randomBytes(16), NOW);

  describe('a recovery', () => {
    it('registers the device, joins it, tells the key and binds it at once, and revokes what KeyPackages there are', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      await world.stock(ada, 2);
      const claimed = await world.claimOne(bob, ada);
      const groupId = randomBytes(32);
      await world.store.submit(bob, creation(groupId), NOW);
      await setKey(ada, 1);
      const asked = recovery(ada, 2);
      const { answer, changed } = await recover(ada, asked);
      expect(changed).toBe(true);
      const entries = (await world.entriesOf(ada)).slice(-3);
      expect(entries.map(({ kind, epoch }) => [kind, epoch])).toEqual([
        ['commit', 2],
        ['application', 3],
        ['account-key', 3],
      ]);
      expect(entries.map(({ message }) => hex(message))).toEqual([asked.commit.message, asked.resync.message, binding].map(hex));
      const { position, sequence } = entries[2]!;
      expect(plain(answer)).toEqual(plain({ keyVersion: 2, binding, position, sequence }));
      const fresh = { accountId: ada.accountId, deviceId: asked.deviceId };
      expect(await world.store.readGroup(fresh, ada.emulationGroup, undefined)).toMatchObject({ epoch: 3, position: answer.position });
      expect((await world.store.accountKey(fresh)).keyVersion).toBe(2);
      expect((await world.store.readSequence(fresh, 0, 1, 1, NOW)).stock).toBe(0);
      expect(await refusal(world.store.submit(bob, commit(groupId, 0, adding(claimed)), NOW))).toBe('spent-key-package');
      expect(plain((await recover(ada, asked)).answer)).toEqual(plain(answer));
      expect((await recover(ada, asked)).changed).toBe(false);
      expect(await world.entriesOf(ada)).toHaveLength((await world.entriesOf(fresh)).length);
    });

    it('changes nothing when it is refused: another R, an epoch or key that is over, messages of another group', async () => {
      const ada = await world.person('ada');
      expect(await world.store.recoveryKey('ada')).toBeUndefined();
      expect(await refusal(world.store.openRecovery(vouched(ada)))).toBe('recovery-refused');
      await setKey(ada, 0);
      expect(plain(await world.store.recoveryKey('ada'))).toEqual(plain({ accountId: ada.accountId, recoveryKey: R }));
      expect(await world.store.recoveryKey('nobody')).toBeUndefined();
      const before = await world.entriesOf(ada);
      const other = recovery(await world.person('eve'), 1);
      const outcomes = await Promise.all([
        refusal(recover(ada, recovery(ada, 1), vouched(ada, randomBytes(32)))),
        refusal(recover(ada, recovery(ada, 0))),
        refusal(recover(ada, recovery(ada, 1, { keyVersion: 2 }))),
        refusal(recover(ada, other)),
        refusal(
          recover(
            ada,
            recovery(ada, 1, { resync: { messageId: randomBytes(16), message: privateMessage(ada.emulationGroup, 1, 'application') } }),
          ),
        ),
        refusal(recover(ada, recovery(ada, 1, { deviceId: ada.deviceId }))),
      ]);
      expect(outcomes).toEqual(['recovery-refused', 'stale-epoch', 'stale-key-version', 'malformed', 'malformed', 'malformed']);
      expect(await world.entriesOf(ada)).toEqual(before);
      expect(await refusal(recover(ada, recovery(ada, 1)))).toBe('accepted');
    });

    it('names its two messages by names of their own', async () => {
      const ada = await world.person('ada');
      await setKey(ada, 0);
      const asked = recovery(ada, 1);
      const used = (await world.entriesOf(ada)).at(-1)!.messageId!;
      for (const messageId of [asked.commit.messageId, used]) {
        const twice = { ...asked, resync: { ...asked.resync, messageId } };
        expect(await refusal(recover(ada, twice))).toBe('malformed');
      }
      expect((await recover(ada, asked)).changed).toBe(true);
    });

    it('is judged by the newest R', async () => {
      const ada = await world.person('ada');
      await setKey(ada, 0);
      const newer = randomBytes(32);
      await setKey(ada, 1, newer);
      expect(await refusal(recover(ada, recovery(ada, 2)))).toBe('recovery-refused');
      expect(await refusal(recover(ada, recovery(ada, 2), vouched(ada, newer)))).toBe('accepted');
    });

    it('is told which devices were cut off, newest first', async () => {
      const ada = await world.person('ada');
      const phone = await world.secondDevice(ada);
      await setKey(ada, 1);
      const statement = randomBytes(100);
      await world.store.beginRemoval(ada, phone.deviceId, statement, randomBytes(16), NOW);
      const opened = await world.store.openRecovery(vouched(ada));
      expect(plain(opened)).toMatchObject(plain({ accountId: ada.accountId, keyVersion: 1, epoch: 2, removals: [statement] }) as object);
      expect(await refusal(recover(ada, recovery(ada, 2, { deviceId: phone.deviceId })))).toBe('malformed');
    });
  });

  describe('a commit of the emulation group that names the devices in it', () => {
    it('is the end of every other device of the account, such as one whose recovery was refused, and of nobody else’s', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const phone = await world.secondDevice(ada);
      await setKey(ada, 1);
      const refused = recovery(ada, 2);
      const { answer } = await recover(ada, refused);
      const fresh = { accountId: ada.accountId, deviceId: refused.deviceId };
      expect(await refusal(world.store.accountKey(fresh))).toBe('accepted');
      const devices = [ada.deviceId, phone.deviceId];
      const further = emulationCommit(ada.emulationGroup, 2, { refuses: answer.position - 2, devices });
      expect(await refusal(world.store.submit(ada, further, NOW))).toBe('accepted');
      expect(await refusal(world.store.accountKey(fresh))).toBe('unknown-device');
      for (const device of [ada, phone, bob]) expect(await refusal(world.store.accountKey(device))).toBe('accepted');
      expect(await refusal(recover(ada, refused))).toBe('stale-epoch');
    });

    it('is of no conversation', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      expect(await refusal(world.store.submit(ada, commit(groupId, 1, { devices: [ada.deviceId] }), NOW))).toBe('malformed');
    });
  });

  describe('the list of groups', () => {
    it('holds all of the account but its emulation group, and says where it has sent something', async () => {
      const [ada, bob] = [await world.person('ada'), await world.person('bob')];
      const groupId = await world.conversation(ada, bob);
      expect(plain(await world.store.listGroups(ada))).toEqual(plain([{ groupId, answered: true }]));
      expect(plain(await world.store.listGroups(bob))).toEqual(plain([{ groupId, answered: false }]));
      await world.store.submit(bob, application(groupId, 1), NOW);
      expect(plain(await world.store.listGroups(bob))).toEqual(plain([{ groupId, answered: true }]));
    });
  });
}
