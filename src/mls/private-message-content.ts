import { encode, Reader } from '../wire/index.ts';
import { MlsError } from './errors.ts';
import {
  commitCodec,
  decodePrefix,
  proposalCodec,
  type AuthenticatedContent,
  type ContentTypeName,
  type FramedContentAuthData,
  type FramedContentInfo,
} from './ts-mls.ts';

/**
 * What a PrivateMessage encrypts (RFC 9420 section 6.3.1).
 *
 *     struct { select (PrivateMessage.content_type) {
 *         case application: opaque application_data<V>;
 *         case proposal: Proposal proposal;
 *         case commit: Commit commit; };
 *       FramedContentAuthData auth; opaque padding[length_of_padding]; } PrivateMessageContent;
 *     struct { opaque signature<V>; select (content_type) { case commit: MAC confirmation_tag<V>; ... }; } FramedContentAuthData;
 */

/** `padding` says how many zero bytes to append to a content of `length` bytes. */
export function encodeContent({ content, auth }: AuthenticatedContent, padding: (length: number) => number): Uint8Array {
  const bare = encode((w) => {
    if (content.contentType === 'application') w.opaque(content.applicationData);
    else w.bytes(content.contentType === 'proposal' ? proposalCodec.encode(content.proposal) : commitCodec.encode(content.commit));
    w.opaque(auth.signature);
    if (auth.contentType === 'commit') w.opaque(auth.confirmationTag);
  });
  const padded = new Uint8Array(bare.length + padding(bare.length));
  padded.set(bare);
  bare.fill(0);
  return padded;
}

/** Takes over `plaintext`. @throws DecodeError, MlsError 'padding-not-zero' */
export function decodeContent(
  contentType: ContentTypeName,
  plaintext: Uint8Array,
): { readonly info: FramedContentInfo; readonly auth: FramedContentAuthData } {
  if (contentType === 'application') {
    const reader = new Reader(plaintext);
    const applicationData = reader.opaque('application_data');
    const signature = reader.opaque('signature');
    expectZeros(reader);
    return { info: { contentType, applicationData }, auth: { contentType, signature } };
  }
  if (contentType === 'proposal') {
    const [proposal, length] = decodePrefix(proposalCodec, plaintext);
    const reader = new Reader(plaintext.subarray(length));
    const signature = reader.opaque('signature');
    expectZeros(reader);
    return { info: { contentType, proposal }, auth: { contentType, signature } };
  }
  const [commit, length] = decodePrefix(commitCodec, plaintext);
  const reader = new Reader(plaintext.subarray(length));
  const signature = reader.opaque('signature');
  const confirmationTag = reader.opaque('confirmation_tag');
  expectZeros(reader);
  return { info: { contentType, commit }, auth: { contentType, signature, confirmationTag } };
}

/** RFC 9420 section 6.3.1: a receiver must refuse padding that is not zero. */
function expectZeros(reader: Reader): void {
  if (reader.bytes(reader.remaining, 'padding').some((byte) => byte !== 0)) throw new MlsError('padding-not-zero');
}
