import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, equal, toHex, utf8 } from '../../../src/bytes/index.ts';
import { decodeLiveLeaf, encodeLiveLeaf } from '../../../src/virtual-client/live-leaf.ts';
import {
  activate,
  deriveEncryptionKeyPair,
  deriveEncryptionKeySecret,
  deriveExternalInitKeyPair,
  deriveGroupCreationSecret,
  deriveInitKeyPair,
  deriveInitKeySecret,
  deriveLeafNodeSecret,
  derivePathKeys,
  derivePathSecret,
  deriveSignatureKeySecret,
  deriveExternalInitSeed,
  expandPath,
} from '../../../src/virtual-client/operation-keys.ts';
import {
  allocateOperation,
  canEvaluateOperation,
  decodeRetainedOperation,
  encodeRetainedOperation,
  evaluateOperation,
  operationLeaf,
  type Operation,
} from '../../../src/virtual-client/operation-secrets.ts';
import { codeOf, epochOf, protocol, randomFrom, suite, suite3 } from './setup.ts';

const operation = (name = 'operation'): Operation => allocateOperation(protocol, epochOf({ own: 1 }), randomFrom(name)).value;

describe('operation secrets', () => {
  it('are the same for the device that acts and for its siblings', () => {
    fc.assert(
      fc.property(fc.string(), fc.constantFrom(0, 1, 2), (seed, own) => {
        const { value } = allocateOperation(protocol, epochOf({ own }), randomFrom(seed));
        const { value: followed } = evaluateOperation(protocol, epochOf({ own: 2 }), own, value.random);
        expect(toHex(followed.operationSecret.reveal())).toBe(toHex(value.operationSecret.reveal()));
        expect(followed.emulatorLeaf).toBe(own);
      }),
      { numRuns: 25 },
    );
  });

  it('of two devices never come from one PPRF leaf, because residues differ', () => {
    fc.assert(
      fc.property(fc.string(), (seed) => {
        const leaves = [0, 1, 2].map((own) => {
          const { value } = allocateOperation(protocol, epochOf({ own }), randomFrom(seed)); // the same random source for each
          return operationLeaf(protocol, own, value.random);
        });
        expect(leaves.map((leaf) => leaf % 4)).toEqual([0, 1, 2]);
      }),
      { numRuns: 25 },
    );
  });

  it('are gone after use, for the creator and for siblings', () => {
    const { next, value } = allocateOperation(protocol, epochOf({ own: 1 }), randomFrom('once'));
    expect(canEvaluateOperation(protocol, next, 1, value.random)).toBe(false);
    expect(codeOf(() => evaluateOperation(protocol, next, 1, value.random))).toBe('leaf-punctured');
  });

  it('need another random value when the leaf is punctured', () => {
    const first = allocateOperation(protocol, epochOf({ own: 1 }), randomFrom('again'));
    const second = allocateOperation(protocol, first.next, randomFrom('again')); // repeats the values that gave the first
    expect(equal(first.value.random, second.value.random)).toBe(false);
  });

  it('are followed without regard to the residue', () => {
    const epoch = epochOf({ own: 0 });
    const random = randomFrom('any');
    let candidate = random(32);
    while (operationLeaf(protocol, 1, candidate) % 4 === 1) candidate = random(32);
    expect(evaluateOperation(protocol, epoch, 1, candidate).value.emulatorLeaf).toBe(1);
  });

  it('are refused to a device that was no member, for a vacant leaf, and for random values of a wrong length', () => {
    expect(codeOf(() => allocateOperation(protocol, epochOf({ own: undefined }), randomFrom('x')))).toBe('no-own-leaf');
    expect(codeOf(() => evaluateOperation(protocol, epochOf(), 3, new Uint8Array(32)))).toBe('leaf-not-in-roster');
    for (const length of [0, 31, 33])
      expect(codeOf(() => evaluateOperation(protocol, epochOf(), 0, new Uint8Array(length)))).toBe('wrong-length');
  });

  it('are not drawn for ever from a source that is stuck', () => {
    const stuck = (length: number): Uint8Array => new Uint8Array(length);
    const own = [0, 1, 2].find((leaf) => operationLeaf(protocol, leaf, new Uint8Array(32)) % 4 !== leaf)!;
    expect(codeOf(() => allocateOperation(protocol, epochOf({ own }), stuck))).toBe('random-exhausted');
  });

  it('take the epoch from one state to the next and leave the old one alone until it is wiped', () => {
    const epoch = epochOf({ own: 1 });
    const first = allocateOperation(protocol, epoch, randomFrom('a'));
    const retried = allocateOperation(protocol, epoch, randomFrom('a'));
    expect(toHex(retried.value.operationSecret.reveal())).toBe(toHex(first.value.operationSecret.reveal()));
    for (const secret of first.spent) secret.wipe();
    expect(() => allocateOperation(protocol, epoch, randomFrom('a'))).toThrow('wiped');
  });

  it('do a thousand operations in one epoch and still follow the plain tree', () => {
    let epoch = epochOf({ own: 1 });
    const sibling = epochOf({ own: 0 });
    const random = randomFrom('thousand');
    let last: Operation | undefined;
    const leaves = new Set<number>();
    for (let i = 0; i < 1000; i++) {
      const { next, value } = allocateOperation(protocol, epoch, random);
      epoch = next;
      last = value;
      leaves.add(operationLeaf(protocol, 1, value.random));
    }
    expect(leaves.size).toBe(1000);
    expect(toHex(evaluateOperation(protocol, sibling, 1, last!.random).value.operationSecret.reveal())).toBe(
      toHex(last!.operationSecret.reveal()),
    );
  });
});

