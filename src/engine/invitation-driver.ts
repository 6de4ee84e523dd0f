import { equal, toHex } from '../bytes/index.ts';
import { readGroupInfo } from '../mls/index.ts';
import type { CommandProblem } from './command.ts';
import { isNamed } from './errors.ts';
import { decodeInvitationCode, invitationKeyIn, invitationKeyOf, signInvitationRequest } from './invitation-link.ts';
import { accountOf } from './leaf-check.ts';
import type { AccountDescription, DeliveryAnswer, DeliveryCalls } from './ports.ts';
import { GROUP_SUITE } from './protocol.ts';
import type { EngineState } from './state.ts';
import type { InvitationView } from './view.ts';

/** What a person sees of a conversation before they join it by a link. It changes nothing. */

/** What the runtime does for it. */
export interface InvitationHands {
  state(): Promise<EngineState>;
  ask<Call extends 'open-invitation' | 'describe-accounts'>(
    call: Call,
    request: DeliveryCalls[Call]['request'],
  ): Promise<DeliveryAnswer<Call>>;
}

export type OpenedInvitation =
  { readonly ok: true; readonly invitation: InvitationView } | { readonly ok: false; readonly problem: CommandProblem };

/** As many names as a person reads. */
const MAX_NAMED = 20;

const opened = (invitation: InvitationView): OpenedInvitation => ({ ok: true, invitation });
const failed = (problem: CommandProblem): OpenedInvitation => ({ ok: false, problem });

export async function openInvitation({ state, ask }: InvitationHands, code: string): Promise<OpenedInvitation> {
  const { account, conversations } = await state();
  if (account === undefined) return failed('not-ready');
  const invitation = decodeInvitationCode(code);
  if (invitation === undefined) return failed('invitation-malformed');
  const { groupId, seed, title } = invitation;
  try {
    const conversationId = toHex(groupId);
    const known = conversations.get(conversationId);
    if (known !== undefined && known.state !== 'left') {
      return opened({ conversationId, title: known.title, members: [], count: known.members.length, joined: true });
    }
    const proof = signInvitationRequest(seed, groupId, account.accountId);
    const answer = await ask('open-invitation', { groupId, proof });
    if (answer.outcome === 'unreachable') return failed('offline');
    if (answer.outcome === 'refused') return failed(answer.problem.type === 'invitation-refused' ? 'invitation-over' : 'internal');
    const { context, leaves } = readGroupInfo(GROUP_SUITE, answer.value.groupInfo);
    const key = invitationKeyIn(context.extensions);
    if (!equal(context.groupId, groupId) || key === undefined || !equal(key, invitationKeyOf(seed))) return failed('invitation-over');
    const accountIds = leaves.map(accountOf);
    const named = await ask('describe-accounts', { accountIds: accountIds.slice(0, MAX_NAMED) });
    const described: readonly AccountDescription[] = named.outcome === 'done' ? named.value.accounts : [];
    const members = described.map(({ username }) => username);
    return opened({ conversationId, title, members, count: accountIds.length, joined: false });
  } catch (error) {
    if (isNamed(error)) return failed('invitation-over');
    throw error;
  } finally {
    seed.wipe();
  }
}
