import { prepareEmulationMessage } from './emulation-group.ts';
import { untoldInvitation } from './invitation.ts';
import { encodeInvitationMessage } from './invitation-link.ts';
import type { Turn } from './turn.ts';

/** Tells the siblings of a link (see invitation.ts). */
export async function prepareInvitationMessage(turn: Turn, id: string): Promise<void> {
  const invitation = untoldInvitation(turn.state, id);
  if (invitation === undefined) return;
  const content = encodeInvitationMessage(invitation);
  await prepareEmulationMessage(turn, 'invitation', content);
  content.fill(0);
}
