import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret, concat, fromHex, toHex, utf8 } from '../../../src/bytes/index.ts';
import { generationId } from '../../../src/virtual-client/generation-id.ts';
import { activate } from '../../../src/virtual-client/operation-keys.ts';
import { allocateOperation } from '../../../src/virtual-client/operation-secrets.ts';
import {
  createReuseGuard,
  decodeGuardKey,
  drawPreimage,
  encodeGuardKey,
  encodeReuseGuard,
  guardKey,
  recoverSender,
  type GuardKey,
} from '../../../src/virtual-client/reuse-guard.ts';
import { draft00 } from '../../../src/virtual-client/revisions/draft-00.ts';
import { prpDecrypt, prpEncrypt } from '../../../src/virtual-client/small-space-prp.ts';
import { codeOf, epochOf, protocol, randomFrom, suite } from './setup.ts';

const uint32 = fc.nat(0xffffffff);
const nonce = suite.hash(utf8('nonce')).slice(0, 12);
const keyOf = (own: number | undefined, leafCount = 4): GuardKey => ({
  epochId: epochOf().epochId,
  leafCount,
  ownEmulatorLeaf: own,
  leafNodeSecret: Secret.of('leaf_node_secret', suite.hash(utf8('leaf'))),
});
const bytes4 = (value: number): Uint8Array => Uint8Array.of(value >>> 24, (value >>> 16) & 255, (value >>> 8) & 255, value & 255);

describe('the small-space PRP', () => {
  const key = fromHex('000102030405060708090a0b0c0d0e0f');

  it('gives the known answer of our reading, section 8', () => {
    expect(prpEncrypt(draft00, key, 0x01234567)).toBe(0x2a83f21d);
    expect(prpDecrypt(draft00, key, 0x2a83f21d)).toBe(0x01234567);
  });

  it('decrypts what it encrypts, over the whole range', () => {
    fc.assert(
      fc.property(uint32, fc.uint8Array({ minLength: 16, maxLength: 16 }), (x, anyKey) => {
        expect(prpDecrypt(draft00, anyKey, prpEncrypt(draft00, anyKey, x))).toBe(x);
      }),
    );
    for (const x of [0, 1, 0x7fffffff, 0x80000000, 0xffffffff]) expect(prpDecrypt(draft00, key, prpEncrypt(draft00, key, x))).toBe(x);
  });
});

