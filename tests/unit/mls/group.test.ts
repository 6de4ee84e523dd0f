import { describe, expect, it } from 'vitest';
import { fromUtf8, Secret, toHex, utf8 } from '../../../src/bytes/index.ts';
import {
  buildKeyPackageLeaf,
  createGroup,
  encodeGroup,
  exportComponentSecret,
  groupInfoOf,
  joinFromEpochZero,
  readGroupInfo,
  type CommitEffects,
  type Extension,
  type GroupState,
} from '../../../src/mls/index.ts';
import { acceptAll, addMembers, makeGroup, newOwnPath, NOW, random, suite, TestMember } from '../../support/mls-group.ts';

function agree(members: readonly TestMember[]): void {
  const [first, ...others] = members.map(({ authenticator }) => toHex(authenticator));
  for (const other of others) expect(other).toBe(first);
}

describe('a group of our own members', () => {
  it('agrees after Adds, path commits, Removes and messages', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as [TestMember, TestMember, TestMember];
    agree([a, b, c]);

    const text = await b.send('hello', 11);
    for (const member of [a, b, c]) {
      const opened = await member.receive(text.message);
      expect('kind' in opened && opened.kind === 'application' && fromUtf8(opened.applicationData)).toBe('hello');
      expect('kind' in opened && opened.sentByOwnLeaf).toBe(member === b);
    }

    for (const committer of [a, b, c]) {
      const { message } = await committer.commit();
      for (const member of [a, b, c]) await member.receive(message);
      agree([a, b, c]);
    }

    const d = new TestMember('d');
    await addMembers(c, [d], [a, b, c]);
    agree([a, b, c, d]);

    const removal = await d.commit({ proposals: [{ proposalType: 'remove', remove: { removed: b.state.ownLeaf } }] });
    for (const member of [a, c, d]) await member.receive(removal.message);
    expect(((await b.receive(removal.message)) as CommitEffects).removedSelf).toBe(true);
    agree([a, c, d]);
  });

  it('stays in its epoch until its own commit comes back, and the made epoch is the one that is then entered', async () => {
    const [a] = (await makeGroup(['a', 'b'])) as [TestMember, TestMember];
    const before = a.authenticator;
    const { message, nextEpoch } = await a.commit();
    expect(a.authenticator).toBe(before);
    await a.receive(message);
    expect(a.authenticator).toEqual(nextEpoch.schedule.epochAuthenticator);
    expect(a.state.context).toEqual(nextEpoch.context);
  });

  it('a sibling that shares the leaf follows a commit with the prescribed secrets alone', async () => {
    const [a, b] = (await makeGroup(['a', 'b'])) as [TestMember, TestMember];
    const sibling = a.sibling();
    const own = newOwnPath();
    const { message } = await a.commit({ path: { leaf: a.template, own } });
    await sibling.receive(message, { ownPath: own });
    await a.receive(message);
    await b.receive(message);
    agree([a, b, sibling]);
  });

  it('a new signature key signs the leaf, the old one the commit', async () => {
    const [a, b] = (await makeGroup(['a', 'b'])) as [TestMember, TestMember];
    const next = suite.signatureKeyPair(random(32));
    const path = { leaf: { ...a.template, signaturePublicKey: next.publicKey }, newSigner: next.privateKey, own: newOwnPath() };
    const { message } = await a.commit({ path });
    await b.receive(message);
    await a.receive(message);
    agree([a, b]);
    expect(b.state.tree.leaf(0)?.signaturePublicKey).toEqual(next.publicKey);
  });

  it('gives a newcomer extensions in the Welcome that the published GroupInfo does not hold', async () => {
    const [a] = (await makeGroup(['a'])) as [TestMember];
    const b = new TestMember('b');
    const keys = await b.keyPackage();
    const secretExtension: Extension = { extensionType: 0x0006, extensionData: utf8('for the newcomer only') };
    const made = await a.commit({
      proposals: [{ proposalType: 'add', add: { keyPackage: keys.keyPackage } }],
      welcomeExtensions: [secretExtension],
    });
    await a.receive(made.message);
    expect(await b.join(made.welcome!, keys)).toEqual([secretExtension]);
    agree([a, b]);
    expect(readGroupInfo(suite, made.groupInfo).extensions.map(({ extensionType }) => extensionType)).toEqual([
      'ratchet_tree',
      'external_pub',
    ]);
  });

  it('keeps a committed Remove from the removed member', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as [TestMember, TestMember, TestMember];
    const { message } = await a.commit({ proposals: [{ proposalType: 'remove', remove: { removed: 2 } }] });
    for (const member of [a, b]) await member.receive(message);
    const effects = (await c.receive(message)) as CommitEffects;
    expect(effects.removedSelf).toBe(true);
    expect(effects.removed.map(({ leafIndex }) => leafIndex)).toEqual([2]);
    expect(c.state.schedule.initSecret.wiped).toBe(true);
    const later = await b.send('secret');
    await expect(c.receive(later.message)).rejects.toMatchObject({ code: 'unknown-epoch' });
  });
});

