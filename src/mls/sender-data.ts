import type { Secret } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { decode, encode } from '../wire/index.ts';
import { MlsError } from './errors.ts';
import { encodeSenderDataAAD, type ContentTypeName } from './ts-mls.ts';

/** RFC 9420 section 6.3.2: who sent a PrivateMessage, encrypted for the members. */
export interface SenderData {
  readonly leafIndex: number;
  readonly generation: number;
  readonly reuseGuard: Uint8Array;
}

/** SenderDataAAD: `struct { opaque group_id<V>; uint64 epoch; ContentType content_type; }` */
export interface SenderDataScope {
  readonly groupId: Uint8Array;
  readonly epoch: bigint;
  readonly contentType: ContentTypeName;
}

type SenderDataSecret = Secret<'sender_data_secret'>;

export const REUSE_GUARD_LENGTH = 4;

/**
 *     ciphertext_sample = ciphertext[0..KDF.Nh-1]
 *     sender_data_key   = ExpandWithLabel(sender_data_secret, "key",   ciphertext_sample, AEAD.Nk)
 *     sender_data_nonce = ExpandWithLabel(sender_data_secret, "nonce", ciphertext_sample, AEAD.Nn)
 */
export function senderDataKey(
  suite: CipherSuite,
  senderDataSecret: SenderDataSecret,
  ciphertext: Uint8Array,
): { readonly key: Uint8Array; readonly nonce: Uint8Array } {
  const sample = ciphertext.subarray(0, suite.nh);
  return {
    key: suite.expandWithLabel(senderDataSecret.reveal(), 'key', sample, suite.nk),
    nonce: suite.expandWithLabel(senderDataSecret.reveal(), 'nonce', sample, suite.nn),
  };
}

/** `encrypted_sender_data` of the message with this ciphertext. */
export function sealSenderData(
  suite: CipherSuite,
  secret: SenderDataSecret,
  scope: SenderDataScope,
  ciphertext: Uint8Array,
  data: SenderData,
): Uint8Array {
  const { key, nonce } = senderDataKey(suite, secret, ciphertext);
  // struct { uint32 leaf_index; uint32 generation; opaque reuse_guard[4]; } SenderData;
  const plaintext = encode((w) => w.uint32(data.leafIndex).uint32(data.generation).bytes(data.reuseGuard));
  return suite.seal(key, nonce, encodeSenderDataAAD(scope), plaintext);
}

/** @throws MlsError 'sender-data-unreadable', DecodeError */
export function openSenderData(
  suite: CipherSuite,
  secret: SenderDataSecret,
  scope: SenderDataScope,
  ciphertext: Uint8Array,
  encryptedSenderData: Uint8Array,
): SenderData {
  const { key, nonce } = senderDataKey(suite, secret, ciphertext);
  const opened = suite.open(key, nonce, encodeSenderDataAAD(scope), encryptedSenderData);
  if (opened === undefined) throw new MlsError('sender-data-unreadable');
  return decode(opened, 'SenderData', (r) => ({
    leafIndex: r.uint32('leaf_index'),
    generation: r.uint32('generation'),
    reuseGuard: r.bytes(REUSE_GUARD_LENGTH, 'reuse_guard'),
  }));
}
