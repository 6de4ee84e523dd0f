import type { AccountDescription, StoreErrorCode } from './ports.ts';
import type { RecoveryMaterial } from './recovery.ts';

/**
 * What a person asks for, after the runtime has looked up what needs the server. Names of new things
 * (16 random bytes) come from the tab, so that asking twice does it once.
 */
export type Command =
  | { readonly command: 'createAccount'; readonly username: string; readonly deviceName: string }
  /** A recovery phrase is on the screen; its R is all that is kept of it. */
  | { readonly command: 'offerPhrase'; readonly recoveryKey: Uint8Array }
  | { readonly command: 'confirmPhrase'; readonly phraseId: string }
  | { readonly command: 'beginRecovery'; readonly username: string; readonly deviceName: string }
  | { readonly command: 'joinByRecovery'; readonly material: RecoveryMaterial }
  | { readonly command: 'forgetRecovery' }
  /** Of a conversation that somebody added the account to and that no device has answered in. */
  | { readonly command: 'decideRejoin'; readonly conversationId: string; readonly join: boolean }
  /** A conversation whose log the server was set back in. */
  | { readonly command: 'joinAgain'; readonly conversationId: string }
  | { readonly command: 'startLink'; readonly deviceName: string }
  | { readonly command: 'acceptLinkCode'; readonly code: string }
  | { readonly command: 'confirmLink'; readonly yes: boolean }
  | { readonly command: 'closeLink' }
  | { readonly command: 'removeDevice'; readonly deviceId: string }
  /** Takes this device out of the account, then deletes all that it holds. */
  | { readonly command: 'logOut' }
  | { readonly command: 'renewKeys' }
  | {
      readonly command: 'startConversation';
      readonly groupId: Uint8Array;
      readonly members: readonly AccountDescription[];
      readonly title: string;
    }
  | { readonly command: 'addMember'; readonly conversationId: string; readonly messageId: Uint8Array; readonly member: AccountDescription }
  | { readonly command: 'removeMember'; readonly conversationId: string; readonly accountId: string }
  /** A link by which anybody who has it may join; one before it is no longer good. */
  | { readonly command: 'makeInvitation'; readonly conversationId: string; readonly messageId: Uint8Array }
  | { readonly command: 'withdrawInvitation'; readonly conversationId: string; readonly messageId: Uint8Array }
  | { readonly command: 'joinByInvitation'; readonly code: string }
  | { readonly command: 'send'; readonly conversationId: string; readonly messageId: Uint8Array; readonly text: string }
  | { readonly command: 'retry'; readonly conversationId: string; readonly messageKey: string }
  | { readonly command: 'discard'; readonly conversationId: string; readonly messageKey: string }
  /** On all devices of the person; `position` is undefined while a message is not in the log. */
  | {
      readonly command: 'forget';
      readonly conversationId: string;
      readonly messages: readonly { readonly messageKey: string; readonly position: number | undefined }[];
    }
  | { readonly command: 'saveDraft'; readonly conversationId: string; readonly text: string }
  | { readonly command: 'markRead'; readonly conversationId: string; readonly position: number }
  /** Whether notifications on this device say who wrote what. */
  | { readonly command: 'notifyWords'; readonly on: boolean }
  | { readonly command: 'dismissNotice'; readonly noticeId: string };

/** Why a command was not taken, by a code that the UI has words for. */
export type CommandProblem =
  | 'not-ready'
  | 'offline' // needs the server now, and it cannot be reached
  | 'username-invalid'
  | 'username-taken'
  | 'device-name-invalid'
  | 'unknown-account'
  | 'unknown-conversation'
  | 'already-member'
  | 'own-account'
  | 'cannot-be-reached' // the other account has no KeyPackage left
  | 'text-empty'
  | 'text-too-long'
  | 'code-malformed'
  | 'code-unknown'
  | 'code-tampered'
  | 'link-in-progress'
  | 'unknown-device'
  | 'last-device' // nobody would be left to act for the account
  | 'phrase-replaced' // another phrase was made meanwhile
  | 'recovery-refused' // no such account, no phrase, or another one
  | 'recovery-under-way' // this device is joining already
  | 'recovery-later' // asked for too often
  | 'too-many-devices'
  | 'recovery-moved' // the account changed under the recovery: the phrase is needed again
  | 'recovery-tampered' // what the server gave is not the account that the phrase is for
  | 'invitation-malformed'
  | 'invitation-over' // withdrawn, replaced, or never there
  | 'no-link'
  | 'wrong-passphrase'
  | 'wrong-passkey'
  | StorageProblem
  | 'internal';

/** The store could not do it. */
export type StorageProblem = `storage-${StoreErrorCode}`;

/** The problem behind an error of the store; undefined for any other. The store is known by its port alone, so its errors go by their name. */
export function storageProblemOf(error: unknown): StorageProblem | undefined {
  if (!(error instanceof Error) || error.name !== 'StoreError' || !('code' in error)) return undefined;
  return `storage-${error.code as StoreErrorCode}`;
}

/** A command's answer: accepted (and durable), or why not. */
export type CommandResult = { readonly ok: true } | { readonly ok: false; readonly problem: CommandProblem };
