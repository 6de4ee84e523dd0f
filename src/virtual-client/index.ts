/**
 * MLS Virtual Clients (draft-ietf-mls-virtual-clients) as pure functions: no I/O, no clock, no own
 * randomness. A state is never changed in place; what uses something up returns a `Spending`:
 * persist `next`, wipe `spent`, then use `value`.
 */
export type { CipherSuite, CipherSuiteId, HpkeKeyPair } from './ciphersuite.ts';
export type { Protocol, Revision, ComponentIds, EpochInfo } from './revision.ts';
export { draft00 } from './revisions/draft-00.ts';
export { VirtualClientError, type VirtualClientErrorCode } from './errors.ts';
export { epochIdOf, readEpochId, type EpochId } from './epoch-id.ts';

export { canEvaluate, createPprf, evaluate, isPunctured, pprfNodes, type PprfDepth, type PprfNode, type PprfState } from './pprf.ts';
export { decodePprfState, encodePprfState } from './pprf-codec.ts';
export {
  deriveEmulationEpoch,
  epochSecrets,
  isInRoster,
  MAX_EMULATOR_LEAVES,
  type EmulationEpoch,
  type EmulatorLeaf,
  type EpochMembership,
} from './emulation-epoch.ts';
export { changedEpochRecords, decodeEpochRecords, epochRecords } from './emulation-epoch-codec.ts';

export {
  allocateOperation,
  canEvaluateOperation,
  decodeRetainedOperation,
  encodeRetainedOperation,
  evaluateOperation,
  operationLeaf,
  type Operation,
  type RandomSource,
} from './operation-secrets.ts';
export {
  activate,
  deriveEncryptionKeyPair,
  deriveExternalInitKeyPair,
  deriveGroupCreationSecret,
  deriveInitKeyPair,
  deriveLeafNodeSecret,
  derivePathKeys,
  derivePathSecret,
  expandPath,
  type PathKeys,
  type SecretKeyPair,
} from './operation-keys.ts';
export { decodeLiveLeaf, encodeLiveLeaf, type LiveLeaf } from './live-leaf.ts';
export { decodeDerivationInfo, followLeaf, openDerivationInfo, sealDerivationInfo, type DerivationInfo } from './derivation-info.ts';

export {
  createReuseGuard,
  decodeGuardKey,
  encodeGuardKey,
  guardKey,
  recoverSender,
  type GuardKey,
  type ReuseGuard,
} from './reuse-guard.ts';
export { generationId, type RatchetType } from './generation-id.ts';

export { decodeSafeAad, encodeSafeAad, type SafeAadItem } from './safe-aad.ts';
export {
  checkKeyPackageUpload,
  decodeAction,
  decodeActionAad,
  encodeAction,
  encodeActionAad,
  MAX_KEY_PACKAGES_PER_UPLOAD,
  type ExternalJoin,
  type KeyPackageInfo,
  type KeyPackageUpload,
  type VirtualClientAction,
} from './actions.ts';

export {
  componentOperationLabel,
  decodeAccountBinding,
  encodeAccountBinding,
  encodeAccountBindingTbs,
  signAccountBinding,
  verifyAccountBinding,
  type AccountBinding,
  type BoundLeaf,
  type LabelSigner,
  type LabelVerifier,
} from './account-binding.ts';
export { deriveRecoveryKey, recoveryContent, signRecovery, verifyRecovery, type RecoveryGrant, type RecoveryKey } from './recovery.ts';

export {
  decodeNewEmulatorClientState,
  encodeNewEmulatorClientState,
  type ActiveKeyPackage,
  type NewEmulatorClientState,
  type SigningKeyMaterial,
} from './onboarding.ts';
export { openStateBlob, sealStateBlob, type HigherLevelGroupState, type StateReference, type StateTransfer } from './group-transfer.ts';
export { forgettableEpochs, namedEpochs, type EpochNames } from './retention.ts';
