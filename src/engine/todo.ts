import { toHex } from '../bytes/index.ts';
import { accountRequest } from './account.ts';
import { needsKeyPackages } from './emulation-group.ts';
import { joinToAnnounce, joinTodos, missingGroupInfos } from './external-join.ts';
import { forgottenToTell } from './forget.ts';
import type { EngineCall, Preparation } from './input.ts';
import { invitationToTell } from './invitation.ts';
import { isPaused } from './later.ts';
import { isProposed, isRenewal, pathDueAt } from './leaf-renewal.ts';
import { isOver, mailboxOf } from './linking.ts';
import { canAddDevice } from './onboarding.ts';
import { pastEpochsUntil } from './past-epochs.ts';
import type { DeliveryCalls, LinkSlot } from './ports.ts';
import { recoveringTodos } from './recovery.ts';
import { askedMembers, rejoiningTodos } from './recovery-rejoin.ts';
import { removalMessage, removalRequests } from './removal.ts';
import { renewalTodo } from './renewal.ts';
import { isKeyPending, isRemoving, needsRenewal } from './removal-state.ts';
import { isHeld, nextItem, NO_HOLD, pendingItems } from './sending.ts';
import { isStopped, type Conversation, type EmulationState, type EngineState, type LinkState, type WorkItem } from './state.ts';
import { maySend } from './virtual-leaf.ts';

/**
 * What the state calls for now. It is read off the state alone, so after a crash the same things are
 * still to do. One request per lane is under way at a time.
 */
export type Todo = {
  readonly lane: string;
  /** Nobody waits for it: it must not stand in the way of what a person does. */
  readonly background?: true;
} & (
  | { readonly do: 'prepare'; readonly what: Preparation }
  | {
      [Call in EngineCall]: {
        readonly do: 'send';
        readonly call: Call;
        readonly request: DeliveryCalls[Call]['request'];
        readonly conversationId: string | undefined;
      };
    }[EngineCall]
  | { readonly do: 'wait'; readonly until: number }
);

/** Half of the message keys that the group's state keeps for messages that have not come back. */
const MAX_AWAITING = 128;
/** Accounts that the server describes in one call. */
const MAX_DESCRIBED = 100;

export function todosOf(state: EngineState, now: number): Todo[] {
  if (state.unlinked || isStopped(state)) return [];
  if (state.rewound !== undefined) return missingGroupInfos(state);
  const todos: Todo[] = [...linkTodos(state.link, state.linkBlobs, now)];
  const request = accountRequest(state);
  if (state.creating !== undefined && request !== undefined) {
    todos.push(
      state.creating.authenticationKey === undefined
        ? { lane: 'account', do: 'send', call: 'describe-server', request: {}, conversationId: undefined }
        : { lane: 'account', do: 'send', call: 'create-account', request, conversationId: undefined },
    );
  }
  todos.push(...recoveringTodos(state.recovering));
  const { emulation } = state;
  if (state.account === undefined || emulation === undefined) return todos;
  const inEmulationGroup = emulationTodos(state, emulation, now);
  const announcing = inEmulationGroup.some((todo) => todo.do === 'prepare' && todo.what.kind === 'announce-join');
  todos.push(...inEmulationGroup, ...removalRequests(state, emulation, now));
  todos.push(...uploadTodos(state), ...contactTodos(state), ...joinTodos(state, emulation, announcing, now), ...rejoiningTodos(state));
  const until = pastEpochsUntil(state);
  if (until !== undefined && until > now) todos.push({ lane: 'past-epochs', do: 'wait', until });
  // What a person wrote goes before what is renewed in the background.
  const byUrgency = [...state.conversations].sort(([, a], [, b]) => Number(hasText(b)) - Number(hasText(a)));
  for (const [id, conversation] of byUrgency) todos.push(...conversationTodos(state, emulation, id, conversation, now));
  return todos;
}

function linkTodos(link: LinkState | undefined, blobs: EngineState['linkBlobs'], now: number): Todo[] {
  if (link === undefined) return [];
  const mailbox = mailboxOf(link);
  const [put] = link.toPut;
  const todos: Todo[] = [];
  if (put !== undefined) {
    todos.push({ lane: 'link-put', do: 'send', call: 'put-link-slot', request: { ...mailbox, ...put }, conversationId: undefined });
  } else if (link.toDelete) {
    todos.push({ lane: 'link-put', do: 'send', call: 'delete-link', request: mailbox, conversationId: undefined });
  }
  if (isOver(link) || (link.role === 'new' && link.step === 'preparing')) return todos;
  if (link.step !== 'adding' && now >= link.expiresAt) {
    todos.push({ lane: 'link-expiry', do: 'prepare', what: { kind: 'link-expiry' } });
    return todos;
  }
  if (link.role === 'new' && link.welcome !== undefined) {
    const missing = link.blobs.find(({ hash }) => !blobs.has(toHex(hash)));
    if (missing !== undefined) {
      todos.push({ lane: 'link-blob', do: 'send', call: 'fetch-blob', request: { hash: missing.hash }, conversationId: undefined });
    }
    return todos;
  }
  const waiting = link.role === 'adder' ? link.blobs.find(({ hash }) => blobs.has(toHex(hash))) : undefined;
  const bytes = waiting && blobs.get(toHex(waiting.hash));
  if (waiting !== undefined && bytes !== undefined) {
    todos.push({ lane: 'link-blob', do: 'send', call: 'put-blob', request: { hash: waiting.hash, bytes }, conversationId: undefined });
  }
  if (link.role === 'new' || link.step !== 'adding') {
    const request = { ...mailbox, have: slotsRead(link) };
    todos.push({ lane: 'link-fetch', do: 'send', call: 'fetch-link', request, conversationId: undefined });
  }
  todos.push({ lane: 'link-expiry', do: 'wait', until: link.expiresAt });
  return todos;
}

