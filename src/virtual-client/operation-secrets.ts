import { Secret, type Spending } from '../bytes/index.ts';
import { decode, encode, type Reader, type Writer } from '../wire/index.ts';
import { isInRoster, type EmulationEpoch } from './emulation-epoch.ts';
import { readEpochId, type EpochId } from './epoch-id.ts';
import { VirtualClientError } from './errors.ts';
import { canEvaluate, evaluate } from './pprf.ts';
import type { Protocol } from './revision.ts';

/** Source of randomness: `length` fresh bytes. */
export type RandomSource = (length: number) => Uint8Array;

/**
 * One thing that the virtual client does: a KeyPackage, a LeafNode, an UpdatePath, a group's
 * creation, an external join. All of its keys come from `operationSecret` (operation-keys.ts).
 */
export interface Operation {
  readonly epochId: EpochId;
  /** Leaf in the emulation group of the device that acts. */
  readonly emulatorLeaf: number;
  /** Nh bytes, not secret. */
  readonly random: Uint8Array;
  readonly operationSecret: Secret<'operation_secret'>;
}

/**
 * A device draws N_e times on average until the residue fits. In 64 N_e draws it fails with
 * probability e^-64: then the source is broken.
 */
const DRAWS_PER_LEAF = 64;

/**
 * The next operation of this device (draft section 5.2, reading section 4):
 *
 *     struct { uint32 leaf_index; opaque random<V>; } HashInput;
 *     pprf_input       = Hash(HashInput)
 *     operation_secret = VirtualClientSecret(pprf_input)
 *
 * `random` is drawn anew until LeafNode(pprf_input) mod N_e is the own leaf, so that two devices never
 * take the same PPRF leaf, and that leaf is not punctured. **Persist `next` before anything derived
 * from the operation is sent**, then wipe `spent`.
 * @throws VirtualClientError 'no-own-leaf', 'random-exhausted', 'wrong-length'
 */
export function allocateOperation(protocol: Protocol, epoch: EmulationEpoch, random: RandomSource): Spending<EmulationEpoch, Operation> {
  const own = epoch.ownEmulatorLeaf;
  if (own === undefined) throw new VirtualClientError('no-own-leaf');
  for (let draw = 0; draw < DRAWS_PER_LEAF * epoch.leafCount; draw++) {
    const candidate = random(protocol.suite.nh);
    const leaf = operationLeaf(protocol, own, candidate);
    if (leaf % epoch.leafCount === own && canEvaluate(epoch.pprf, leaf)) return evaluateOperation(protocol, epoch, own, candidate);
  }
  throw new VirtualClientError('random-exhausted');
}

/**
 * The operation of any member of the epoch, from what it made known. The residue is not checked.
 * Run all checks that need no secret first; `next` goes into the store in one transaction with what
 * the operation changes (reading section 14), then wipe `spent`.
 * @throws VirtualClientError 'wrong-length', 'leaf-not-in-roster', 'leaf-punctured'
 */
export function evaluateOperation(
  protocol: Protocol,
  epoch: EmulationEpoch,
  emulatorLeaf: number,
  random: Uint8Array,
): Spending<EmulationEpoch, Operation> {
  if (!isInRoster(epoch, emulatorLeaf)) throw new VirtualClientError('leaf-not-in-roster');
  const leaf = operationLeaf(protocol, emulatorLeaf, random);
  const { next, value, spent } = evaluate(protocol.suite, epoch.pprf, leaf, 'operation_secret');
  return {
    next: { ...epoch, pprf: next },
    value: { epochId: epoch.epochId, emulatorLeaf, random: random.slice(), operationSecret: value },
    spent,
  };
}

/** Whether the operation's secret can still be had. Leaves the epoch alone. @throws VirtualClientError 'wrong-length' */
export function canEvaluateOperation(protocol: Protocol, epoch: EmulationEpoch, emulatorLeaf: number, random: Uint8Array): boolean {
  return canEvaluate(epoch.pprf, operationLeaf(protocol, emulatorLeaf, random));
}

/** `LeafNode(Hash(HashInput))`: the operation's leaf in the epoch's PPRF. @throws VirtualClientError 'wrong-length' */
export function operationLeaf({ suite, revision }: Protocol, emulatorLeaf: number, random: Uint8Array): number {
  if (random.length !== suite.nh) throw new VirtualClientError('wrong-length', 'random');
  return revision.pprfLeaf(revision.pprfInput(suite, emulatorLeaf, random));
}

/**
 * An operation whose secret must still be kept: of an outstanding KeyPackage or a pending send.
 *
 *     struct { opaque epoch_id<V>; uint32 leaf_index; opaque random<V>; opaque operation_secret<V>; } RetainedOperation;
 */
export function writeRetainedOperation(writer: Writer, operation: Operation): void {
  writer.opaque(operation.epochId).uint32(operation.emulatorLeaf).opaque(operation.random).opaque(operation.operationSecret.reveal());
}

export function readRetainedOperation(reader: Reader, { suite }: Protocol): Operation {
  return {
    epochId: readEpochId(reader, suite),
    emulatorLeaf: reader.uint32('leaf_index'),
    random: reader.opaqueOf(suite.nh, 'random'),
    operationSecret: Secret.of('operation_secret', reader.opaqueOf(suite.nh, 'operation_secret')),
  };
}

export function encodeRetainedOperation(operation: Operation): Uint8Array {
  return encode((w) => writeRetainedOperation(w, operation));
}

export function decodeRetainedOperation(protocol: Protocol, bytes: Uint8Array): Operation {
  return decode(bytes, 'RetainedOperation', (r) => readRetainedOperation(r, protocol));
}
