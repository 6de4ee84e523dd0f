import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { MlsSuite } from '../../../src/mls/crypto-suite.ts';
import { getSuite } from '../../../src/mls/suite.ts';

const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

/** A platform whose Web Crypto has AES-GCM and neither of the curves. */
function withoutCurves(): { crypto: unknown; refused: () => number } {
  const { subtle } = globalThis.crypto;
  let refused = 0;
  const importKey = (...parameters: Parameters<SubtleCrypto['importKey']>): Promise<CryptoKey> => {
    const [, , algorithm] = parameters;
    const name = typeof algorithm === 'string' ? algorithm : algorithm.name;
    if (name === 'AES-GCM') return subtle.importKey(...parameters);
    refused += 1;
    return Promise.reject(new DOMException('no such curve', 'NotSupportedError'));
  };
  const own = { importKey, encrypt: subtle.encrypt.bind(subtle), decrypt: subtle.decrypt.bind(subtle) };
  return { crypto: { subtle: own, getRandomValues: globalThis.crypto.getRandomValues.bind(globalThis.crypto) }, refused: () => refused };
}

describe('a platform without Ed25519 and X25519', () => {
  const usual = getSuite(1);
  let suite: MlsSuite;
  let refused: () => number;

  beforeEach(async () => {
    const platform = withoutCurves();
    refused = platform.refused;
    vi.stubGlobal('crypto', platform.crypto);
    vi.resetModules(); // the answer about the platform is kept by the module
    suite = (await import('../../../src/mls/suite.ts')).getSuite(1);
  });
  afterEach(() => vi.unstubAllGlobals());

  it('makes the same signatures, and accepts and refuses the same', async () => {
    const { publicKey, privateKey } = suite.signatureKeyPair(random(32));
    const signature = await suite.signWithLabel(privateKey, 'Test', random(0));
    expect(await suite.verifyWithLabel(publicKey, 'Test', random(0), signature)).toBe(true);
    expect(await suite.verifyWithLabel(publicKey, 'Test', random(1), signature)).toBe(false);
    expect(await suite.verifyWithLabel(new Uint8Array(32).fill(0xff), 'Test', random(0), signature)).toBe(false);
    expect(refused()).toBe(1); // asked once, not at every call
    vi.unstubAllGlobals();
    expect(await usual.verifyWithLabel(publicKey, 'Test', random(0), signature)).toBe(true);
  });

  it('opens what others sealed to a public key', async () => {
    const { publicKey, privateKey } = usual.deriveKeyPair(random(32));
    const [context, plaintext] = [random(10), random(50)];
    const sealed = await suite.encryptWithLabel(publicKey, 'Test', context, plaintext, random);
    expect(await suite.decryptWithLabel(privateKey, 'Test', context, sealed.kemOutput, sealed.ciphertext)).toEqual(plaintext);
    vi.unstubAllGlobals();
    expect(await usual.decryptWithLabel(privateKey, 'Test', context, sealed.kemOutput, sealed.ciphertext)).toEqual(plaintext);
  });

  it('refuses a public key that gives a secret of zeros', async () => {
    await expect(suite.encryptWithLabel(new Uint8Array(32), 'Test', random(1), random(1), random)).rejects.toThrow('invalid-public-key');
    expect(await suite.decryptWithLabel(random(32), 'Test', random(1), new Uint8Array(32), random(17))).toBeUndefined();
  });
});