/** Slots that are ours or were read: the server waits for another one. */
function slotsRead(link: LinkState): LinkSlot[] {
  const read: LinkSlot[] = link.role === 'new' ? ['request', 'reveal', 'confirmed'] : ['answer', 'welcome'];
  if (link.role === 'new' && link.answer !== undefined) read.push('answer');
  if (link.role === 'adder') {
    if (link.request !== undefined) read.push('request');
    if (link.reveal !== undefined) read.push('reveal');
    if (link.otherSaidYes) read.push('confirmed');
  }
  return read;
}

function emulationTodos(state: EngineState, emulation: EmulationState, now: number): Todo[] {
  const lane = 'emulation';
  const { pending } = emulation;
  if (pending !== undefined) {
    // The Welcome goes out when everything that it names lies at the server.
    const early = pending.purpose === 'add-device' && state.linkBlobs.size > 0;
    return pending.accepted || early ? [] : [{ lane, do: 'send', call: 'submit', request: pending.submission, conversationId: undefined }];
  }
  const { hold, position } = emulation;
  if (hold?.position !== undefined && position <= hold.position) return [];
  if (hold !== undefined && isPaused(now, hold.notBefore)) return [{ lane, do: 'wait', until: hold.notBefore }];
  // After a commit that we refused our epoch takes no messages: one that waits needs a commit before it; a Remove is one.
  const { refusedCommit, announceDevices } = emulation;
  const untold = invitationToTell(state);
  const forgotten = forgottenToTell(state);
  const hasMessage = emulation.removal.keyDue || announceDevices.length > 0 || untold !== undefined || forgotten !== undefined;
  if (refusedCommit !== undefined && hasMessage && emulation.removal.cutOff.length === 0) {
    return [{ lane, do: 'prepare', what: { kind: 'renew-keys' } }];
  }
  const removing = removalMessage(emulation, now);
  if (removing !== undefined) return [removing];
  if (emulation.phrase.confirmed !== undefined) return [{ lane, do: 'prepare', what: { kind: 'recovery-key' } }];
  if (state.link?.role === 'adder' && state.link.step === 'adding' && canAddDevice(state)) {
    return [{ lane, do: 'prepare', what: { kind: 'add-device' } }];
  }
  if (announceDevices.length > 0) return [{ lane, do: 'prepare', what: { kind: 'device-profile' } }];
  if (emulation.renewalAsked && !isRemoving(emulation)) return [{ lane, do: 'prepare', what: { kind: 'renew-keys' } }];
  const mayMakeKeyPackages = state.uploads === undefined && !isRemoving(emulation);
  const makeKeyPackages: Todo = { lane, do: 'prepare', what: { kind: 'key-packages' } };
  // After a recovery they come before the conversations (draft section 4.2): nobody could add the account meanwhile.
  if (mayMakeKeyPackages && state.keyPackages.size === 0 && state.rejoining !== undefined) return [makeKeyPackages];
  if (untold !== undefined) return [{ lane, do: 'prepare', what: { kind: 'tell-invitation', conversationId: untold } }];
  if (forgotten !== undefined) return [{ lane, do: 'prepare', what: { kind: 'tell-forgotten', conversationId: forgotten } }];
  const join = joinToAnnounce(state, now);
  if (join !== undefined) return [{ lane, do: 'prepare', what: { kind: 'announce-join', conversationId: join } }];
  if (mayMakeKeyPackages && needsKeyPackages(emulation, state.stock, state.keyPackages.size)) return [makeKeyPackages];
  return isRemoving(emulation) ? [] : [renewalTodo(state, emulation, now)];
}

/** Draft section 5.5.1: uploaded once the announcing commit is in the log; what a Welcome has used by then is left out. */
function uploadTodos({ uploads, keyPackages, emulation }: EngineState): Todo[] {
  if (uploads === undefined || emulation?.pending?.purpose === 'key-packages') return [];
  const request = { keyPackages: uploads.keyPackages.filter(({ keyPackageRef }) => keyPackages.has(toHex(keyPackageRef))) };
  if (request.keyPackages.length === 0) return [{ lane: 'key-packages', do: 'prepare', what: { kind: 'uploads-used' } }];
  return [{ lane: 'key-packages', do: 'send', call: 'upload-key-packages', request, conversationId: undefined }];
}

