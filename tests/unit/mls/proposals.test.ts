import { describe, expect, it } from 'vitest';
import { fromUtf8, Secret, toHex, utf8 } from '../../../src/bytes/index.ts';
import { signContent } from '../../../src/mls/framing.ts';
import {
  buildUpdateLeaf,
  keepProposal,
  type CommitEffects,
  type Extension,
  type LeafNode,
  type OpenedProposal,
  type Proposal,
  type Sender,
} from '../../../src/mls/index.ts';
import { MAX_KEPT_PROPOSALS } from '../../../src/mls/proposals.ts';
import { framePublic } from '../../../src/mls/public-message.ts';
import { externalSenderCodec, requiredCapabilitiesCodec, type FramedContent, type GroupContext } from '../../../src/mls/ts-mls.ts';
import { encode } from '../../../src/wire/index.ts';
import { acceptAll, makeGroup, NOTHING, random, suite, TestMember } from '../../support/mls-group.ts';
import { StockMember } from '../../support/stock-member.ts';

/** Stock ts-mls holds the lifetimes of its own Adds against the clock of the machine. */
const FOREVER = { notBefore: 0n, notAfter: 1n << 40n };

type Three = [TestMember, TestMember, TestMember];

async function updateOf(member: TestMember): Promise<{ proposal: Proposal; privateKey: Secret<'encryption_private_key'> }> {
  const { publicKey, privateKey } = suite.deriveKeyPair(random(32));
  const position = { groupId: member.state.context.groupId, leafIndex: member.state.ownLeaf };
  const leafNode = await buildUpdateLeaf(suite, member.template, publicKey, position, member.signer.privateKey);
  return { proposal: { proposalType: 'update', update: { leafNode } }, privateKey: Secret.of('encryption_private_key', privateKey) };
}

function committed(member: TestMember): string[] {
  return member.state.proposals.map(({ reference }) => toHex(reference));
}

/** A proposal that no member sends. */
async function fromOutside(
  context: GroupContext,
  sender: Exclude<Sender, { senderType: 'member' }>,
  proposal: Proposal,
  signer: Secret<'signature_private_key'>,
): Promise<Uint8Array> {
  const { groupId, epoch } = context;
  const content: FramedContent = { groupId, epoch, sender, authenticatedData: NOTHING, contentType: 'proposal', proposal };
  const signature = await signContent(suite, signer, content, 'mls_public_message', context);
  return framePublic(suite, undefined, { wireformat: 'mls_public_message', content, auth: { contentType: 'proposal', signature } });
}

