import { describe, expect, it } from 'vitest';
import { Secret, concat, toHex, utf8 } from '../../../src/bytes/index.ts';
import {
  componentOperationLabel,
  decodeAccountBinding,
  encodeAccountBinding,
  signAccountBinding,
  verifyAccountBinding,
  type BoundLeaf,
} from '../../../src/virtual-client/account-binding.ts';
import { deriveRecoveryKey, signRecovery, verifyRecovery } from '../../../src/virtual-client/recovery.ts';
import { codeOf, flipBit, protocol, rejectionCode, suite } from './setup.ts';

const server = suite.signatureKeyPair(suite.hash(utf8('authentication service')));
const signatureKey = suite.signatureKeyPair(suite.hash(utf8('account'))).publicKey;
const accountId = utf8('account number 1');
const leaf: BoundLeaf = { accountId, signatureKey, replacedKeyVersion: undefined };
const binding = await signAccountBinding(protocol, suite, server.privateKey, { accountId, keyVersion: 3, signatureKey });
const verify = (candidate: typeof binding, at: BoundLeaf = leaf, key = server.publicKey): Promise<void> =>
  verifyAccountBinding(protocol, suite, key, candidate, at);

describe('an account binding', () => {
  it('holds for the leaf that it was made for, at first and after a leaf of the same or an older key', async () => {
    await expect(verify(binding)).resolves.toBeUndefined();
    for (const replacedKeyVersion of [0, 2, 3]) await expect(verify(binding, { ...leaf, replacedKeyVersion })).resolves.toBeUndefined();
  });

  it('is refused for another account, another key, or an older key version than the leaf before', async () => {
    expect(await rejectionCode(verify(binding, { ...leaf, accountId: utf8('account number 2') }))).toBe('binding-account-mismatch');
    expect(await rejectionCode(verify(binding, { ...leaf, signatureKey: server.publicKey }))).toBe('binding-key-mismatch');
    expect(await rejectionCode(verify(binding, { ...leaf, replacedKeyVersion: 4 }))).toBe('binding-version-regressed');
  });

  it('is refused when the server did not sign exactly this', async () => {
    const otherKey = signatureKey.slice().reverse();
    for (const [forged, at] of [
      [{ ...binding, keyVersion: 4 }, leaf],
      [
        { ...binding, accountId: utf8('account number 2') },
        { ...leaf, accountId: utf8('account number 2') },
      ],
      [
        { ...binding, signatureKey: otherKey },
        { ...leaf, signatureKey: otherKey },
      ],
      [{ ...binding, signature: flipBit(binding.signature, 77) }, leaf],
    ] as const)
      expect(await rejectionCode(verify(forged, at))).toBe('binding-signature-invalid');
    expect(await rejectionCode(verify(binding, leaf, signatureKey))).toBe('binding-signature-invalid');
  });

  it('signs under a label of its own: the same content under another component is no binding', async () => {
    const tbs = { accountId, keyVersion: 3, signatureKey };
    const elsewhere = { revision: { ...protocol.revision, components: { ...protocol.revision.components, accountBinding: 0x8a06 } } };
    const other = await signAccountBinding(elsewhere, suite, server.privateKey, tbs);
    expect(await rejectionCode(verify(other))).toBe('binding-signature-invalid');
    expect(toHex(componentOperationLabel(0x8a05, 'AccountBinding'))).toBe(
      `0d${toHex(utf8('MLS Component'))}8a050e${toHex(utf8('AccountBinding'))}`,
    );
  });

  it('comes back from the wire, and is refused with trailing or missing bytes', () => {
    const bytes = encodeAccountBinding(binding);
    expect(decodeAccountBinding(bytes)).toEqual(binding);
    expect(codeOf(() => decodeAccountBinding(concat(bytes, new Uint8Array(1))))).toBe('trailing-bytes');
    expect(codeOf(() => decodeAccountBinding(bytes.slice(0, -1)))).toBe('truncated');
    expect(codeOf(() => decodeAccountBinding(encodeAccountBinding({ ...binding, signature: binding.signature.slice(1) })))).toBe(
      'invalid-value',
    );
  });
});

describe('the recovery key', () => {
  const entropy = (name: string): Secret<'phrase_entropy'> => Secret.of('phrase_entropy', suite.hash(utf8(name)));
  const key = deriveRecoveryKey(protocol, entropy('phrase'));
  const grant = { groupId: utf8('emulation group'), epoch: 7n, signatureKey };
  const signature = signRecovery(key, grant);

  it('is the same from the same phrase, and lets one leaf into one epoch of one group', () => {
    expect(deriveRecoveryKey(protocol, entropy('phrase')).publicKey).toEqual(key.publicKey);
    expect(() => verifyRecovery(key.publicKey, grant, signature)).not.toThrow();
    for (const other of [
      { ...grant, epoch: 8n },
      { ...grant, groupId: utf8('emulation grouq') },
      { ...grant, signatureKey: server.publicKey },
    ])
      expect(codeOf(() => verifyRecovery(key.publicKey, other, signature))).toBe('recovery-signature-invalid');
  });

  it('refuses a signature that is altered, of another phrase, or of a wrong length', () => {
    const stranger = signRecovery(deriveRecoveryKey(protocol, entropy('other')), grant);
    for (const bad of [flipBit(signature, 0), stranger, signature.slice(1), new Uint8Array()])
      expect(codeOf(() => verifyRecovery(key.publicKey, grant, bad))).toBe('recovery-signature-invalid');
    expect(codeOf(() => verifyRecovery(key.publicKey.slice(1), grant, signature))).toBe('recovery-signature-invalid');
  });

  it('needs all 256 bits of entropy', () => {
    expect(codeOf(() => deriveRecoveryKey(protocol, Secret.of('phrase_entropy', new Uint8Array(16))))).toBe('wrong-length');
  });
});
