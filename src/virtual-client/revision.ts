import type { Secret } from '../bytes/index.ts';
import type { CipherSuite } from './ciphersuite.ts';

/** Component IDs of the Safe Application Interface (reading section 1); all are uint16. */
export interface ComponentIds {
  readonly appComponents: number;
  readonly safeAad: number;
  readonly emulatorEpochSecret: number;
  readonly derivationInfo: number;
  readonly virtualClientAction: number;
  readonly newEmulatorClientState: number;
  readonly recovery: number;
  readonly accountBinding: number;
}

/** Children of `emulator_epoch_secret`. */
export interface EpochLabels {
  readonly epochId: string;
  readonly epochBaseSecret: string;
  readonly epochEncryptionKey: string;
  readonly generationIdSecret: string;
}

/** Children of `operation_secret`. */
export interface OperationLabels {
  readonly signatureKeySecret: string;
  readonly encryptionKeySecret: string;
  readonly initKeySecret: string;
  readonly pathGenerationSecret: string;
  readonly leafNodeSecret: string;
  readonly externalInitSeed: string;
  readonly groupCreationSecret: string;
}

/** What a DerivationInfoComponent carries in clear. */
export interface DerivationInfoFields {
  readonly epochId: Uint8Array;
  readonly ciphertext: Uint8Array;
}

/** What it carries encrypted: who acts, with which random value. */
export interface EpochInfo {
  readonly emulatorLeaf: number;
  readonly random: Uint8Array;
}

/**
 * All that one revision of the draft fixes and another may fix differently. The rest of this
 * package asks it, so a later revision is one more file in `revisions/`.
 */
export interface Revision {
  readonly name: string;
  readonly components: ComponentIds;
  readonly epochLabels: EpochLabels;
  readonly operationLabels: OperationLabels;
  readonly targetSuiteLabel: string;
  readonly generationIdLabel: string;
  /** `pprf_input` of an operation. */
  pprfInput(suite: CipherSuite, emulatorLeaf: number, random: Uint8Array): Uint8Array;
  /** `LeafNode(Input)`: which of the 2^32 PPRF leaves holds the operation's secret. */
  pprfLeaf(pprfInput: Uint8Array): number;
  /** `prp_key` of the reuse guard, 16 bytes. The caller wipes it. */
  prpKey(suite: CipherSuite, leafNodeSecret: Secret<'leaf_node_secret'>, keyScheduleNonce: Uint8Array): Uint8Array;
  /** The 32 numerals that FF1 permutes, and back. */
  prpNumerals(value: number): number[];
  prpValue(numerals: readonly number[]): number;
  /** AEAD key and nonce of the DerivationInfo in the LeafNode with this `encryption_key`. The caller wipes the key. */
  derivationInfoKey(
    suite: CipherSuite,
    epochEncryptionKey: Secret<'epoch_encryption_key'>,
    encryptionKey: Uint8Array,
  ): { readonly key: Uint8Array; readonly nonce: Uint8Array };
  encodeDerivationInfo(info: DerivationInfoFields): Uint8Array;
  /** @throws DecodeError */
  decodeDerivationInfo(suite: CipherSuite, bytes: Uint8Array): DerivationInfoFields;
  encodeEpochInfo(info: EpochInfo): Uint8Array;
  /** @throws DecodeError */
  decodeEpochInfo(suite: CipherSuite, bytes: Uint8Array): EpochInfo;
}

/** The emulation group's ciphersuite and the draft's revision: what every function here needs to know. */
export interface Protocol {
  readonly suite: CipherSuite;
  readonly revision: Revision;
}
