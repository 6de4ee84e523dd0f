import { toHex, type Secret } from '../../src/bytes/index.ts';
import { getSuite } from '../../src/mls/index.ts';
import { sealDerivationInfo } from '../../src/virtual-client/derivation-info.ts';
import type { EmulationEpoch } from '../../src/virtual-client/emulation-epoch.ts';
import { deriveEncryptionKeyPair } from '../../src/virtual-client/operation-keys.ts';
import { allocateOperation, operationLeaf, type Operation } from '../../src/virtual-client/operation-secrets.ts';
import type { Protocol } from '../../src/virtual-client/revision.ts';
import { draft00 } from '../../src/virtual-client/revisions/draft-00.ts';
import type { VectorRandom } from './random.ts';
import type { OperationInputs } from './types.ts';

export const suite = getSuite(1);
export const protocol: Protocol = { suite, revision: draft00 };

/** The vector's emulation epoch: each operation punctures the state that the one before left. */
export class VectorEpoch {
  readonly #random: VectorRandom;
  #state: EmulationEpoch;

  constructor(state: EmulationEpoch, random: VectorRandom) {
    this.#state = state;
    this.#random = random;
  }

  get state(): EmulationEpoch {
    return this.#state;
  }

  /** The next operation of any device. */
  allocate(): Operation {
    const random = this.#random;
    const acting = { ...this.#state, ownEmulatorLeaf: random.below(this.#state.leafCount) };
    const { next, value } = allocateOperation(protocol, acting, (length) => random.distinct('bytes', () => random.bytes(length)));
    this.#state = { ...next, ownEmulatorLeaf: undefined };
    return value;
  }

  /** The operation's leaf key for a group of suite 1, and the DerivationInfo that goes with it. */
  leafOf(operation: Operation) {
    const { publicKey, privateKey } = deriveEncryptionKeyPair(protocol, operation, suite);
    return { publicKey, privateKey, derivationInfo: sealDerivationInfo(protocol, this.#state, operation, publicKey) };
  }
}

export function describeInputs(operation: Operation): OperationInputs {
  return {
    leaf_index: operation.emulatorLeaf,
    random: toHex(operation.random),
    pprf_leaf: operationLeaf(protocol, operation.emulatorLeaf, operation.random),
    operation_secret: hex(operation.operationSecret),
  };
}

export function hex(secret: Secret<string>): string {
  return toHex(secret.reveal());
}
