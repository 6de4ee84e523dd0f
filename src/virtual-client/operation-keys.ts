import { Secret, type Spending } from '../bytes/index.ts';
import { encode } from '../wire/index.ts';
import type { CipherSuite, HpkeKeyPair } from './ciphersuite.ts';
import type { LiveLeaf } from './live-leaf.ts';
import type { Operation } from './operation-secrets.ts';
import type { OperationLabels, Protocol } from './revision.ts';

/**
 * The children of an operation_secret (draft section 5.2, reading section 4):
 *
 *     child = DeriveSecret(operation_secret, label)
 *
 * and for a group of a suite T other than the emulation suite, except for leaf_node_secret:
 *
 *     child = ExpandWithLabel_T(KDF_T.Extract("", child), "vc target", uint16 T, Nh_T)
 *
 * `target` is always the suite of the group (or KeyPackage) that the key is for. All can be derived again
 * as long as the operation secret lives; the caller wipes what it gets.
 */

export interface SecretKeyPair<Kind extends string> {
  readonly publicKey: Uint8Array;
  readonly privateKey: Secret<Kind>;
}

const NONE = new Uint8Array();

function deriveChild<Kind extends string>(
  { suite, revision }: Protocol,
  operation: Operation,
  name: keyof OperationLabels,
  target: CipherSuite,
  kind: Kind,
): Secret<Kind> {
  const child = suite.deriveSecret(operation.operationSecret.reveal(), revision.operationLabels[name]);
  if (target.id === suite.id) return Secret.of(kind, child);
  const extracted = target.extract(NONE, child);
  const context = encode((w) => w.uint16(target.id));
  const converted = target.expandWithLabel(extracted, revision.targetSuiteLabel, context, target.nh);
  child.fill(0);
  extracted.fill(0);
  return Secret.of(kind, converted);
}

function keyPair<Kind extends string>(target: CipherSuite, seed: Secret<string>, kind: Kind): SecretKeyPair<Kind> {
  const pair: HpkeKeyPair = target.deriveKeyPair(seed.reveal());
  seed.wipe();
  return { publicKey: pair.publicKey, privateKey: Secret.of(kind, pair.privateKey) };
}

/** `signature_key_secret`, which the draft derives and we do not use: account keys are random (reading section 15). */
export function deriveSignatureKeySecret(protocol: Protocol, operation: Operation, target: CipherSuite): Secret<'signature_key_secret'> {
  return deriveChild(protocol, operation, 'signatureKeySecret', target, 'signature_key_secret');
}

/** `encryption_key_secret` */
export function deriveEncryptionKeySecret(protocol: Protocol, operation: Operation, target: CipherSuite): Secret<'encryption_key_secret'> {
  return deriveChild(protocol, operation, 'encryptionKeySecret', target, 'encryption_key_secret');
}

/** Key pair of the LeafNode's `encryption_key`: DeriveKeyPair(encryption_key_secret). */
export function deriveEncryptionKeyPair(
  protocol: Protocol,
  operation: Operation,
  target: CipherSuite,
): SecretKeyPair<'encryption_private_key'> {
  return keyPair(target, deriveEncryptionKeySecret(protocol, operation, target), 'encryption_private_key');
}

/** `init_key_secret` */
export function deriveInitKeySecret(protocol: Protocol, operation: Operation, target: CipherSuite): Secret<'init_key_secret'> {
  return deriveChild(protocol, operation, 'initKeySecret', target, 'init_key_secret');
}

/** Key pair of the KeyPackage's `init_key`: DeriveKeyPair(init_key_secret). */
export function deriveInitKeyPair(protocol: Protocol, operation: Operation, target: CipherSuite): SecretKeyPair<'init_private_key'> {
  return keyPair(target, deriveInitKeySecret(protocol, operation, target), 'init_private_key');
}

/** `path_secret[0]` = path_generation_secret (draft section 5.3). */
export function derivePathSecret(protocol: Protocol, operation: Operation, target: CipherSuite): Secret<'path_secret'> {
  return deriveChild(protocol, operation, 'pathGenerationSecret', target, 'path_secret');
}

