import type { Secret } from '../bytes/index.ts';
import type { Spending } from '../bytes/index.ts';
import type { MlsSuite, Random } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { signContent } from './framing.ts';
import { publishedGroupInfo } from './group-info.ts';
import type { GroupState } from './group-state.ts';
import type { LeafTemplate } from './leaf-node.ts';
import type { LeafCheck } from './leaf-policy.ts';
import { startNextEpoch, type NextEpoch } from './next-epoch.ts';
import { copyKey, pathSecretsOf, type OwnPath } from './own-path.ts';
import { endEpoch } from './past-epochs.ts';
import { sealContent, type Guard } from './private-message.ts';
import { sortMemberList } from './proposals.ts';
import { resumptionPsksOf, type FindPsk } from './psk.ts';
import { framePublic } from './public-message.ts';
import { selectProposals, type References } from './select-proposals.ts';
import { NOT_SEALED, sealedAs, type SentAs } from './sent.ts';
import { stageProposals, type StagedProposals } from './stage-proposals.ts';
import type { AuthenticatedContent, Commit, Extension, FramedContentCommit, Proposal, ProposalOrRef } from './ts-mls.ts';
import { createUpdatePath, retainPathKeys, type CreatedPath, type PathKeys, type PathSetting } from './update-path.ts';
import { createWelcome } from './welcome.ts';

/** RFC 9420 section 12.4.1. */

export interface CommitPath {
  readonly leaf: LeafTemplate;
  /** Private key of the template's signature key, when that is a new one: the leaf is signed by it, the commit by the old one. */
  readonly newSigner?: Secret<'signature_private_key'> | undefined;
  /** Used once: no other commit may have them. */
  readonly own: OwnPath;
}

export interface CommitOptions {
  /** Private key of the own leaf's present signature key. */
  readonly signer: Secret<'signature_private_key'>;
  /** By value. */
  readonly proposals: readonly Proposal[];
  /** Which kept proposals are committed by reference; those that do not fit, and Updates of our own leaf, are left out. */
  readonly references: References;
  /** Needed unless there are only Adds and PSKs. */
  readonly path?: CommitPath | undefined;
  readonly wireFormat: 'private' | 'public';
  readonly authenticatedData: Uint8Array;
  readonly guard: Guard;
  /** Extensions of the GroupInfo inside the Welcome, never of the published one. */
  readonly welcomeExtensions: readonly Extension[];
  readonly random: Random;
  readonly checkLeaf: LeafCheck;
  /** External PSKs, and resumption PSKs of other groups. */
  readonly psks?: FindPsk | undefined;
  /** Seconds since 1970 for the lifetimes of KeyPackages. */
  readonly now?: bigint | undefined;
}

export interface MadeCommit extends SentAs {
  /** For the members added; with the ratchet tree. undefined when there are none. */
  readonly welcome: Uint8Array | undefined;
  /** MLSMessage: GroupInfo of the new epoch for publication, with `ratchet_tree` and `external_pub`. */
  readonly groupInfo: Uint8Array;
  /** The epoch that the commit starts if the log takes it. Callers that apply the echo have no use for it. */
  readonly nextEpoch: GroupState;
}

/**
 * Makes a commit. The group stays in its epoch: the commit counts when it comes back in the log, and is
 * then applied like any other (`open`, `applyCommit` with the same `OwnPath`).
 * Persist `next` and the `OwnPath` before the message leaves the device, then wipe `spent`.
 * @throws MlsError 'path-required', 'invalid-proposal-list' and what receivers would refuse it for; what `checkLeaf` throws
 */
