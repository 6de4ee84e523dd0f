import { describe, expect, it } from 'vitest';
import { fromUtf8, toHex } from '../../../src/bytes/index.ts';
import { externalCommit, memberLeaves, type CommitEffects, type Opened } from '../../../src/mls/index.ts';
import { acceptAll, newOwnPath, NOTHING, random, TestMember } from '../../support/mls-group.ts';
import { StockMember } from '../../support/stock-member.ts';
import { virtualClient, type VirtualDevice } from '../../support/virtual-device.ts';
import { epochOf, suite, suite3 } from '../virtual-client/setup.ts';

/** Two devices of one virtual client; the name keeps two clients' emulation groups apart. */
const devicesOf = (name: string, groupSuite: typeof suite): [VirtualDevice, VirtualDevice] =>
  virtualClient(name, groupSuite, (own) => epochOf({ name, leafCount: 2, occupied: [0, 1], own }));

/** Stock ts-mls holds the lifetimes of its own Adds against the clock of the machine. */
const FOREVER = { notBefore: 0n, notAfter: 1n << 40n };

describe('a virtual client among members who know nothing of virtual clients', () => {
  it('talks and commits with stock ts-mls and with our own client, whichever of its devices acts', async () => {
    const [laptop, phone] = devicesOf('anna', suite);
    const groupInfo = await laptop.create(random(16));
    await phone.followCreation(groupInfo, memberLeaves(laptop.state)[0]!.leaf);
    const [plain, other] = [new TestMember('plain'), new TestMember('stock')];
    const keys = [await plain.keyPackage(FOREVER), await other.keyPackage(FOREVER)] as const;
    const made = await laptop.commit({
      proposals: keys.map(({ keyPackage }) => ({ proposalType: 'add', add: { keyPackage } })),
    });
    for (const device of [laptop, phone]) await device.receive(made.message);
    await plain.join(made.welcome!, keys[0]);
    const stock = await StockMember.join(made.welcome!, other, keys[1]);
    const agree = (): void => {
      const all = [laptop.authenticator, phone.authenticator, toHex(plain.authenticator), toHex(stock.authenticator)];
      expect(new Set(all).size).toBe(1);
    };
    agree();
    expect(memberLeaves(plain.state)).toHaveLength(3);

    for (const [device, emulatorLeaf] of [
      [phone, 0],
      [laptop, 1],
    ] as const) {
      // The commit is made by one device, followed by the other without HPKE, and by the others as any commit.
      const { message } = await device.commit();
      for (const each of [laptop, phone, plain]) await each.receive(message);
      await stock.receive(message);
      agree();
      const text = await (device === laptop ? phone : laptop).send('hello');
      expect(await device.receive(text)).toEqual({ text: 'hello', emulatorLeaf });
      const opened = (await plain.receive(text)) as Opened;
      expect(opened.kind === 'application' && fromUtf8(opened.applicationData)).toBe('hello');
      expect(fromUtf8((await stock.receive(text))!)).toBe('hello');
      await (device === laptop ? phone : laptop).receive(text);
    }

    const byStock = await stock.commit([], 'private');
    for (const each of [laptop, phone, plain]) await each.receive(byStock.message);
    agree();
    const byPlain = await plain.commit();
    for (const each of [laptop, phone, plain]) await each.receive(byPlain.message);
    await stock.receive(byPlain.message);
    agree();
    const answer = await stock.send('and you?');
    for (const device of [laptop, phone]) expect(await device.receive(answer)).toEqual({ text: 'and you?', emulatorLeaf: undefined });
  });

  it('follows the removal of one of them, and their coming by an external commit', async () => {
    const [laptop, phone] = devicesOf('anna', suite);
    await phone.followCreation(await laptop.create(random(16)), memberLeaves(laptop.state)[0]!.leaf);
    const plain = new TestMember('plain');
    const made = await externalCommit(suite, await laptop.groupInfo(), {
      leaf: plain.template,
      signer: plain.signer.privateKey,
      own: newOwnPath(),
      externalInit: suite.deriveKeyPair(random(32)),
      authenticatedData: NOTHING,
      random,
      checkLeaf: acceptAll,
      useSafeExporter: false,
    });
    plain.state = made.state;
    for (const device of [laptop, phone]) {
      expect(((await device.receive(made.message)) as CommitEffects).added).toHaveLength(1);
      expect(device.authenticator).toBe(toHex(plain.authenticator));
    }
    const { message } = await phone.commit({ proposals: [{ proposalType: 'remove', remove: { removed: plain.state.ownLeaf } }] });
    for (const device of [laptop, phone]) await device.receive(message);
    expect(((await plain.receive(message)) as CommitEffects).removedSelf).toBe(true);
    expect(laptop.authenticator).toBe(phone.authenticator);
    expect(memberLeaves(phone.state)).toHaveLength(1);
  });
});

describe('an emulation group of suite 1 and a conversation of suite 3', () => {
  it('create, Welcome, paths and messages work for every device, and guards tell them apart', async () => {
    const [laptop, phone] = devicesOf('anna', suite3);
    const [desk, tablet] = devicesOf('ben', suite3);
    await phone.followCreation(await laptop.create(random(16)), memberLeaves(laptop.state)[0]!.leaf);
    const announced = await desk.announce();
    tablet.follow(announced);
    const made = await phone.commit({ proposals: [{ proposalType: 'add', add: { keyPackage: announced.keyPackage } }] });
    for (const device of [laptop, phone]) await device.receive(made.message);
    for (const device of [tablet, desk]) await device.join(made.welcome!, announced.keyPackage);
    const all = [laptop, phone, desk, tablet];
    const agree = (): void => expect(new Set(all.map(({ authenticator }) => authenticator)).size).toBe(1);
    agree();
    expect(laptop.state.suite).toBe(3);
    for (const device of all) {
      const { message } = await device.commit();
      for (const each of all) await each.receive(message);
      agree();
    }
    for (const [device, sibling, strangers, emulatorLeaf] of [
      [laptop, phone, [desk, tablet], 0],
      [tablet, desk, [laptop, phone], 1],
    ] as const) {
      const text = await device.send('across suites');
      expect(await sibling.receive(text)).toEqual({ text: 'across suites', emulatorLeaf });
      for (const stranger of strangers) expect(await stranger.receive(text)).toEqual({ text: 'across suites', emulatorLeaf: undefined });
      await device.receive(text);
    }
  });
});
