import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes/index.ts';
import {
  applyCommit,
  buildUpdateLeaf,
  keepProposal,
  MAX_MESSAGE_LENGTH,
  open,
  type GroupState,
  type Opened,
  type OpenedCommit,
  type OpenedProposal,
  type Proposal,
} from '../../../src/mls/index.ts';
import { acceptAll, makeGroup, newOwnPath, NOW, NOTHING, random, suite, TestMember } from '../../support/mls-group.ts';

/** What a group refuses, by which name, and that the state stays as it was. */

async function threeMembers(): Promise<[TestMember, TestMember, TestMember]> {
  return (await makeGroup(['a', 'b', 'c'])) as [TestMember, TestMember, TestMember];
}

function bytesOf(state: GroupState): string {
  return JSON.stringify([...state.tree.encode().slice(0, 40)]) + String(state.context.epoch) + String(state.secretTree.ratchets.size);
}

async function openedCommit(member: TestMember, message: Uint8Array): Promise<OpenedCommit> {
  const opened: Opened = await member.open(message);
  if (opened.kind !== 'commit') throw new TypeError('no commit');
  return opened;
}

describe('messages', () => {
  it('that were read cannot be read again', async () => {
    const [a, b] = await threeMembers();
    for (const made of [await a.send('once'), await a.commit()]) {
      await b.open(made.message);
      const before = b.state;
      await expect(b.open(made.message)).rejects.toMatchObject({ code: 'message-key-gone' });
      expect(b.state).toBe(before);
    }
    const own = await a.send('own');
    await a.open(own.message);
    await expect(a.open(own.message)).rejects.toMatchObject({ code: 'message-key-gone' });
  });

  it('that are truncated or longer than they say are no messages', async () => {
    const [a, b] = await threeMembers();
    const { message } = await a.send('whole');
    const before = b.state;
    await fc.assert(
      fc.asyncProperty(fc.nat(message.length - 1), async (length) => {
        await expect(b.open(message.subarray(0, length))).rejects.toMatchObject({ name: 'DecodeError' });
      }),
    );
    await expect(b.open(Uint8Array.of(...message, 0))).rejects.toMatchObject({ name: 'DecodeError' });
    expect(b.state).toBe(before);
    await b.open(message);
  });

  it('with any bit flipped are refused, and the genuine ones are read afterwards', async () => {
    const [a, b] = await threeMembers();
    const sent = [
      (await a.send('genuine')).message,
      (await a.propose({ proposalType: 'remove', remove: { removed: 2 } }, 'public')).message,
      (await a.commit({ wireFormat: 'private' })).message,
      (await a.commit({ wireFormat: 'public' })).message,
    ];
    for (const message of sent) {
      await fc.assert(
        fc.asyncProperty(fc.nat(message.length * 8 - 1), async (bit) => {
          const flipped = message.slice();
          flipped[bit >> 3]! ^= 1 << (bit & 7);
          const before = b.state;
          await expect(receiveAll(b, flipped)).rejects.toSatisfy((error: Error) => ['MlsError', 'DecodeError'].includes(error.name));
          expect(b.state).toBe(before);
        }),
        { numRuns: 60 },
      );
      await receiveAll(b, message);
    }
  });

  /** Opens and, if it is a commit, judges it; nothing is kept of a commit, so that another of the epoch can follow. */
  async function receiveAll(member: TestMember, message: Uint8Array): Promise<void> {
    const { next, value } = await open(suite, member.state, message);
    if (value.kind === 'commit') await applyCommit(suite, next, value, { checkLeaf: acceptAll });
    member.state = value.kind === 'proposal' ? await keepProposal(suite, next, value, { checkLeaf: acceptAll }) : next;
  }

  it('longer than any group sends are refused unread', async () => {
    const [a] = await threeMembers();
    await expect(a.open(new Uint8Array(MAX_MESSAGE_LENGTH + 1))).rejects.toMatchObject({ code: 'message-too-long' });
  });

  it('of another group or of an epoch that is not kept are named so', async () => {
    const [a, b] = await threeMembers();
    const [other] = await threeMembers();
    await expect(a.open((await other.send('x')).message)).rejects.toMatchObject({ code: 'wrong-group' });
    const next = await a.commit();
    await a.receive(next.message);
    await expect(b.open((await a.send('x')).message)).rejects.toMatchObject({ code: 'unknown-epoch' });
  });
});