describe('proposals by reference', () => {
  it('are committed by another member, an Update of our leaf with the key that its maker kept', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const members = [a, b, c];
    const { proposal, privateKey } = await updateOf(b);
    const sent = await b.propose(proposal);
    for (const member of members) await member.receive(sent.message);
    expect(committed(a)).toEqual([toHex(sent.reference)]);
    const { message } = await c.commit();
    await expect(b.sibling().receive(message)).rejects.toMatchObject({ code: 'own-secrets-missing' });
    const wrong = (): Secret<'encryption_private_key'> => Secret.of('encryption_private_key', random(32));
    await expect(b.sibling().receive(message, { ownUpdates: wrong })).rejects.toMatchObject({ code: 'path-key-mismatch' });
    const old = b.state.keys.encryptionPrivateKey;
    for (const member of members) {
      const effects = (await member.receive(message, { ownUpdates: () => privateKey })) as CommitEffects;
      expect(effects.updated.map(({ leafIndex }) => leafIndex)).toEqual([1, 2]);
      expect(member.state.proposals).toEqual([]);
      expect(member.authenticator).toEqual(a.authenticator);
    }
    expect(old.wiped).toBe(true);
    expect(privateKey.wiped).toBe(false);
  });

  it('are committed by a member that runs stock ts-mls, and every sibling follows an Update with its key', async () => {
    const [a, b] = (await makeGroup(['a', 'b'])) as [TestMember, TestMember];
    const c = new TestMember('c');
    const keys = await c.keyPackage(FOREVER);
    const added = await a.commit({ proposals: [{ proposalType: 'add', add: { keyPackage: keys.keyPackage } }] });
    for (const member of [a, b]) await member.receive(added.message);
    const stock = await StockMember.join(added.welcome!, c, keys);
    const { proposal, privateKey } = await updateOf(a);
    const { message } = await a.propose(proposal);
    const sibling = a.sibling();
    for (const member of [a, b, sibling, stock]) await member.receive(message);
    const made = await stock.commit([], 'private');
    for (const member of [a, b, sibling]) {
      const effects = (await member.receive(made.message, { ownUpdates: () => privateKey })) as CommitEffects;
      expect(effects.updated.map(({ leafIndex, leaf }) => [leafIndex, leaf.leafNodeSource])).toEqual([
        [0, 'update'],
        [2, 'commit'],
      ]);
      expect(toHex(member.authenticator)).toBe(toHex(stock.authenticator));
    }
    for (const member of [a, sibling]) expect(member.state.keys.encryptionPrivateKey.reveal()).toEqual(privateKey.reveal());
    const said = await sibling.send('with the new leaf');
    expect(fromUtf8((await stock.receive(said.message))!)).toBe('with the new leaf');
  });

  it('leave Updates of our own leaf, by whatever sibling, to others', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const sent = await a.sibling().propose((await updateOf(a)).proposal, 'public');
    for (const member of [a, b]) await member.receive(sent.message);
    for (const references of ['all', () => true] as const) {
      const made = await a.commit({ references });
      expect(made.nextEpoch.tree.leaf(0)?.leafNodeSource).toBe('commit');
      const opened = await b.open(made.message);
      expect(opened.kind === 'commit' && opened.content.content.commit.proposals).toEqual([]);
    }
  });

  it('that do not go together are resolved: a Remove before an Update, the newer Update before the older', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const [first, second] = [await updateOf(b), await updateOf(b)];
    const keys = new Map([first, second].map((update) => [toHex(leafOf(update.proposal).hpkePublicKey), update.privateKey]));
    for (const proposal of [first.proposal, second.proposal]) {
      const { message } = await b.propose(proposal);
      for (const member of [a, b, c]) await member.receive(message);
    }
    const newer = await a.commit();
    const next = newer.nextEpoch.tree.occupiedLeaf(1);
    expect(next.hpkePublicKey).toEqual(leafOf(second.proposal).hpkePublicKey);
    const removal = await c.propose({ proposalType: 'remove', remove: { removed: 1 } });
    for (const member of [a, b, c]) await member.receive(removal.message);
    const made = await a.commit();
    expect(made.nextEpoch.tree.leaf(1)).toBeUndefined();
    const ownUpdates = (leaf: LeafNode): Secret<'encryption_private_key'> | undefined => keys.get(toHex(leaf.hpkePublicKey));
    for (const member of [a, c]) await member.receive(newer.message, { ownUpdates });
    expect(a.authenticator).toEqual(c.authenticator);
  });

  it('are chosen by the caller', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    for (const removed of [1, 2]) {
      const { message } = await (removed === 1 ? c : b).propose({ proposalType: 'remove', remove: { removed } });
      await a.receive(message);
    }
    const made = await a.commit({
      references: ({ proposal }) => proposal.proposalType === 'remove' && proposal.remove.removed === 2,
    });
    expect([...made.nextEpoch.tree.leaves()].map(([leafIndex]) => leafIndex)).toEqual([0, 1]);
    expect([...(await a.commit({ references: 'none' })).nextEpoch.tree.leaves()].length).toBe(3);
    expect([...(await a.commit({ references: 'all' })).nextEpoch.tree.leaves()].length).toBe(1);
  });

  it('are kept once, and only so many', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const { message } = await b.propose({ proposalType: 'remove', remove: { removed: 2 } }, 'public');
    const opened = (await a.open(message)) as OpenedProposal;
    const kept = await keepProposal(suite, a.state, opened, { checkLeaf: acceptAll });
    expect(await keepProposal(suite, kept, opened, { checkLeaf: acceptAll })).toBe(kept);
    const full = {
      ...a.state,
      proposals: Array.from({ length: MAX_KEPT_PROPOSALS }, () => ({ ...kept.proposals[0]!, reference: random(32) })),
    };
    await expect(keepProposal(suite, full, opened, { checkLeaf: acceptAll })).rejects.toMatchObject({ code: 'too-many-proposals' });
  });

  function leafOf(proposal: Proposal): LeafNode {
    if (proposal.proposalType !== 'update') throw new TypeError();
    return proposal.update.leafNode;
  }
});

