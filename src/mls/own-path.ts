import { Secret } from '../bytes/index.ts';
import { x25519PublicKey } from './hpke.ts';
import type { OwnPath as PathSecrets } from './update-path.ts';

/**
 * Secrets of a path by our own leaf, prescribed by the caller (reading section 6): the new leaf's key
 * and `path_secret[0]`, `Nh` bytes. The caller keeps them until the commit came back in the log, and
 * wipes them then; the group state takes copies.
 */
export interface OwnPath {
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  readonly pathSecret: Secret<'path_secret'>;
}

/** With the public key that belongs to it. */
export function pathSecretsOf(own: OwnPath): PathSecrets {
  return { ...own, encryptionKey: publicKeyOf(own.encryptionPrivateKey) };
}

/** The HPKE public key of a private key; both of our suites use X25519. */
export function publicKeyOf(privateKey: Secret<'encryption_private_key'>): Uint8Array {
  return x25519PublicKey(privateKey.reveal());
}

/** The state's own copy of a leaf's private key. */
export function copyKey(privateKey: Secret<'encryption_private_key'>): Secret<'encryption_private_key'> {
  return Secret.of('encryption_private_key', privateKey.reveal().slice());
}
