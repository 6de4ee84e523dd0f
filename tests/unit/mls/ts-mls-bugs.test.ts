import { describe, expect, it } from 'vitest';
import { fromUtf8, Secret, utf8 } from '../../../src/bytes/index.ts';
import { applyCommit, buildKeyPackage, decodeGroup, encodeGroup, type FindPsk, type Proposal } from '../../../src/mls/index.ts';
import { signContent } from '../../../src/mls/framing.ts';
import { framePublic } from '../../../src/mls/public-message.ts';
import type { Commit, FramedContentCommit } from '../../../src/mls/ts-mls.ts';
import { acceptAll, makeGroup, newOwnPath, NOTHING, NOW, random, suite, TestMember } from '../../support/mls-group.ts';
import { StockMember } from '../../support/stock-member.ts';

/** Faults that were reproduced in ts-mls 1.6.4's own state machine, each held against ours. */

type Three = [TestMember, TestMember, TestMember];

/** A commit that an honest member would not make: signed and tagged as its member can, its confirmation tag made up. */
async function forgeCommit(member: TestMember, commit: Commit): Promise<Uint8Array> {
  const { context, ownLeaf } = member.state;
  const content: FramedContentCommit = {
    groupId: context.groupId,
    epoch: context.epoch,
    sender: { senderType: 'member', leafIndex: ownLeaf },
    authenticatedData: NOTHING,
    contentType: 'commit',
    commit,
  };
  const signature = await signContent(suite, member.signer.privateKey, content, 'mls_public_message', context);
  const auth = { contentType: 'commit', signature, confirmationTag: random(32) } as const;
  return framePublic(suite, member.state, { wireformat: 'mls_public_message', content, auth });
}

function byValue(...proposals: Proposal[]): Commit['proposals'] {
  return proposals.map((proposal) => ({ proposalOrRefType: 'proposal', proposal }));
}

async function addition(joiner: TestMember): Promise<{ proposal: Proposal; keys: Awaited<ReturnType<TestMember['keyPackage']>> }> {
  const keys = await joiner.keyPackage();
  return { proposal: { proposalType: 'add', add: { keyPackage: keys.keyPackage } }, keys };
}