describe('proposals from outside', () => {
  it('by a newcomer for itself are committed like any other', async () => {
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const d = new TestMember('d');
    const keys = await d.keyPackage();
    const add: Proposal = { proposalType: 'add', add: { keyPackage: keys.keyPackage } };
    const message = await fromOutside(a.state.context, { senderType: 'new_member_proposal' }, add, d.signer.privateKey);
    for (const member of [a, b, c]) await member.receive(message);
    const made = await b.commit();
    for (const member of [a, b, c]) await member.receive(made.message);
    await d.join(made.welcome!, keys);
    expect(d.authenticator).toEqual(a.authenticator);
  });

  it('by an external sender count when the group names it, and only for what it may propose', async () => {
    const server = suite.signatureKeyPair(random(32));
    const listed = { signaturePublicKey: server.publicKey, credential: { credentialType: 'basic' as const, identity: utf8('server') } };
    const extension: Extension = {
      extensionType: 'external_senders',
      extensionData: encode((writer) => writer.opaque(externalSenderCodec.encode(listed))),
    };
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'], [extension])) as Three;
    const sender = { senderType: 'external', senderIndex: 0 } as const;
    const remove: Proposal = { proposalType: 'remove', remove: { removed: 2 } };
    const message = await fromOutside(a.state.context, sender, remove, server.privateKey);
    for (const member of [a, b]) await member.receive(message);
    expect((await a.commit()).nextEpoch.tree.leaf(2)).toBeUndefined();
    const unlisted = await fromOutside(a.state.context, { senderType: 'external', senderIndex: 1 }, remove, server.privateKey);
    await expect(b.receive(unlisted)).rejects.toMatchObject({ code: 'unknown-sender' });
    const impostor = await fromOutside(a.state.context, sender, remove, c.signer.privateKey);
    await expect(b.receive(impostor)).rejects.toMatchObject({ code: 'invalid-signature' });
    const { proposal } = await updateOf(c);
    await expect(b.receive(await fromOutside(a.state.context, sender, proposal, server.privateKey))).rejects.toMatchObject({
      code: 'unsupported-proposal',
    });
  });
});

describe('required capabilities', () => {
  const UNUSUAL = 0x0a0a;
  const required = (extensionTypes: number[]): Extension => ({
    extensionType: 'required_capabilities',
    extensionData: requiredCapabilitiesCodec.encode({ extensionTypes, proposalTypes: [], credentialTypes: [] }),
  });

  it('rule who is added', async () => {
    const a = new TestMember('a', { extensions: [UNUSUAL] });
    await a.create(random(16), [required([UNUSUAL])]);
    const add = async (joiner: TestMember): Promise<Proposal> => ({
      proposalType: 'add',
      add: { keyPackage: (await joiner.keyPackage()).keyPackage },
    });
    await expect(a.commit({ proposals: [await add(new TestMember('b'))] })).rejects.toMatchObject({ code: 'unsupported-capability' });
    await a.commit({ proposals: [await add(new TestMember('c', { extensions: [UNUSUAL] }))] });
  });

  it('can be set only to what all members support', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as Three;
    const change = (extension: Extension): Proposal => ({
      proposalType: 'group_context_extensions',
      groupContextExtensions: { extensions: [extension] },
    });
    await expect(a.commit({ proposals: [change(required([UNUSUAL]))] })).rejects.toMatchObject({ code: 'unsupported-capability' });
    const { message } = await a.commit({ proposals: [change(required([]))] });
    for (const member of [a, b]) await member.receive(message);
    expect(b.state.context.extensions).toEqual([required([])]);
  });
});
