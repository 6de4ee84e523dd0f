import { closeSync, fsyncSync, openSync, readFileSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';
import { concat, Secret, utf8 } from '../src/bytes/index.ts';
import type { AccountId } from '../src/engine/ports.ts';
import { encodeAccountBinding, type LabelSigner, signAccountBinding } from '../src/virtual-client/account-binding.ts';
import { draft00 } from '../src/virtual-client/revisions/draft-00.ts';
import { encode } from '../src/wire/index.ts';
import { syncFolder } from './data-folder.ts';
import { DataProblem, RESTORE_HINT } from './data-problem.ts';
import { ed25519PublicKey, signEd25519 } from './ed25519.ts';

const SEED_LENGTH = 32;

/** The authentication service's key: it vouches for the signature key of each account (reading section 15). */
export interface AuthenticationKey {
  readonly publicKey: Uint8Array;
  /** AccountBinding component of a LeafNode. */
  bind(accountId: AccountId, keyVersion: number, signatureKey: Uint8Array): Promise<Uint8Array>;
}

/**
 * RFC 9420, section 5.1.2: the signature is over
 * `struct { opaque label<V> = "MLS 1.0 " + Label; opaque content<V>; } SignContent;`
 */
const signer: LabelSigner = {
  signWithLabel: async (privateKey, label, content) =>
    signEd25519(
      privateKey.reveal(),
      encode((writer) => writer.opaque(concat(utf8('MLS 1.0 '), label)).opaque(content)),
    ),
};

/** The key of this 32-byte seed; takes ownership of it. */
export function authenticationKeyOf(seed: Uint8Array): AuthenticationKey {
  const privateKey = Secret.of('signature_private_key', seed);
  return {
    publicKey: ed25519PublicKey(seed),
    async bind(accountId, keyVersion, signatureKey) {
      return encodeAccountBinding(
        await signAccountBinding({ revision: draft00 }, signer, privateKey, { accountId, keyVersion, signatureKey }),
      );
    },
  };
}

/**
 * Reads the key's seed from `path`, or makes it there (mode 0600) at the first start. Clients pin the key:
 * lose it and every account with it. @throws DataProblem when the file holds no seed.
 */
export function loadAuthenticationKey(path: string, random: (length: number) => Uint8Array): AuthenticationKey {
  let seed: Uint8Array;
  try {
    seed = new Uint8Array(readFileSync(path));
  } catch (error) {
    if (!isMissing(error)) throw error;
    seed = random(SEED_LENGTH);
    writeKey(path, seed);
  }
  if (seed.length !== SEED_LENGTH) throw new DataProblem('damaged', `${path} holds no authentication key. ${RESTORE_HINT}`);
  return authenticationKeyOf(seed);
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOENT';
}

/** Stores the seed as `path`, mode 0600. A crash leaves the whole file or none. */
export function writeKey(path: string, seed: Uint8Array): void {
  const draft = `${path}.new`;
  const file = openSync(draft, 'w', 0o600);
  writeSync(file, seed);
  fsyncSync(file);
  closeSync(file);
  renameSync(draft, path);
  syncFolder(dirname(path));
}
