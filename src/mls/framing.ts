import type { Secret } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { refHash } from './ref-hash.ts';
import {
  authenticatedContentCodec,
  encodeFramedContentTBS,
  type AuthenticatedContent,
  type FramedContent,
  type FramedContentTBS,
  type GroupContext,
  type WireformatName,
} from './ts-mls.ts';

/**
 * Signatures over content (RFC 9420 section 6.1).
 *
 *     struct { ProtocolVersion version = mls10; WireFormat wire_format; FramedContent content;
 *       select (FramedContentTBS.content.sender.sender_type) {
 *         case member: case new_member_commit: GroupContext context;
 *         case external: case new_member_proposal: struct {}; }; } FramedContentTBS;
 */

const LABEL = 'FramedContentTBS';

/** What a membership tag covers besides the signature, and what is signed. */
export function framedContentTbs(content: FramedContent, wireformat: WireformatName, context: GroupContext): FramedContentTBS {
  return { protocolVersion: context.version, wireformat, content, senderType: content.sender.senderType, context };
}

/** `context` is the group's before the content takes effect; `signer` is the key of the leaf that sends. */
export function signContent(
  suite: MlsSuite,
  signer: Secret<'signature_private_key'>,
  content: FramedContent,
  wireformat: WireformatName,
  context: GroupContext,
): Promise<Uint8Array> {
  return suite.signWithLabel(signer, LABEL, encodeFramedContentTBS(framedContentTbs(content, wireformat, context)));
}

/** @throws MlsError 'invalid-signature' */
export async function verifyContent(
  suite: MlsSuite,
  signatureKey: Uint8Array,
  { content, wireformat, auth }: AuthenticatedContent,
  context: GroupContext,
): Promise<void> {
  const signed = encodeFramedContentTBS(framedContentTbs(content, wireformat, context));
  if (!(await suite.verifyWithLabel(signatureKey, LABEL, signed, auth.signature))) throw new MlsError('invalid-signature');
}

/** ProposalRef of a proposal that was received or sent (RFC 9420 section 5.2). */
export function proposalReference(suite: MlsSuite, proposal: AuthenticatedContent): Uint8Array {
  return refHash(suite, 'MLS 1.0 Proposal Reference', authenticatedContentCodec.encode(proposal));
}
