import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { settle } from '../../support/engine-snapshot.ts';
import { confirmNewPhrase, recovered, tryRecovery } from '../../support/engine-recovery.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

vi.setConfig({ testTimeout: 60_000 });

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

/** anna's laptop, talking to ben in two conversations, with a phrase. */
async function scene(): Promise<{ laptop: TestDevice; ben: TestDevice; ids: string[]; entropy: Uint8Array }> {
  const laptop = await world.person('anna', 'laptop');
  const ben = await world.person('ben');
  const ids = [await laptop.startConversation(['ben']), await laptop.startConversation(['ben'], 'trip')];
  for (const id of ids) {
    await laptop.send(id, 'before');
    await ben.texts(id, 1);
  }
  const entropy = await confirmNewPhrase(laptop);
  await settle(laptop, ben);
  return { laptop, ben, ids, entropy };
}

describe('a new device with the recovery phrase', () => {
  it('is in all conversations, alone, when every other device is gone', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    laptop.stop();
    const fresh = await recovered(world, 'anna', entropy);
    for (const id of ids) {
      await fresh.conversation(id, ({ state }) => state === 'ready');
      await fresh.send(id, 'I am back');
      await ben.send(id, 'welcome');
      expect((await ben.texts(id, 3)).toSorted()).toEqual(['I am back', 'before', 'welcome']);
      expect((await fresh.texts(id, 2)).toSorted()).toEqual(['I am back', 'welcome']);
    }
    // Others can add the account again, through new KeyPackages.
    const added = await ben.startConversation(['anna'], 'new one');
    await ben.send(added, 'hello');
    expect(await fresh.texts(added, 1)).toEqual(['hello']);
  });

  it('is followed by devices that come back later, which lose nothing that they had', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    laptop.goOffline();
    for (const id of ids) await ben.send(id, 'while away');
    const fresh = await recovered(world, 'anna', entropy);
    for (const id of ids) {
      await fresh.send(id, 'from the new one');
      await ben.texts(id, 3);
    }
    laptop.goOnline();
    for (const id of ids) {
      expect(await laptop.texts(id, 3)).toEqual(['before', 'while away', 'from the new one']);
      await laptop.send(id, 'from the old one');
      expect(await fresh.texts(id, 2)).toEqual(['from the new one', 'from the old one']);
      expect(await ben.texts(id, 4)).toEqual(['before', 'while away', 'from the new one', 'from the old one']);
    }
    const [old, now] = [await laptop.hands(), await fresh.hands()];
    expect((await old.fence()).keyVersion).toBe(2);
    expect(await old.fence()).toEqual(await now.fence());
    await laptop.until(({ devices }) => devices.some(({ name }) => name === 'new laptop') || undefined);
    await fresh.until(({ devices }) => devices.some(({ name }) => name === 'laptop') || undefined);
  });

  it('is refused with a wrong phrase, and another account can be made there', async () => {
    const { laptop, entropy } = await scene();
    const device = world.device();
    const wrong = entropy.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
    expect(await tryRecovery(device, 'anna', wrong)).toBe('recovery-refused');
    expect(await tryRecovery(device, 'ben', entropy)).toBe('recovery-refused');
    expect(await tryRecovery(device, 'nobody', entropy)).toBe('recovery-refused');
    await device.do({ command: 'createAccount', username: 'cora', deviceName: 'c' });
    expect((await laptop.runtime.state()).devices).toHaveLength(1);
  });

  it('is refused with the phrase before the newest', async () => {
    const { laptop, entropy } = await scene();
    const newer = await confirmNewPhrase(laptop);
    const device = world.device();
    expect(await tryRecovery(device, 'anna', entropy)).toBe('recovery-refused');
    expect(await tryRecovery(device, 'anna', newer)).toBe('joined');
  });
});