describe('late messages', () => {
  it('of a kept past epoch are read, with the leaf that sent them then', async () => {
    const [a, b, c] = await threeMembers();
    const late = await a.send('late');
    const { message } = await b.commit({ proposals: [{ proposalType: 'remove', remove: { removed: 0 } }] });
    for (const member of [b, c]) await member.receive(message);
    const opened = await c.open(late.message);
    expect(opened).toMatchObject({ kind: 'application', sentByOwnLeaf: false, epoch: c.state.context.epoch - 1n });
    expect(opened.senderLeaf?.signaturePublicKey).toEqual(a.signer.publicKey);
    await expect(c.open(late.message)).rejects.toMatchObject({ code: 'message-key-gone' });
  });

  it('that are commits or proposals change nothing any more', async () => {
    const [a, b, c] = await threeMembers();
    const lost = await a.commit();
    const proposal = await a.propose({ proposalType: 'remove', remove: { removed: 2 } });
    const { message } = await b.commit();
    for (const member of [a, b, c]) await member.receive(message);
    const commit = await openedCommit(c, lost.message);
    const before = c.state;
    await expect(applyCommit(suite, before, commit, { checkLeaf: acceptAll })).rejects.toMatchObject({ code: 'wrong-epoch' });
    const late = (await c.open(proposal.message)) as OpenedProposal;
    await expect(keepProposal(suite, c.state, late, { checkLeaf: acceptAll })).rejects.toMatchObject({ code: 'wrong-epoch' });
  });

  it('are kept readable for a bounded number of epochs only', async () => {
    const [a, b] = await threeMembers();
    const late = await a.send('too late');
    for (let i = 0; i < 6; i++) {
      const { message } = await a.commit();
      for (const member of [a, b]) await member.receive(message);
    }
    expect(b.state.pastEpochs.length).toBe(5);
    await expect(b.open(late.message)).rejects.toMatchObject({ code: 'unknown-epoch' });
  });
});

