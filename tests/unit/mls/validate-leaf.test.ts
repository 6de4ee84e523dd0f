import { beforeAll, describe, expect, it } from 'vitest';
import {
  buildCommitLeaf,
  buildKeyPackageLeaf,
  buildUpdateLeaf,
  verifyLeafSignature,
  type LeafTemplate,
} from '../../../src/mls/leaf-node.ts';
import type { RatchetTree } from '../../../src/mls/ratchet-tree.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { requiredCapabilitiesCodec, type Extension, type GroupContext, type LeafNode } from '../../../src/mls/ts-mls.ts';
import { validateLeaf, type LeafPlace } from '../../../src/mls/validate-leaf.ts';
import { commitBy, distinct, GROUP_ID, makeContext, makeGroup, makeJoiner, NOW, type Member, refusal } from '../../support/mls-tree.ts';

const suite = getSuite(1);
const CUSTOM_EXTENSION = 0xff01;
const CUSTOM_PROPOSAL = 0xff02;

let tree: RatchetTree;
let members: Member[];
let joiner: Member;
let joining: LeafNode;

beforeAll(async () => {
  const group = await makeGroup(suite, 4);
  ({ tree, members } = await commitBy(suite, group.tree, group.members, 0));
  ({ member: joiner, leaf: joining } = await makeJoiner(suite, 'joiner'));
});

const adding = (context: Partial<GroupContext> = {}): LeafPlace => ({
  tree,
  leafIndex: undefined,
  context: makeContext(suite, context),
  source: 'key_package',
  now: NOW,
});

/** The joiner's leaf with another template, signed again. */
const joinWith = (change: Partial<LeafTemplate>, encryptionKey = distinct(32)) => {
  const lifetime = { notBefore: NOW - 1n, notAfter: NOW + 1n };
  return buildKeyPackageLeaf(suite, { ...joiner.template, ...change }, encryptionKey, lifetime, joiner.signer.privateKey);
};

const required = (extensionTypes: number[], proposalTypes: number[], credentialTypes: ('basic' | 'x509')[]): Extension => ({
  extensionType: 'required_capabilities',
  extensionData: requiredCapabilitiesCodec.encode({ extensionTypes, proposalTypes, credentialTypes }),
});

