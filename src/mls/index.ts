/**
 * MLS (RFC 9420) as Chorus uses it: a group's state is a value, and each operation a function that
 * judges everything first and then returns the next one.
 */
export type { MlsSuite, Random, SignatureKeyPair } from './crypto-suite.ts';
export { getSuite } from './suite.ts';
export { MlsError, type MlsErrorCode } from './errors.ts';
export type { EpochSecrets, GroupState, OwnKeys, PastEpoch } from './group-state.ts';
export type { LeafCheck, LeafPlaceInGroup } from './leaf-policy.ts';
export type { OwnPath } from './own-path.ts';

export { createGroup, joinFromEpochZero, type CreateOptions, type EpochZeroOptions } from './create.ts';
export { joinByWelcome, type Joined, type JoinOptions } from './join.ts';
export { externalCommit, followExternalCommit, type ExternalCommitOptions, type MadeExternalCommit } from './external-commit.ts';
export { commit, type CommitOptions, type CommitPath, type MadeCommit } from './commit.ts';
export { protectApplication, propose, type MadeProposal } from './propose.ts';
export type { SentAs } from './sent.ts';
export type { References } from './select-proposals.ts';
export {
  keepProposal,
  open,
  MAX_MESSAGE_LENGTH,
  type Opened,
  type OpenedApplication,
  type OpenedCommit,
  type OpenedProposal,
  type Protection,
} from './process.ts';
export { applyCommit, type ApplyOptions, type CommitEffects } from './apply-commit.ts';
export type { AddedMember, LeafAt, ReplacedLeaf } from './stage-proposals.ts';
export { forgetPastEpochs, MAX_PAST_EPOCHS, secretsOfGroup } from './past-epochs.ts';
export { changedRecords, decodeGroup, decodeGroupTransfer, encodeGroup, encodeGroupTransfer, type GroupRecords } from './group-codec.ts';
export { readGroupInfo, type GroupInfoView } from './group-info.ts';
export { exportComponentSecret, findLeaf, groupInfoOf, leafAt, leafCountOf, memberLeaves } from './group-view.ts';
export { exportSecret } from './key-schedule.ts';
export type { FindPsk } from './psk.ts';
export type { Guard } from './private-message.ts';
export type { RatchetType } from './secret-tree.ts';

export { buildKeyPackageLeaf, buildUpdateLeaf, type LeafPosition, type LeafTemplate } from './leaf-node.ts';
export { buildKeyPackage, keyPackageRef, validateKeyPackage, type KeyPackageTemplate } from './key-package.ts';
export { APP_DATA_DICTIONARY, dictionaryOf, encodeComponentIds, getComponent, setComponent } from './app-data-dictionary.ts';

export {
  decodeExact,
  keyPackageCodec,
  leafNodeCodec,
  mlsMessageCodec,
  suiteId,
  suiteName,
  type Capabilities,
  type Credential,
  type Extension,
  type GroupContext,
  type KeyPackage,
  type LeafNode,
  type Lifetime,
  type MLSMessage,
  type PreSharedKeyID,
  type Proposal,
  type ProposalMessage,
  type Sender,
} from './ts-mls.ts';