/** `external_init_seed` (reading section 11). */
export function deriveExternalInitSeed(protocol: Protocol, operation: Operation, target: CipherSuite): Secret<'external_init_seed'> {
  return deriveChild(protocol, operation, 'externalInitSeed', target, 'external_init_seed');
}

/** Ephemeral key pair of an external commit's encapsulation: DeriveKeyPair(external_init_seed). */
export function deriveExternalInitKeyPair(
  protocol: Protocol,
  operation: Operation,
  target: CipherSuite,
): SecretKeyPair<'external_init_private_key'> {
  return keyPair(target, deriveExternalInitSeed(protocol, operation, target), 'external_init_private_key');
}

/** `epoch_secret` of epoch 0 of a group that the virtual client creates = group_creation_secret (reading section 13). */
export function deriveGroupCreationSecret(protocol: Protocol, operation: Operation, target: CipherSuite): Secret<'epoch_secret'> {
  return deriveChild(protocol, operation, 'groupCreationSecret', target, 'epoch_secret');
}

/** `leaf_node_secret`, which keys the reuse guard and stays with the emulation suite. */
export function deriveLeafNodeSecret(protocol: Protocol, operation: Operation): Secret<'leaf_node_secret'> {
  return deriveChild(protocol, operation, 'leafNodeSecret', protocol.suite, 'leaf_node_secret');
}

/** What an UpdatePath of the virtual client needs: the leaf's key pair and the first path secret. */
export interface PathKeys {
  readonly encryptionPublicKey: Uint8Array;
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  readonly pathSecret: Secret<'path_secret'>;
}

/** Leaf key pair and path_secret[0] of a commit with path (draft section 5.3). */
export function derivePathKeys(protocol: Protocol, operation: Operation, target: CipherSuite): PathKeys {
  const leaf = deriveEncryptionKeyPair(protocol, operation, target);
  return {
    encryptionPublicKey: leaf.publicKey,
    encryptionPrivateKey: leaf.privateKey,
    pathSecret: derivePathSecret(protocol, operation, target),
  };
}

/**
 * RFC 9420 section 7.4 for a filtered direct path of `nodes` parent nodes:
 *
 *     path_secret[n+1] = DeriveSecret(path_secret[n], "path")
 *     node key pair[n] = DeriveKeyPair(DeriveSecret(path_secret[n], "node"))
 *     commit_secret    = DeriveSecret(last path_secret, "path")
 *
 * and for no node at all DeriveSecret(path_secret[0], "path"), never zero (reading section 6).
 */
export function expandPath(
  target: CipherSuite,
  pathSecret: Secret<'path_secret'>,
  nodes: number,
): { readonly publicKeys: Uint8Array[]; readonly commitSecret: Secret<'commit_secret'> } {
  let current: Uint8Array = pathSecret.reveal().slice();
  const publicKeys: Uint8Array[] = [];
  for (let node = 0; node < nodes; node++) {
    const nodeSecret = Secret.of('node_secret', target.deriveSecret(current, 'node'));
    const pair = keyPair(target, nodeSecret, 'path_private_key');
    pair.privateKey.wipe();
    publicKeys.push(pair.publicKey);
    if (node < nodes - 1) current = step(target, current);
  }
  return { publicKeys, commitSecret: Secret.of('commit_secret', step(target, current)) };
}

function step(target: CipherSuite, current: Uint8Array): Uint8Array {
  const next = target.deriveSecret(current, 'path');
  current.fill(0);
  return next;
}

/**
 * The operation's LeafNode becomes the active one of its group (reading section 4): what is kept from
 * then on. In one transaction store `next` and delete the operation; then wipe `spent`, the operation
 * secret, and every other child that was derived of it. Otherwise a later compromise opens the group's past.
 * `value` is the leaf's public key.
 */
export function activate(protocol: Protocol, operation: Operation, target: CipherSuite): Spending<LiveLeaf, Uint8Array> {
  const leaf = deriveEncryptionKeyPair(protocol, operation, target);
  return {
    next: {
      epochId: operation.epochId,
      encryptionPrivateKey: leaf.privateKey,
      leafNodeSecret: deriveLeafNodeSecret(protocol, operation),
    },
    value: leaf.publicKey,
    spent: [operation.operationSecret],
  };
}