function contactTodos(state: EngineState): Todo[] {
  const { conversations, contacts } = state;
  const unknown = new Map<string, Uint8Array>();
  for (const { members } of conversations.values()) for (const [id, accountId] of strangers(members, contacts)) unknown.set(id, accountId);
  for (const [id, accountId] of strangers(askedMembers(state), contacts)) unknown.set(id, accountId);
  if (unknown.size === 0) return [];
  const request = { accountIds: [...unknown.values()].slice(0, MAX_DESCRIBED) };
  return [{ lane: 'contacts', do: 'send', call: 'describe-accounts', request, conversationId: undefined }];
}

type Strangers = ReadonlyMap<string, Uint8Array>;

/** By the two immutable parts of the state that it is read off: the state is asked after every step, and they seldom change. */
const strangersOf = new WeakMap<EngineState['contacts'], WeakMap<Conversation['members'], Strangers>>();

/** Members whose usernames are not known. */
function strangers(members: Conversation['members'], contacts: EngineState['contacts']): Strangers {
  const byMembers = strangersOf.get(contacts) ?? new WeakMap<Conversation['members'], Strangers>();
  strangersOf.set(contacts, byMembers);
  const kept = byMembers.get(members);
  if (kept !== undefined) return kept;
  const named = members.map((accountId): [string, Uint8Array] => [toHex(accountId), accountId]);
  const found = new Map(named.filter(([id]) => !contacts.has(id)));
  byMembers.set(members, found);
  return found;
}

function conversationTodos(state: EngineState, emulation: EmulationState, id: string, conversation: Conversation, now: number): Todo[] {
  const lane = `conversation/${id}`;
  const { pending, awaitingEcho } = conversation;
  if (conversation.state !== 'member' && conversation.state !== 'creating') return [];
  if (pending !== undefined) {
    return [{ lane, ...backgroundIf(pending.item), do: 'send', call: 'submit', request: pending.submission, conversationId: id }];
  }
  if (awaitingEcho.length >= MAX_AWAITING) return [];
  if (awaitingEcho.some(({ submission, unchecked }) => submission.kind !== 'application' || unchecked)) return [];
  if (isKeyPending(emulation.removal)) return [];
  const item = nextItem(conversation, now);
  if (isHeld(conversation, emulation.group.context.epoch)) return [];
  const { notBefore, textsToo } = conversation.hold ?? NO_HOLD;
  if (notBefore !== undefined && isPaused(now, notBefore) && (item === undefined || item.kind === 'add' || textsToo))
    return [{ lane, do: 'wait', until: notBefore }];
  if (conversation.state === 'creating') {
    return item?.kind === 'create' ? [{ lane, do: 'prepare', what: { kind: 'message', conversationId: id } }] : [];
  }
  if (!maySend(emulation.epochs, conversation)) return [];
  if (item === undefined) return renewalTodos(state, emulation, id, conversation, now);
  if (item.kind === 'add' && conversation.claim?.keyPackages === undefined) {
    const { claim } = conversation;
    if (claim === undefined) return [{ lane, do: 'prepare', what: { kind: 'claim', conversationId: id } }];
    const request = { claimId: claim.claimId, accountIds: item.members.map(({ accountId }) => accountId) };
    return [{ lane, do: 'send', call: 'claim-key-packages', request, conversationId: id }];
  }
  return [{ lane, ...backgroundIf(item), do: 'prepare', what: { kind: 'message', conversationId: id } }];
}

function backgroundIf(item: WorkItem): { background?: true } {
  return isRenewal(item) ? { background: true } : {};
}

function hasText(conversation: Conversation): boolean {
  return pendingItems(conversation).some(({ kind }) => kind === 'text');
}

/**
 * Reading sections 8 and 12.4: the device that began it renews the leaf, the others if it does not come to it.
 * A path also stands in for an Update that nobody has committed (see leaf-renewal.ts).
 */
function renewalTodos({ account }: EngineState, emulation: EmulationState, id: string, conversation: Conversation, now: number): Todo[] {
  const lane = `conversation/${id}`;
  const { renewal, group } = emulation;
  const isWanted = account !== undefined && needsRenewal(account, emulation, conversation) && !isProposed(account, emulation, conversation);
  const othersFrom = renewal.by === group.ownLeaf ? 0 : renewal.othersFrom;
  const from = isWanted ? othersFrom : pathDueAt(conversation, group.ownLeaf);
  if (from === undefined) return [];
  if (now < from) return [{ lane, do: 'wait', until: from }];
  return [{ lane, do: 'prepare', background: true, what: { kind: 'renewal', conversationId: id } }];
}
