import { toHex, type Secret } from '../bytes/index.ts';
import type { Random } from '../mls/index.ts';
import { takeLostBack } from './accepted.ts';
import { createAccount, onAccountAnswer, onServerDescribed } from './account.ts';
import type { Command, CommandProblem } from './command.ts';
import {
  addMember,
  decideOn,
  learnNames,
  markRead,
  onClaimAnswer,
  prepareClaim,
  prepareRenewal,
  removeMember,
  saveDraft,
  send,
  startConversation,
} from './conversations.ts';
import { onEmulationAnswer, onUploadAnswer, prepareDeviceProfile, prepareKeyPackages } from './emulation-group.ts';
import { planJoin } from './external-join.ts';
import { followEntries } from './follow.ts';
import { forget } from './forget.ts';
import { prepareForgetMessage } from './forget-message.ts';
import type { AnswerInput, Input, Preparation } from './input.ts';
import { changeInvitation, joinByInvitation } from './invitation.ts';
import { prepareInvitationMessage } from './invitation-message.ts';
import {
  acceptLinkCode,
  closeLink,
  confirmLink,
  expireLink,
  isOfLink,
  onLinkDeleted,
  onLinkFetched,
  onLinkPut,
  refuseWelcome,
  startLink,
} from './linking.ts';
import { importState, prepareAddDevice } from './onboarding.ts';
import { forgetOldEpochs } from './past-epochs.ts';
import { beginRecovery, forgetRecovery, joinByRecovery, onRecoverAnswer } from './recovery.ts';
import { prepareRecoveryKey } from './recovery-key.ts';
import { confirmPhrase, offerPhrase } from './recovery-phrase.ts';
import { decideRejoin, endRejoining, onAskedGroup, onGroupsListed } from './recovery-rejoin.ts';
import { onExternalCommitAnswer, onGroupInfo, prepareAnnouncement } from './rejoin.ts';
import { onBindAnswer, onRemovalAnswer, prepareAccountKey, prepareRemoveDevices, logOut, removeDevice } from './removal.ts';
import { prepareRenewKeys, renewKeys } from './renewal.ts';
import { forgetUnnamedEpochs } from './retention.ts';
import { endRewind, goBack, joinAgain } from './set-back.ts';
import { onSubmitAnswer, prepareNext } from './sending.ts';
import { onBlobFetched, onBlobPut } from './state-transfer.ts';
import { NeedGroups, type EngineState } from './state.ts';
import { todosOf } from './todo.ts';
import { Turn, type LinePlace, type LineReader, type StoredLine } from './turn.ts';

/** What a step gives back. Store state and lines in one transaction, then wipe `spent`, then act on the rest. */
export interface StepResult {
  readonly state: EngineState;
  readonly lines: readonly StoredLine[];
  /** Lines whose records go with the same transaction. */
  readonly dropped: readonly LinePlace[];
  readonly spent: readonly Secret<string>[];
  readonly notifications: readonly StoredLine[];
  /** Of a command: why it was not taken; undefined when it was. */
  readonly problem: CommandProblem | undefined;
  /** Of a command: the ID of what it made. */
  readonly made: string | undefined;
  readonly outcome: Turn['outcome'];
  /** The server is ahead: fetch the sequence. */
  readonly behind: boolean;
  /** Entries that were refused, by code; for tests and diagnostics. */
  readonly refused: Turn['refused'];
}

/**
 * One step of the engine: pure but for the randomness, the time and the stored lines that it is given. A throw leaves
 * nothing behind. @throws NeedGroups when MLS states have to be loaded first
 */
export async function step(
  state: EngineState,
  input: Input,
  given: { readonly random: Random; readonly now: number; readonly lines?: LineReader },
): Promise<StepResult> {
  const turn = new Turn(state, given.random, given.now, given.lines);
  let problem: CommandProblem | undefined;
  let made: string | undefined;
  // What comes for a device that is no more finds nothing to change, and leaves nothing.
  if (input.type !== 'command' && state.device === undefined) return resultOf(turn, undefined, undefined);
  switch (input.type) {
    case 'command': {
      const result = await command(turn, input.command);
      if (typeof result === 'object') made = 'conversationId' in result ? result.conversationId : result.messageKey;
      else problem = result;
      break;
    }
    case 'entries':
      await followEntries(turn, input.entries, input.last);
      break;
    case 'prepare':
      await prepare(turn, input.what);
      break;
    case 'answer':
      await answered(turn, input);
      break;
    case 'log-changed':
      goBack(turn, input.after);
      break;
    case 'unlinked':
      turn.update({ unlinked: true });
      break;
    case 'stock':
      turn.update({ stock: input.stock });
      break;
  }
  return resultOf(turn, problem, made);
}

