import type { Secret } from '../bytes/index.ts';
import { equal, type Spending } from '../bytes/index.ts';
import type { HpkeKeyPair } from '../virtual-client/ciphersuite.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import type { GroupState } from './group-state.ts';
import { decapsulateInitSecret } from './key-schedule.ts';
import type { LeafCheck } from './leaf-policy.ts';
import { startNextEpoch } from './next-epoch.ts';
import { copyKey, pathSecretsOf, publicKeyOf, type OwnPath } from './own-path.ts';
import { endEpoch, secretsOfGroup } from './past-epochs.ts';
import type { OpenedCommit } from './process.ts';
import { lookUpProposals, sortExternalList, sortMemberList } from './proposals.ts';
import { resumptionPsksOf, type FindPsk } from './psk.ts';
import { stageProposals, type LeafAt, type ReplacedLeaf, type StagedProposals } from './stage-proposals.ts';
import type { LeafNode, UpdatePath } from './ts-mls.ts';
import { applyOwnUpdatePath, mergeUpdatePath, openUpdatePath, retainPathKeys, type AppliedPath, type PathSetting } from './update-path.ts';
import { sameKey } from './validate-leaf.ts';

/** RFC 9420 section 12.4.2, for commits of others, of siblings and our own come back. */

export interface ApplyOptions {
  readonly checkLeaf: LeafCheck;
  /** Secrets of the commit's path when it is by our own leaf, or when an external commit's new leaf is ours. */
  readonly ownPath?: OwnPath | undefined;
  /** With `ownPath`, for an external commit that moves our own leaf: the ephemeral key pair of its encapsulation. */
  readonly externalInit?: HpkeKeyPair | undefined;
  /** The private key of an own leaf that an Update proposal brings; it is copied. */
  readonly ownUpdates?: ((leaf: LeafNode) => Secret<'encryption_private_key'> | undefined) | undefined;
  /** External PSKs, and resumption PSKs of other groups. */
  readonly psks?: FindPsk | undefined;
  /** Seconds since 1970 against which lifetimes of Adds are held, the same for all members; undefined to let them be. */
  readonly now?: bigint | undefined;
}

export interface CommitEffects {
  /** By Add proposals, and by an external commit. */
  readonly added: readonly LeafAt[];
  readonly removed: readonly LeafAt[];
  /** By Update proposals and by the path. */
  readonly updated: readonly ReplacedLeaf[];
  /** We are no member any more: the state that comes with this is the old one, all its secrets spent; delete it. */
  readonly removedSelf: boolean;
  /** A sibling's external commit took our old leaf away and brought a new one. */
  readonly ownLeafMoved: boolean;
}

/**
 * Judges a commit as a whole and only then returns the state of the new epoch; whatever is thrown, the
 * caller's state stays as it was. Persist `next`, then wipe `spent`. The secrets in `options` stay the caller's.
 * @throws MlsError, DecodeError; what `checkLeaf` throws
 */
