import type { Sealed } from './private-message.ts';

/** A message that was made, and what its PrivateMessage used up. */
export type SentAs = Pick<Sealed, 'message' | 'generation' | 'ratchetType' | 'keyScheduleNonce'>;

export function sealedAs({ message, generation, ratchetType, keyScheduleNonce }: Sealed): SentAs {
  return { message, generation, ratchetType, keyScheduleNonce };
}

/** A PublicMessage uses no generation up. */
export const NOT_SEALED: Omit<SentAs, 'message'> = { generation: 0, ratchetType: 'handshake', keyScheduleNonce: new Uint8Array(0) };
