import { FF1 } from '@noble/ciphers/ff1.js';
import type { Revision } from './revision.ts';

/**
 * Draft section 5.7: FF1 of NIST SP 800-38G over 32-bit integers, AES-128, empty tweak. The
 * revision fixes which numeral is which bit. noble's BinaryFF1 takes bits in another order.
 */
const RADIX = 2;

/** `output = SmallSpacePRP.Encrypt(key, input)`; both uint32, `key` of 16 bytes. */
export function prpEncrypt(revision: Revision, key: Uint8Array, input: number): number {
  return revision.prpValue(FF1(RADIX, key).encrypt(revision.prpNumerals(input)));
}

/** `input = SmallSpacePRP.Decrypt(key, output)` */
export function prpDecrypt(revision: Revision, key: Uint8Array, output: number): number {
  return revision.prpValue(FF1(RADIX, key).decrypt(revision.prpNumerals(output)));
}
