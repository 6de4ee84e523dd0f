import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret, toHex } from '../../../src/bytes/index.ts';
import {
  allocate,
  createSecretTree,
  deriveTreeSecret,
  MAX_FORWARD_GENERATIONS,
  MAX_SKIPPED_KEYS,
  messageKey,
  type MessageKey,
  type RatchetType,
  type SecretTree,
} from '../../../src/mls/secret-tree.ts';
import { openSenderData, sealSenderData, senderDataKey } from '../../../src/mls/sender-data.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { isInSubtree, leafToNode } from '../../../src/mls/tree-math.ts';
import type { MlsSuite } from '../../../src/mls/crypto-suite.ts';
import { loadSuiteVectors, vectorsPresent } from '../../support/mls-vectors.ts';

const suite = getSuite(1);
const makeTree = (leafCount: number): SecretTree => createSecretTree(Secret.of('encryption_secret', new Uint8Array(32).fill(3)), leafCount);
const hex = ({ key, nonce }: MessageKey): string[] => [toHex(key.reveal()), toHex(nonce.reveal())];

/** Every secret that the tree holds. */
function secretsOf(tree: SecretTree): Secret<string>[] {
  const ratchets = [...tree.ratchets.values()].flatMap(({ application, handshake }) => [application, handshake]);
  const kept = ratchets.flatMap(({ skipped }) => [...skipped.values()].flatMap(({ key, nonce }) => [key, nonce]));
  return [...tree.nodes.values(), ...ratchets.map(({ secret }) => secret), ...kept];
}

/** All application and handshake keys that someone who finds the tree can derive for a leaf, up to a generation. */
function derivableKeys(tree: SecretTree, leafIndex: number, upTo: number): Set<string> {
  const keys = new Set<string>();
  for (const type of ['application', 'handshake'] as const) {
    const ratchet = tree.ratchets.get(leafIndex)?.[type];
    for (const { key } of ratchet?.skipped.values() ?? []) keys.add(toHex(key.reveal()));
    // a stored ratchet secret is tried as that of every generation: an earlier one would show itself
    if (ratchet !== undefined) {
      for (let start = 0; start <= upTo; start++) {
        let secret: Uint8Array = ratchet.secret.reveal();
        for (let generation = start; generation <= upTo; generation++) {
          keys.add(toHex(deriveTreeSecret(suite, secret, 'key', generation, suite.nk)));
          secret = deriveTreeSecret(suite, secret, 'secret', generation, suite.nh);
        }
      }
    }
  }
  return keys;
}

/** The suite with its key derivations counted. */
function counting(): { suite: MlsSuite; calls: () => number } {
  let calls = 0;
  const expandWithLabel: MlsSuite['expandWithLabel'] = (...parameters) => {
    calls += 1;
    return suite.expandWithLabel(...parameters);
  };
  return { suite: { ...suite, expandWithLabel }, calls: () => calls };
}

describe.each([1, 3] as const)('ciphersuite %i', (id) => {
  describe.skipIf(!vectorsPresent)('working group vectors: secret-tree', () => {
    it.each(loadSuiteVectors('secret-tree', id))('$name', (vector) => {
      const own = getSuite(id);
      const data = vector.vector('sender_data');
      const senderDataSecret = Secret.of('sender_data_secret', data.bytes('sender_data_secret'));
      const { key, nonce } = senderDataKey(own, senderDataSecret, data.bytes('ciphertext'));
      expect([key, nonce]).toEqual([data.bytes('key'), data.bytes('nonce')]);

      const leaves = vector.list('leaves').map((_, leafIndex) => leafIndex);
      let tree = createSecretTree(Secret.of('encryption_secret', vector.bytes('encryption_secret')), leaves.length);
      for (const leafIndex of leaves) {
        for (const generation of vector.nested('leaves', leafIndex)) {
          for (const type of ['application', 'handshake'] as const) {
            const taken = messageKey(own, tree, leafIndex, type, generation.number('generation'));
            expect(hex(taken.value)).toEqual([generation.text(`${type}_key`), generation.text(`${type}_nonce`)]);
            tree = taken.next;
          }
        }
      }
    });
  });
});

