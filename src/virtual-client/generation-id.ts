import { encode } from '../wire/index.ts';
import type { EmulationEpoch } from './emulation-epoch.ts';
import type { Protocol } from './revision.ts';

/** Draft section 5.9: `enum { reserved(0), application(1), handshake(2), (255) } RatchetType`. */
export type RatchetType = 'application' | 'handshake';

export const RATCHET_TYPE = { application: 1, handshake: 2 } as const satisfies Record<RatchetType, number>;

/**
 *     struct { uint32 generation; RatchetType ratchet_type; } PrivateMessageContext;
 *     generation_id = ExpandWithLabel(generation_id_secret, "generation id", PrivateMessageContext, Kdf.Nh)
 *
 * The epoch is the emulation epoch that the sending leaf names; the result goes to the server alone.
 */
export function generationId(
  { suite, revision }: Protocol,
  epoch: Pick<EmulationEpoch, 'generationIdSecret'>,
  generation: number,
  ratchetType: RatchetType,
): Uint8Array {
  const context = encode((w) => w.uint32(generation).uint8(RATCHET_TYPE[ratchetType]));
  return suite.expandWithLabel(epoch.generationIdSecret.reveal(), revision.generationIdLabel, context, suite.nh);
}
