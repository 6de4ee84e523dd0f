import { utf8 } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { Writer } from '../wire/index.ts';

/**
 * RFC 9420 section 5.2: `RefHash(label, value) = Hash(RefHashInput)` with
 * `struct { opaque label<V>; opaque value<V>; } RefHashInput;`, label "MLS 1.0 Proposal Reference"
 * over an AuthenticatedContent or "MLS 1.0 KeyPackage Reference" over a KeyPackage.
 */
export function refHash(suite: CipherSuite, label: string, value: Uint8Array): Uint8Array {
  return suite.hash(new Writer().opaque(utf8(label)).opaque(value).finish());
}
