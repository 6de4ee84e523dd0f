import { Secret, utf8 } from '../../../src/bytes/index.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { deriveEmulationEpoch, type EmulationEpoch } from '../../../src/virtual-client/emulation-epoch.ts';
import { VirtualClientError } from '../../../src/virtual-client/errors.ts';
import type { RandomSource } from '../../../src/virtual-client/operation-secrets.ts';
import type { Protocol } from '../../../src/virtual-client/revision.ts';
import { draft00 } from '../../../src/virtual-client/revisions/draft-00.ts';
import { DecodeError } from '../../../src/wire/index.ts';

export const suite = getSuite(1);
export const suite3 = getSuite(3);
export const protocol: Protocol = { suite, revision: draft00 };

/** Repeatable random bytes: the hash of a name and a counter. */
export function randomFrom(name: string): RandomSource {
  let counter = 0;
  return (length) => suite.expand(suite.hash(utf8(`${name} ${counter++}`)), utf8('random'), length);
}

export interface EpochOptions {
  readonly name?: string;
  readonly leafCount?: number;
  readonly occupied?: readonly number[];
  readonly own?: number | undefined;
}

/** The same epoch as each of its members (or a newcomer) holds it. */
export function epochOf({ name = 'epoch', leafCount = 4, occupied = [0, 1, 2], own }: EpochOptions = {}): EmulationEpoch {
  return deriveEmulationEpoch(protocol, Secret.of('component_secret', suite.hash(utf8(name))), {
    epoch: 5n,
    leafCount,
    roster: occupied.map((emulatorLeaf) => ({ emulatorLeaf, signatureKey: suite.hash(utf8(`device ${emulatorLeaf}`)) })),
    ownEmulatorLeaf: own,
  }).next;
}

/** The stable code of what `run` throws; fails the test when it throws nothing of ours. */
export function codeOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof VirtualClientError || error instanceof DecodeError) return error.code;
    throw error;
  }
  throw new Error('it was accepted');
}

/** As `codeOf`, for promises. */
export async function rejectionCode(promise: Promise<unknown>): Promise<string> {
  const outcome = await promise.then(
    () => () => undefined,
    (error: unknown) => () => {
      throw error;
    },
  );
  return codeOf(outcome);
}

/** `bytes` with one bit turned over. */
export function flipBit(bytes: Uint8Array, bit: number): Uint8Array {
  const flipped = bytes.slice();
  flipped[bit >> 3]! ^= 0x80 >> (bit & 7);
  return flipped;
}
