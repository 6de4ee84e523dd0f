import { concat, equal, type Secret } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { Writer } from '../wire/index.ts';
import { MlsError } from './errors.ts';
import { encodeConfirmedTranscriptHashInput, type FramedContentCommit, type WireformatName } from './ts-mls.ts';

/** RFC 9420 section 8.2. Epoch 0 has an empty confirmed transcript hash, and its creator an empty interim one before. */

/**
 * `confirmed_transcript_hash_[n] = Hash(interim_transcript_hash_[n-1] || ConfirmedTranscriptHashInput_[n])` with
 * `struct { WireFormat wire_format; FramedContent content; opaque signature<V>; } ConfirmedTranscriptHashInput;`
 */
export function confirmedTranscriptHash(
  suite: CipherSuite,
  interimTranscriptHash: Uint8Array,
  commit: { readonly wireformat: WireformatName; readonly content: FramedContentCommit; readonly signature: Uint8Array },
): Uint8Array {
  return suite.hash(concat(interimTranscriptHash, encodeConfirmedTranscriptHashInput(commit)));
}

/**
 * `interim_transcript_hash_[n] = Hash(confirmed_transcript_hash_[n] || InterimTranscriptHashInput_[n])` with
 * `struct { MAC confirmation_tag; } InterimTranscriptHashInput;`
 */
export function interimTranscriptHash(suite: CipherSuite, confirmedTranscriptHash: Uint8Array, confirmationTag: Uint8Array): Uint8Array {
  return suite.hash(concat(confirmedTranscriptHash, new Writer().opaque(confirmationTag).finish()));
}

/** RFC 9420 section 6.1: `confirmation_tag = MAC(confirmation_key, GroupContext.confirmed_transcript_hash)` */
export function confirmationTag(
  suite: CipherSuite,
  confirmationKey: Secret<'confirmation_key'>,
  confirmedTranscriptHash: Uint8Array,
): Uint8Array {
  return suite.mac(confirmationKey.reveal(), confirmedTranscriptHash);
}

/** @throws MlsError 'invalid-confirmation-tag' */
export function verifyConfirmationTag(
  suite: CipherSuite,
  confirmationKey: Secret<'confirmation_key'>,
  confirmedTranscriptHash: Uint8Array,
  tag: Uint8Array,
): void {
  if (!equal(confirmationTag(suite, confirmationKey, confirmedTranscriptHash), tag)) throw new MlsError('invalid-confirmation-tag');
}
