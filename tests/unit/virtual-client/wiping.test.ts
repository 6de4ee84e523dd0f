import { describe, expect, it } from 'vitest';
import { Secret, utf8 } from '../../../src/bytes/index.ts';
import type { CipherSuite } from '../../../src/virtual-client/ciphersuite.ts';
import { decodeDerivationInfo, followLeaf, openDerivationInfo, sealDerivationInfo } from '../../../src/virtual-client/derivation-info.ts';
import { sealStateBlob } from '../../../src/virtual-client/group-transfer.ts';
import {
  activate,
  deriveEncryptionKeyPair,
  deriveInitKeyPair,
  derivePathSecret,
  expandPath,
} from '../../../src/virtual-client/operation-keys.ts';
import { allocateOperation } from '../../../src/virtual-client/operation-secrets.ts';
import { createPprf, evaluate, pprfNodes } from '../../../src/virtual-client/pprf.ts';
import { createReuseGuard } from '../../../src/virtual-client/reuse-guard.ts';
import type { Protocol } from '../../../src/virtual-client/revision.ts';
import { draft00 } from '../../../src/virtual-client/revisions/draft-00.ts';
import { codeOf, epochOf, protocol, randomFrom, suite, suite3 } from './setup.ts';

/** A suite that remembers every secret it hands out, by reference. */
function watched(real: CipherSuite): { suite: CipherSuite; protocol: Protocol; alive: () => Uint8Array[] } {
  const given = new Set<Uint8Array>();
  const keep = (bytes: Uint8Array): Uint8Array => {
    given.add(bytes);
    return bytes;
  };
  const watching: CipherSuite = {
    ...real,
    extract: (salt, ikm) => keep(real.extract(salt, ikm)),
    expandWithLabel: (secret, label, context, length) => keep(real.expandWithLabel(secret, label, context, length)),
    deriveSecret: (secret, label) => keep(real.deriveSecret(secret, label)),
    deriveKeyPair(ikm) {
      const pair = real.deriveKeyPair(ikm);
      keep(pair.privateKey);
      return pair;
    },
    seal(key, nonce, aad, plaintext) {
      given.add(plaintext);
      return real.seal(key, nonce, aad, plaintext);
    },
  };
  return {
    suite: watching,
    protocol: { suite: watching, revision: draft00 },
    alive: () => [...given].filter((bytes) => bytes.some((byte) => byte !== 0)),
  };
}

/** No secret lives on except those that `kept` names. */
function expectAlive(alive: Uint8Array[], kept: readonly Secret<string>[]): void {
  const expected = new Set(kept.map((secret) => secret.reveal()));
  expect(alive.filter((bytes) => !expected.has(bytes))).toEqual([]);
  expect(alive).toHaveLength(expected.size);
}

const operation = allocateOperation(protocol, epochOf({ own: 1 }), randomFrom('wiping')).value;

describe('intermediate secrets are overwritten', () => {
  it('in the PPRF: every node on the way down, so that only leaf and copath live', () => {
    const watch = watched(suite);
    const state = createPprf(Secret.of('root', suite.hash(utf8('root'))), 32);
    const { next, value } = evaluate(watch.suite, state, 12345, 'operation_secret');
    expectAlive(watch.alive(), [value, ...Array.from(pprfNodes(next), (node) => node.secret)]);
  });

  it('in key pairs: the seed goes, also when it is converted for another suite', () => {
    for (const target of [suite, suite3]) {
      const watch = watched(suite);
      const watchTarget = watched(target);
      const pairs = [
        deriveEncryptionKeyPair(watch.protocol, operation, watchTarget.suite),
        deriveInitKeyPair(watch.protocol, operation, watchTarget.suite),
      ];
      expectAlive(
        [...watch.alive(), ...watchTarget.alive()],
        pairs.map((pair) => pair.privateKey),
      );
    }
  });

  it('in a path: all but the commit secret', () => {
    const watch = watched(suite);
    const { commitSecret } = expandPath(watch.suite, derivePathSecret(protocol, operation, suite), 4);
    expectAlive(watch.alive(), [commitSecret]);
  });

  it('in activation: all but the two secrets of the live leaf', () => {
    const watch = watched(suite);
    const { next } = activate(watch.protocol, operation, watch.suite);
    expectAlive(watch.alive(), [next.encryptionPrivateKey, next.leafNodeSecret]);
  });

  it('in a reuse guard: the PRP key', () => {
    const watch = watched(suite);
    const leafNodeSecret = Secret.of('leaf_node_secret', suite.hash(utf8('leaf')));
    createReuseGuard(
      watch.protocol,
      { epochId: epochOf().epochId, leafCount: 4, ownEmulatorLeaf: 1, leafNodeSecret },
      new Uint8Array(12),
      randomFrom('guard'),
    );
    expectAlive(watch.alive(), []);
  });

  it('when a leaf cannot be followed: the operation secret that did not fit', () => {
    const wrongKey = deriveInitKeyPair(protocol, operation, suite).publicKey;
    const info = decodeDerivationInfo(protocol, sealDerivationInfo(protocol, epochOf({ own: 1 }), operation, wrongKey));
    const sibling = epochOf({ own: 2 });
    const watch = watched(suite);
    const made: Secret<string>[] = [];
    const watchedOf = Secret.of;
    Secret.of = (kind, bytes) => {
      const secret = watchedOf(kind, bytes);
      made.push(secret);
      return secret;
    };
    try {
      expect(codeOf(() => followLeaf(watch.protocol, sibling, info, wrongKey, suite))).toBe('derived-key-mismatch');
    } finally {
      Secret.of = watchedOf;
    }
    expect(made.filter((secret) => secret.kind === 'operation_secret').map((secret) => secret.wiped)).toEqual([true]);
  });

  it('in a DerivationInfo, sealed and opened: the AEAD key; the nonce is no secret', () => {
    const watch = watched(suite);
    const encryptionKey = deriveInitKeyPair(protocol, operation, suite).publicKey;
    const info = decodeDerivationInfo(protocol, sealDerivationInfo(watch.protocol, epochOf(), operation, encryptionKey));
    openDerivationInfo(watch.protocol, epochOf({ own: 2 }), info, encryptionKey);
    const alive = watch.alive().map((bytes) => bytes.length);
    expect(alive.filter((length) => length === suite.nk)).toEqual([]);
    expect(alive.filter((length) => length === suite.nn)).toHaveLength(2);
  });

  it('in a sealed group state: its plaintext', () => {
    const leaf = activate(protocol, operation, suite).next;
    const watch = watched(suite);
    sealStateBlob(
      watch.protocol,
      utf8('group'),
      { logPosition: 1n, groupState: utf8('state'), leaf, pendingOperations: [] },
      randomFrom('blob'),
    );
    expectAlive(watch.alive(), []);
  });
});
