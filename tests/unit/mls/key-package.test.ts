import { beforeAll, describe, expect, it } from 'vitest';
import {
  defaultCapabilities,
  generateKeyPackage,
  getCiphersuiteFromName,
  getCiphersuiteImpl,
  type CiphersuiteImpl,
  type KeyPackage,
} from 'ts-mls';
import { makeKeyPackageRef, verifyKeyPackage } from 'ts-mls/keyPackage.js';
import { buildKeyPackage, keyPackageRef, validateKeyPackage } from '../../../src/mls/key-package.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { decodeExact, keyPackageCodec, suiteName } from '../../../src/mls/ts-mls.ts';
import { distinct, makeJoiner, NOW, type Member, refusal } from '../../support/mls-tree.ts';

const suite = getSuite(1);
const lifetime = { notBefore: NOW - 10n, notAfter: NOW + 10n };

let stock: CiphersuiteImpl;
let member: Member;
let keyPackage: KeyPackage;

beforeAll(async () => {
  stock = await getCiphersuiteImpl(getCiphersuiteFromName(suiteName(1)));
  ({ member } = await makeJoiner(suite, 'owner'));
  keyPackage = await build({});
});

const build = (change: Partial<Parameters<typeof buildKeyPackage>[1]>): Promise<KeyPackage> =>
  buildKeyPackage(
    suite,
    { leaf: member.template, encryptionKey: distinct(32), initKey: distinct(32), lifetime, extensions: [], ...change },
    member.signer.privateKey,
  );

describe('a key package', () => {
  it('of ours is valid for us and for a stock member, and both give it the same reference', async () => {
    await validateKeyPackage(suite, keyPackage, NOW);
    expect(await verifyKeyPackage(keyPackage, stock.signature)).toBe(true);
    expect(keyPackageRef(suite, keyPackage)).toEqual(await makeKeyPackageRef(keyPackage, stock.hash));
  });

  it('of a stock member is valid for us', async () => {
    const credential = { credentialType: 'basic' as const, identity: distinct(4) };
    const { publicPackage } = await generateKeyPackage(credential, defaultCapabilities(), lifetime, [], stock);
    await validateKeyPackage(suite, publicPackage, NOW);
  });

  it('holds the keys that were prescribed', async () => {
    const [encryptionKey, initKey] = [distinct(32), distinct(32)];
    const built = await build({ encryptionKey, initKey });
    expect(built.leafNode.hpkePublicKey).toEqual(encryptionKey);
    expect(built.initKey).toEqual(initKey);
  });

  it('survives its codec, which takes no trailing byte', () => {
    const bytes = keyPackageCodec.encode(keyPackage);
    expect(decodeExact(keyPackageCodec, bytes)).toEqual(keyPackage);
    expect(() => decodeExact(keyPackageCodec, Uint8Array.of(...bytes, 0))).toThrow(expect.objectContaining({ code: 'trailing-bytes' }));
  });

  it('whose init key is its encryption key is refused', async () => {
    const key = distinct(32);
    const same = await build({ encryptionKey: key, initKey: key });
    await expect(validateKeyPackage(suite, same, NOW)).rejects.toThrow(refusal('invalid-key-package'));
  });

  it('of another suite is refused', async () => {
    await expect(validateKeyPackage(getSuite(3), keyPackage, NOW)).rejects.toThrow(refusal('invalid-key-package'));
  });

  it('outside its lifetime is refused, unless time does not count', async () => {
    await expect(validateKeyPackage(suite, keyPackage, NOW + 11n)).rejects.toThrow(refusal('outside-lifetime'));
    await expect(validateKeyPackage(suite, keyPackage, NOW - 11n)).rejects.toThrow(refusal('outside-lifetime'));
    await validateKeyPackage(suite, keyPackage, undefined);
  });

  it('with either signature or any signed field changed is refused', async () => {
    const changed: KeyPackage[] = [
      { ...keyPackage, signature: new Uint8Array(64) },
      { ...keyPackage, initKey: distinct(32) },
      { ...keyPackage, leafNode: { ...keyPackage.leafNode, signature: new Uint8Array(64) } },
    ];
    for (const bad of changed) await expect(validateKeyPackage(suite, bad, NOW)).rejects.toThrow(refusal('invalid-signature'));
  });
});
