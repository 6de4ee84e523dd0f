import { describe, expect, it } from 'vitest';
import { x25519 } from '@noble/curves/ed25519.js';
import { fromHex, utf8 } from '../../../src/bytes/index.ts';
import { x25519PublicKey } from '../../../src/mls/hpke.ts';
import { refHash } from '../../../src/mls/ref-hash.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { loadSuiteVectors, vectorsPresent } from '../../support/mls-vectors.ts';

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

describe.each([1, 3] as const)('ciphersuite %i', (id) => {
  const suite = getSuite(id);

  describe.skipIf(!vectorsPresent)('working group vectors: crypto-basics', () => {
    const vectors = loadSuiteVectors('crypto-basics', id);

    it('are there', () => expect(vectors.length).toBeGreaterThan(0));

    it.each(vectors)('$name hashes and derives', (vector) => {
      const ref = vector.vector('ref_hash');
      expect(refHash(suite, ref.text('label'), ref.bytes('value'))).toEqual(ref.bytes('out'));
      const expand = vector.vector('expand_with_label');
      expect(suite.expandWithLabel(expand.bytes('secret'), expand.text('label'), expand.bytes('context'), expand.number('length'))).toEqual(
        expand.bytes('out'),
      );
      const derive = vector.vector('derive_secret');
      expect(suite.deriveSecret(derive.bytes('secret'), derive.text('label'))).toEqual(derive.bytes('out'));
    });

    it.each(vectors)('$name signs and verifies', async (vector) => {
      const sign = vector.vector('sign_with_label');
      const { publicKey, privateKey } = suite.signatureKeyPair(sign.bytes('priv'));
      expect(publicKey).toEqual(sign.bytes('pub'));
      expect(await suite.signWithLabel(privateKey, sign.text('label'), sign.bytes('content'))).toEqual(sign.bytes('signature'));
      expect(await suite.verifyWithLabel(publicKey, sign.text('label'), sign.bytes('content'), sign.bytes('signature'))).toBe(true);
    });

    it.each(vectors)('$name encrypts and decrypts to a public key', async (vector) => {
      const encrypt = vector.vector('encrypt_with_label');
      const label = encrypt.text('label');
      const context = encrypt.bytes('context');
      const opened = await suite.decryptWithLabel(
        encrypt.bytes('priv'),
        label,
        context,
        encrypt.bytes('kem_output'),
        encrypt.bytes('ciphertext'),
      );
      expect(opened).toEqual(encrypt.bytes('plaintext'));
      const sealed = await suite.encryptWithLabel(encrypt.bytes('pub'), label, context, encrypt.bytes('plaintext'), random);
      expect(await suite.decryptWithLabel(encrypt.bytes('priv'), label, context, sealed.kemOutput, sealed.ciphertext)).toEqual(
        encrypt.bytes('plaintext'),
      );
    });
  });

  it('signs no more with a wiped key, though its import is cached', async () => {
    const { privateKey } = suite.signatureKeyPair(random(32));
    await suite.signWithLabel(privateKey, 'Test', utf8('a'));
    privateKey.wipe();
    await expect(suite.signWithLabel(privateKey, 'Test', utf8('a'))).rejects.toThrow('wiped');
  });

  it('refuses a signature of another label, content or key, and keys that are no points', async () => {
    const { publicKey, privateKey } = suite.signatureKeyPair(random(32));
    const signature = await suite.signWithLabel(privateKey, 'Test', utf8('a'));
    expect(await suite.verifyWithLabel(publicKey, utf8('Test'), utf8('a'), signature)).toBe(true);
    expect(await suite.verifyWithLabel(publicKey, 'Other', utf8('a'), signature)).toBe(false);
    expect(await suite.verifyWithLabel(publicKey, 'Test', utf8('b'), signature)).toBe(false);
    expect(await suite.verifyWithLabel(suite.signatureKeyPair(random(32)).publicKey, 'Test', utf8('a'), signature)).toBe(false);
    expect(await suite.verifyWithLabel(new Uint8Array(32).fill(0xff), 'Test', utf8('a'), signature)).toBe(false);
    expect(await suite.verifyWithLabel(publicKey.subarray(1), 'Test', utf8('a'), signature)).toBe(false);
    expect(await suite.verifyWithLabel(publicKey, 'Test', utf8('a'), signature.subarray(1))).toBe(false);
  });

  it('knows the keys to which nothing can be encrypted, and no other is one of them', async () => {
    const small = [
      new Uint8Array(32),
      new Uint8Array(32).fill(1, 0, 1),
      fromHex('e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800'),
      fromHex('5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157'),
      ...[0xec, 0xed, 0xee].map((first) => new Uint8Array(32).fill(0xff).fill(first, 0, 1).fill(0x7f, 31)),
    ];
    const topBit = small.map((key) => key.map((byte, i) => (i === 31 ? byte | 0x80 : byte)));
    for (const key of [...small, ...topBit, random(31)]) {
      expect(suite.isEncryptionKey(key)).toBe(false);
      await expect(suite.encryptWithLabel(key, 'Test', utf8('a'), utf8('b'), random)).rejects.toThrow('invalid-public-key');
    }
    const neighbours = small.map((key) => key.map((byte, i) => (i === 9 ? byte ^ 4 : byte)));
    for (const key of [...neighbours, suite.deriveKeyPair(random(32)).publicKey]) {
      expect(suite.isEncryptionKey(key)).toBe(true);
      await suite.encryptWithLabel(key, 'Test', utf8('a'), utf8('b'), random);
    }
  });

  it('opens what it sealed, by either implementation, and nothing that was changed', async () => {
    const [key, nonce, aad, plaintext] = [random(suite.nk), random(suite.nn), random(20), random(100)];
    const sealed = suite.seal(key, nonce, aad, plaintext);
    expect(await suite.sealAsync(key, nonce, aad, plaintext)).toEqual(sealed);
    expect(suite.open(key, nonce, aad, sealed)).toEqual(plaintext);
    expect(await suite.openAsync(key, nonce, aad, sealed)).toEqual(plaintext);
    sealed[3]! ^= 1;
    expect(suite.open(key, nonce, aad, sealed)).toBeUndefined();
    expect(await suite.openAsync(key, nonce, aad, sealed)).toBeUndefined();
    expect(suite.open(key, nonce, aad, new Uint8Array(3))).toBeUndefined();
    expect(await suite.openAsync(key, nonce, aad, new Uint8Array(3))).toBeUndefined();
  });

  it('exports the same secret on both sides of a prescribed encapsulation', () => {
    const receiver = suite.deriveKeyPair(random(32));
    const ephemeral = suite.deriveKeyPair(random(32));
    const context = utf8('MLS 1.0 external init secret');
    const sent = suite.exportToPublicKey(receiver.publicKey, ephemeral, context, 32);
    expect(sent.kemOutput).toEqual(ephemeral.publicKey);
    expect(suite.exportFromKemOutput(receiver.privateKey, sent.kemOutput, context, 32)).toEqual(sent.secret);
    expect(suite.exportFromKemOutput(receiver.privateKey, sent.kemOutput, utf8('other'), 32)).not.toEqual(sent.secret);
  });

  it('refuses public keys that give a secret of zeros', async () => {
    const zero = new Uint8Array(32);
    const own = suite.deriveKeyPair(random(32));
    expect(() => suite.exportToPublicKey(zero, own, zero, 32)).toThrow('invalid-public-key');
    expect(() => suite.exportFromKemOutput(own.privateKey, zero, zero, 32)).toThrow('invalid-public-key');
    await expect(suite.encryptWithLabel(zero, 'Test', zero, zero, random)).rejects.toThrow('invalid-public-key');
    expect(await suite.decryptWithLabel(own.privateKey, 'Test', zero, zero, random(48))).toBeUndefined();
    expect(await suite.decryptWithLabel(own.privateKey, 'Test', zero, random(31), random(48))).toBeUndefined();
  });
});

describe('X25519 public keys', () => {
  it('taken over the Edwards curve are those of the ladder', () => {
    for (let i = 0; i < 50; i++) {
      const key = random(32);
      expect(x25519PublicKey(key)).toEqual(x25519.getPublicKey(key));
    }
    for (const byte of [0, 0xff]) {
      const key = new Uint8Array(32).fill(byte);
      expect(x25519PublicKey(key)).toEqual(x25519.getPublicKey(key));
    }
  });
});