export async function applyCommit(
  suite: MlsSuite,
  state: GroupState,
  opened: OpenedCommit,
  options: ApplyOptions,
): Promise<Spending<GroupState, CommitEffects>> {
  const judged = await judge(suite, state, opened, options);
  const { staged, path, setting, effects, moves, byOwnLeaf } = judged;
  if (judged.removedOwn && !moves) {
    staged.pskSecret.wipe();
    if (path !== undefined) await mergeUpdatePath(suite, setting, path);
    return { next: state, value: { ...effects, removedSelf: true, ownLeafMoved: false }, spent: secretsOfGroup(state) };
  }

  const initSecret = initSecretOf(suite, state, staged, moves ? options.externalInit : undefined);
  const ownKey = ownKeyBefore(state, staged, options);
  const receiver = byOwnLeaf ? undefined : { leaf: state.ownLeaf, encryptionPrivateKey: ownKey };
  const applied = path && (await applyPath(suite, setting, path, receiver, options));
  const tree = applied?.tree ?? staged.tree;
  const { content, auth, wireformat } = opened.content;
  const { joinerSecret, memberSecret, ...epoch } = startNextEpoch(suite, {
    interimTranscriptHash: state.interimTranscriptHash,
    initSecret,
    staged,
    tree,
    commitSecret: applied?.commitSecret,
    commit: { wireformat, content, signature: auth.signature },
    useSafeExporter: state.exporter !== undefined,
  });
  for (const used of [joinerSecret, memberSecret, staged.pskSecret, applied?.commitSecret]) used?.wipe();
  if (initSecret !== state.schedule.initSecret) initSecret.wipe();
  if (!equal(epoch.confirmationTag, confirmationTagOf(opened))) throw new MlsError('invalid-confirmation-tag');

  const fromPath = byOwnLeaf && path !== undefined ? options.ownPath : undefined;
  const encryptionPrivateKey = fromPath === undefined ? ownKey : copyKey(fromPath.encryptionPrivateKey);
  const replacedKey = encryptionPrivateKey === state.keys.encryptionPrivateKey ? [] : [state.keys.encryptionPrivateKey];
  const { pastEpochs, spent } = endEpoch(state);
  return {
    next: {
      suite: state.suite,
      tree,
      ownLeaf: moves ? setting.sender : state.ownLeaf,
      keys: { encryptionPrivateKey, pathPrivateKeys: applied?.pathPrivateKeys ?? setting.known },
      ...epoch,
      proposals: [],
      pastEpochs,
    },
    value: { ...effects, removedSelf: false, ownLeafMoved: moves },
    spent: [...spent, ...replacedKey, ...judged.dropped, ...(applied?.spent ?? [])],
  };
}

/** A commit whose proposals stand, and whose path the application accepts; nothing of the path is opened. */
interface Judged {
  readonly staged: StagedProposals;
  readonly path: UpdatePath | undefined;
  readonly setting: PathSetting;
  readonly effects: Pick<CommitEffects, 'added' | 'removed' | 'updated'>;
  /** Our leaf is among the removed ones. */
  readonly removedOwn: boolean;
  /** A sibling's external commit brings our new leaf. */
  readonly moves: boolean;
  /** The path is our own leaf's. */
  readonly byOwnLeaf: boolean;
  /** Private keys of nodes that the proposals blanked. */
  readonly dropped: readonly Secret<'path_private_key'>[];
}

async function judge(suite: MlsSuite, state: GroupState, opened: OpenedCommit, options: ApplyOptions): Promise<Judged> {
  if (opened.epoch !== state.context.epoch) throw new MlsError('wrong-epoch');
  const { sender, external } = opened;
  const { proposals, path } = opened.content.content.commit;
  if (sender.senderType !== 'member' && !external) throw new MlsError('wrong-content-type', 'sender');
  const committer = sender.senderType === 'member' ? sender.leafIndex : undefined;
  const sorted =
    committer === undefined ? sortExternalList(proposals) : sortMemberList(lookUpProposals(proposals, state.proposals, sender), committer);
  if (sorted.needsPath && path === undefined) throw new MlsError('path-required');
  const staged = await stageProposals(suite, state, sorted, {
    checkLeaf: options.checkLeaf,
    findPsk: (id) => resumptionPsksOf(state)(id) ?? options.psks?.(id),
    now: options.now,
  });

  const place = committer === undefined ? staged.tree.reserve() : { tree: staged.tree, leafIndex: committer };
  const replaced = committer === undefined ? staged.removed[0]?.leaf : state.tree.occupiedLeaf(committer);
  const removedOwn = staged.removed.some(({ leafIndex }) => leafIndex === state.ownLeaf);
  const moves = external && options.ownPath !== undefined && options.externalInit !== undefined;
  if (moves && !removedOwn) throw new MlsError('invalid-proposal-list', 'our old leaf stays');
  if (path !== undefined) {
    const at = { groupId: state.context.groupId, leafIndex: place.leafIndex, replaces: replaced };
    await options.checkLeaf(path.leafNode, at);
  }
  const { kept, dropped } = retainPathKeys(state.tree, staged.tree, state.keys.pathPrivateKeys);
  const added = new Set(staged.added.map(({ leafIndex }) => leafIndex));
  return {
    staged,
    path,
    setting: { tree: place.tree, sender: place.leafIndex, added, context: staged.context, known: kept },
    effects: effectsOf(staged, path, place.leafIndex, external ? undefined : replaced),
    removedOwn,
    moves,
    byOwnLeaf: moves || committer === state.ownLeaf,
    dropped,
  };
}