function resultOf(turn: Turn, problem: CommandProblem | undefined, made: string | undefined): StepResult {
  const { lines, dropped, spent, notifications, outcome, behind, refused } = turn;
  return { state: turn.state, lines, dropped, spent, notifications, problem, made, outcome, behind, refused };
}

type CommandOutcome = CommandProblem | undefined | { conversationId: string } | { messageKey: string };

async function command(turn: Turn, asked: Command): Promise<CommandOutcome> {
  if (!WITHOUT_ACCOUNT.has(asked.command) && turn.state.account === undefined) return 'not-ready';
  switch (asked.command) {
    case 'createAccount':
      return createAccount(turn, asked.username, asked.deviceName);
    case 'offerPhrase':
      return offerPhrase(turn, asked.recoveryKey);
    case 'confirmPhrase':
      return confirmPhrase(turn, asked.phraseId);
    case 'beginRecovery':
      return beginRecovery(turn, asked.username, asked.deviceName);
    case 'joinByRecovery':
      return joinByRecovery(turn, asked.material);
    case 'forgetRecovery':
      forgetRecovery(turn);
      return undefined;
    case 'decideRejoin':
      return decideRejoin(turn, asked.conversationId, asked.join);
    case 'startLink':
      return startLink(turn, asked.deviceName);
    case 'acceptLinkCode':
      return acceptLinkCode(turn, asked.code);
    case 'confirmLink':
      return confirmLink(turn, asked.yes);
    case 'closeLink':
      return closeLink(turn);
    case 'removeDevice':
      return removeDevice(turn, asked);
    case 'logOut':
      return logOut(turn);
    case 'renewKeys':
      return renewKeys(turn);
    case 'startConversation':
      return startConversation(turn, asked);
    case 'addMember':
      return addMember(turn, asked);
    case 'removeMember':
      return removeMember(turn, asked);
    case 'makeInvitation':
    case 'withdrawInvitation':
      return changeInvitation(turn, asked);
    case 'joinByInvitation':
      return joinByInvitation(turn, asked);
    case 'send':
      return send(turn, asked);
    case 'retry':
    case 'discard':
      return decideOn(turn, asked);
    case 'joinAgain':
      return joinAgain(turn, asked.conversationId);
    case 'forget':
      return forget(turn, asked);
    case 'saveDraft':
      return saveDraft(turn, asked);
    case 'markRead':
      return markRead(turn, asked);
    case 'notifyWords':
      turn.update({ notifiesWords: asked.on });
      return undefined;
    case 'dismissNotice':
      turn.update({ notices: turn.state.notices.filter(({ noticeId }) => noticeId !== asked.noticeId) });
      return undefined;
  }
}

const WITHOUT_ACCOUNT: ReadonlySet<Command['command']> = new Set([
  'createAccount',
  'beginRecovery',
  'joinByRecovery',
  'forgetRecovery',
  'startLink',
  'confirmLink',
  'closeLink',
  'dismissNotice',
]);

/** By the runtime when the sequence has been followed to its end; every other preparation is one of `todosOf`. */
const AT_THE_END: ReadonlySet<Preparation['kind']> = new Set(['forget-past', 'end-rewind', 'take-lost-back']);

/**
 * Preparations are read off one state together and made one after the other: the first may have ended what another
 * needs. A device added just behind a group creation would be told neither of the group nor how to find its keys.
 */
function isCalledFor({ state, now }: Turn, what: Preparation): boolean {
  return AT_THE_END.has(what.kind) || todosOf(state, now).some((todo) => todo.do === 'prepare' && isSame(todo.what, what));
}

function isSame(a: Preparation, b: Preparation): boolean {
  return a.kind === b.kind && ('conversationId' in a ? a.conversationId : '') === ('conversationId' in b ? b.conversationId : '');
}

async function prepare(turn: Turn, what: Preparation): Promise<void> {
  if (!isCalledFor(turn, what)) return;
  switch (what.kind) {
    case 'key-packages':
      return prepareKeyPackages(turn);
    case 'device-profile':
      return prepareDeviceProfile(turn);
    case 'remove-devices':
      return prepareRemoveDevices(turn);
    case 'renew-keys':
      return prepareRenewKeys(turn);
    case 'account-key':
      return prepareAccountKey(turn);
    case 'recovery-key':
      return prepareRecoveryKey(turn);
    case 'rejoined':
      return endRejoining(turn);
    case 'add-device': {
      const { link } = turn.state;
      if (link?.role === 'adder') await prepareAddDevice(turn, link);
      return;
    }
    case 'claim':
      return prepareClaim(turn, what.conversationId);
    case 'message':
      return prepareNext(turn, what.conversationId);
    case 'renewal':
      return prepareRenewal(turn, what.conversationId);
    case 'plan-join':
      return planJoin(turn, what.conversationId);
    case 'tell-invitation':
      return prepareInvitationMessage(turn, what.conversationId);
    case 'tell-forgotten':
      return prepareForgetMessage(turn, what.conversationId);
    case 'announce-join':
      return prepareAnnouncement(turn, what.conversationId);
    case 'link-expiry':
      return expireLink(turn);
    case 'uploads-used':
      turn.update({ uploads: undefined });
      return;
    case 'end-rewind':
      return endRewind(turn);
    case 'take-lost-back':
      return takeLostBack(turn, what.accepted);
    case 'forget-past':
      forgetOldEpochs(turn, turn.now);
      forgetUnnamedEpochs(turn);
      return;
  }
}