describe('a commit', () => {
  it('leaves the state as it was when the application refuses the new leaf', async () => {
    const [a, b] = await threeMembers();
    const { message } = await a.commit();
    const opened = await openedCommit(b, message);
    const before = b.state;
    const summary = bytesOf(before);
    const refuse = () => Promise.reject(new Error('not vouched for'));
    await expect(applyCommit(suite, before, opened, { checkLeaf: refuse })).rejects.toThrow('not vouched for');
    expect(bytesOf(before)).toBe(summary);
    await applyCommit(suite, before, opened, { checkLeaf: acceptAll });
  });

  it('by our own leaf needs the secrets of its path, and the right ones', async () => {
    const [a] = await threeMembers();
    const { message } = await a.commit();
    const opened = await openedCommit(a, message);
    await expect(applyCommit(suite, a.state, opened, { checkLeaf: acceptAll })).rejects.toMatchObject({ code: 'own-secrets-missing' });
    const others = { checkLeaf: acceptAll, ownPath: newOwnPath() };
    await expect(applyCommit(suite, a.state, opened, others)).rejects.toMatchObject({ code: 'path-key-mismatch' });
  });

  it('with a wrong confirmation tag is refused', async () => {
    const [a, b] = await threeMembers();
    const opened = await openedCommit(b, (await a.commit()).message);
    const { auth } = opened.content;
    if (auth.contentType !== 'commit') throw new TypeError();
    const wrong = { ...opened, content: { ...opened.content, auth: { ...auth, confirmationTag: random(32) } } };
    await expect(applyCommit(suite, b.state, wrong, { checkLeaf: acceptAll })).rejects.toMatchObject({ code: 'invalid-confirmation-tag' });
  });

  it('that names a proposal which we do not have is refused', async () => {
    const [a, b, c] = await threeMembers();
    const proposal = await a.propose({ proposalType: 'remove', remove: { removed: 2 } });
    await b.receive(proposal.message);
    const { message } = await b.commit();
    await expect(c.receive(message)).rejects.toMatchObject({ code: 'unknown-proposal' });
  });

  it('without a path cannot be made where one is needed', async () => {
    const [a] = await threeMembers();
    await expect(a.commit({ path: undefined })).rejects.toMatchObject({ code: 'path-required' });
    const remove: Proposal = { proposalType: 'remove', remove: { removed: 1 } };
    await expect(a.commit({ path: undefined, proposals: [remove] })).rejects.toMatchObject({ code: 'path-required' });
  });

  it.each<[string, Proposal[], string]>([
    ['removes its committer', [{ proposalType: 'remove', remove: { removed: 0 } }], 'invalid-proposal-list'],
    ['removes a blank leaf', [{ proposalType: 'remove', remove: { removed: 3 } }], 'unknown-leaf'],
    [
      'removes one leaf twice',
      [
        { proposalType: 'remove', remove: { removed: 1 } },
        { proposalType: 'remove', remove: { removed: 1 } },
      ],
      'invalid-proposal-list',
    ],
    ['has an external_init', [{ proposalType: 'external_init', externalInit: { kemOutput: new Uint8Array(32) } }], 'invalid-proposal-list'],
    [
      'has two group_context_extensions',
      [
        { proposalType: 'group_context_extensions', groupContextExtensions: { extensions: [] } },
        { proposalType: 'group_context_extensions', groupContextExtensions: { extensions: [] } },
      ],
      'invalid-proposal-list',
    ],
    [
      'has an extension twice',
      [
        {
          proposalType: 'group_context_extensions',
          groupContextExtensions: {
            extensions: [
              { extensionType: 0x0a0a, extensionData: NOTHING },
              { extensionType: 0x0a0a, extensionData: NOTHING },
            ],
          },
        },
      ],
      'invalid-extensions',
    ],
    [
      'reinitialises the group',
      [
        {
          proposalType: 'reinit',
          reinit: { groupId: NOTHING, version: 'mls10', cipherSuite: 'MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519', extensions: [] },
        },
      ],
      'unsupported-proposal',
    ],
    ['has a proposal of an unknown type', [{ proposalType: 0x0a0a, proposalData: NOTHING }], 'unsupported-proposal'],
    [
      'names a PSK that is not known',
      [{ proposalType: 'psk', psk: { preSharedKeyId: { psktype: 'external', pskId: utf8('x'), pskNonce: new Uint8Array(32) } } }],
      'unknown-psk',
    ],
    [
      'names a PSK with a short nonce',
      [{ proposalType: 'psk', psk: { preSharedKeyId: { psktype: 'external', pskId: utf8('x'), pskNonce: new Uint8Array(31) } } }],
      'invalid-psk-nonce',
    ],
    [
      'names a PSK of a branched group',
      [
        {
          proposalType: 'psk',
          psk: {
            preSharedKeyId: { psktype: 'resumption', usage: 'branch', pskGroupId: NOTHING, pskEpoch: 0n, pskNonce: new Uint8Array(32) },
          },
        },
      ],
      'unsupported-proposal',
    ],
  ])('that %s is refused', async (_what, proposals, code) => {
    const [a] = await threeMembers();
    const before = a.state;
    await expect(a.commit({ proposals })).rejects.toMatchObject({ code });
    expect(a.state).toBe(before);
  });

  it('adds nobody twice, nobody who is there, and nobody whose KeyPackage is out of date or changed', async () => {
    const [a, b] = await threeMembers();
    const d = new TestMember('d');
    const { keyPackage } = await d.keyPackage();
    const add = (given: typeof keyPackage): Proposal => ({ proposalType: 'add', add: { keyPackage: given } });
    const second = (await d.keyPackage()).keyPackage;
    await expect(a.commit({ proposals: [add(keyPackage), add(second)] })).rejects.toMatchObject({ code: 'duplicate-key' });
    await expect(a.commit({ proposals: [add((await b.keyPackage()).keyPackage)] })).rejects.toMatchObject({ code: 'duplicate-key' });
    await expect(a.commit({ proposals: [add(keyPackage)], now: NOW + 3601n })).rejects.toMatchObject({ code: 'outside-lifetime' });
    const changed = { ...keyPackage, initKey: random(32) };
    await expect(a.commit({ proposals: [add(changed)] })).rejects.toMatchObject({ code: 'invalid-signature' });
    const clash = { ...keyPackage, initKey: keyPackage.leafNode.hpkePublicKey };
    await expect(a.commit({ proposals: [add(clash)] })).rejects.toMatchObject({ code: 'invalid-key-package' });
    await a.commit({ proposals: [add(keyPackage)], now: NOW });
  });

  it('takes nobody in who does not support what the group requires', async () => {
    const [a] = (await makeGroup(['a'], [])) as [TestMember];
    const extensions = [{ extensionType: 0x0a0a, extensionData: NOTHING }];
    const change: Proposal = { proposalType: 'group_context_extensions', groupContextExtensions: { extensions } };
    await expect(a.commit({ proposals: [change] })).rejects.toMatchObject({ code: 'unsupported-capability' });
  });
});

