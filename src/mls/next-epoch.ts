import { Secret } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { deriveEpochSecret, deriveJoinerSecret, deriveMemberSecret, startEpoch, type EpochKeys } from './key-schedule.ts';
import type { RatchetTree } from './ratchet-tree.ts';
import type { StagedProposals } from './stage-proposals.ts';
import { confirmationTag, confirmedTranscriptHash, interimTranscriptHash } from './transcript.ts';
import type { FramedContentCommit, GroupContext, WireformatName } from './ts-mls.ts';

/** From a commit that was made or judged to the epoch that it starts: RFC 9420 sections 8 and 12.4. */

/** The signed commit, without its confirmation tag: that comes from here. */
export interface SignedCommit {
  readonly wireformat: WireformatName;
  readonly content: FramedContentCommit;
  readonly signature: Uint8Array;
}

export interface EpochStart {
  readonly interimTranscriptHash: Uint8Array;
  readonly initSecret: Secret<'init_secret'>;
  readonly staged: StagedProposals;
  /** With the path, if there is one. */
  readonly tree: RatchetTree;
  /** undefined without a path: then it is Nh zeros. */
  readonly commitSecret: Secret<'commit_secret'> | undefined;
  readonly commit: SignedCommit;
  readonly useSafeExporter: boolean;
}

export interface NextEpoch extends EpochKeys {
  readonly context: GroupContext;
  readonly confirmationTag: Uint8Array;
  readonly interimTranscriptHash: Uint8Array;
  /** For a Welcome; the caller wipes both. */
  readonly joinerSecret: Secret<'joiner_secret'>;
  readonly memberSecret: Secret<'member_secret'>;
}

/** Leaves its arguments alone, the secrets included. */
export function startNextEpoch(suite: MlsSuite, start: EpochStart): NextEpoch {
  const { staged, tree } = start;
  const context: GroupContext = {
    ...staged.context,
    treeHash: tree.hash(suite),
    confirmedTranscriptHash: confirmedTranscriptHash(suite, start.interimTranscriptHash, start.commit),
  };
  const commitSecret = start.commitSecret ?? Secret.of('commit_secret', new Uint8Array(suite.nh));
  const joinerSecret = deriveJoinerSecret(suite, start.initSecret, commitSecret, context);
  const memberSecret = deriveMemberSecret(suite, joinerSecret, staged.pskSecret);
  const keys = startEpoch(suite, deriveEpochSecret(suite, memberSecret, context), {
    leafCount: tree.leafCount,
    useSafeExporter: start.useSafeExporter,
  });
  const tag = confirmationTag(suite, keys.schedule.confirmationKey, context.confirmedTranscriptHash);
  return {
    ...keys,
    context,
    confirmationTag: tag,
    interimTranscriptHash: interimTranscriptHash(suite, context.confirmedTranscriptHash, tag),
    joinerSecret,
    memberSecret,
  };
}
