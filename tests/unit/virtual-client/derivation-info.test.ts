import { describe, expect, it } from 'vitest';
import { concat, toHex } from '../../../src/bytes/index.ts';
import { decodeDerivationInfo, followLeaf, openDerivationInfo, sealDerivationInfo } from '../../../src/virtual-client/derivation-info.ts';
import { deriveEncryptionKeyPair } from '../../../src/virtual-client/operation-keys.ts';
import { allocateOperation } from '../../../src/virtual-client/operation-secrets.ts';
import { encodePprfState } from '../../../src/virtual-client/pprf-codec.ts';
import { draft00 } from '../../../src/virtual-client/revisions/draft-00.ts';
import { encode } from '../../../src/wire/index.ts';
import { codeOf, epochOf, flipBit, protocol, randomFrom, suite, suite3 } from './setup.ts';

const { next: acting, value: operation } = allocateOperation(protocol, epochOf({ own: 1 }), randomFrom('info'));
const encryptionKey = deriveEncryptionKeyPair(protocol, operation, suite).publicKey;
const component = sealDerivationInfo(protocol, acting, operation, encryptionKey);
const sibling = epochOf({ own: 2 });
const open = (bytes: Uint8Array, key: Uint8Array = encryptionKey): ReturnType<typeof openDerivationInfo> =>
  openDerivationInfo(protocol, sibling, decodeDerivationInfo(protocol, bytes), key);

/** The component with this plaintext, honestly sealed. */
function sealed(plaintext: Uint8Array): Uint8Array {
  const { key, nonce } = draft00.derivationInfoKey(suite, sibling.epochEncryptionKey, encryptionKey);
  return draft00.encodeDerivationInfo({ epochId: sibling.epochId, ciphertext: suite.seal(key, nonce, sibling.epochId, plaintext) });
}

describe('DerivationInfo', () => {
  it('tells a sibling who made the leaf and with which random value', () => {
    expect(open(component)).toEqual({ emulatorLeaf: 1, random: operation.random });
  });

  it('lets a sibling follow: the same operation, one puncture, nothing changed before', () => {
    const before = toHex(encodePprfState(sibling.pprf));
    const { next, value } = followLeaf(protocol, sibling, decodeDerivationInfo(protocol, component), encryptionKey, suite);
    expect(toHex(value.operationSecret.reveal())).toBe(toHex(operation.operationSecret.reveal()));
    expect(toHex(encodePprfState(next.pprf))).toBe(toHex(encodePprfState(acting.pprf)));
    expect(toHex(encodePprfState(sibling.pprf))).toBe(before);
  });

  it('is refused with any one bit turned over', () => {
    const codes = new Set(Array.from({ length: 8 * component.length }, (_, bit) => codeOf(() => open(flipBit(component, bit)))));
    expect(codes).toContain('derivation-info-not-ours');
    expect(codes).toContain('unknown-emulation-epoch');
  });

  it('belongs to one leaf key: moved to another LeafNode it does not open', () => {
    expect(codeOf(() => open(component, flipBit(encryptionKey, 9)))).toBe('derivation-info-not-ours');
  });

  it('of another account does not open, nor with the epoch ID changed to ours', () => {
    const foreign = epochOf({ name: 'other account', own: 1 });
    const theirs = allocateOperation(protocol, foreign, randomFrom('theirs'));
    const bytes = sealDerivationInfo(protocol, theirs.next, theirs.value, encryptionKey);
    expect(codeOf(() => open(bytes))).toBe('unknown-emulation-epoch');
    const info = { ...decodeDerivationInfo(protocol, bytes), epochId: sibling.epochId };
    expect(codeOf(() => openDerivationInfo(protocol, sibling, info, encryptionKey))).toBe('derivation-info-not-ours');
  });

  it('is consumed exactly: trailing or missing bytes inside are refused', () => {
    const tbe = draft00.encodeEpochInfo({ emulatorLeaf: 1, random: operation.random });
    expect(open(sealed(tbe)).emulatorLeaf).toBe(1);
    for (const plaintext of [
      concat(tbe, new Uint8Array(1)),
      tbe.slice(0, -1),
      new Uint8Array(),
      encode((w) => w.uint32(1).opaque(new Uint8Array(31))),
    ])
      expect(codeOf(() => open(sealed(plaintext)))).toBe('derivation-info-malformed');
  });

  it('that names a vacant leaf is refused', () => {
    expect(codeOf(() => open(sealed(draft00.encodeEpochInfo({ emulatorLeaf: 3, random: operation.random }))))).toBe('leaf-not-in-roster');
  });

  it('of an operation whose key is not the leaf key is refused by name, and nothing is punctured', () => {
    const { next, value } = allocateOperation(protocol, epochOf({ own: 1 }), randomFrom('swapped'));
    const wrongKey = deriveEncryptionKeyPair(protocol, operation, suite).publicKey;
    const info = decodeDerivationInfo(protocol, sealDerivationInfo(protocol, next, value, wrongKey));
    expect(codeOf(() => followLeaf(protocol, sibling, info, wrongKey, suite))).toBe('derived-key-mismatch');
    expect(codeOf(() => followLeaf(protocol, sibling, decodeDerivationInfo(protocol, component), encryptionKey, suite3))).toBe(
      'derived-key-mismatch',
    );
    expect(followLeaf(protocol, sibling, decodeDerivationInfo(protocol, component), encryptionKey, suite).value.emulatorLeaf).toBe(1);
  });

  it('cannot be followed twice', () => {
    const { next } = followLeaf(protocol, sibling, decodeDerivationInfo(protocol, component), encryptionKey, suite);
    expect(codeOf(() => followLeaf(protocol, next, decodeDerivationInfo(protocol, component), encryptionKey, suite))).toBe(
      'leaf-punctured',
    );
  });

  it('is sealed only for an operation of the same epoch', () => {
    expect(codeOf(() => sealDerivationInfo(protocol, epochOf({ name: 'later' }), operation, encryptionKey))).toBe(
      'unknown-emulation-epoch',
    );
  });
});
