import { decodeExact, mlsMessageCodec, type KeyPackage, type Lifetime } from '../mls/index.ts';
import { DecodeError } from '../wire/index.ts';
import { KEY_PACKAGE_LIFETIME } from './retention.ts';

/** KeyPackages travel as MLSMessages (RFC 9420 section 6). */
export function encodeKeyPackage(keyPackage: KeyPackage): Uint8Array {
  return mlsMessageCodec.encode({ version: 'mls10', wireformat: 'mls_key_package', keyPackage });
}

/** @throws DecodeError */
export function decodeKeyPackage(bytes: Uint8Array): KeyPackage {
  const message = decodeExact(mlsMessageCodec, bytes);
  if (message.wireformat !== 'mls_key_package') throw new DecodeError('invalid-value', 'not a KeyPackage');
  return message.keyPackage;
}

/** Lifetimes are judged by the server's time of acceptance, which is the same for all: ms to s. */
export function secondsOf(ms: number): bigint {
  return BigInt(Math.floor(ms / 1000));
}

/** Clocks of others may be behind ours by this much, s. */
const CLOCK_SKEW = 24 * 60 * 60;
/** Commits are judged by the server's clock: what is used must be good this much before and after, s. */
const MARGIN = 60 * 60;
/** Times in what others see are rounded down to this, s: to the second they would tell our devices' clocks apart. */
const GRAIN = 60 * 60;

/** Whether a KeyPackage's lifetime holds now, with room for clocks that differ. `now` in ms. */
export function isFresh({ leafNode }: KeyPackage, now: number): boolean {
  if (leafNode.leafNodeSource !== 'key_package') return false;
  const { notBefore, notAfter } = leafNode.lifetime;
  return notBefore + BigInt(MARGIN) <= secondsOf(now) && secondsOf(now) + BigInt(MARGIN) <= notAfter;
}

/** As long as its secrets are kept, from a little before `now` (ms); in seconds, as RFC 9420 has it. */
export function lifetimeFrom(now: number): Lifetime {
  const seconds = Math.floor(now / 1000 / GRAIN) * GRAIN;
  return { notBefore: BigInt(seconds - CLOCK_SKEW), notAfter: BigInt(seconds + KEY_PACKAGE_LIFETIME / 1000) };
}