describe('the reuse guard', () => {
  it('tells siblings which device sent', () => {
    fc.assert(
      fc.property(fc.nat(31), fc.string(), fc.uint8Array({ minLength: 12, maxLength: 12 }), (own, seed, anyNonce) => {
        const guard = createReuseGuard(protocol, keyOf(own, 32), anyNonce, randomFrom(seed));
        expect(guard).toHaveLength(4);
        expect(recoverSender(protocol, keyOf(undefined, 32), anyNonce, guard).emulatorLeaf).toBe(own);
      }),
    );
  });

  it('of two devices is never the same for one key and nonce, even with the same random source', () => {
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(15), { minLength: 2, maxLength: 2 }), fc.string(), fc.string(), ([a, b], one, other) => {
        const guardOf = (own: number, seed: string): string => toHex(createReuseGuard(protocol, keyOf(own, 16), nonce, randomFrom(seed)));
        expect(guardOf(a!, one)).not.toBe(guardOf(b!, one));
        expect(guardOf(a!, one)).not.toBe(guardOf(b!, other));
      }),
    );
  });

  it('does not show the sender without the leaf node secret: residues of the guard are spread', () => {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 400; i++) {
      const guard = createReuseGuard(protocol, keyOf(1), suite.hash(utf8(`n${i}`)).slice(0, 12), randomFrom(`s${i}`));
      counts[guard[3]! % 4]!++;
    }
    const chiSquare = counts.reduce((sum, count) => sum + (count - 100) ** 2 / 100, 0);
    expect(chiSquare).toBeLessThan(16.3); // p = 0.001 with 3 degrees of freedom; the values are fixed
  });

  it('comes from an x uniform among those with the residue: each drawn number gives one x, each x comes from N_e numbers', () => {
    fc.assert(
      fc.property(uint32, fc.nat(10), fc.nat(1023), (drawn, log, leaf) => {
        const leafCount = 2 ** log;
        const own = leaf % leafCount;
        const x = drawPreimage(leafCount, own, () => bytes4(drawn));
        expect(x % leafCount).toBe(own);
        expect(Math.floor(x / leafCount)).toBe(Math.floor(drawn / leafCount)); // the high bits stay as drawn
        expect(x).toBeLessThanOrEqual(0xffffffff);
      }),
    );
    expect(drawPreimage(2 ** 32, 0xfffffffe, () => bytes4(5))).toBe(0xfffffffe);
  });

  it('is refused for a leaf outside of the tree, a tree that is none, and a device that may not send', () => {
    expect(codeOf(() => drawPreimage(4, 4, () => bytes4(0)))).toBe('leaf-out-of-range');
    expect(codeOf(() => drawPreimage(4, -1, () => bytes4(0)))).toBe('leaf-out-of-range');
    expect(codeOf(() => drawPreimage(5, 1, () => bytes4(0)))).toBe('invalid-leaf-count');
    expect(codeOf(() => createReuseGuard(protocol, keyOf(undefined), nonce, randomFrom('x')))).toBe('no-own-leaf');
  });

  it('is read only as four bytes', () => {
    for (const length of [0, 3, 5])
      expect(codeOf(() => recoverSender(protocol, keyOf(0), nonce, new Uint8Array(length)))).toBe('wrong-length');
    expect(codeOf(() => recoverSender(protocol, keyOf(0, 3), nonce, new Uint8Array(4)))).toBe('invalid-leaf-count');
  });

  it('gives back the very x', () => {
    fc.assert(
      fc.property(uint32, (x) => {
        expect(recoverSender(protocol, keyOf(0), nonce, encodeReuseGuard(protocol, keyOf(0), nonce, x)).preimage).toBe(x);
      }),
    );
  });

  it('is another one under another nonce or another leaf', () => {
    const other = { ...keyOf(0), leafNodeSecret: Secret.of('leaf_node_secret', suite.hash(utf8('other leaf'))) };
    const guards = [
      encodeReuseGuard(protocol, keyOf(0), nonce, 8),
      encodeReuseGuard(protocol, other, nonce, 8),
      encodeReuseGuard(protocol, keyOf(0), new Uint8Array(12), 8),
    ];
    expect(new Set(guards.map(toHex)).size).toBe(3);
  });
});

describe('a guard key', () => {
  const { next: epoch, value } = allocateOperation(protocol, epochOf({ own: 2 }), randomFrom('guard key'));
  const leaf = activate(protocol, value, suite).next;

  it('is made of an active leaf and the epoch that it names', () => {
    expect(guardKey(epoch, leaf)).toEqual({
      epochId: epoch.epochId,
      leafCount: 4,
      ownEmulatorLeaf: 2,
      leafNodeSecret: leaf.leafNodeSecret,
    });
    expect(codeOf(() => guardKey(epochOf({ name: 'another' }), leaf))).toBe('unknown-emulation-epoch');
  });

  it('comes back from storage, with and without an own leaf, and is refused with trailing bytes', () => {
    for (const key of [guardKey(epoch, leaf), { ...guardKey(epoch, leaf), ownEmulatorLeaf: undefined }]) {
      const bytes = encodeGuardKey(key);
      const decoded = decodeGuardKey(protocol, bytes);
      expect(decoded.ownEmulatorLeaf).toBe(key.ownEmulatorLeaf);
      expect(toHex(encodeGuardKey(decoded))).toBe(toHex(bytes));
      expect(codeOf(() => decodeGuardKey(protocol, concat(bytes, new Uint8Array(1))))).toBe('trailing-bytes');
    }
  });
});

describe('the generation ID', () => {
  it('is the same on every device and another for each generation, ratchet type and epoch', () => {
    const ids = [
      generationId(protocol, epochOf(), 0, 'application'),
      generationId(protocol, epochOf(), 0, 'handshake'),
      generationId(protocol, epochOf(), 1, 'application'),
      generationId(protocol, epochOf({ name: 'next' }), 0, 'application'),
    ].map(toHex);
    expect(new Set(ids).size).toBe(4);
    expect(toHex(generationId(protocol, epochOf({ own: 2 }), 0, 'application'))).toBe(ids[0]);
    expect(ids[0]).toHaveLength(64);
  });
});