describe('a proposal', () => {
  it('is refused when nobody may make it', async () => {
    const [a] = await threeMembers();
    await expect(a.propose({ proposalType: 'external_init', externalInit: { kemOutput: NOTHING } })).rejects.toMatchObject({
      code: 'unsupported-proposal',
    });
  });

  it('for an Update with another place’s signature is refused by those who receive it', async () => {
    const [a, b] = await threeMembers();
    const { publicKey } = suite.deriveKeyPair(random(32));
    const elsewhere = { groupId: a.state.context.groupId, leafIndex: 2 };
    const leafNode = await buildUpdateLeaf(suite, a.template, publicKey, elsewhere, a.signer.privateKey);
    const { message } = await a.propose({ proposalType: 'update', update: { leafNode } });
    await expect(b.receive(message)).rejects.toMatchObject({ code: 'invalid-signature' });
  });

  it('must be committed before the next application message', async () => {
    const [a, b, c] = await threeMembers();
    const { message } = await a.propose({ proposalType: 'remove', remove: { removed: 2 } });
    for (const member of [a, b, c]) await member.receive(message);
    await expect(b.send('too early')).rejects.toMatchObject({ code: 'proposals-pending' });
  });
});

describe('a Welcome', () => {
  it('is refused by whom it is not for, when it is changed, and with another private key', async () => {
    const [a] = await threeMembers();
    const d = new TestMember('d');
    const keys = await d.keyPackage();
    const { welcome } = await a.commit({ proposals: [{ proposalType: 'add', add: { keyPackage: keys.keyPackage } }] });
    const stranger = new TestMember('e');
    await expect(stranger.join(welcome!, await stranger.keyPackage())).rejects.toMatchObject({ code: 'not-for-us' });
    const wrongKey = { ...keys, initPrivateKey: (await d.keyPackage()).initPrivateKey };
    await expect(d.join(welcome!, wrongKey)).rejects.toMatchObject({ code: 'invalid-welcome' });
    const wrongLeafKey = { ...keys, encryptionPrivateKey: (await d.keyPackage()).encryptionPrivateKey };
    await expect(d.join(welcome!, wrongLeafKey)).rejects.toMatchObject({ code: 'invalid-welcome' });
    const changed = welcome!.slice();
    changed[changed.length - 1]! ^= 1;
    await expect(d.join(changed, keys)).rejects.toMatchObject({ code: 'invalid-welcome' });
    await expect(d.join(welcome!.subarray(1), keys)).rejects.toMatchObject({ name: 'DecodeError' });
    await d.join(welcome!, keys);
  });
});