async function answered(turn: Turn, input: AnswerInput): Promise<void> {
  if (isUnknownDevice(input)) {
    turn.update({ unlinked: true });
    return;
  }
  switch (input.call) {
    case 'describe-server':
      return onServerDescribed(turn, input.answer);
    case 'create-account':
      return onAccountAnswer(turn, input.answer);
    case 'recover':
      return onRecoverAnswer(turn, input.answer);
    case 'list-groups':
      return onGroupsListed(turn, input.answer);
    case 'submit':
      if (input.conversationId === undefined) onEmulationAnswer(turn, input.request, input.answer);
      else if (!onExternalCommitAnswer(turn, input.conversationId, input.request, input.answer)) {
        onSubmitAnswer(turn, input.conversationId, input.request, input.answer);
      }
      forgetUnnamedEpochs(turn); // what was turned down may have been the last to name its epoch
      return;
    case 'fetch-group':
      if (input.conversationId === undefined || onAskedGroup(turn, input.conversationId, input.answer)) return;
      await onGroupInfo(turn, input.conversationId, input.request, input.answer);
      return;
    case 'open-invitation':
      if (input.conversationId !== undefined) {
        await onGroupInfo(turn, input.conversationId, { groupId: input.request.groupId, epoch: undefined }, input.answer);
      }
      return;
    case 'upload-key-packages':
      onUploadAnswer(turn, input.request, input.answer);
      return;
    case 'claim-key-packages':
      if (input.conversationId !== undefined) onClaimAnswer(turn, input.conversationId, input.request.claimId, input.answer);
      return;
    case 'describe-accounts':
      // A limit on requests says nothing about the accounts: they are asked for again.
      if (input.answer.outcome === 'done' || (input.answer.outcome === 'refused' && input.answer.problem.retryAfter === undefined)) {
        learnNames(turn, named(input.request.accountIds, input.answer.outcome === 'done' ? input.answer.value.accounts : []));
      }
      return;
    case 'begin-removal':
      return onRemovalAnswer(turn, input.request, input.answer);
    case 'bind-account-key':
      return onBindAnswer(turn, input.answer);
    case 'put-link-slot':
      if (isOfLink(turn, input.request) && input.request.slot !== 'welcome') onLinkPut(turn, input.request.slot, input.answer);
      return;
    case 'delete-link':
      if (isOfLink(turn, input.request)) onLinkDeleted(turn, input.answer);
      return;
    case 'put-blob':
      return onBlobPut(turn, input.request.hash, input.answer);
    case 'fetch-blob': {
      const complete = onBlobFetched(turn, input.request.hash, input.answer);
      const { link } = turn.state;
      if (complete && link?.role === 'new' && link.welcome !== undefined) await takeWelcome(turn, link.welcome);
      return;
    }
    case 'fetch-link': {
      if (!isOfLink(turn, input.request)) return;
      const welcome = await onLinkFetched(turn, input.answer);
      if (welcome !== undefined) await takeWelcome(turn, welcome);
    }
  }
}

/** Accounts that the server does not describe get an empty name, so that it is not asked for ever. */
function named(
  asked: readonly Uint8Array[],
  accounts: readonly { readonly accountId: Uint8Array; readonly username: string }[],
): { accountId: Uint8Array; username: string }[] {
  const names = new Map(accounts.map(({ accountId, username }) => [toHex(accountId), username]));
  return asked.map((accountId) => ({ accountId, username: names.get(toHex(accountId)) ?? '' }));
}

/** New device: what the Welcome brings is taken over whole, or the exchange ends. */
async function takeWelcome(turn: Turn, welcome: Uint8Array): Promise<void> {
  const { link } = turn.state;
  if (link?.role !== 'new') return;
  try {
    await turn.attempt(() => importState(turn, link, welcome));
  } catch (error) {
    if (error instanceof NeedGroups) throw error;
    refuseWelcome(turn);
  }
}

/** A refusal that means that this device is gone from the account. A device that is being made is not known yet. */
function isUnknownDevice({ call, answer }: AnswerInput): boolean {
  return call !== 'create-account' && call !== 'recover' && answer.outcome === 'refused' && answer.problem.type === 'unknown-device';
}