describe('the secret tree', () => {
  it('takes the encryption secret over', () => {
    const secret = Secret.of('encryption_secret', new Uint8Array(32));
    createSecretTree(secret, 2);
    expect(secret.wiped).toBe(true);
  });

  it('opens only the way down to a leaf, and keeps no node above it', () => {
    const { next } = messageKey(suite, makeTree(1024), 700, 'application', 0);
    expect(next.nodes.size).toBe(10);
    expect([...next.nodes.keys()].some((node) => isInSubtree(leafToNode(700), node))).toBe(false);
    expect([...next.ratchets.keys()]).toEqual([700]);
  });

  it('gives the same keys in whatever order the leaves are opened', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6, 7], { minLength: 8 }), (order) => {
        let tree = makeTree(8);
        const found = new Map<number, string[]>();
        for (const leaf of order) {
          const { next, value } = messageKey(suite, tree, leaf, 'handshake', 0);
          found.set(leaf, hex(value));
          tree = next;
        }
        expect(tree.nodes.size).toBe(0);
        for (const leaf of order) expect(found.get(leaf)).toEqual(hex(messageKey(suite, makeTree(8), leaf, 'handshake', 0).value));
      }),
      { numRuns: 10 },
    );
  });

  it('has no leaf beyond its own', () => {
    expect(() => messageKey(suite, makeTree(4), 4, 'application', 0)).toThrow('unknown-sender');
    expect(() => allocate(suite, makeTree(4), 2 ** 31, 'application')).toThrow('unknown-sender');
  });

  it('shares what did not change, so that a message rewrites one ratchet', () => {
    const opened = messageKey(suite, messageKey(suite, makeTree(4), 0, 'application', 0).next, 3, 'handshake', 0).next;
    const { next } = messageKey(suite, opened, 3, 'handshake', 1);
    expect(next.nodes).toBe(opened.nodes);
    expect(next.ratchets.get(0)).toBe(opened.ratchets.get(0));
    expect(next.ratchets.get(3)!.application).toBe(opened.ratchets.get(3)!.application);
    expect(next.ratchets.get(3)!.handshake).not.toBe(opened.ratchets.get(3)!.handshake);
  });
});

describe('a consumed generation', () => {
  it('is refused for ever after', () => {
    const { next } = messageKey(suite, makeTree(2), 1, 'application', 0);
    expect(() => messageKey(suite, next, 1, 'application', 0)).toThrow('message-key-gone');
    const later = messageKey(suite, next, 1, 'application', 5).next;
    const skippedRead = messageKey(suite, later, 1, 'application', 3).next;
    for (const generation of [0, 3, 5]) {
      expect(() => messageKey(suite, skippedRead, 1, 'application', generation)).toThrow('message-key-gone');
    }
  });

  it('cannot be derived from anything that the tree still holds, in whatever order messages came', () => {
    fc.assert(
      fc.property(fc.shuffledSubarray([0, 1, 2, 3, 4, 5, 6], { minLength: 1 }), (order) => {
        let tree = makeTree(2);
        const consumed: string[] = [];
        for (const generation of order) {
          const { next, value } = messageKey(suite, tree, 1, 'application', generation);
          consumed.push(toHex(value.key.reveal()));
          tree = next;
        }
        const derivable = derivableKeys(tree, 1, 9);
        for (const key of consumed) expect(derivable.has(key)).toBe(false);
      }),
      { numRuns: 15 },
    );
  });

  it('leaves only message keys of the skipped ones behind, no ratchet secret that gives them', () => {
    const { next } = messageKey(suite, makeTree(2), 1, 'application', 4);
    const ratchet = next.ratchets.get(1)!.application;
    expect([...ratchet.skipped.keys()]).toEqual([0, 1, 2, 3]);
    expect(ratchet.generation).toBe(5);
    let secret = makeSecretOfGeneration0();
    for (let generation = 0; generation < 5; generation++) {
      expect(secretsOf(next).some((held) => toHex(held.reveal()) === toHex(secret))).toBe(false);
      secret = deriveTreeSecret(suite, secret, 'secret', generation, 32);
    }
    expect(toHex(ratchet.secret.reveal())).toBe(toHex(secret));
  });

  it('names every secret that the caller must wipe, and wiping does no harm to the new state', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.nat(3), fc.nat(12), fc.boolean()), { minLength: 1, maxLength: 12 }), (steps) => {
        let tree = makeTree(4);
        for (const [leaf, generation, send] of steps) {
          let taken: { next: SecretTree; spent: readonly Secret<string>[] };
          try {
            taken = send ? allocate(suite, tree, leaf, 'application') : messageKey(suite, tree, leaf, 'application', generation);
          } catch (error) {
            expect(String(error)).toContain('message-key-gone');
            continue;
          }
          const kept = new Set(secretsOf(taken.next));
          const gone = secretsOf(tree).filter((secret) => !kept.has(secret));
          expect(gone.every((secret) => taken.spent.includes(secret))).toBe(true);
          for (const secret of taken.spent) secret.wipe();
          expect(secretsOf(taken.next).some((secret) => secret.wiped)).toBe(false);
          tree = taken.next;
        }
      }),
      { numRuns: 40 },
    );
  });
});

