import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret, concat, toHex, utf8 } from '../../../src/bytes/index.ts';
import {
  changedPprfRecords,
  decodePprfRecords,
  decodePprfState,
  encodePprfState,
  pprfRecords,
} from '../../../src/virtual-client/pprf-codec.ts';
import { canEvaluate, createPprf, evaluate, isPunctured, pprfNodes, type PprfState } from '../../../src/virtual-client/pprf.ts';
import { encode } from '../../../src/wire/index.ts';
import { leafSecret, pprfState } from './independent.ts';
import { codeOf, suite } from './setup.ts';

const rootBytes = suite.hash(utf8('root'));
const root = (): Secret<string> => Secret.of('root', rootBytes.slice());
const evaluateAt = (state: PprfState, leaf: number): ReturnType<typeof evaluate<'operation_secret'>> =>
  evaluate(suite, state, leaf, 'operation_secret');
const punctureAll = (leaves: readonly number[], depth: 16 | 32 = 32): PprfState =>
  leaves.reduce((state, leaf) => evaluateAt(state, leaf).next, createPprf(root(), depth));
const anyLeaf = fc.nat(0xffffffff);
/** Leaves that share many of their first bits, so that their paths meet deep in the tree. */
const crowdedLeaf = fc.oneof(
  anyLeaf,
  fc.nat(31),
  fc.nat(31).map((n) => 0xffffffff - n),
  fc.nat(31).map((n) => 0x80000000 - 16 + n),
);

describe('the puncturable PRF', () => {
  it('gives every leaf the secret of the plain tree, whatever was evaluated before', () => {
    fc.assert(
      fc.property(fc.uniqueArray(crowdedLeaf, { minLength: 1, maxLength: 8 }), (leaves) => {
        let state = createPprf(root(), 32);
        for (const leaf of leaves) {
          const { next, value } = evaluateAt(state, leaf);
          expect(toHex(value.reveal())).toBe(leafSecret(Buffer.from(rootBytes), 32, leaf).toString('hex'));
          state = next;
        }
      }),
      { numRuns: 30 },
    );
  });

  it('keeps exactly the copath, in any order of evaluation', () => {
    fc.assert(
      fc.property(fc.uniqueArray(crowdedLeaf, { minLength: 1, maxLength: 6 }), (leaves) => {
        const state = toHex(encodePprfState(punctureAll(leaves)));
        expect(state).toBe(pprfState(Buffer.from(rootBytes), 32, leaves).toString('hex'));
        expect(toHex(encodePprfState(punctureAll([...leaves].reverse())))).toBe(state);
      }),
      { numRuns: 20 },
    );
  });

  it('cannot evaluate a leaf twice, nor can a sibling who got the state afterwards', () => {
    const state = punctureAll([7, 6]);
    const sibling = decodePprfState(suite, 32, encodePprfState(state));
    for (const holder of [state, sibling]) {
      expect(codeOf(() => evaluateAt(holder, 7))).toBe('leaf-punctured');
      expect(isPunctured(holder, 6)).toBe(true);
      expect(canEvaluate(holder, 5)).toBe(true);
    }
  });

  it('holds no node above a punctured leaf', () => {
    const leaves = [0, 1, 0x80000001, 0xffffffff];
    for (const { first, prefixLength } of pprfNodes(punctureAll(leaves))) {
      expect(leaves.filter((leaf) => leaf >= first && leaf < first + 2 ** (32 - prefixLength))).toEqual([]);
    }
  });

  it('refuses leaves that the tree does not have', () => {
    for (const leaf of [-1, 2 ** 32, 0.5, Number.NaN])
      expect(codeOf(() => canEvaluate(createPprf(root(), 32), leaf))).toBe('leaf-out-of-range');
    expect(codeOf(() => evaluateAt(createPprf(root(), 16), 65536))).toBe('leaf-out-of-range');
  });

  it('is empty when every leaf of a subtree was evaluated', () => {
    const twoLeaves = encode((w) => w.vector([0], (inner) => inner.uint8(31).opaque(new Uint8Array(4)).opaque(rootBytes)));
    const once = evaluateAt(decodePprfState(suite, 32, twoLeaves), 1).next;
    const twice = evaluateAt(once, 0).next;
    expect([...pprfNodes(twice)]).toEqual([]);
    expect(toHex(encodePprfState(twice))).toBe('00');
    expect(codeOf(() => evaluateAt(twice, 0))).toBe('leaf-punctured');
  });

  it('hands over the node that it used up, and wiping it closes the old state', () => {
    const before = createPprf(root(), 32);
    const [held] = pprfNodes(before);
    const { spent, next } = evaluateAt(before, 99);
    expect(spent).toEqual([held!.secret]);
    for (const secret of spent) secret.wipe();
    expect(() => evaluateAt(before, 98)).toThrow('wiped');
    expect(canEvaluate(next, 98)).toBe(true);
    expect([...pprfNodes(next)].every((node) => !node.secret.wiped)).toBe(true);
  });

  it('wipes nothing that the leaf secret needs when the node is the leaf itself', () => {
    const { next } = evaluateAt(createPprf(root(), 32), 1);
    const { value, spent } = evaluateAt(next, 0);
    for (const secret of spent) secret.wipe();
    expect(toHex(value.reveal())).toBe(leafSecret(Buffer.from(rootBytes), 32, 0).toString('hex'));
  });

  it('wipes the root that it was made of', () => {
    const given = root();
    createPprf(given, 32);
    expect(given.wiped).toBe(true);
  });

  it('shares every untouched node with the state before', () => {
    const before = punctureAll([1, 2, 3]);
    const after = evaluateAt(before, 0xf0000000).next;
    const kept = new Set(pprfNodes(before));
    const fresh = [...pprfNodes(after)].filter((node) => !kept.has(node));
    const gone = [...kept].filter((node) => ![...pprfNodes(after)].includes(node));
    expect(gone).toHaveLength(1);
    expect(fresh).toHaveLength(32 - gone[0]!.prefixLength);
  });
});

