import { equal, toHex, type Secret } from '../bytes/index.ts';
import type { GroupState } from '../mls/index.ts';
import type { Command, CommandProblem } from './command.ts';
import { enqueue, wasAsked } from './conversations.ts';
import { EngineError } from './errors.ts';
import { newJoin, putJoin } from './external-join.ts';
import {
  decodeInvitationCode,
  decodeInvitationMessage,
  encodeInvitationCode,
  invitationKeyIn,
  invitationKeyOf,
  makeInvitationSeed,
  signInvitationRequest,
  withInvitationKey,
  type Invitation,
} from './invitation-link.ts';
import { othersFrom } from './later.ts';
import { pendingItems } from './sending.ts';
import type { Conversation, EngineState, GroupInvitation } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * Invitation by link in a device's state: links that the account has made for its conversations, and joining by
 * one (draft section 5.5.2, in a group that no device of the account is in). All devices of the account know of
 * both: any can show the link, and any finishes a join.
 */

type CommandOf<Name extends Command['command']> = Extract<Command, { command: Name }>;

/** The person wants a new link, or none. */
export function changeInvitation(
  turn: Turn,
  { command, conversationId, messageId }: CommandOf<'makeInvitation' | 'withdrawInvitation'>,
): CommandProblem | undefined {
  const conversation = turn.state.conversations.get(conversationId);
  if (conversation === undefined || conversation.state !== 'member') return 'unknown-conversation';
  if (wasAsked(conversation, messageId)) return undefined;
  const seed = command === 'makeInvitation' ? makeInvitationSeed(turn.random) : undefined;
  enqueue(turn, conversationId, { kind: 'invite', messageId, seed });
  return undefined;
}

/** What goes behind `#/join/` in the link; undefined when no device of the account has made it, as far as this one knows. */
export function invitationCode({ groupId, title, invitation }: Conversation): string | undefined {
  return invitation?.seed && encodeInvitationCode({ groupId, title, seed: invitation.seed });
}

/** The person has followed a link. What can be known of it without the server is judged at once. */
export function joinByInvitation(turn: Turn, { code }: CommandOf<'joinByInvitation'>): CommandProblem | { conversationId: string } {
  const invitation = decodeInvitationCode(code);
  if (invitation === undefined) return 'invitation-malformed';
  const id = toHex(invitation.groupId);
  const conversation = turn.state.conversations.get(id);
  if (conversation !== undefined && conversation.state !== 'left') {
    invitation.seed.wipe();
    return 'already-member';
  }
  if (turn.state.externalJoins.get(id)?.invitation === undefined) putInvited(turn, invitation, true);
  else invitation.seed.wipe();
  return { conversationId: id };
}

function putInvited(turn: Turn, { groupId, seed, title }: Invitation, askedHere: boolean): void {
  const id = toHex(groupId);
  const proof = signInvitationRequest(seed, groupId, turn.account().accountId);
  const join = turn.state.externalJoins.get(id) ?? newJoin(groupId);
  putJoin(turn, id, {
    ...join,
    notBefore: askedHere ? turn.now : othersFrom(turn),
    invitation: { seed, title, proof, askedHere, told: !askedHere },
  });
}

/** A link that the siblings have to be told of; undefined when there is none. */
export function invitationToTell({ conversations, externalJoins }: EngineState): string | undefined {
  for (const [id, { invitation }] of externalJoins) if (invitation?.told === false) return id;
  for (const [id, { invitation }] of conversations) if (invitation?.told === false) return id;
  return undefined;
}

/** What they are told; the seed stays the state's. */
export function untoldInvitation({ conversations, externalJoins }: EngineState, id: string): Invitation | undefined {
  const join = externalJoins.get(id);
  if (join?.invitation?.told === false) return { groupId: join.groupId, ...join.invitation };
  const conversation = conversations.get(id);
  if (conversation?.invitation?.seed === undefined || conversation.invitation.told) return undefined;
  return { groupId: conversation.groupId, title: conversation.title, seed: conversation.invitation.seed };
}

/** A device of the account, this one included, has told of a link. @throws DecodeError, EngineError 'bad-content' */
export function followInvitationMessage(turn: Turn, content: Uint8Array): void {
  const told = decodeInvitationMessage(content);
  content.fill(0);
  const { groupId, seed } = told;
  const id = toHex(groupId);
  const { emulation, conversations, externalJoins } = turn.state;
  if (emulation !== undefined && equal(groupId, emulation.groupId)) throw new EngineError('bad-content');
  const conversation = conversations.get(id);
  const join = externalJoins.get(id);
  if (join?.invitation !== undefined) {
    putJoin(turn, id, { ...join, invitation: { ...join.invitation, told: true } });
    turn.spend([seed]);
  } else if (conversation === undefined || conversation.state === 'left') {
    putInvited(turn, told, false);
  } else {
    const { invitation } = conversation;
    const isPresent = invitation !== undefined && equal(invitation.key, invitationKeyOf(seed));
    if (isPresent) turn.updateConversation(id, { invitation: { ...invitation, seed: invitation.seed ?? seed, told: true } });
    if (!isPresent || invitation.seed !== undefined) turn.spend([seed]);
  }
}

/** Of a group that this device comes into. @throws EngineError 'bad-content' */
export function invitationIn(group: GroupState): GroupInvitation | undefined {
  const key = invitationKeyIn(group.context.extensions);
  return key && { key, seed: undefined, told: true };
}

/** After a commit: the link goes on, is replaced or withdrawn; the seed of one that is over goes. @throws EngineError 'bad-content' */
export function followInvitation(turn: Turn, before: Conversation, group: GroupState): GroupInvitation | undefined {
  const { invitation } = before;
  const now = invitationIn(group);
  if (now !== undefined && invitation !== undefined && equal(now.key, invitation.key)) return invitation;
  if (invitation?.seed !== undefined) turn.spend([invitation.seed]);
  if (now === undefined) return undefined;
  const seed = pendingItems(before)
    .map((item) => (item.kind === 'invite' ? item.seed : undefined))
    .find((own) => own !== undefined && equal(invitationKeyOf(own), now.key));
  return seed === undefined ? now : { ...now, seed, told: false };
}

/** What is said of it in the conversation. */
export type InvitationChange = 'as-before' | 'invitation-made' | 'invitation-withdrawn';

export function invitationChange(previous: GroupState, group: GroupState): InvitationChange {
  const before = invitationKeyIn(previous.context.extensions);
  const after = invitationKeyIn(group.context.extensions);
  if (after === undefined) return before === undefined ? 'as-before' : 'invitation-withdrawn';
  return before !== undefined && equal(before, after) ? 'as-before' : 'invitation-made';
}

/** A commit changes the invitation key in the GroupContext and nothing else there. @throws EngineError 'bad-content' */
export function checkContext(previous: GroupState, next: GroupState): void {
  const before = previous.context.extensions;
  const after = withInvitationKey(next.context.extensions, invitationKeyIn(before));
  const same =
    before.length === after.length &&
    before.every(({ extensionType, extensionData }, i) => {
      const against = after[i]!;
      return extensionType === against.extensionType && equal(extensionData, against.extensionData);
    });
  if (!same) throw new EngineError('bad-content');
}

/** Of the link that there is, and of those that are being made: the group is over for this device. */
export function invitationSeeds(conversation: Conversation): Secret<'invitation_seed'>[] {
  const made = pendingItems(conversation).map((item) => (item.kind === 'invite' ? item.seed : undefined));
  return [conversation.invitation?.seed, ...made].filter((seed) => seed !== undefined);
}
