import type { Secret } from '../bytes/index.ts';
import type { CipherSuiteId } from '../virtual-client/ciphersuite.ts';
import type { GroupContext, LeafNode, ProposalMessage } from './ts-mls.ts';
import type { RatchetTree } from './ratchet-tree.ts';
import type { SafeExporter } from './safe-exporter.ts';
import type { SecretTree } from './secret-tree.ts';

/**
 * One member's view of one MLS group. Immutable: every operation returns a new state that shares
 * what did not change with the old one, so `a.tree !== b.tree` says that the tree must be stored
 * again. Secrets that left the state come back in `spent` (see `Spending`).
 */
export interface GroupState {
  readonly suite: CipherSuiteId;
  readonly context: GroupContext;
  readonly tree: RatchetTree;
  /** Own leaf's index in this group's tree. */
  readonly ownLeaf: number;
  readonly keys: OwnKeys;
  readonly schedule: EpochSecrets;
  readonly secretTree: SecretTree;
  /** Present in groups that use the safe exporter (the emulation group); undefined elsewhere. */
  readonly exporter: SafeExporter | undefined;
  readonly confirmationTag: Uint8Array;
  readonly interimTranscriptHash: Uint8Array;
  /** Proposals of this epoch by reference, in order of arrival. */
  readonly proposals: readonly ProposalMessage[];
  /** Newest first, bounded by MAX_PAST_EPOCHS. */
  readonly pastEpochs: readonly PastEpoch[];
}

/** Private keys of the own leaf and of the nodes above it that this member knows. */
export interface OwnKeys {
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  /** By node index in the tree array (RFC 9420 appendix C). */
  readonly pathPrivateKeys: ReadonlyMap<number, Secret<'path_private_key'>>;
}

/** RFC 9420 section 8, what is kept of it during the epoch. `epoch_secret` itself is never kept. */
export interface EpochSecrets {
  readonly senderDataSecret: Secret<'sender_data_secret'>;
  readonly exporterSecret: Secret<'exporter_secret'>;
  readonly externalSecret: Secret<'external_secret'>;
  readonly confirmationKey: Secret<'confirmation_key'>;
  readonly membershipKey: Secret<'membership_key'>;
  readonly resumptionPsk: Secret<'resumption_psk'>;
  readonly epochAuthenticator: Uint8Array;
  readonly initSecret: Secret<'init_secret'>;
}

/** What late messages of an ended epoch need, and nothing that makes new ones. */
export interface PastEpoch {
  readonly context: GroupContext;
  readonly senderDataSecret: Secret<'sender_data_secret'>;
  readonly resumptionPsk: Secret<'resumption_psk'>;
  readonly secretTree: SecretTree;
  /** Leaves that could send in that epoch. */
  readonly leaves: ReadonlyMap<number, LeafNode>;
  readonly ownLeaf: number;
}
