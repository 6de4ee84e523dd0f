import { equal } from '../bytes/index.ts';
import { decode } from '../wire/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { framedContentTbs, verifyContent } from './framing.ts';
import type { GroupState } from './group-state.ts';
import {
  decodePrefix,
  encodeAuthenticatedContentTBM,
  externalSenderCodec,
  mlsMessageCodec,
  type AuthenticatedContent,
  type ExternalSender,
  type FramedContent,
  type GroupContext,
  type PublicMessage,
} from './ts-mls.ts';

/** RFC 9420 section 6.2: content signed, and by members also authenticated with the membership key. */

/** `membership_tag = MAC(membership_key, AuthenticatedContentTBM)`: `struct { FramedContentTBS content_tbs; FramedContentAuthData auth; }` */
function membershipTag(
  suite: MlsSuite,
  state: Pick<GroupState, 'context' | 'schedule'>,
  { content, auth }: AuthenticatedContent,
): Uint8Array {
  const contentTbs = framedContentTbs(content, 'mls_public_message', state.context);
  return suite.mac(state.schedule.membershipKey.reveal(), encodeAuthenticatedContentTBM({ contentTbs, auth }));
}

/**
 * The MLSMessage of signed content. A member's gets its membership tag, so `state` is the group's before
 * the content takes effect; a joiner outside of the group has none and passes undefined.
 * @throws MlsError 'wrong-content-type' for application data, which must be encrypted
 */
export function framePublic(
  suite: MlsSuite,
  state: Pick<GroupState, 'context' | 'schedule'> | undefined,
  authenticated: AuthenticatedContent,
): Uint8Array {
  const { content, auth } = authenticated;
  if (content.contentType === 'application') throw new MlsError('wrong-content-type');
  const { senderType } = content.sender;
  let publicMessage: PublicMessage;
  if (senderType !== 'member') publicMessage = { content, auth, senderType };
  else if (state === undefined) throw new MlsError('unknown-sender');
  else publicMessage = { content, auth, senderType, membershipTag: membershipTag(suite, state, authenticated) };
  return mlsMessageCodec.encode({ version: 'mls10', wireformat: 'mls_public_message', publicMessage });
}

/**
 * Checks a PublicMessage of the current epoch: membership tag of a member, signature of any sender.
 * Whether such a sender may send this content is checked where the content is processed.
 * @throws MlsError
 */
export async function openPublic(suite: MlsSuite, state: GroupState, message: PublicMessage): Promise<AuthenticatedContent> {
  const { content, auth } = message;
  if (!equal(content.groupId, state.context.groupId)) throw new MlsError('wrong-group');
  if (content.epoch !== state.context.epoch) throw new MlsError('unknown-epoch');
  if (content.contentType === 'application') throw new MlsError('wrong-content-type');
  const authenticated: AuthenticatedContent = { wireformat: 'mls_public_message', content, auth };
  const signatureKey = senderKey(state, content);
  if (message.senderType === 'member' && !equal(membershipTag(suite, state, authenticated), message.membershipTag)) {
    throw new MlsError('invalid-membership-tag');
  }
  await verifyContent(suite, signatureKey, authenticated, state.context);
  return authenticated;
}

function senderKey(state: GroupState, content: FramedContent): Uint8Array {
  const { sender } = content;
  switch (sender.senderType) {
    case 'member': {
      const leaf = state.tree.leaf(sender.leafIndex);
      if (leaf === undefined) throw new MlsError('unknown-sender');
      return leaf.signaturePublicKey;
    }
    case 'external': {
      const external = externalSenders(state.context)[sender.senderIndex];
      if (external === undefined) throw new MlsError('unknown-sender');
      return external.signaturePublicKey;
    }
    case 'new_member_proposal':
      if (content.contentType !== 'proposal' || content.proposal.proposalType !== 'add') throw new MlsError('wrong-content-type');
      return content.proposal.add.keyPackage.leafNode.signaturePublicKey;
    case 'new_member_commit':
      if (content.contentType !== 'commit' || content.commit.path === undefined) throw new MlsError('wrong-content-type');
      return content.commit.path.leafNode.signaturePublicKey;
  }
}

/** A group names a handful; more than this is no list of servers. */
const MAX_EXTERNAL_SENDERS = 256;

/** Extension `external_senders`: `ExternalSender external_senders<V>` (RFC 9420 section 12.1.8.1). @throws DecodeError */
function externalSenders(context: GroupContext): ExternalSender[] {
  const extension = context.extensions.find(({ extensionType }) => extensionType === 'external_senders');
  if (extension === undefined) return [];
  const list = decode(extension.extensionData, 'external_senders', (reader) => reader.opaque('external_senders'));
  const senders: ExternalSender[] = [];
  for (let offset = 0; offset < list.length;) {
    if (senders.length === MAX_EXTERNAL_SENDERS) throw new MlsError('unknown-sender');
    const [sender, length] = decodePrefix(externalSenderCodec, list.subarray(offset));
    senders.push(sender);
    offset += length;
  }
  return senders;
}