function confirmationTagOf({ content: { auth } }: OpenedCommit): Uint8Array {
  if (auth.contentType !== 'commit') throw new MlsError('wrong-content-type');
  return auth.confirmationTag;
}

/** @param replaced The committer's leaf before; undefined for a joiner's. */
function effectsOf(
  { added, removed, updated }: StagedProposals,
  path: UpdatePath | undefined,
  leafIndex: number,
  replaced: LeafNode | undefined,
): Pick<CommitEffects, 'added' | 'removed' | 'updated'> {
  const members = added.map(({ leafIndex: index, leaf }) => ({ leafIndex: index, leaf }));
  if (path === undefined) return { added: members, removed, updated };
  const leaf = path.leafNode;
  return replaced === undefined
    ? { added: [...members, { leafIndex, leaf }], removed, updated }
    : { added: members, removed, updated: [...updated, { leafIndex, leaf, replaced }] };
}

/**
 * The init secret of the commit: the epoch's own, or for an external commit the one from `kem_output`. Of
 * a sibling's external commit `kem_output` must be that of the operation's key pair (reading section 11).
 */
function initSecretOf(
  suite: MlsSuite,
  state: GroupState,
  { kemOutput }: StagedProposals,
  ephemeral: HpkeKeyPair | undefined,
): Secret<'init_secret'> {
  if (kemOutput === undefined) return state.schedule.initSecret;
  if (ephemeral !== undefined && !sameKey(kemOutput, ephemeral.publicKey)) throw new MlsError('path-key-mismatch', 'kem_output');
  return decapsulateInitSecret(suite, state.schedule.externalSecret, kemOutput);
}

/** Our leaf's key once the proposals are applied. @throws MlsError 'own-secrets-missing', 'path-key-mismatch' */
function ownKeyBefore(state: GroupState, { updated }: StagedProposals, { ownUpdates }: ApplyOptions): Secret<'encryption_private_key'> {
  const update = updated.find(({ leafIndex }) => leafIndex === state.ownLeaf);
  if (update === undefined) return state.keys.encryptionPrivateKey;
  const key = ownUpdates?.(update.leaf);
  if (key === undefined) throw new MlsError('own-secrets-missing', 'update of our leaf');
  if (!sameKey(publicKeyOf(key), update.leaf.hpkePublicKey)) throw new MlsError('path-key-mismatch', 'leaf');
  return copyKey(key);
}

/** @param receiver Whom the path's secret is opened for; undefined when the path is our own leaf's. */
function applyPath(
  suite: MlsSuite,
  setting: PathSetting,
  path: UpdatePath,
  receiver: { readonly leaf: number; readonly encryptionPrivateKey: Secret<'encryption_private_key'> } | undefined,
  { ownPath }: ApplyOptions,
): Promise<AppliedPath> {
  if (receiver !== undefined) return openUpdatePath(suite, setting, path, receiver.leaf, receiver.encryptionPrivateKey);
  if (ownPath === undefined) throw new MlsError('own-secrets-missing', 'path of our leaf');
  return applyOwnUpdatePath(suite, setting, path, pathSecretsOf(ownPath));
}
