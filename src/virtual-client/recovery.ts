import { ed25519 } from '@noble/curves/ed25519.js';
import { concat, Secret, utf8 } from '../bytes/index.ts';
import { encode } from '../wire/index.ts';
import { VirtualClientError } from './errors.ts';
import type { Protocol } from './revision.ts';

/**
 * The recovery key R of an account (reading section 11). R, an Ed25519 public key, is component 0x8A04
 * of the emulation GroupContext; only who has the recovery phrase may join the emulation group from outside.
 */
export interface RecoveryKey {
  readonly publicKey: Uint8Array;
  readonly seed: Secret<'recovery_seed'>;
}

const ENTROPY_LENGTH = 32; // 256 bits
const SEED_LENGTH = 32; // Ed25519
const CONTENT_PREFIX = utf8('Chorus recovery');
const NONE = new Uint8Array();

/**
 * `seed of R = ExpandWithLabel(phrase_entropy, "recovery sign", "", 32)`. Only the person keeps
 * `phraseEntropy`; wipe it and the seed after use, the server learns `publicKey` alone.
 * @throws VirtualClientError 'wrong-length'
 */
export function deriveRecoveryKey({ suite }: Protocol, phraseEntropy: Secret<'phrase_entropy'>): RecoveryKey {
  const entropy = phraseEntropy.reveal();
  if (entropy.length !== ENTROPY_LENGTH) throw new VirtualClientError('wrong-length', 'phrase_entropy');
  const seed = suite.expandWithLabel(entropy, 'recovery sign', NONE, SEED_LENGTH);
  return { publicKey: ed25519.getPublicKey(seed), seed: Secret.of('recovery_seed', seed) };
}

/** What an external commit to the emulation group is allowed for. */
export interface RecoveryGrant {
  readonly groupId: Uint8Array;
  /** The epoch before the external commit. */
  readonly epoch: bigint;
  /** `signature_key` of the joining LeafNode. */
  readonly signatureKey: Uint8Array;
}

/** `"Chorus recovery" (ASCII, no length) || group_id<V> || uint64 epoch || signature_key<V>` */
export function recoveryContent(grant: RecoveryGrant): Uint8Array {
  return concat(
    CONTENT_PREFIX,
    encode((w) => w.opaque(grant.groupId).uint64(grant.epoch).opaque(grant.signatureKey)),
  );
}

/** Component 0x8A04 of the joining LeafNode: `Ed25519(R, recoveryContent)`. */
export function signRecovery(key: RecoveryKey, grant: RecoveryGrant): Uint8Array {
  return ed25519.sign(recoveryContent(grant), key.seed.reveal());
}

/**
 * Whether R lets this leaf join. RFC 8032's rules, not the laxer ones of ZIP 215.
 * @throws VirtualClientError 'recovery-signature-invalid'
 */
export function verifyRecovery(publicKey: Uint8Array, grant: RecoveryGrant, signature: Uint8Array): void {
  if (
    publicKey.length !== 32 ||
    signature.length !== 64 ||
    !ed25519.verify(signature, recoveryContent(grant), publicKey, { zip215: false })
  )
    throw new VirtualClientError('recovery-signature-invalid');
}
