import fc from 'fast-check';
import { beforeAll, describe, expect, it } from 'vitest';
import { Secret, utf8 } from '../../../src/bytes/index.ts';
import { MlsError } from '../../../src/mls/errors.ts';
import { proposalReference, signContent } from '../../../src/mls/framing.ts';
import type { GroupState } from '../../../src/mls/group-state.ts';
import { protect, sealContent, unprotect } from '../../../src/mls/private-message.ts';
import { framePublic, openPublic } from '../../../src/mls/public-message.ts';
import { createSecretTree } from '../../../src/mls/secret-tree.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import {
  commitCodec,
  decodeExact,
  mlsMessageCodec,
  proposalCodec,
  suiteName,
  type AuthenticatedContent,
  type FramedContent,
  type FramedContentInfo,
  type PublicMessage,
} from '../../../src/mls/ts-mls.ts';
import { DecodeError } from '../../../src/wire/index.ts';
import { makeStates, nextEpoch, plainOptions, privateMessageOf, random } from '../../support/mls-state.ts';
import type { Member } from '../../support/mls-tree.ts';
import { withLeaf } from '../../support/mls-tree.ts';
import { loadSuiteVectors, vectorsPresent, type Vector } from '../../support/mls-vectors.ts';

const suite = getSuite(1);
const application = (text: string): Extract<FramedContentInfo, { contentType: 'application' }> => ({
  contentType: 'application',
  applicationData: utf8(text),
});

function publicMessageOf(message: Uint8Array): PublicMessage {
  const decoded = decodeExact(mlsMessageCodec, message);
  if (decoded.wireformat !== 'mls_public_message') throw new Error('no PublicMessage');
  return decoded.publicMessage;
}

describe.each([1, 3] as const)('working group vectors: message-protection, ciphersuite %i', (id) => {
  const own = getSuite(id);
  const vectors = loadSuiteVectors('message-protection', id);

  /** Two members, of whom leaf 1 sends; leaf 0 receives. */
  async function statesOf(vector: Vector): Promise<{ sender: GroupState; receiver: GroupState; signer: Secret<'signature_private_key'> }> {
    const { states } = await makeStates(own, 2);
    const base = states[0]!;
    const state: GroupState = {
      ...base,
      tree: withLeaf(base.tree, 1, { signaturePublicKey: vector.bytes('signature_pub') }),
      context: {
        version: 'mls10',
        cipherSuite: suiteName(id),
        groupId: vector.bytes('group_id'),
        epoch: BigInt(vector.number('epoch')),
        treeHash: vector.bytes('tree_hash'),
        confirmedTranscriptHash: vector.bytes('confirmed_transcript_hash'),
        extensions: [],
      },
      schedule: {
        ...base.schedule,
        senderDataSecret: Secret.of('sender_data_secret', vector.bytes('sender_data_secret')),
        membershipKey: Secret.of('membership_key', vector.bytes('membership_key')),
      },
      secretTree: createSecretTree(Secret.of('encryption_secret', vector.bytes('encryption_secret')), 2),
    };
    const signer = own.signatureKeyPair(vector.bytes('signature_priv')).privateKey;
    return { sender: { ...state, ownLeaf: 1 }, receiver: state, signer };
  }

  function inner(content: FramedContent): Uint8Array {
    if (content.contentType === 'application') return content.applicationData;
    return content.contentType === 'proposal' ? proposalCodec.encode(content.proposal) : commitCodec.encode(content.commit);
  }

  function infoOf(vector: Vector, type: 'application' | 'proposal' | 'commit'): FramedContentInfo {
    if (type === 'application') return { contentType: type, applicationData: vector.bytes(type) };
    if (type === 'proposal') return { contentType: type, proposal: decodeExact(proposalCodec, vector.bytes(type)) };
    return { contentType: type, commit: decodeExact(commitCodec, vector.bytes(type)) };
  }

  describe.skipIf(!vectorsPresent)('given messages', () => {
    it('are there', () => expect(vectors.length).toBeGreaterThan(0));

    it.each(vectors)('$name open, encrypted and public', async (vector) => {
      for (const type of ['application', 'proposal', 'commit'] as const) {
        const { receiver } = await statesOf(vector);
        const opened = await unprotect(own, receiver, privateMessageOf(vector.bytes(`${type}_priv`)));
        expect(inner(opened.value.content.content)).toEqual(vector.bytes(type));
        expect(opened.value.sender).toBe(1);
        if (type === 'application') continue;
        const open = await openPublic(own, receiver, publicMessageOf(vector.bytes(`${type}_pub`)));
        expect(inner(open.content)).toEqual(vector.bytes(type));
      }
    });

    it.each(vectors)('$name and ours of the same content open', async (vector) => {
      for (const type of ['application', 'proposal', 'commit'] as const) {
        const { sender, receiver, signer } = await statesOf(vector);
        const { groupId, epoch } = sender.context;
        const content = {
          groupId,
          epoch,
          sender: { senderType: 'member', leafIndex: 1 },
          authenticatedData: utf8('aad'),
          ...infoOf(vector, type),
        } as const;
        for (const wireformat of ['mls_private_message', 'mls_public_message'] as const) {
          if (type === 'application' && wireformat === 'mls_public_message') continue;
          const signature = await signContent(own, signer, content, wireformat, sender.context);
          const auth: AuthenticatedContent['auth'] =
            type === 'commit' ? { contentType: type, signature, confirmationTag: random(32) } : { contentType: type, signature };
          const authenticated = { wireformat, content, auth };
          if (wireformat === 'mls_public_message') {
            const message = framePublic(own, sender, authenticated);
            expect(await openPublic(own, receiver, publicMessageOf(message))).toEqual(authenticated);
          } else {
            const sealed = await sealContent(own, sender, authenticated, { guard: () => random(4), padding: () => 5 });
            const opened = await unprotect(own, receiver, privateMessageOf(sealed.value.message));
            expect(opened.value.content).toEqual(authenticated);
          }
        }
      }
    });
  });
});

