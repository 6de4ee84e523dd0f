import type { CommandProblem, CommandResult, StorageProblem } from '../engine/command.ts';
import type { InvitationView, MessageView, StateView } from '../engine/view.ts';

/**
 * Typed messages between tabs and the worker. A call is one MessageChannel: the tab posts
 * `{ call, port }`, the worker answers once on the port. Nothing here is ever a secret, but for what a person reads or types: the recovery phrase, the app lock's passphrase, and what a passkey gives for it.
 */
export interface BridgeCalls {
  state: { request: object; answer: StateView };
  /** Newest first; `before` is a position, undefined for the end of the conversation. Waiting messages come with the first page. */
  messages: {
    request: { conversationId: string; before: number | undefined; limit: number };
    answer: { messages: readonly MessageView[]; more: boolean };
  };
  createAccount: { request: { username: string; deviceName: string }; answer: CommandResult };
  /**
   * A new recovery phrase, as the 32 bytes in hex that its 24 words stand for; the page finds the words. The one
   * secret that comes to a tab, because a person has to write it down: once, and nothing keeps it.
   */
  makePhrase: { request: object; answer: { ok: true; entropy: string; phraseId: string } | { ok: false; problem: CommandProblem } };
  /** The person has the phrase on paper. */
  confirmPhrase: { request: { phraseId: string }; answer: CommandResult };
  /** New device: join an account with its phrase, given as the same 32 bytes in hex. */
  recover: { request: { username: string; deviceName: string; entropy: string }; answer: CommandResult };
  /** After that: a conversation that somebody added the account to; see RejoiningView. */
  joinAgain: { request: { conversationId: string }; answer: CommandResult };
  decideRejoin: { request: { conversationId: string; join: boolean }; answer: CommandResult };
  /** New device: make and show a link code. */
  startLink: { request: { deviceName: string }; answer: CommandResult };
  /** Linked device: take the other one's code. */
  acceptLinkCode: { request: { code: string }; answer: CommandResult };
  /** Either side, at the comparison of the short number. */
  confirmLink: { request: { yes: boolean }; answer: CommandResult };
  /** Either side, at any step; also clears a finished or ended link from view. */
  closeLink: { request: object; answer: CommandResult };
  /** New keys for the emulation group and every conversation; the view says how far it is. */
  renewKeys: { request: object; answer: CommandResult };
  /** Takes a device out of the account; `deviceId` as the view names it. */
  removeDevice: { request: { deviceId: string }; answer: CommandResult };
  /** This device leaves the account, and all that it holds is deleted as soon as the server has taken it out. */
  logOut: { request: object; answer: CommandResult };
  /** Deletes all that this device holds, at once and without the server. */
  deleteData: { request: object; answer: CommandResult };
  startConversation: { request: { usernames: readonly string[]; title: string }; answer: CommandResult & { conversationId?: string } };
  addMember: { request: { conversationId: string; username: string }; answer: CommandResult };
  removeMember: { request: { conversationId: string; accountId: string }; answer: CommandResult };
  /** A link by which anybody who has it may join; one before it is no longer good. */
  makeInvitation: { request: { conversationId: string }; answer: CommandResult };
  withdrawInvitation: { request: { conversationId: string }; answer: CommandResult };
  /** What goes behind `#/join/` in the link, if this device knows it: it lets its holder in, and is shown when asked for. */
  invitationCode: { request: { conversationId: string }; answer: { ok: true; code: string } | { ok: false; problem: CommandProblem } };
  /** What such a link leads to. */
  openInvitation: {
    request: { code: string };
    answer: { ok: true; invitation: InvitationView } | { ok: false; problem: CommandProblem };
  };
  joinByInvitation: { request: { code: string }; answer: CommandResult & { conversationId?: string } };
  send: { request: { conversationId: string; text: string }; answer: CommandResult & { messageKey?: string } };
  retry: { request: { conversationId: string; messageKey: string }; answer: CommandResult };
  discard: { request: { conversationId: string; messageKey: string }; answer: CommandResult };
  /** Deletes messages on all devices of the person; `position` is undefined while a message waits. Other people keep theirs. */
  forget: {
    request: { conversationId: string; messages: readonly { messageKey: string; position: number | undefined }[] };
    answer: CommandResult;
  };
  saveDraft: { request: { conversationId: string; text: string }; answer: CommandResult };
  /** The conversation is on screen up to this position. */
  markRead: { request: { conversationId: string; position: number }; answer: CommandResult };
  /** Whether notifications on this device say who wrote what; with the app lock on they do not. */
  notifyWords: { request: { on: boolean }; answer: CommandResult };
  dismissNotice: { request: { noticeId: string }; answer: CommandResult };
  /** Deletes what is left of a device that can no longer be read, so that this browser can be linked anew; nothing of one that can be. */
  startAnew: { request: object; answer: CommandResult };
  /** When what was deleted on this device was last put out of reach, and whether something is waiting for it. */
  sweepStatus: { request: object; answer: SweepAnswer };
  /** Does it now; the answer comes when it is done. */
  sweep: { request: object; answer: SweepAnswer };
  /** What this device's app lock asks for, open or closed; undefined when it is off. */
  lockStatus: { request: object; answer: { ok: true; lock: LockView | undefined } | { ok: false; problem: CommandProblem } };
  /** Turns the app lock on, or off without a key; the answer comes when everything is sealed anew. */
  setLock: { request: { key: LockKeyView | undefined }; answer: CommandResult };
  /** Until the browser stops the worker, some time after the last tab is closed, or `lock`. */
  unlock: { request: { key: LockKeyView }; answer: CommandResult };
  lock: { request: object; answer: CommandResult };
  /** Leader tab: where to open the event stream and the proof for it (valid once). Undefined while there is no account. */
  streamRequest: { request: object; answer: { url: string; headers: Record<string, string> } | undefined };
  /** Leader tab: one event of the stream, or a change of the stream's state. */
  streamEvent: { request: { event: 'entry' | 'stock' | 'gone'; data: string } | { event: 'opened' | 'closed' }; answer: object };
  /** Keeps the worker alive while a tab is open (every 20 s), and makes it try the outbox again. */
  ping: { request: object; answer: object };
}

/** What an app lock asks for. IDs and salts in hex; a passkey's is WebAuthn's PRF extension at `salt`. */
export type LockView = { readonly kind: 'passphrase' } | ({ readonly kind: 'passkey' } & PasskeyView);

export interface PasskeyView {
  readonly credentialId: string;
  readonly salt: string;
}

/** What opens one; `secret` is the passkey's PRF at its salt, 32 bytes in hex. */
export type LockKeyView =
  { readonly kind: 'passphrase'; readonly passphrase: string } | ({ readonly kind: 'passkey'; readonly secret: string } & PasskeyView);

/** Characters of a new passphrase: whoever copies the files can try as many as they like. */
export const MIN_PASSPHRASE = 10;

export type SweepAnswer =
  | { readonly ok: true; /** ms since 1970 */ readonly at: number; readonly due: boolean }
  | { readonly ok: false; readonly problem: CommandProblem };

export type BridgeCall = keyof BridgeCalls;

export type { CommandProblem, CommandResult, StorageProblem };

/** On the BroadcastChannel: which parts of the view changed, so that every tab asks again for what it shows. */
export interface ViewChanged {
  readonly type: 'view-changed';
  readonly state: boolean;
  readonly conversations: readonly string[];
  /** Conversations of which lines have gone: whatever is shown of them is read anew. */
  readonly forgotten: readonly string[];
  /** The person has had everything deleted that this device held. */
  readonly deleted?: true;
}

export const VIEW_CHANNEL = 'chorus-view';
