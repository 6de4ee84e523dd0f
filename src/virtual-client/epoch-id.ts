import type { Brand } from '../bytes/index.ts';
import type { Reader } from '../wire/index.ts';
import type { CipherSuite } from './ciphersuite.ts';
import { VirtualClientError } from './errors.ts';

/** Name of one epoch of the emulation group (draft section 5.2); Nh bytes, not secret. */
export type EpochId = Brand<Uint8Array, 'EpochId'>;

/** @throws VirtualClientError 'wrong-length' */
export function epochIdOf(suite: CipherSuite, bytes: Uint8Array): EpochId {
  if (bytes.length !== suite.nh) throw new VirtualClientError('wrong-length', 'epoch_id');
  return bytes.slice() as EpochId;
}

/** `opaque epoch_id<V>` */
export function readEpochId(reader: Reader, suite: CipherSuite): EpochId {
  return reader.opaqueOf(suite.nh, 'epoch_id') as EpochId;
}