describe('a leaf', () => {
  it('of an Add, an Update and a path that is as it should be is taken', async () => {
    await validateLeaf(suite, joining, adding());
    const { template, signer } = members[1]!;
    const position = { groupId: GROUP_ID, leafIndex: 1 };
    const update = await buildUpdateLeaf(suite, template, distinct(32), position, signer.privateKey);
    await validateLeaf(suite, update, { ...adding(), leafIndex: 1, source: 'update' });
    const commit = await buildCommitLeaf(suite, template, distinct(32), distinct(32), position, signer.privateKey);
    await validateLeaf(suite, commit, { ...adding(), leafIndex: 1, source: 'commit' });
  });

  it('is signed for one place of one group, unless it is of a key package', async () => {
    const { template, signer } = members[1]!;
    const position = { groupId: GROUP_ID, leafIndex: 1 };
    for (const leaf of [
      await buildUpdateLeaf(suite, template, distinct(32), position, signer.privateKey),
      await buildCommitLeaf(suite, template, distinct(32), distinct(32), position, signer.privateKey),
    ]) {
      expect(await verifyLeafSignature(suite, leaf, position)).toBe(true);
      expect(await verifyLeafSignature(suite, leaf, { groupId: GROUP_ID, leafIndex: 2 })).toBe(false);
      expect(await verifyLeafSignature(suite, leaf, { groupId: distinct(8), leafIndex: 1 })).toBe(false);
    }
    expect(await verifyLeafSignature(suite, joining, { groupId: distinct(8), leafIndex: 9 })).toBe(true);
  });

  it('whose signature or any signed field was changed is refused', async () => {
    for (const change of [
      { signature: new Uint8Array(64) },
      { hpkePublicKey: distinct(32) },
      { credential: { credentialType: 'basic' as const, identity: distinct(4) } },
    ]) {
      await expect(validateLeaf(suite, { ...joining, ...change }, adding())).rejects.toThrow(refusal('invalid-signature'));
    }
  });

  it('of another source than its place asks for is refused', async () => {
    await expect(validateLeaf(suite, joining, { ...adding(), source: 'update', leafIndex: 1 })).rejects.toThrow(
      refusal('wrong-leaf-source'),
    );
    await expect(validateLeaf(suite, tree.occupiedLeaf(0), adding())).rejects.toThrow(refusal('wrong-leaf-source'));
  });

  it('before and after its lifetime is refused on receipt, and taken where time does not count', async () => {
    for (const now of [NOW - 3601n, NOW + 3601n]) {
      await expect(validateLeaf(suite, joining, { ...adding(), now })).rejects.toThrow(refusal('outside-lifetime'));
    }
    for (const now of [NOW - 3600n, NOW + 3600n, undefined]) await validateLeaf(suite, joining, { ...adding(), now });
  });

  it('with another member’s signature key is refused', async () => {
    const { template, signer } = members[2]!;
    const leaf = await buildKeyPackageLeaf(suite, template, distinct(32), { notBefore: 0n, notAfter: 2n * NOW }, signer.privateKey);
    await expect(validateLeaf(suite, leaf, adding())).rejects.toThrow(refusal('duplicate-key'));
  });

  it('with the encryption key of another leaf or of a parent is refused', async () => {
    for (const key of [tree.occupiedLeaf(3).hpkePublicKey, tree.parentNode(tree.root)!.hpkePublicKey]) {
      await expect(validateLeaf(suite, await joinWith({}, key), adding())).rejects.toThrow(refusal('duplicate-key'));
    }
  });

  it('with a key to which nothing can be encrypted is refused', async () => {
    for (const key of [new Uint8Array(32), distinct(31), distinct(33), new Uint8Array()]) {
      await expect(validateLeaf(suite, await joinWith({}, key), adding())).rejects.toThrow(refusal('invalid-public-key'));
    }
  });

  it('may keep its signature key when it replaces itself, and it alone may', async () => {
    const { template, signer } = members[1]!;
    const leaf = await buildUpdateLeaf(suite, template, distinct(32), { groupId: GROUP_ID, leafIndex: 2 }, signer.privateKey);
    await expect(validateLeaf(suite, leaf, { ...adding(), leafIndex: 2, source: 'update' })).rejects.toThrow(refusal('duplicate-key'));
  });

  it.each<[string, (template: LeafTemplate) => Partial<LeafTemplate>]>([
    ['the protocol version', ({ capabilities }) => ({ capabilities: { ...capabilities, versions: [] } })],
    ['the ciphersuite', ({ capabilities }) => ({ capabilities: { ...capabilities, ciphersuites: [] } })],
    ['its own extension', () => ({ extensions: [{ extensionType: CUSTOM_EXTENSION, extensionData: new Uint8Array() }] })],
    ['its own credential', ({ capabilities }) => ({ capabilities: { ...capabilities, credentials: ['x509'] } })],
  ])('that does not support %s is refused', async (_, change) => {
    await expect(validateLeaf(suite, await joinWith(change(joiner.template)), adding())).rejects.toThrow(refusal('unsupported-capability'));
  });

  it.each<[string, Extension]>([
    ['an extension in the GroupContext', { extensionType: CUSTOM_EXTENSION, extensionData: new Uint8Array() }],
    ['a required extension', required([CUSTOM_EXTENSION], [], [])],
    ['a required proposal', required([], [CUSTOM_PROPOSAL], [])],
    ['a required credential', required([], [], ['x509'])],
  ])('that does not support %s is refused, and one that does is taken', async (_, extension) => {
    const place = adding({ extensions: [extension] });
    await expect(validateLeaf(suite, joining, place)).rejects.toThrow(refusal('unsupported-capability'));
    const able = {
      ...joiner.template.capabilities,
      extensions: [CUSTOM_EXTENSION],
      proposals: [CUSTOM_PROPOSAL],
      credentials: ['basic' as const, 'x509' as const],
    };
    await validateLeaf(suite, await joinWith({ capabilities: able }), place);
  });

  it('needs not list what RFC 9420 itself defines', async () => {
    await validateLeaf(suite, joining, adding({ extensions: [required([1, 2, 3, 4, 5], [1, 2, 3, 4, 5, 6, 7], ['basic'])] }));
  });

  it('whose credential type the others do not support is refused, and so is one that does not support theirs', async () => {
    const capabilities = { ...joiner.template.capabilities, credentials: ['basic' as const, 'x509' as const] };
    const certified = await joinWith({ capabilities, credential: { credentialType: 'x509', certificates: [distinct(4)] } });
    await expect(validateLeaf(suite, certified, adding())).rejects.toThrow(refusal('unsupported-capability'));
    const narrow = await joinWith({
      capabilities: { ...capabilities, credentials: ['x509'] },
      credential: { credentialType: 'x509', certificates: [distinct(4)] },
    });
    await expect(validateLeaf(suite, narrow, adding())).rejects.toThrow(refusal('unsupported-capability'));
  });
});
