import type { AccountDescription } from './ports.ts';

/**
 * What a person asks for, after the runtime has looked up what needs the server. Names of new things
 * (16 random bytes) come from the tab, so that asking twice does it once.
 */
export type Command =
  | { readonly command: 'createAccount'; readonly username: string; readonly deviceName: string }
  | { readonly command: 'startLink'; readonly deviceName: string }
  | { readonly command: 'acceptLinkCode'; readonly code: string }
  | { readonly command: 'confirmLink'; readonly yes: boolean }
  | { readonly command: 'closeLink' }
  | { readonly command: 'removeDevice'; readonly deviceId: string }
  | { readonly command: 'renewKeys' }
  | {
      readonly command: 'startConversation';
      readonly groupId: Uint8Array;
      readonly members: readonly AccountDescription[];
      readonly title: string;
    }
  | { readonly command: 'addMember'; readonly conversationId: string; readonly messageId: Uint8Array; readonly member: AccountDescription }
  | { readonly command: 'removeMember'; readonly conversationId: string; readonly accountId: string }
  | { readonly command: 'send'; readonly conversationId: string; readonly messageId: Uint8Array; readonly text: string }
  | { readonly command: 'retry'; readonly conversationId: string; readonly messageKey: string }
  | { readonly command: 'discard'; readonly conversationId: string; readonly messageKey: string }
  | { readonly command: 'saveDraft'; readonly conversationId: string; readonly text: string }
  | { readonly command: 'markRead'; readonly conversationId: string; readonly position: number }
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
  | 'no-link'
  | 'storage-failed'
  | 'internal';

/** A command's answer: accepted (and durable), or why not. */
export type CommandResult = { readonly ok: true } | { readonly ok: false; readonly problem: CommandProblem };
