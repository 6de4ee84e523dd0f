import { encodeForgetMessage } from '../virtual-client/emulation-message.ts';
import { prepareEmulationMessage } from './emulation-group.ts';
import { toldTogether } from './forget.ts';
import type { Turn } from './turn.ts';

/** Tells the siblings of deleted messages (see forget.ts). */
export async function prepareForgetMessage(turn: Turn, id: string): Promise<void> {
  const told = toldTogether(turn.state, id);
  if (told !== undefined) await prepareEmulationMessage(turn, 'forget', encodeForgetMessage(told));
}