export async function commit(suite: MlsSuite, state: GroupState, options: CommitOptions): Promise<Spending<GroupState, MadeCommit>> {
  const { staged, listed } = await stage(suite, state, options);
  if (staged.needsPath && options.path === undefined) throw new MlsError('path-required');
  const known = retainPathKeys(state.tree, staged.tree, state.keys.pathPrivateKeys).kept;
  const path = options.path && (await makePath(suite, state, staged, known, options.path, options));
  const content: FramedContentCommit = {
    groupId: state.context.groupId,
    epoch: state.context.epoch,
    sender: { senderType: 'member', leafIndex: state.ownLeaf },
    authenticatedData: options.authenticatedData,
    contentType: 'commit',
    commit: { proposals: listed, path: path?.path } satisfies Commit,
  };
  const wireformat = options.wireFormat === 'private' ? 'mls_private_message' : 'mls_public_message';
  const signature = await signContent(suite, options.signer, content, wireformat, state.context);
  const epoch = startNextEpoch(suite, {
    interimTranscriptHash: state.interimTranscriptHash,
    initSecret: state.schedule.initSecret,
    staged,
    tree: path?.tree ?? staged.tree,
    commitSecret: path?.commitSecret,
    commit: { wireformat, content, signature },
    useSafeExporter: state.exporter !== undefined,
  });
  const nextEpoch = stateOf(state, epoch, staged, path, known, options.path?.own);
  const signer = options.path?.newSigner ?? options.signer;
  const { joinerSecret, memberSecret } = epoch;
  const welcome = await createWelcome(suite, {
    epoch: nextEpoch,
    joinerSecret,
    memberSecret,
    staged,
    path,
    extensions: options.welcomeExtensions,
    signer,
    random: options.random,
  });
  const groupInfo = await publishedGroupInfo(suite, nextEpoch, signer);
  const auth = { contentType: 'commit', signature, confirmationTag: epoch.confirmationTag } as const;
  const { next, sent, spent } = await frame(suite, state, { wireformat, content, auth }, options);
  for (const used of [joinerSecret, memberSecret, staged.pskSecret, path?.commitSecret]) used?.wipe();
  path?.spent.filter(({ kind }) => kind === 'path_secret').forEach((secret) => secret.wipe());
  return { next, value: { ...sent, welcome, groupInfo, nextEpoch }, spent };
}

/** The commit's list: the references that fit, then the proposals by value. */
async function stage(
  suite: MlsSuite,
  state: GroupState,
  { proposals, references, checkLeaf, psks, now }: CommitOptions,
): Promise<{ readonly staged: StagedProposals; readonly listed: ProposalOrRef[] }> {
  const sender = { senderType: 'member', leafIndex: state.ownLeaf } as const;
  const byValue = proposals.map((proposal) => ({ proposal, sender }));
  const judgement = { checkLeaf, now, findPsk: (id: Parameters<FindPsk>[0]) => resumptionPsksOf(state)(id) ?? psks?.(id) };
  const { staged, selected } = await selectProposals(state, references, (chosen) =>
    stageProposals(suite, state, sortMemberList([...chosen, ...byValue], state.ownLeaf), judgement),
  );
  const listed: ProposalOrRef[] = [
    ...selected.map(({ reference }) => ({ proposalOrRefType: 'reference' as const, reference })),
    ...proposals.map((proposal) => ({ proposalOrRefType: 'proposal' as const, proposal })),
  ];
  return { staged, listed };
}

async function makePath(
  suite: MlsSuite,
  state: GroupState,
  staged: StagedProposals,
  known: PathKeys,
  { leaf, newSigner, own }: CommitPath,
  { signer, random, checkLeaf }: CommitOptions,
): Promise<CreatedPath> {
  const setting: PathSetting = {
    tree: staged.tree,
    sender: state.ownLeaf,
    added: new Set(staged.added.map(({ leafIndex }) => leafIndex)),
    context: staged.context,
    known,
  };
  const created = await createUpdatePath(suite, setting, pathSecretsOf(own), leaf, newSigner ?? signer, random);
  const replaces = state.tree.occupiedLeaf(state.ownLeaf);
  await checkLeaf(created.path.leafNode, { groupId: state.context.groupId, leafIndex: state.ownLeaf, replaces });
  return created;
}

function stateOf(
  state: GroupState,
  { context, schedule, secretTree, exporter, confirmationTag, interimTranscriptHash }: NextEpoch,
  staged: StagedProposals,
  path: CreatedPath | undefined,
  known: PathKeys,
  own: OwnPath | undefined,
): GroupState {
  return {
    suite: state.suite,
    context,
    tree: path?.tree ?? staged.tree,
    ownLeaf: state.ownLeaf,
    keys: {
      encryptionPrivateKey: own === undefined ? state.keys.encryptionPrivateKey : copyKey(own.encryptionPrivateKey),
      pathPrivateKeys: path?.pathPrivateKeys ?? known,
    },
    schedule,
    secretTree,
    exporter,
    confirmationTag,
    interimTranscriptHash,
    proposals: [],
    pastEpochs: endEpoch(state).pastEpochs,
  };
}

async function frame(
  suite: MlsSuite,
  state: GroupState,
  authenticated: AuthenticatedContent,
  { guard }: CommitOptions,
): Promise<{ readonly next: GroupState; readonly sent: SentAs; readonly spent: readonly Secret<string>[] }> {
  if (authenticated.wireformat === 'mls_public_message') {
    return { next: state, sent: { ...NOT_SEALED, message: framePublic(suite, state, authenticated) }, spent: [] };
  }
  const { next, value, spent } = await sealContent(suite, state, authenticated, { guard, padding: () => 0 });
  return { next, sent: sealedAs(value), spent };
}