describe('a new epoch', () => {
  it('spends what the old one alone used, and keeps what late messages need', async () => {
    const [a, b] = (await makeGroup(['a', 'b'])) as [TestMember, TestMember];
    const { message } = await b.commit();
    const before = a.state;
    await a.receive(message);
    const { initSecret, exporterSecret, externalSecret, confirmationKey, membershipKey, senderDataSecret, resumptionPsk } = before.schedule;
    for (const secret of [initSecret, exporterSecret, externalSecret, confirmationKey, membershipKey]) expect(secret.wiped).toBe(true);
    for (const secret of [senderDataSecret, resumptionPsk, before.keys.encryptionPrivateKey]) expect(secret.wiped).toBe(false);
    expect(a.state.pastEpochs[0]).toMatchObject({ senderDataSecret, resumptionPsk });

    const own = await a.commit();
    const ownBefore = a.state.keys.encryptionPrivateKey;
    await a.receive(own.message);
    expect(ownBefore.wiped).toBe(true);
  });

  it('spends nothing that the state still holds', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as [TestMember, TestMember, TestMember];
    for (let round = 0; round < 8; round++) {
      const { message } = await [a, b, c][round % 3]!.commit();
      for (const member of [a, b, c]) await member.receive(message);
      for (const member of [a, b, c]) expect(() => encodeGroup(member.state)).not.toThrow();
    }
  });

  it('leaves the prescribed secrets of its path to the caller', async () => {
    const [a] = (await makeGroup(['a', 'b'])) as [TestMember];
    const own = newOwnPath();
    const { message } = await a.commit({ path: { leaf: a.template, own } });
    await a.receive(message);
    expect(own.encryptionPrivateKey.wiped || own.pathSecret.wiped).toBe(false);
    own.encryptionPrivateKey.wipe();
    expect(a.state.keys.encryptionPrivateKey.wiped).toBe(false);
  });
});

describe('epoch 0', () => {
  async function created(epochSecret = Secret.of('group_creation_secret', random(32))) {
    const a = new TestMember('a');
    const { publicKey, privateKey } = suite.deriveKeyPair(random(32));
    const lifetime = { notBefore: NOW, notAfter: NOW + 1n };
    const leaf = await buildKeyPackageLeaf(suite, a.template, publicKey, lifetime, a.signer.privateKey);
    const encryptionPrivateKey = Secret.of('encryption_private_key', privateKey);
    const state = createGroup(suite, {
      groupId: utf8('g'),
      extensions: [],
      leaf,
      encryptionPrivateKey,
      epochSecret,
      useSafeExporter: false,
      random,
    });
    return {
      state,
      epochSecret,
      encryptionPrivateKey,
      signer: a.signer.privateKey,
      groupInfo: await groupInfoOf(suite, state, a.signer.privateKey),
    };
  }

  it('is derived alike by a sibling from the published GroupInfo', async () => {
    const { state, groupInfo, epochSecret, encryptionPrivateKey } = await created();
    const derived = await joinFromEpochZero(suite, groupInfo, { epochSecret, encryptionPrivateKey, checkLeaf: acceptAll });
    expect(derived.schedule.epochAuthenticator).toEqual(state.schedule.epochAuthenticator);
    expect(derived.interimTranscriptHash).toEqual(state.interimTranscriptHash);
  });

  it('is refused with another secret, another key, or a changed GroupInfo', async () => {
    const { groupInfo, epochSecret, encryptionPrivateKey } = await created();
    const other = Secret.of('group_creation_secret', random(32));
    await expect(
      joinFromEpochZero(suite, groupInfo, { epochSecret: other, encryptionPrivateKey, checkLeaf: acceptAll }),
    ).rejects.toMatchObject({
      code: 'invalid-confirmation-tag',
    });
    const otherKey = Secret.of('encryption_private_key', random(32));
    await expect(
      joinFromEpochZero(suite, groupInfo, { epochSecret, encryptionPrivateKey: otherKey, checkLeaf: acceptAll }),
    ).rejects.toMatchObject({
      code: 'path-key-mismatch',
    });
    const changed = groupInfo.slice();
    changed[changed.length - 1]! ^= 1;
    await expect(joinFromEpochZero(suite, changed, { epochSecret, encryptionPrivateKey, checkLeaf: acceptAll })).rejects.toMatchObject({
      code: 'invalid-signature',
    });
  });

  it('is not what the GroupInfo of a later epoch describes', async () => {
    const [a] = (await makeGroup(['a', 'b'])) as [TestMember, TestMember];
    const groupInfo = await groupInfoOf(suite, a.state, a.signer.privateKey);
    const secrets = { epochSecret: Secret.of('x', random(32)), encryptionPrivateKey: Secret.of('encryption_private_key', random(32)) };
    await expect(joinFromEpochZero(suite, groupInfo, { ...secrets, checkLeaf: acceptAll })).rejects.toMatchObject({
      code: 'invalid-group-info',
    });
  });
});

describe('the safe exporter of a group', () => {
  it('starts anew with every epoch, alike for all members, and gives each component once', async () => {
    const a = new TestMember('a');
    await a.create(random(16), [], true);
    const b = new TestMember('b');
    const keys = await b.keyPackage();
    const made = await a.commit({ proposals: [{ proposalType: 'add', add: { keyPackage: keys.keyPackage } }] });
    await a.receive(made.message);
    await b.join(made.welcome!, keys, true);
    const first = exportComponentSecret(suite, a.state, 0x8a00);
    expect(exportComponentSecret(suite, b.state, 0x8a00).value.reveal()).toEqual(first.value.reveal());
    expect(() => exportComponentSecret(suite, first.next, 0x8a00)).toThrow('component-exported');
    const { message } = await a.commit();
    await a.receive(message);
    expect(exportComponentSecret(suite, a.state, 0x8a00).value.reveal()).not.toEqual(first.value.reveal());
  });

  it('is not there in a group that was set up without it', async () => {
    const [a] = (await makeGroup(['a'])) as [TestMember];
    const state: GroupState = a.state;
    expect(() => exportComponentSecret(suite, state, 0x8a00)).toThrow('no-safe-exporter');
  });
});