describe('a PrivateMessage', () => {
  let states: GroupState[];
  let members: Member[];
  beforeAll(async () => {
    ({ states, members } = await makeStates(suite, 4));
  });

  it('opens at every member, once', async () => {
    const sent = await protect(suite, states[1]!, application('hello'), plainOptions(members[1]!, { authenticatedData: utf8('aad') }));
    for (const state of [states[0]!, states[3]!]) {
      const { next, value } = await unprotect(suite, state, privateMessageOf(sent.value.message));
      expect(value.content).toEqual(sent.value.content);
      expect([value.sender, value.generation, value.ratchetType, value.epoch]).toEqual([1, 0, 'application', 7n]);
      expect(value.keyScheduleNonce).toEqual(sent.value.keyScheduleNonce);
      await expect(unprotect(suite, next, privateMessageOf(sent.value.message))).rejects.toThrow('message-key-gone');
    }
  });

  it('hands the guard the nonce before it is applied, and shows both to the receiver', async () => {
    const seen: Uint8Array[] = [];
    const guard = (nonce: Uint8Array): Uint8Array => {
      seen.push(nonce.slice());
      return Uint8Array.of(9, 8, 7, 6);
    };
    const sent = await protect(suite, states[0]!, application('x'), plainOptions(members[0]!, { guard }));
    const { value } = await unprotect(suite, states[1]!, privateMessageOf(sent.value.message));
    expect(seen).toEqual([value.keyScheduleNonce]);
    expect(value.reuseGuard).toEqual(Uint8Array.of(9, 8, 7, 6));
  });

  it('is padded as the caller asks', async () => {
    const length = async (text: string): Promise<number> => {
      const padding = (bare: number): number => 256 - (bare % 256);
      const { value } = await protect(suite, states[0]!, application(text), plainOptions(members[0]!, { padding }));
      expect((await unprotect(suite, states[1]!, privateMessageOf(value.message))).value.content.content).toMatchObject(application(text));
      return value.message.length;
    };
    expect(await length('a')).toBe(await length('a longer message'));
  });

  it('is readable once by the client that sent it', async () => {
    const sent = await protect(suite, states[2]!, application('echo'), plainOptions(members[2]!));
    const echo = await unprotect(suite, sent.next, privateMessageOf(sent.value.message));
    expect(echo.value.content).toEqual(sent.value.content);
    await expect(unprotect(suite, echo.next, privateMessageOf(sent.value.message))).rejects.toThrow('message-key-gone');
  });

  it('of a sibling that won the generation of our unconfirmed send is readable, and then ours is not', async () => {
    const ours = await protect(suite, states[2]!, application('ours'), plainOptions(members[2]!));
    const sibling = await protect(suite, states[2]!, application('theirs'), plainOptions(members[2]!));
    expect(sibling.value.generation).toBe(ours.value.generation);
    const read = await unprotect(suite, ours.next, privateMessageOf(sibling.value.message));
    expect(read.value.content).toEqual(sibling.value.content);
    await expect(unprotect(suite, read.next, privateMessageOf(ours.value.message))).rejects.toThrow('message-key-gone');
    const again = await protect(suite, read.next, application('ours'), plainOptions(members[2]!));
    expect(again.value.generation).toBe(1);
    expect((await unprotect(suite, states[0]!, privateMessageOf(again.value.message))).value.content).toEqual(again.value.content);
  });

  it('that was overtaken still opens', async () => {
    let sender = states[0]!;
    const sent: Uint8Array[] = [];
    for (const text of ['a', 'b', 'c', 'd']) {
      const { next, value } = await protect(suite, sender, application(text), plainOptions(members[0]!));
      sender = next;
      sent.push(value.message);
    }
    let receiver = states[1]!;
    for (const i of [3, 1, 0, 2]) {
      const { next, value } = await unprotect(suite, receiver, privateMessageOf(sent[i]!));
      expect(value.generation).toBe(i);
      receiver = next;
    }
    expect(receiver.secretTree.ratchets.get(0)!.application.skipped.size).toBe(0);
  });

  it('of a kept past epoch opens, and consumes the key there', async () => {
    const sent = await protect(suite, states[0]!, application('late'), plainOptions(members[0]!));
    const later = nextEpoch(suite, states[1]!);
    const { next, value } = await unprotect(suite, later, privateMessageOf(sent.value.message));
    expect(value.epoch).toBe(7n);
    expect(next.secretTree).toBe(later.secretTree);
    await expect(unprotect(suite, next, privateMessageOf(sent.value.message))).rejects.toThrow('message-key-gone');
    const forgotten = { ...later, pastEpochs: [] };
    await expect(unprotect(suite, forgotten, privateMessageOf(sent.value.message))).rejects.toThrow('unknown-epoch');
  });

  it('of another group is refused', async () => {
    const sent = await protect(suite, states[0]!, application('x'), plainOptions(members[0]!));
    const elsewhere = { ...states[1]!, context: { ...states[1]!.context, groupId: utf8('elsewhere') } };
    await expect(unprotect(suite, elsewhere, privateMessageOf(sent.value.message))).rejects.toThrow('wrong-group');
  });

  it('signed with another key than the leaf has is refused, and the genuine one still opens', async () => {
    const forged = await protect(suite, states[0]!, application('forged'), plainOptions(members[3]!));
    await expect(unprotect(suite, states[1]!, privateMessageOf(forged.value.message))).rejects.toThrow('invalid-signature');
    const genuine = await protect(suite, states[0]!, application('genuine'), plainOptions(members[0]!));
    expect((await unprotect(suite, states[1]!, privateMessageOf(genuine.value.message))).value.generation).toBe(0);
  });

  it('from a blank leaf is refused', async () => {
    const sent = await protect(suite, states[2]!, application('x'), plainOptions(members[2]!));
    const without = { ...states[0]!, tree: states[0]!.tree.remove(2) };
    await expect(unprotect(suite, without, privateMessageOf(sent.value.message))).rejects.toThrow('unknown-sender');
  });

  it('whose padding is not zero is refused', async () => {
    const bare = { ...suite };
    bare.sealAsync = (key, nonce, aad, plaintext) => {
      const changed = plaintext.slice();
      changed[changed.length - 1] = 1;
      return suite.sealAsync(key, nonce, aad, changed);
    };
    const sent = await protect(bare, states[0]!, application('x'), plainOptions(members[0]!, { padding: () => 3 }));
    await expect(unprotect(suite, states[1]!, privateMessageOf(sent.value.message))).rejects.toThrow('padding-not-zero');
  });

  it('truncated, changed in any bit or with bytes behind it is refused, and the genuine one still opens', async () => {
    const sent = await protect(suite, states[0]!, application('hello'), plainOptions(members[0]!));
    const genuine = sent.value.message;
    const receiver = states[1]!;
    const refuses = async (bytes: Uint8Array): Promise<void> => {
      const error: unknown = await (async () => unprotect(suite, receiver, privateMessageOf(bytes)))().catch((reason: unknown) => reason);
      const another = error instanceof Error && error.message === 'no PrivateMessage'; // a bit of the wire format changed
      expect(error instanceof MlsError || error instanceof DecodeError || another).toBe(true);
    };
    await fc.assert(
      fc.asyncProperty(fc.nat(genuine.length - 1), fc.nat(7), async (position, bit) => {
        const changed = genuine.slice();
        changed[position]! ^= 1 << bit;
        await refuses(changed);
        await refuses(genuine.subarray(0, position));
        await refuses(new Uint8Array([...genuine, bit]));
      }),
      { numRuns: 100 },
    );
    expect((await unprotect(suite, receiver, privateMessageOf(genuine))).value.content).toEqual(sent.value.content);
  });
});

