import { equal, Secret } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/ciphersuite.ts';
import { MlsError } from './errors.ts';
import type { GroupState } from './group-state.ts';
import { encodePskLabel, type PreSharedKeyID } from './ts-mls.ts';

/** RFC 9420 section 8.4. */

/** The value of a pre-shared key, undefined when it is not known. */
export type FindPsk = (id: PreSharedKeyID) => Secret<'psk'> | Secret<'resumption_psk'> | undefined;

/** Resumption PSKs of a group's current and kept past epochs. */
export function resumptionPsksOf(state: GroupState): FindPsk {
  return (id) => {
    if (id.psktype !== 'resumption' || !equal(id.pskGroupId, state.context.groupId)) return undefined;
    if (id.pskEpoch === state.context.epoch) return state.schedule.resumptionPsk;
    return state.pastEpochs.find(({ context }) => context.epoch === id.pskEpoch)?.resumptionPsk;
  };
}

/**
 * `psk_secret` of the PSKs in their order; Nh zeros when there are none.
 *
 *     psk_extracted_[i] = KDF.Extract(0, psk_[i])
 *     psk_input_[i] = ExpandWithLabel(psk_extracted_[i], "derived psk", PSKLabel, KDF.Nh)
 *     psk_secret_[0] = 0, psk_secret_[i] = KDF.Extract(psk_input_[i-1], psk_secret_[i-1])
 *     struct { PreSharedKeyID id; uint16 index; uint16 count; } PSKLabel;
 *
 * @throws MlsError 'invalid-psk-nonce', 'unknown-psk'
 */
export function derivePskSecret(suite: CipherSuite, ids: readonly PreSharedKeyID[], find: FindPsk): Secret<'psk_secret'> {
  const zeros = new Uint8Array(suite.nh);
  let secret: Uint8Array = new Uint8Array(suite.nh);
  for (const [index, id] of ids.entries()) {
    if (id.pskNonce.length !== suite.nh) throw new MlsError('invalid-psk-nonce');
    const psk = find(id);
    if (psk === undefined) throw new MlsError('unknown-psk');
    const extracted = suite.extract(zeros, psk.reveal());
    const input = suite.expandWithLabel(extracted, 'derived psk', encodePskLabel({ id, index, count: ids.length }), suite.nh);
    const next = suite.extract(input, secret);
    for (const used of [extracted, input, secret]) used.fill(0);
    secret = next;
  }
  return Secret.of('psk_secret', secret);
}
