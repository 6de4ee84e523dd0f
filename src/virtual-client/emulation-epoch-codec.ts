import { Secret } from '../bytes/index.ts';
import { DecodeError, decode, encode, type Reader, type Writer } from '../wire/index.ts';
import { checkMembership, MAX_EMULATOR_LEAVES, type EmulationEpoch, type EmulatorLeaf, type EpochMembership } from './emulation-epoch.ts';
import { readEpochId } from './epoch-id.ts';
import { VirtualClientError } from './errors.ts';
import { changedPprfRecords, decodePprfRecords, readPprfState, writePprfState } from './pprf-codec.ts';
import type { Protocol } from './revision.ts';

/**
 * Reading section 10, for a device that is being linked. The own leaf is left out: the newcomer has
 * none in an epoch that it was no member of.
 *
 *     struct { uint32 leaf_index; opaque signature_key<V>; } EmulatorLeaf;
 *     struct { opaque epoch_id<V>; uint64 epoch; uint32 leaf_count; EmulatorLeaf leaves<V>; PprfState pprf;
 *              opaque epoch_encryption_key<V>; opaque generation_id_secret<V>; } EmulationEpochState;
 */
export function writeEmulationEpochState(writer: Writer, epoch: EmulationEpoch): void {
  writer.opaque(epoch.epochId).uint64(epoch.epoch).uint32(epoch.leafCount).vector(epoch.roster, writeLeaf);
  writePprfState(writer, epoch.pprf);
  writer.opaque(epoch.epochEncryptionKey.reveal()).opaque(epoch.generationIdSecret.reveal());
}

/** @throws DecodeError; `ownEmulatorLeaf` is undefined in the result. */
export function readEmulationEpochState(reader: Reader, protocol: Protocol): EmulationEpoch {
  const { suite } = protocol;
  const epochId = readEpochId(reader, suite);
  const membership = { ...readRoster(reader), ownEmulatorLeaf: undefined };
  checked(membership);
  return { epochId, ...membership, pprf: readPprfState(reader, suite, 32), ...readKeys(reader, protocol) };
}

const VERSION = 1;
const HEADER = 'header';
const PPRF = 'pprf/';

/**
 * The device's own storage form, by record name: `header`, and the PPRF in `pprf/...` pieces (see
 * pprf-codec.ts). Every record holds secrets.
 *
 *     struct { uint8 version = 1; opaque epoch_id<V>; uint64 epoch; uint32 leaf_count; EmulatorLeaf leaves<V>;
 *              optional<uint32> own_leaf; opaque epoch_encryption_key<V>; opaque generation_id_secret<V>; } Header;
 */
export function epochRecords(epoch: EmulationEpoch): Map<string, Uint8Array> {
  return changedEpochRecords(undefined, epoch).puts;
}

/** What to write and delete when `previous` is stored and `next`, a later state of the same epoch, takes its place. */
export function changedEpochRecords(
  previous: EmulationEpoch | undefined,
  next: EmulationEpoch,
): { readonly puts: Map<string, Uint8Array>; readonly deletes: string[] } {
  const pprf = changedPprfRecords(previous?.pprf, next.pprf);
  const puts = new Map(Array.from(pprf.puts, ([name, bytes]) => [PPRF + name, bytes] as const));
  if (previous === undefined) puts.set(HEADER, encodeHeader(next));
  return { puts, deletes: pprf.deletes.map((name) => PPRF + name) };
}

/** @throws DecodeError, also on a record of an unknown name. */
export function decodeEpochRecords(protocol: Protocol, records: ReadonlyMap<string, Uint8Array>): EmulationEpoch {
  const header = records.get(HEADER);
  if (header === undefined) throw new DecodeError('truncated', 'emulation epoch without its header');
  const pieces: Uint8Array[] = [];
  for (const [name, bytes] of records) {
    if (name.startsWith(PPRF)) pieces.push(bytes);
    else if (name !== HEADER) throw new DecodeError('invalid-value', 'unknown record of an emulation epoch');
  }
  const pprf = decodePprfRecords(protocol.suite, 32, pieces);
  return decode(header, 'emulation epoch', (r) => {
    if (r.uint8('version') !== VERSION) throw new DecodeError('invalid-value', 'version of an emulation epoch');
    const epochId = readEpochId(r, protocol.suite);
    const roster = readRoster(r);
    const membership = { ...roster, ownEmulatorLeaf: r.optional('own_leaf', (inner) => inner.uint32('own_leaf')) };
    checked(membership);
    return { epochId, ...membership, pprf, ...readKeys(r, protocol) };
  });
}

function encodeHeader(epoch: EmulationEpoch): Uint8Array {
  return encode((w) =>
    w
      .uint8(VERSION)
      .opaque(epoch.epochId)
      .uint64(epoch.epoch)
      .uint32(epoch.leafCount)
      .vector(epoch.roster, writeLeaf)
      .optional(epoch.ownEmulatorLeaf, (inner, leaf) => inner.uint32(leaf))
      .opaque(epoch.epochEncryptionKey.reveal())
      .opaque(epoch.generationIdSecret.reveal()),
  );
}

function writeLeaf(writer: Writer, leaf: EmulatorLeaf): void {
  writer.uint32(leaf.emulatorLeaf).opaque(leaf.signatureKey);
}

function readRoster(reader: Reader): Omit<EpochMembership, 'ownEmulatorLeaf'> {
  const epoch = reader.uint64('epoch');
  const leafCount = reader.uint32('leaf_count');
  const readLeaf = (r: Reader): EmulatorLeaf => ({
    emulatorLeaf: r.uint32('leaf_index'),
    signatureKey: r.opaque('signature_key', MAX_SIGNATURE_KEY),
  });
  return { epoch, leafCount, roster: reader.vector('leaves', readLeaf, MAX_EMULATOR_LEAVES) };
}

/** Ed25519 keys have 32 bytes; P-521's, the longest of RFC 9420, 133. */
const MAX_SIGNATURE_KEY = 133;

function readKeys(reader: Reader, { suite }: Protocol): Pick<EmulationEpoch, 'epochEncryptionKey' | 'generationIdSecret'> {
  return {
    epochEncryptionKey: Secret.of('epoch_encryption_key', reader.opaqueOf(suite.nh, 'epoch_encryption_key')),
    generationIdSecret: Secret.of('generation_id_secret', reader.opaqueOf(suite.nh, 'generation_id_secret')),
  };
}

/** In bytes from outside an impossible membership is malformed input, not a caller's mistake. */
function checked(membership: EpochMembership): void {
  try {
    checkMembership(membership);
  } catch (error) {
    if (error instanceof VirtualClientError) throw new DecodeError('invalid-value', `emulation epoch: ${error.code}`);
    throw error;
  }
}