describe('PprfState on the wire', () => {
  const node = (prefixLength: number, prefix: number[], secret = rootBytes): Uint8Array =>
    encode((w) => w.uint8(prefixLength).opaque(Uint8Array.from(prefix)).opaque(secret));
  const state = (...nodes: Uint8Array[]): Uint8Array => encode((w) => w.opaque(concat(...nodes)));
  const decode = (bytes: Uint8Array): PprfState => decodePprfState(suite, 32, bytes);

  it('comes back as it went, at both depths', () => {
    for (const depth of [16, 32] as const) {
      const bytes = encodePprfState(punctureAll([5, 4, 65535, 0x8a00], depth));
      expect(toHex(encodePprfState(decodePprfState(suite, depth, bytes)))).toBe(toHex(bytes));
    }
  });

  it('accepts nodes sorted as bit strings, a longer one before a shorter', () => {
    expect([...pprfNodes(decode(state(node(3, [0b000_00000]), node(2, [0b01_000000]), node(8, [0b1000_0000]))))]).toHaveLength(3);
  });

  it('refuses nodes out of order, doubled, or one the prefix of another', () => {
    expect(codeOf(() => decode(state(node(1, [0x80]), node(1, [0]))))).toBe('invalid-value');
    expect(codeOf(() => decode(state(node(1, [0]), node(1, [0]))))).toBe('invalid-value');
    expect(codeOf(() => decode(state(node(1, [0]), node(2, [0x40]))))).toBe('invalid-value');
    expect(codeOf(() => decode(state(node(2, [0]), node(1, [0]))))).toBe('invalid-value');
    expect(codeOf(() => decode(state(node(0, []), node(1, [0x80]))))).toBe('invalid-value');
  });

  it('refuses bits behind the prefix, a wrong number of bytes, a depth that the tree has not', () => {
    expect(codeOf(() => decode(state(node(1, [0x81]))))).toBe('invalid-value');
    expect(codeOf(() => decode(state(node(1, []))))).toBe('invalid-value');
    expect(codeOf(() => decode(state(node(1, [0, 0]))))).toBe('vector-too-long');
    expect(codeOf(() => decode(state(node(33, [0, 0, 0, 0, 0]))))).toBe('invalid-value');
    expect(codeOf(() => decodePprfState(suite, 16, state(node(17, [0, 0, 0]))))).toBe('invalid-value');
  });

  it('refuses secrets of a wrong length, trailing and missing bytes', () => {
    expect(codeOf(() => decode(state(node(0, [], rootBytes.slice(1)))))).toBe('invalid-value');
    expect(codeOf(() => decode(concat(state(node(0, [])), new Uint8Array(1))))).toBe('trailing-bytes');
    expect(codeOf(() => decode(state(node(0, [])).slice(0, -1)))).toBe('truncated');
  });
});

describe('PPRF records for storage', () => {
  it('rebuild the state, and an operation touches three of them at most', () => {
    fc.assert(
      fc.property(fc.uniqueArray(crowdedLeaf, { minLength: 1, maxLength: 12 }), (leaves) => {
        let state = createPprf(root(), 32);
        const stored = pprfRecords(state);
        for (const leaf of leaves) {
          const { next } = evaluateAt(state, leaf);
          const { puts, deletes } = changedPprfRecords(state, next);
          expect(puts.size + deletes.length).toBeLessThanOrEqual(3);
          for (const [name, bytes] of puts) stored.set(name, bytes);
          for (const name of deletes) stored.delete(name);
          state = next;
          expect(toHex(encodePprfState(decodePprfRecords(suite, 32, stored.values())))).toBe(toHex(encodePprfState(state)));
        }
      }),
      { numRuns: 15 },
    );
  });

  it('are refused when two of them overlap', () => {
    const whole = encodePprfState(createPprf(root(), 32));
    const part = encodePprfState(punctureAll([1]));
    expect(codeOf(() => decodePprfRecords(suite, 32, [whole, part]))).toBe('invalid-value');
  });
});
