import type { Secret, Spending } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { proposalReference, signContent } from './framing.ts';
import type { GroupState } from './group-state.ts';
import { protect, type Guard } from './private-message.ts';
import { checkProposer } from './proposals.ts';
import { framePublic } from './public-message.ts';
import { NOT_SEALED, sealedAs, type SentAs } from './sent.ts';
import type { AuthenticatedContent, Proposal } from './ts-mls.ts';

/** Messages of a member that do not change the epoch. */

interface SendOptions {
  /** Private key of the own leaf's signature key. */
  readonly signer: Secret<'signature_private_key'>;
  readonly authenticatedData: Uint8Array;
  readonly guard: Guard;
}

/**
 * An application message, with `padding` zero bytes behind it. Persist `next` before it leaves the
 * device, then wipe `spent`. Its own echo can be opened once. RFC 9420 section 12.4: whoever has seen a
 * proposal commits before it sends, so that a member whose removal was proposed does not read on.
 * @throws MlsError 'proposals-pending', 'generations-exhausted'
 */
export async function protectApplication(
  suite: MlsSuite,
  state: GroupState,
  applicationData: Uint8Array,
  options: SendOptions & { readonly padding: number },
): Promise<Spending<GroupState, SentAs>> {
  if (state.proposals.length > 0) throw new MlsError('proposals-pending');
  const content = { contentType: 'application', applicationData } as const;
  const { next, value, spent } = await protect(suite, state, content, { ...options, padding: () => options.padding });
  return { next, value: sealedAs(value), spent };
}

export interface MadeProposal extends SentAs {
  /** ProposalRef. */
  readonly reference: Uint8Array;
}

/**
 * A proposal; it counts for us as for others when it comes back in the log (`open`, `keepProposal`).
 * An Update's private key stays with the caller until somebody commits it (`applyCommit`, `ownUpdates`).
 * Persist `next` before the message leaves the device, then wipe `spent`.
 * @throws MlsError 'unsupported-proposal', 'generations-exhausted'
 */
export async function propose(
  suite: MlsSuite,
  state: GroupState,
  proposal: Proposal,
  options: SendOptions & { readonly wireFormat: 'private' | 'public' },
): Promise<Spending<GroupState, MadeProposal>> {
  const sender = { senderType: 'member', leafIndex: state.ownLeaf } as const;
  checkProposer(proposal, sender);
  const { authenticatedData, signer } = options;
  if (options.wireFormat === 'private') {
    const { next, value, spent } = await protect(suite, state, { contentType: 'proposal', proposal }, { ...options, padding: () => 0 });
    return { next, value: { ...sealedAs(value), reference: proposalReference(suite, value.content) }, spent };
  }
  const { groupId, epoch } = state.context;
  const content = { groupId, epoch, sender, authenticatedData, contentType: 'proposal', proposal } as const;
  const signature = await signContent(suite, signer, content, 'mls_public_message', state.context);
  const authenticated: AuthenticatedContent = { wireformat: 'mls_public_message', content, auth: { contentType: 'proposal', signature } };
  const reference = proposalReference(suite, authenticated);
  return { next: state, value: { ...NOT_SEALED, message: framePublic(suite, state, authenticated), reference }, spent: [] };
}
