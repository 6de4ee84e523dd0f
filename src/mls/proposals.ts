import { compare, toHex } from '../bytes/index.ts';
import { MlsError } from './errors.ts';
import {
  extensionTypeToNumber,
  preSharedKeyIdCodec,
  type Extension,
  type LeafNode,
  type PreSharedKeyID,
  type Proposal,
  type ProposalAdd,
  type ProposalMessage,
  type ProposalOrRef,
  type Sender,
} from './ts-mls.ts';

/**
 * A commit's proposals with their senders: RFC 9420 sections 12.1.8, 12.2 and 12.4. Judged here is what
 * the list alone shows; what needs the tree or the key schedule is judged where it is applied.
 */

/** A proposal in the place that it has in a commit. */
export interface ListedProposal {
  readonly proposal: Proposal;
  /** Of a proposal by value: the committer. */
  readonly sender: Sender;
}

/** More than any honest epoch collects; each costs a signature check before it is kept. */
export const MAX_KEPT_PROPOSALS = 1024;

/** The list sorted by kind, in the order of application (section 12.3). */
export interface SortedProposals {
  readonly extensions: readonly Extension[] | undefined;
  readonly updates: readonly { readonly leafIndex: number; readonly leaf: LeafNode }[];
  readonly removes: readonly number[];
  readonly adds: readonly ProposalAdd['add']['keyPackage'][];
  readonly psks: readonly PreSharedKeyID[];
  readonly externalInit: { readonly kemOutput: Uint8Array } | undefined;
  /** Section 12.4: nothing at all, or an Update, Remove, ExternalInit or GroupContextExtensions. */
  readonly needsPath: boolean;
}

/** What a commit's `proposals` vector names, looked up. @throws MlsError 'unknown-proposal' */
export function lookUpProposals(listed: readonly ProposalOrRef[], kept: readonly ProposalMessage[], committer: Sender): ListedProposal[] {
  const byReference = new Map(kept.map((message) => [toHex(message.reference), message] as const));
  return listed.map((item) => {
    if (item.proposalOrRefType === 'proposal') return { proposal: item.proposal, sender: committer };
    const found = byReference.get(toHex(item.reference));
    if (found === undefined) throw new MlsError('unknown-proposal');
    return found;
  });
}

/**
 * Sorts the list of a member's commit. @param committer Leaf index.
 * @throws MlsError 'invalid-proposal-list', 'unsupported-proposal', 'invalid-extensions'
 */
export function sortMemberList(list: readonly ListedProposal[], committer: number): SortedProposals {
  const sorted = sort(list);
  if (sorted.externalInit !== undefined) throw invalid('external_init by a member');
  if (sorted.updates.some(({ leafIndex }) => leafIndex === committer)) throw invalid('update of the committer');
  if (sorted.removes.includes(committer)) throw invalid('remove of the committer');
  const touched = [...sorted.updates.map(({ leafIndex }) => leafIndex), ...sorted.removes];
  if (new Set(touched).size !== touched.length) throw invalid('two changes of one leaf');
  return sorted;
}

/**
 * Sorts the list of an external commit (section 12.4.3.2): one ExternalInit, at most one Remove, by
 * which the joiner takes an old leaf of its own away, PSKs, and nothing by reference.
 * @throws MlsError 'invalid-proposal-list', 'unsupported-proposal'
 */
export function sortExternalList(listed: readonly ProposalOrRef[]): SortedProposals {
  const sender: Sender = { senderType: 'new_member_commit' };
  const list = listed.map((item): ListedProposal => {
    if (item.proposalOrRefType === 'reference') throw invalid('reference in an external commit');
    return { proposal: item.proposal, sender };
  });
  const sorted = sort(list);
  const { externalInit, removes, updates, adds, extensions } = sorted;
  if (externalInit === undefined) throw invalid('external commit without external_init');
  if (removes.length > 1) throw invalid('external commit with several removes');
  if (updates.length + adds.length > 0 || extensions !== undefined) throw invalid('type in an external commit');
  return sorted;
}

/** @throws MlsError 'unsupported-proposal' unless a sender of this type may propose it (section 12.1.8). */
export function checkProposer(proposal: Proposal, sender: Sender): void {
  const allowed: Readonly<Record<Sender['senderType'], readonly Proposal['proposalType'][]>> = {
    member: ['add', 'update', 'remove', 'psk', 'group_context_extensions'],
    external: ['add', 'remove', 'psk', 'group_context_extensions'],
    new_member_proposal: ['add'],
    new_member_commit: ['external_init', 'remove', 'psk'],
  };
  if (!allowed[sender.senderType].includes(proposal.proposalType)) throw new MlsError('unsupported-proposal');
}

/** An extension type stands in a list once at most (section 13.4). @throws MlsError 'invalid-extensions' */
export function checkExtensions(extensions: readonly Extension[]): void {
  const types = extensions.map(({ extensionType }) => extensionTypeToNumber(extensionType));
  if (new Set(types).size !== types.length) throw new MlsError('invalid-extensions');
}

function sort(list: readonly ListedProposal[]): SortedProposals {
  const updates: { leafIndex: number; leaf: LeafNode }[] = [];
  const removes: number[] = [];
  const adds: ProposalAdd['add']['keyPackage'][] = [];
  const psks: PreSharedKeyID[] = [];
  let extensions: readonly Extension[] | undefined;
  let externalInit: { readonly kemOutput: Uint8Array } | undefined;
  for (const { proposal, sender } of list) {
    // A member's external_init is a fault of the list and gets its name there.
    if (proposal.proposalType !== 'external_init') checkProposer(proposal, sender);
    switch (proposal.proposalType) {
      case 'add':
        adds.push(proposal.add.keyPackage);
        break;
      case 'update':
        if (sender.senderType !== 'member') throw invalid('update without a leaf');
        updates.push({ leafIndex: sender.leafIndex, leaf: proposal.update.leafNode });
        break;
      case 'remove':
        removes.push(proposal.remove.removed);
        break;
      case 'psk':
        psks.push(proposal.psk.preSharedKeyId);
        break;
      case 'group_context_extensions':
        if (extensions !== undefined) throw invalid('two group_context_extensions');
        extensions = proposal.groupContextExtensions.extensions;
        checkExtensions(extensions);
        break;
      case 'external_init':
        if (externalInit !== undefined) throw invalid('two external_inits');
        externalInit = proposal.externalInit;
        break;
      default:
        throw new MlsError('unsupported-proposal');
    }
  }
  checkPsks(psks);
  const needsPath = list.length === 0 || updates.length + removes.length > 0 || extensions !== undefined || externalInit !== undefined;
  return { extensions, updates, removes, adds, psks, externalInit, needsPath };
}

/** Section 12.1.4: usages reinit and branch belong to a new group's first epoch; section 12.2: each PSK once. */
function checkPsks(psks: readonly PreSharedKeyID[]): void {
  if (psks.some((id) => id.psktype === 'resumption' && id.usage !== 'application')) throw new MlsError('unsupported-proposal', 'psk usage');
  const encoded = psks.map((id) => preSharedKeyIdCodec.encode(id)).sort(compare);
  if (encoded.some((id, i) => i > 0 && compare(id, encoded[i - 1]!) === 0)) throw invalid('one psk twice');
}

function invalid(what: string): MlsError {
  return new MlsError('invalid-proposal-list', what);
}