describe('a PublicMessage', () => {
  let states: GroupState[];
  let members: Member[];
  const proposal = { contentType: 'proposal', proposal: { proposalType: 'remove', remove: { removed: 1 } } } as const;
  beforeAll(async () => {
    ({ states, members } = await makeStates(suite, 2));
  });

  async function signed(state: GroupState, signer: Member, sender: FramedContent['sender']): Promise<AuthenticatedContent> {
    const { groupId, epoch } = state.context;
    const content = { groupId, epoch, sender, authenticatedData: new Uint8Array(0), ...proposal };
    const signature = await signContent(suite, signer.signer.privateKey, content, 'mls_public_message', state.context);
    return { wireformat: 'mls_public_message', content, auth: { contentType: 'proposal', signature } };
  }

  it('of a member needs signature and membership tag', async () => {
    const authenticated = await signed(states[0]!, members[0]!, { senderType: 'member', leafIndex: 0 });
    const message = publicMessageOf(framePublic(suite, states[0], authenticated));
    expect(await openPublic(suite, states[1]!, message)).toEqual(authenticated);
    if (message.senderType !== 'member') throw new Error('no member');
    const untagged = { ...message, membershipTag: random(32) };
    await expect(openPublic(suite, states[1]!, untagged)).rejects.toThrow('invalid-membership-tag');
    const forged = await signed(states[0]!, members[1]!, { senderType: 'member', leafIndex: 0 });
    const tagged = publicMessageOf(framePublic(suite, states[0], forged));
    await expect(openPublic(suite, states[1]!, tagged)).rejects.toThrow('invalid-signature');
    await expect(openPublic(suite, nextEpoch(suite, states[1]!), message)).rejects.toThrow('unknown-epoch');
  });

  it('never carries application data', () => {
    const content = {
      ...states[0]!.context,
      sender: { senderType: 'member', leafIndex: 0 },
      authenticatedData: random(0),
      ...application('x'),
    } as const;
    const auth = { contentType: 'application', signature: random(64) } as const;
    expect(() => framePublic(suite, states[0], { wireformat: 'mls_public_message', content, auth })).toThrow('wrong-content-type');
  });

  it('of an external sender is checked with the key at its index of the extension', async () => {
    const senders = members.map(({ signer }) => [...[32], ...signer.publicKey, 0, 1, 0]); // basic credential, empty identity
    const list = senders.flat();
    const extensionData = Uint8Array.of(0x40 | (list.length >> 8), list.length & 0xff, ...list);
    const context = { ...states[0]!.context, extensions: [{ extensionType: 'external_senders', extensionData }] } as const;
    const state: GroupState = { ...states[0]!, context: { ...context, extensions: [...context.extensions] } };
    const authenticated = await signed(state, members[1]!, { senderType: 'external', senderIndex: 1 });
    const message = publicMessageOf(framePublic(suite, undefined, authenticated));
    expect(await openPublic(suite, state, message)).toEqual(authenticated);
    for (const senderIndex of [0, 2]) {
      const other = publicMessageOf(
        framePublic(suite, undefined, await signed(state, members[1]!, { senderType: 'external', senderIndex })),
      );
      await expect(openPublic(suite, state, other)).rejects.toThrow(senderIndex === 0 ? 'invalid-signature' : 'unknown-sender');
    }
    await expect(openPublic(suite, states[0]!, message)).rejects.toThrow('unknown-sender');
  });

  it('of a joiner must be its own Add or external commit', async () => {
    for (const senderType of ['new_member_proposal', 'new_member_commit'] as const) {
      const authenticated = await signed(states[0]!, members[1]!, { senderType });
      const message = publicMessageOf(framePublic(suite, undefined, authenticated));
      await expect(openPublic(suite, states[0]!, message)).rejects.toThrow('wrong-content-type');
    }
  });
});

describe('a ProposalRef', () => {
  it('covers content, framing and signature', async () => {
    const { states, members } = await makeStates(suite, 1);
    const info = { contentType: 'proposal', proposal: { proposalType: 'remove', remove: { removed: 0 } } } as const;
    const { content } = (await protect(suite, states[0]!, info, plainOptions(members[0]!))).value;
    const reference = proposalReference(suite, content);
    expect(proposalReference(suite, content)).toEqual(reference);
    expect(proposalReference(suite, { ...content, wireformat: 'mls_public_message' })).not.toEqual(reference);
    expect(proposalReference(suite, { ...content, auth: { contentType: 'proposal', signature: random(64) } })).not.toEqual(reference);
  });
});
