import type { StorageProblem } from './command.ts';

/**
 * What a person may see: plain, cloneable data without any secret. Tabs get it through the bridge;
 * IDs are hex text, times ms since 1970 by the server's clock unless said otherwise.
 */

/** Where this browser stands. */
export type Phase =
  | 'new' // nothing here yet: create an account or link this device
  | 'creating' // account being created at the server
  | 'linking' // this device asks to be linked; see LinkView
  | 'recovering' // this device joins an account with its recovery phrase
  | 'ready'
  | 'leaving' // logged out, and the server has not been told yet
  | 'unlinked' // the server no longer knows this device
  | 'set-back' // the server was restored from a backup that this device cannot go on from
  | 'copied'; // a commit with this device's keys is not this device's: it was copied, or put back, or the server lies

export interface AccountView {
  readonly accountId: string;
  readonly username: string;
  readonly deviceName: string;
}

export interface DeviceView {
  readonly emulatorLeaf: number;
  readonly deviceId: string;
  readonly name: string;
  readonly own: boolean;
  /** The server refuses it already, or is about to. */
  readonly beingRemoved: boolean;
}

export interface MemberView {
  readonly accountId: string;
  readonly username: string;
  readonly own: boolean;
}

/** What stops or slows a conversation, in the order of importance. */
export type ConversationState =
  | 'creating' // being set up at the server
  | 'ready'
  | 'renewing' // what is written waits for the leaf's renewal
  | 'left' // we were removed, or left
  | 'out-of-step' // this device cannot follow the group any more and is about to rejoin it
  | 'set-back' // the server's log has gone back: the person decides whether to rejoin
  | 'stopped'; // this device can do nothing any more (phases 'set-back' and 'copied')

export interface ConversationView {
  readonly conversationId: string;
  readonly title: string;
  readonly kind: 'direct' | 'group';
  readonly state: ConversationState;
  readonly members: readonly MemberView[];
  readonly unread: number;
  readonly lastMessage: MessageView | undefined;
  readonly draft: string;
  /** The link by which others may join: made by a device of this account, by somebody else, or not there. */
  readonly invitation: 'none' | 'own' | 'other';
  /** Changes of membership or title that are still on their way. */
  readonly pendingChanges: readonly string[];
}

export type MessageStatus =
  | 'waiting' // written, not yet accepted by the server
  | 'sent' // accepted and in the group's order
  | 'failed'; // could not be sent; `problem` says why

export interface MessageView {
  readonly messageKey: string; // stable in this device; a waiting message keeps it when it is sent
  readonly conversationId: string;
  /** Place in the conversation's log; undefined while waiting. */
  readonly position: number | undefined;
  readonly kind: 'text' | 'event';
  /** Text of the message, or the sentence that says what happened ("ben added cora"). */
  readonly text: string;
  readonly sender: MemberView | undefined;
  /** Which of the own devices sent it; undefined for other people's messages and events. */
  readonly device: { readonly name: string; readonly own: boolean; readonly known: boolean } | undefined;
  /** A message in this device's name that this device never sent: somebody holds a copy of its keys. */
  readonly alarm: boolean;
  readonly at: number;
  readonly status: MessageStatus;
  readonly problem: string | undefined;
}

/** Linking, seen from the new device (`role: 'new'`) or the one that adds it (`role: 'adder'`). */
export interface LinkView {
  readonly role: 'new' | 'adder';
  readonly step:
    | 'preparing'
    | 'show-code' // new: code on screen, waiting for the other device
    | 'compare' // both: the short number is on screen, waiting for this person's yes
    | 'waiting-for-other' // this side said yes
    | 'adding' // adder: commit under way; new: importing
    | 'done'
    | 'ended'; // `problem` says why
  /** Copyable text and content of the QR code; only on the new device. */
  readonly code: string | undefined;
  /** Six digits, in two groups of three. */
  readonly shortNumber: string | undefined;
  readonly otherName: string | undefined;
  readonly problem: LinkProblem | undefined;
  readonly progress: { readonly done: number; readonly total: number } | undefined;
}

export type LinkProblem =
  | 'code-malformed'
  | 'code-unknown' // expired, used, or never there
  | 'code-tampered'
  | 'refused-here'
  | 'refused-there'
  | 'timed-out'
  | 'account-gone'
  | 'unreachable'
  | 'own-code';

/** Devices that are being removed: shown until no conversation can be read with what they hold. */
export interface RemovalView {
  readonly names: readonly string[];
  readonly step: 'cutting-off' | 'removing' | 'new-key' | 'renewing';
  /** Conversations renewed. */
  readonly done: number;
  readonly total: number;
}

/** How far the renewal of keys is, by conversations; and when the last one began. */
export interface RenewalView {
  readonly progress: { readonly done: number; readonly total: number } | undefined;
  /** ms */
  readonly at: number;
}

/** After joining with the recovery phrase: conversations that are being brought back. */
export interface RejoiningView {
  /** Whether it is known which they are. */
  readonly listed: boolean;
  readonly done: number;
  readonly total: number;
  /** Somebody added the account and none of its devices has answered: join, or leave it be? */
  readonly asks: readonly { readonly conversationId: string; readonly members: readonly string[] }[];
}

/** 'replace': it should be made anew, since a removed device may have seen it. */
export type PhraseView = 'none' | 'saving' | 'set' | 'replace';

export interface StateView {
  readonly phase: Phase;
  readonly account: AccountView | undefined;
  readonly devices: readonly DeviceView[];
  readonly removal: RemovalView | undefined;
  readonly renewal: RenewalView | undefined;
  readonly phrase: PhraseView;
  /** A recovery that needs the phrase, perhaps again: whose. */
  readonly phraseNeededFor: string | undefined;
  readonly rejoining: RejoiningView | undefined;
  /** Newest activity first. */
  readonly conversations: readonly ConversationView[];
  readonly link: LinkView | undefined;
  readonly connection: ConnectionView;
  /** Why what comes in cannot be kept; undefined once the store has taken something again. Nothing is lost by it. */
  readonly storage: StorageProblem | undefined;
  /** Notifications say who wrote what, unless the app lock is on. */
  readonly notifiesWords: boolean;
  /** Things the person must know about, newest first, until dismissed. */
  readonly notices: readonly NoticeView[];
}

export interface ConnectionView {
  readonly status: 'online' | 'connecting' | 'offline';
  /** Written things that wait for the network. */
  readonly waiting: number;
  /** Catching up after being away. */
  readonly catchingUp: { readonly done: number; readonly total: number } | undefined;
}

/** What a link leads to, before the person joins. */
export interface InvitationView {
  readonly conversationId: string;
  /** As the link says it. */
  readonly title: string;
  /** Usernames of some that are in it, and how many are. */
  readonly members: readonly string[];
  readonly count: number;
  /** The account is in it already. */
  readonly joined: boolean;
}

export interface NoticeView {
  readonly noticeId: string;
  readonly kind:
    | 'device-linked'
    | 'device-removed'
    | 'device-recovered'
    | 'recovered'
    | 'phrase-changed'
    | 'phrase-outdated'
    | 'foreign-key'
    | 'recovery-failed'
    | 'devices-found'
    | 'cloned-device'
    | 'unknown-device'
    | 'refused-message'
    | 'invitation-over'
    | 'older-members'
    | 'left-after-all'
    | 'request-failed';
  readonly text: string;
  readonly at: number;
}