describe('a retained operation', () => {
  it('comes back as it went', () => {
    const bytes = encodeRetainedOperation(operation());
    expect(toHex(encodeRetainedOperation(decodeRetainedOperation(protocol, bytes)))).toBe(toHex(bytes));
  });

  it('is refused with trailing or missing bytes', () => {
    const bytes = encodeRetainedOperation(operation());
    expect(codeOf(() => decodeRetainedOperation(protocol, concat(bytes, new Uint8Array(1))))).toBe('trailing-bytes');
    expect(codeOf(() => decodeRetainedOperation(protocol, bytes.slice(0, -1)))).toBe('truncated');
    const shortEpochId = bytes.slice();
    shortEpochId[0] = 31;
    expect(codeOf(() => decodeRetainedOperation(protocol, shortEpochId))).toBe('invalid-value');
  });
});

describe('the keys of an operation', () => {
  it('are seven different secrets, and seven others in another operation', () => {
    const children = (of: Operation): string[] =>
      [
        deriveSignatureKeySecret(protocol, of, suite),
        deriveEncryptionKeySecret(protocol, of, suite),
        deriveInitKeySecret(protocol, of, suite),
        derivePathSecret(protocol, of, suite),
        deriveLeafNodeSecret(protocol, of),
        deriveExternalInitSeed(protocol, of, suite),
        deriveGroupCreationSecret(protocol, of, suite),
      ].map((secret) => toHex(secret.reveal()));
    expect(new Set([...children(operation('a')), ...children(operation('b'))]).size).toBe(14);
  });

  it('differ for a group of another suite, except the leaf node secret, which knows no suite', () => {
    const of = operation();
    const key = (target: typeof suite): string[] =>
      [
        deriveEncryptionKeyPair(protocol, of, target).publicKey,
        deriveInitKeyPair(protocol, of, target).publicKey,
        deriveExternalInitKeyPair(protocol, of, target).publicKey,
        derivePathSecret(protocol, of, target).reveal(),
        deriveGroupCreationSecret(protocol, of, target).reveal(),
      ].map(toHex);
    expect(new Set([...key(suite), ...key(suite3)]).size).toBe(10);
    const converted = suite3.expandWithLabel(
      suite3.extract(new Uint8Array(), derivePathSecret(protocol, of, suite).reveal()),
      'vc target',
      Uint8Array.of(0, 3),
      32,
    );
    expect(toHex(derivePathSecret(protocol, of, suite3).reveal())).toBe(toHex(converted));
  });

  it('of a path: the leaf and the first path secret', () => {
    const of = operation();
    const keys = derivePathKeys(protocol, of, suite);
    expect(keys.encryptionPublicKey).toEqual(deriveEncryptionKeyPair(protocol, of, suite).publicKey);
    expect(toHex(keys.pathSecret.reveal())).toBe(toHex(derivePathSecret(protocol, of, suite).reveal()));
  });

  it('give a commit secret that is never zero, the same for a path of no node and of one', () => {
    const path = (nodes: number): string =>
      toHex(expandPath(suite, derivePathSecret(protocol, operation(), suite), nodes).commitSecret.reveal());
    expect(path(0)).toBe(path(1));
    expect(path(2)).not.toBe(path(1));
    expect(path(0)).not.toBe('00'.repeat(32));
  });

  it('leave the given path secret usable', () => {
    const pathSecret = derivePathSecret(protocol, operation(), suite);
    expandPath(suite, pathSecret, 3);
    expect(toHex(pathSecret.reveal())).toBe(toHex(derivePathSecret(protocol, operation(), suite).reveal()));
  });
});

describe('activation', () => {
  it('leaves the leaf key and the leaf node secret, and gives up the operation secret', () => {
    const of = operation();
    const expected = { leafNode: toHex(deriveLeafNodeSecret(protocol, of).reveal()), key: deriveEncryptionKeyPair(protocol, of, suite) };
    const { next, value, spent } = activate(protocol, of, suite);
    expect(spent).toEqual([of.operationSecret]);
    for (const secret of spent) secret.wipe();
    expect(() => derivePathSecret(protocol, of, suite)).toThrow('wiped');
    expect(value).toEqual(expected.key.publicKey);
    expect(toHex(next.encryptionPrivateKey.reveal())).toBe(toHex(expected.key.privateKey.reveal()));
    expect(toHex(next.leafNodeSecret.reveal())).toBe(expected.leafNode);
    expect(next.epochId).toBe(of.epochId);
  });

  it('makes a leaf that is stored without the operation secret or another child of it', () => {
    const of = operation();
    const stored = toHex(encodeLiveLeaf(activate(protocol, of, suite).next));
    for (const gone of [
      of.operationSecret,
      derivePathSecret(protocol, of, suite),
      deriveInitKeySecret(protocol, of, suite),
      deriveEncryptionKeySecret(protocol, of, suite),
    ])
      expect(stored).not.toContain(toHex(gone.reveal()));
  });

  it('makes a leaf that comes back from storage, and is refused with trailing bytes', () => {
    const bytes = encodeLiveLeaf(activate(protocol, operation(), suite3).next);
    expect(toHex(encodeLiveLeaf(decodeLiveLeaf(protocol, bytes)))).toBe(toHex(bytes));
    expect(codeOf(() => decodeLiveLeaf(protocol, concat(bytes, utf8('x'))))).toBe('trailing-bytes');
    expect(codeOf(() => decodeLiveLeaf(protocol, bytes.slice(0, -1)))).toBe('truncated');
  });
});