function makeSecretOfGeneration0(): Uint8Array {
  const leaf = suite.expandWithLabel(new Uint8Array(32).fill(3), 'tree', new TextEncoder().encode('right'), 32);
  return suite.expandWithLabel(leaf, 'application', new Uint8Array(0), 32);
}

describe('a jump ahead', () => {
  it('beyond the bound is refused without any ratcheting', () => {
    const { next } = messageKey(suite, makeTree(2), 0, 'application', 0);
    const counted = counting();
    for (const generation of [MAX_FORWARD_GENERATIONS + 2, 2 ** 31, 2 ** 32 - 1]) {
      expect(() => messageKey(counted.suite, next, 0, 'application', generation)).toThrow('generation-too-far');
    }
    expect(counted.calls()).toBe(0);
  });

  it('up to the bound takes bounded work and keeps a bounded number of keys, the newest', () => {
    const { next } = messageKey(suite, makeTree(2), 0, 'application', 0);
    const counted = counting();
    const jumped = messageKey(counted.suite, next, 0, 'application', MAX_FORWARD_GENERATIONS + 1).next;
    expect(counted.calls()).toBeLessThan(MAX_FORWARD_GENERATIONS + 2 * MAX_SKIPPED_KEYS + 10);
    const { skipped } = jumped.ratchets.get(0)!.application;
    expect(skipped.size).toBe(MAX_SKIPPED_KEYS);
    expect([...skipped.keys()].at(-1)).toBe(MAX_FORWARD_GENERATIONS);
    expect(() => messageKey(suite, jumped, 0, 'application', 1)).toThrow('message-key-gone');
  });

  it('keeps the bound over many jumps and sends', () => {
    let tree = makeTree(1);
    let last = -1;
    for (let i = 0; i < 3; i++) {
      last += 200;
      tree = messageKey(suite, tree, 0, 'application', last).next;
      tree = allocate(suite, tree, 0, 'application').next;
      last += 1;
    }
    expect(tree.ratchets.get(0)!.application.skipped.size).toBe(MAX_SKIPPED_KEYS);
  });
});

describe('the last generations', () => {
  it('end the ratchet instead of starting it again', () => {
    const opened = messageKey(suite, makeTree(1), 0, 'application', 0).next;
    const ratchets = opened.ratchets.get(0)!;
    const nearEnd = { ...ratchets.application, generation: 2 ** 32 - 2 };
    const tree: SecretTree = { ...opened, ratchets: new Map([[0, { ...ratchets, application: nearEnd }]]) };
    const { next, value } = allocate(suite, tree, 0, 'application');
    expect(value.generation).toBe(2 ** 32 - 2);
    expect(() => allocate(suite, next, 0, 'application')).toThrow('generations-exhausted');
    expect(() => messageKey(suite, next, 0, 'application', 2 ** 32 - 1)).toThrow('generations-exhausted');
  });
});

describe('an allocated generation', () => {
  it('is never allocated again, and its key opens one message', () => {
    const types: RatchetType[] = ['application', 'handshake'];
    for (const type of types) {
      const first = allocate(suite, makeTree(2), 0, type);
      const second = allocate(suite, first.next, 0, type);
      expect([first.value.generation, second.value.generation]).toEqual([0, 1]);
      const read = messageKey(suite, second.next, 0, type, 0);
      expect(hex(read.value)).toEqual(hex(first.value));
      expect(() => messageKey(suite, read.next, 0, type, 0)).toThrow('message-key-gone');
      expect(hex(messageKey(suite, read.next, 0, type, 1).value)).toEqual(hex(second.value));
    }
  });
});

describe('sender data', () => {
  it('open for the same group, epoch and content type only', () => {
    const secret = Secret.of('sender_data_secret', new Uint8Array(32).fill(1));
    const scope = { groupId: Uint8Array.of(1), epoch: 4n, contentType: 'application' } as const;
    const data = { leafIndex: 3, generation: 9, reuseGuard: Uint8Array.of(1, 2, 3, 4) };
    const ciphertext = new Uint8Array(50).fill(2);
    const sealed = sealSenderData(suite, secret, scope, ciphertext, data);
    expect(openSenderData(suite, secret, scope, ciphertext, sealed)).toEqual(data);
    const others = [{ ...scope, epoch: 5n }, { ...scope, groupId: Uint8Array.of(2) }, { ...scope, contentType: 'commit' } as const];
    for (const other of others) expect(() => openSenderData(suite, secret, other, ciphertext, sealed)).toThrow('sender-data-unreadable');
    expect(() => openSenderData(suite, secret, scope, ciphertext.fill(3), sealed)).toThrow('sender-data-unreadable');
  });
});