describe('faults of stock ts-mls that we do not have', () => {
  it('the loser of a race for one generation reads the winner’s message', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const sibling = a.sibling();
    const won = await a.send('winner');
    const lost = await sibling.send('loser');
    expect(lost.generation).toBe(won.generation);
    for (const member of [a, sibling, b]) {
      const opened = await member.open(won.message);
      expect(opened.kind === 'application' && fromUtf8(opened.applicationData)).toBe('winner');
    }
    const again = await sibling.send('loser');
    expect(again.generation).toBe(won.generation + 1);
    for (const member of [a, sibling, b]) expect(await member.open(again.message)).toMatchObject({ kind: 'application' });
  });

  it('a Welcome is read after remove, remove, add, add, where unmerged leaves differ along a path', async () => {
    const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
    const members = await makeGroup(names);
    const follow = async (message: Uint8Array): Promise<void> => {
      for (const member of members) await member.receive(message);
    };
    for (const committer of [7, 5, 3, 1, 0]) await follow((await members[committer]!.commit()).message);
    for (const removed of [6, 2]) {
      const gone = members.findIndex((member) => member.state.ownLeaf === removed);
      const { message } = await members[0]!.commit({ proposals: [{ proposalType: 'remove', remove: { removed } }] });
      members.splice(gone, 1);
      await follow(message);
    }
    const second = new TestMember('j');
    let last = await addition(new TestMember('i'));
    await follow((await members[1]!.commit({ proposals: [last.proposal], path: undefined })).message);
    last = await addition(second);
    const { message, welcome } = await members[0]!.commit({ proposals: [last.proposal], path: undefined });
    await follow(message);
    const { keys } = last;
    const refused = await StockMember.join(welcome!, second, keys).then(
      () => 'nothing',
      (error: unknown) => String(error),
    );
    expect(refused).toContain('unmerged_leaves');
    await second.join(welcome!, keys);
    expect(second.authenticator).toEqual(members[0]!.authenticator);
    const next = await second.commit();
    await second.receive(next.message);
    await follow(next.message);
    expect(second.authenticator).toEqual(members[0]!.authenticator);
  });

  it('a GroupContextExtensions commit carries a path, and one without is refused', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const change: Proposal = { proposalType: 'group_context_extensions', groupContextExtensions: { extensions: [] } };
    await expect(a.commit({ proposals: [change], path: undefined })).rejects.toMatchObject({ code: 'path-required' });
    const forged = await forgeCommit(a, { proposals: byValue(change), path: undefined });
    await expect(b.receive(forged)).rejects.toMatchObject({ code: 'path-required' });
  });

  it('a leaf with the encryption key of another is refused', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const d = new TestMember('d');
    const { publicKey } = suite.deriveKeyPair(random(32));
    const keyPackage = await buildKeyPackage(
      suite,
      {
        leaf: d.template,
        encryptionKey: a.state.tree.occupiedLeaf(1).hpkePublicKey,
        initKey: publicKey,
        lifetime: { notBefore: NOW, notAfter: NOW },
        extensions: [],
      },
      d.signer.privateKey,
    );
    const add: Proposal = { proposalType: 'add', add: { keyPackage } };
    await expect(a.commit({ proposals: [add] })).rejects.toMatchObject({ code: 'duplicate-key' });
    await expect(b.receive(await forgeCommit(a, { proposals: byValue(add), path: undefined }))).rejects.toMatchObject({
      code: 'duplicate-key',
    });
  });

  it('a path whose keys are not those of its secrets is refused', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const own = newOwnPath();
    const { message } = await a.commit({ path: { leaf: a.template, own } });
    const opened = await a.open(message);
    if (opened.kind !== 'commit') throw new TypeError();
    const otherSecret = { ...own, pathSecret: Secret.of('path_secret', random(32)) };
    await expect(applyCommit(suite, a.state, opened, { checkLeaf: acceptAll, ownPath: otherSecret })).rejects.toMatchObject({
      code: 'path-key-mismatch',
    });
    const otherKey = { ...own, encryptionPrivateKey: Secret.of('encryption_private_key', random(32)) };
    await expect(applyCommit(suite, a.state, opened, { checkLeaf: acceptAll, ownPath: otherKey })).rejects.toMatchObject({
      code: 'path-key-mismatch',
    });
    for (const member of [b, c]) await member.receive(message);
  });

  it('messages read out of order cannot be read again, whatever was skipped', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const sent = [];
    for (let i = 0; i < 4; i++) sent.push((await a.send(`message ${i}`)).message);
    for (const i of [3, 1, 0, 2]) {
      await b.open(sent[i]!);
      b.state = decodeGroup(encodeGroup(b.state));
      await expect(b.open(sent[i]!)).rejects.toMatchObject({ code: 'message-key-gone' });
    }
    const ratchet = b.state.secretTree.ratchets.get(0)!.application;
    expect([...ratchet.skipped.keys()]).toEqual([]);
  });

  it('private keys of blanked nodes go', async () => {
    const members = await makeGroup(['a', 'b', 'c', 'd']);
    const [a, b, c, d] = members as [TestMember, ...Three];
    const path = await b.commit();
    for (const member of members) await member.receive(path.message);
    const known = [...a.state.keys.pathPrivateKeys];
    expect(known.map(([node]) => node)).toEqual([1, 3]);
    // b is removed by d, whose path goes through the root but not through node 1
    const removal = await d.commit({ proposals: [{ proposalType: 'remove', remove: { removed: 1 } }] });
    for (const member of [a, c, d]) await member.receive(removal.message);
    expect([...a.state.keys.pathPrivateKeys.keys()]).toEqual([3]);
    for (const [, key] of known) expect(key.wiped).toBe(true);
  });

  it('a pre-shared key counts whatever framing the commit has', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const psk = random(32);
    const psks: FindPsk = (id) => (id.psktype === 'external' ? Secret.of('psk', psk.slice()) : undefined);
    for (const wireFormat of ['private', 'public'] as const) {
      const preSharedKeyId = { psktype: 'external', pskId: utf8('psk'), pskNonce: random(32) } as const;
      const { message } = await a.commit({ proposals: [{ proposalType: 'psk', psk: { preSharedKeyId } }], wireFormat, psks });
      const ignorant = b.sibling();
      await expect(ignorant.receive(message)).rejects.toMatchObject({ code: 'unknown-psk' });
      for (const member of [a, b, c]) await member.receive(message, { psks });
      expect(b.authenticator).toEqual(a.authenticator);
      expect(c.authenticator).toEqual(a.authenticator);
    }
  });

  it('a resumption PSK of a past epoch of the group is found without help', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const between = await b.commit();
    for (const member of [a, b, c]) await member.receive(between.message);
    const { groupId, epoch } = a.state.context;
    const resumption = { psktype: 'resumption', usage: 'application', pskGroupId: groupId, pskEpoch: epoch - 1n } as const;
    const proposal: Proposal = { proposalType: 'psk', psk: { preSharedKeyId: { ...resumption, pskNonce: random(32) } } };
    const { message } = await a.commit({ proposals: [proposal] });
    for (const member of [a, b, c]) await member.receive(message);
    expect(c.authenticator).toEqual(a.authenticator);
  });

  it('a member’s external_init is refused', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const externalInit: Proposal = {
      proposalType: 'external_init',
      externalInit: { kemOutput: suite.deriveKeyPair(random(32)).publicKey },
    };
    const forged = await forgeCommit(a, { proposals: byValue(externalInit), path: undefined });
    const before = b.state;
    await expect(b.receive(forged)).rejects.toMatchObject({ code: 'invalid-proposal-list' });
    expect(b.state).toBe(before);
  });

  it('lifetimes are held against the time at which the log took the commit', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const { proposal } = await addition(new TestMember('d'));
    const { message } = await a.commit({ proposals: [proposal], wireFormat: 'public' });
    await expect(b.receive(message, { now: NOW + 3601n })).rejects.toMatchObject({ code: 'outside-lifetime' });
    await expect(b.receive(message, { now: NOW - 3601n })).rejects.toMatchObject({ code: 'outside-lifetime' });
    await b.receive(message, { now: NOW });
  });

  it('a removed member notices though an Add of the same commit takes its place', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const { proposal } = await addition(new TestMember('d'));
    const { message } = await a.commit({ proposals: [{ proposalType: 'remove', remove: { removed: 1 } }, proposal] });
    expect(await b.receive(message)).toMatchObject({ removedSelf: true });
    for (const member of [a, c]) await member.receive(message);
    expect(a.state.tree.leaf(1)).toBeDefined();
    expect(c.authenticator).toEqual(a.authenticator);
  });

  it('the commit secret follows the last path secret where the root is not on the path', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const stock = new TestMember('d');
    const { proposal, keys } = await addition(stock);
    const { message, welcome } = await a.commit({ proposals: [proposal] });
    for (const member of [a, b, c]) await member.receive(message);
    const d = await StockMember.join(welcome!, stock, keys);
    // Leaves 2 and 3 stay: the left half of the tree is blank.
    const removals: Proposal[] = [0, 1].map((removed) => ({ proposalType: 'remove', remove: { removed } }));
    const ours = await c.commit({ proposals: removals });
    await expect(d.receive(ours.message)).rejects.toThrow('confirmation tag');
    const theirs = await d.commit(removals, 'private');
    await expect(c.receive(theirs.message)).rejects.toMatchObject({ code: 'invalid-confirmation-tag' });
  });
});
