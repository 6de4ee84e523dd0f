import type { Secret } from '../bytes/index.ts';
import type { GroupState } from '../mls/index.ts';
import type { EmulationEpoch, GuardKey, LiveLeaf, Operation } from '../virtual-client/index.ts';
import type { AccountId, DeviceId, MessageId, Recovery, Submission } from './ports.ts';
import type { LinkProblem, NoticeView } from './view.ts';

/**
 * Everything that one device knows, immutable: a step returns a new state that shares what did not
 * change, and `records.ts` stores the parts that did. Maps are keyed by lower-case hex.
 */
export interface EngineState {
  readonly device: DeviceState | undefined;
  /** An account that this device asked the server to make; the answer is still out. */
  readonly creating: CreatingState | undefined;
  /** This device is to join an account with its recovery phrase. */
  readonly recovering: RecoveringState | undefined;
  readonly account: AccountState | undefined;
  /** After that: what is known of bringing the conversations back; undefined when it is over. */
  readonly rejoining: RejoiningState | undefined;
  readonly cursor: Cursor;
  readonly rewound: Rewound | undefined;
  readonly emulation: EmulationState | undefined;
  /** Outstanding KeyPackages of the account, by reference: any device can use any of them. */
  readonly keyPackages: ReadonlyMap<string, OutstandingKeyPackage>;
  /** Made by this device, announced or about to be, not yet at the server. */
  readonly uploads: KeyPackageUploads | undefined;
  /** KeyPackages that the server can still hand out, as it said last; undefined before it did. */
  readonly stock: number | undefined;
  readonly conversations: ReadonlyMap<string, Conversation>;
  /** Messages that the person has deleted, as far as something is left to do about them; by group. */
  readonly forgotten: ReadonlyMap<string, Forgotten>;
  /** External joins of the virtual client that are wished or under way, by group. */
  readonly externalJoins: ReadonlyMap<string, ExternalJoin>;
  /** MLS states of conversations; loaded on demand (see `NeedGroups`). */
  readonly groups: ReadonlyMap<string, GroupState>;
  /** Usernames of accounts, as the server told them. */
  readonly contacts: ReadonlyMap<string, string>;
  readonly link: LinkState | undefined;
  /** Sealed conversations by hex hash: of a linked device those still to be uploaded, of a new one those fetched. */
  readonly linkBlobs: ReadonlyMap<string, Uint8Array>;
  readonly notices: readonly NoticeView[];
  /** The server no longer knows this device. */
  readonly unlinked: boolean;
  /** The server was restored from a backup that lacks what this device's emulation group has done: it can do nothing any more. */
  readonly setBack: boolean;
  /** The emulation group has gone on with a commit of this device's leaf that it does not know: it can do nothing any more. */
  readonly copied: boolean;
  /** The person wants notifications of this device to say who wrote what. */
  readonly notifiesWords: boolean;
  /** The person has logged out here: as soon as the device is out of the account everything is deleted. */
  readonly leaving: boolean;
}

/** Whether this device can do nothing any more, though all that is here can be read. */
export function isStopped({ setBack, copied }: EngineState): boolean {
  return setBack || copied;
}

/** This browser's own identity, made before anything is sent. */
export interface DeviceState {
  readonly deviceId: DeviceId;
  readonly deviceName: string;
  /** Proves the device to the server. */
  readonly deviceKeySeed: Secret<'device_key_seed'>;
  /** Signs in the emulation group. */
  readonly emulatorSignatureKey: Uint8Array;
  readonly emulatorSigner: Secret<'signature_private_key'>;
}

/** A signature key of the virtual client, as LeafNodes name it. */
export interface SigningKey {
  readonly keyVersion: number;
  readonly signatureKey: Uint8Array;
  readonly signer: Secret<'signature_private_key'>;
}

export interface AccountState extends SigningKey {
  readonly accountId: AccountId;
  readonly username: string;
  /** AccountBinding component of the newest key (reading section 15). */
  readonly binding: Uint8Array;
  /** Keys before the newest that some leaf still names, newest first. */
  readonly formerKeys: readonly SigningKey[];
  /** The authentication service's key, pinned when the account was made or linked. */
  readonly authenticationKey: Uint8Array;
}

export interface CreatingState {
  readonly username: string;
  readonly signatureKey: Uint8Array;
  readonly signer: Secret<'signature_private_key'>;
  readonly emulationGroupInfo: Uint8Array;
  /** Known once the server has described itself. */
  readonly authenticationKey: Uint8Array | undefined;
}

/** Joining by phrase (reading section 11). Neither the phrase nor R's seed is ever part of the state. */
export interface RecoveringState {
  readonly username: string;
  /** The one transaction, until it is answered. Without it the phrase is needed, again if the account had moved on. */
  readonly pending:
    | {
        readonly request: Recovery;
        readonly accountId: AccountId;
        readonly signer: Secret<'signature_private_key'>;
        readonly authenticationKey: Uint8Array;
      }
    | undefined;
}

export interface RejoiningState {
  /** Undefined until the server has listed them. */
  readonly groups: readonly RejoinedGroup[] | undefined;
}

export interface RejoinedGroup {
  readonly groupId: Uint8Array;
  /** 'ask': somebody added the account and no device has answered there, so the person decides. */
  readonly wish: 'join' | 'ask' | 'discard';
  /** Of one that the person is asked about, as its newest GroupInfo has them. */
  readonly members: readonly AccountId[] | undefined;
}

/** The recovery phrase, as far as devices know of it. */
export interface PhraseState {
  /** 'replace': a device that was removed may have seen it. */
  readonly status: 'none' | 'set' | 'replace';
  /** R of a phrase that is on a screen here and not confirmed. */
  readonly offered: Uint8Array | undefined;
  /** R that the person has confirmed here and the emulation group does not name yet. */
  readonly confirmed: Uint8Array | undefined;
}

/** The account's sequence and how far this device has followed it. */
export interface Cursor {
  readonly sequence: number;
  /** Newest sequence number that the server has named; only for progress. */
  readonly known: number;
  /** Newest first (see set-back.ts). */
  readonly marks: readonly SequencePlace[];
}

/** An entry of the sequence, and what it is known by; without a mark where this device began. */
export interface SequencePlace {
  readonly sequence: number;
  readonly mark: Uint8Array | undefined;
}

/** The server's log is not the one that was followed up to `from`: it is read anew from an entry that is in both. */
export interface Rewound {
  readonly from: number;
  /** Hex IDs of groups whose newest followed entry has not come again. */
  readonly doubted: readonly string[];
}

/** Leaf's DerivationInfo must not name an epoch older than this one (reading section 12). */
export interface Floor {
  readonly epoch: bigint;
  /** Who raised it does what follows from it; others wait until `othersFrom` (ms), of a renewal longer if somebody gets on with it. */
  readonly by: number;
  readonly othersFrom: number;
}

/** Every leaf is to be of this emulation epoch or a later one: the newest Add, Remove, external join or renewal made it. */
export interface Renewal extends Floor {
  /** ms by this device's clock: when it came to that commit. */
  readonly at: number;
  /** This device began it, and nobody waits for it: Updates will do. */
  readonly leisurely: boolean;
}

/** When this device last took fresh keys of its own in the emulation group, and which of these times the newest renewal carried on. ms */
export interface OwnPathTimes {
  readonly at: number;
  readonly carriedAt: number;
}

/** After a refusal: make nothing before the log has grown beyond `position`, nor before `notBefore` (ms). */
export interface EmulationHold {
  readonly position: number | undefined;
  readonly notBefore: number;
  /** How long the last refusal that passes by itself made us wait, ms; the next in a row takes longer. */
  readonly pause: number;
}

export interface EmulationState {
  readonly groupId: Uint8Array;
  readonly group: GroupState;
  /** Last processed position of the emulation group's log. */
  readonly position: number;
  /** Of the entry there; undefined while it is the one that this device began with. */
  readonly mark: SequencePlace | undefined;
  /** Position of the commit that added this device; 0 on the account's first. Until the sequence comes to it, the past epochs count. */
  readonly joinedAt: number;
  /** As in a conversation. */
  readonly refusedCommit: number | undefined;
  /** As in a conversation. */
  readonly endedEpochs: readonly EndedEpoch[];
  readonly currentEpochId: string;
  readonly epochs: ReadonlyMap<string, EmulationEpoch>;
  readonly floor: Floor;
  readonly renewal: Renewal;
  readonly ownPath: OwnPathTimes;
  /** The person asked here for new keys, and the commit that begins it has not come. */
  readonly renewalAsked: boolean;
  /** Names of devices by the hex of their emulation signature key. */
  readonly deviceNames: ReadonlyMap<string, string>;
  readonly pending: PendingEmulationMessage | undefined;
  readonly hold: EmulationHold | undefined;
  /** Device profiles still to be told to the siblings. */
  readonly announceDevices: readonly DeviceProfile[];
  readonly removal: RemovalState;
  readonly phrase: PhraseState;
}

/** Removals of devices and how far they are (reading section 12); what is left to do follows from it. */
export interface RemovalState {
  /** The person asked here for it, and the entry of the sequence that says so has not come. */
  readonly asked: readonly { readonly deviceId: DeviceId; readonly name: string; readonly accepted: boolean }[];
  /** Cut off by the server, and still in the emulation group. Devices where nobody asked wait until `othersFrom` (ms). */
  readonly cutOff: readonly {
    readonly deviceId: DeviceId;
    readonly name: string;
    readonly askedHere: boolean;
    readonly othersFrom: number;
  }[];
  /** Names of those that are out; of interest until every conversation is renewed. */
  readonly removed: readonly string[];
  /** A Remove, an external join or a key that nobody of us told is in the log, and no new account key after it. */
  readonly keyDue: boolean;
  /** New account keys in the log that the server has not bound, oldest first. */
  readonly told: readonly Omit<SigningKey, 'keyVersion'>[];
  /** Version of the newest key that the server has bound and no device of the account has told; 0 when there is none, or ours is newer. */
  readonly foreignVersion: number;
  /** How many of those have come, none more than a day after the one before. */
  readonly foreignKeys: number;
  /** ms by this device's clock: when the last of them came. */
  readonly foreignAt: number;
  /** ms; no request to bind before. */
  readonly bindAgainAt: number;
  /** Emulation epoch made by the last Remove: through a leaf from before it no application message is sent. */
  readonly floor: bigint;
}

export interface DeviceProfile {
  readonly signatureKey: Uint8Array;
  readonly name: string;
}

/** One message of ours on its way to the emulation group's log. */
export interface PendingEmulationMessage {
  readonly purpose:
    | 'key-packages'
    | 'add-device'
    | 'device-profile'
    | 'renew'
    | 'external-join'
    | 'remove-devices'
    | 'account-key'
    | 'recovery-key'
    | 'invitation'
    | 'forget';
  readonly submission: Submission;
  /** Of a commit: what applying it needs when it comes back. */
  readonly encryptionPrivateKey: Secret<'encryption_private_key'> | undefined;
  readonly pathSecret: Secret<'path_secret'> | undefined;
  /** Of a KeyPackageUpload: already punctured, kept when the commit comes back. */
  readonly keyPackages: readonly OutstandingKeyPackage[];
  readonly accepted: boolean;
}

/** A KeyPackage that a Welcome may use: announced in the emulation group, one operation each. */
export interface OutstandingKeyPackage {
  readonly keyPackageRef: Uint8Array;
  readonly operation: Operation;
  /** Server's time of the announcing commit, ms; 0 while the commit is on its way. */
  readonly announcedAt: number;
}

export interface KeyPackageUploads {
  readonly keyPackages: readonly { readonly keyPackageRef: Uint8Array; readonly keyPackage: Uint8Array }[];
}

/** What inverting the reuse guards of one ended epoch of a higher-level group needs (reading section 8). */
export interface PastLeaf {
  readonly groupEpoch: bigint;
  readonly guardKey: GuardKey;
}

/** Something the person asked for in a conversation, in order. */
export type WorkItem =
  | { readonly kind: 'create'; readonly messageId: MessageId }
  | {
      readonly kind: 'add';
      readonly messageId: MessageId;
      readonly members: readonly { readonly accountId: AccountId; readonly username: string }[];
    }
  | { readonly kind: 'remove'; readonly messageId: MessageId; readonly accountId: AccountId; readonly username: string }
  | {
      readonly kind: 'text';
      readonly messageId: MessageId;
      readonly text: string;
      readonly at: number;
      readonly problem: string | undefined;
      readonly unanswered?: Unanswered;
    }
  /** The group's invitation key is replaced, or (without a seed) withdrawn. */
  | { readonly kind: 'invite'; readonly messageId: MessageId; readonly seed: Secret<'invitation_seed'> | undefined }
  /** The leaf is renewed by a commit of our own. */
  | { readonly kind: 'renew'; readonly messageId: MessageId }
  /** It is renewed at leisure (see leaf-renewal.ts). */
  | { readonly kind: 'update'; readonly messageId: MessageId; readonly unanswered?: Unanswered };

/**
 * It was given to the server before, in other bytes, and the answer never came, or was a refusal, which may be a lie:
 * those may be in the log yet. A commit's could not be followed there, so nothing has to be known of them.
 */
type Unanswered = true;

export interface PendingSubmission {
  readonly item: WorkItem;
  readonly submission: Submission;
  /** Accepted by a service that does not check generations: what comes after it waits until it is back, to stay in order. */
  readonly unchecked?: true;
}

/** Why the next message must not be made yet; over when one of the conditions is. */
export interface Hold {
  /** The server is an epoch ahead of what this device has followed of the group. */
  readonly commitAwaited: boolean;
  readonly emulationEpochOver: bigint | undefined;
  /** ms by this device's clock. */
  readonly notBefore: number | undefined;
  /** Until `notBefore` texts wait too: it was the commit before a text that did not work out. */
  readonly textsToo: boolean;
  /** ms: how long `notBefore` was away when it was set; the next time it is twice that. */
  readonly pause: number;
  /** So often in a row the server has said that a sibling was first. */
  readonly collisions?: number;
}

/** An epoch of a group that is over; what is kept of it goes a stated time after its end. */
export interface EndedEpoch {
  readonly groupEpoch: bigint;
  /** ms by the server's clock: when the commit that ended it was accepted. */
  readonly endedAt: number;
}

/** An Update of our own leaf, by any device of the account, in the log of the group's present epoch: any other member may commit it. */
export interface PendingUpdate {
  readonly operation: Operation;
  /** HPKE public key of the leaf that it brings. */
  readonly encryptionKey: Uint8Array;
  /** ms by this device's clock: when it came to the Update, or was linked. */
  readonly at: number;
}

export interface Conversation {
  readonly groupId: Uint8Array;
  readonly title: string;
  readonly state: 'creating' | 'member' | 'left' | 'out-of-step' | 'set-back';
  /** Accounts in the group, in leaf order. */
  readonly members: readonly AccountId[];
  /** The link by which others may come in. */
  readonly invitation: GroupInvitation | undefined;
  /** Last processed position of the group's log; -1 before the first, or when the server's log was set back. */
  readonly position: number;
  /** Of the entry there, as in the emulation group. */
  readonly mark: SequencePlace | undefined;
  /** What a position is more as a line's than in the log: lines of a log that is gone are before it. */
  readonly lineBase: number;
  /** Epoch in which this device lost step: no GroupInfo of an earlier one leads back. */
  readonly lostEpoch: bigint | undefined;
  /** The person joins a group anew whose log was set back: nobody may be in it who was no member before. */
  readonly joinsOlder: boolean;
  /** The account's last external commit that brought this device back after it had lost step. */
  readonly rejoined: Rejoined | undefined;
  /** Epoch of the group in which this device came into it, the last time; nothing before is known to it. */
  readonly since: bigint;
  readonly leaf: LiveLeaf | undefined;
  /** `key_version` of that leaf's signature key; 0 before there is one. */
  readonly keyVersion: number;
  /** Messages that the account's devices have sent by that leaf. */
  readonly sentByLeaf: number;
  /** Newest first; as long as the group's past epochs are kept. */
  readonly pastLeaves: readonly PastLeaf[];
  /** Kept past epochs of the group, newest first. */
  readonly endedEpochs: readonly EndedEpoch[];
  /** Own operations that were sent and have not come back (reading section 4, Retention). */
  readonly operations: readonly Operation[];
  /** In order of arrival; over with the group's epoch. */
  readonly updates: readonly PendingUpdate[];
  /** An epoch has ended without an Update of ours that it had, and no path of ours came since. */
  readonly passedOver: boolean;
  readonly queue: readonly WorkItem[];
  /** Claimed KeyPackages of the add at the queue's head. */
  readonly claim: { readonly claimId: Uint8Array; readonly keyPackages: readonly ClaimedForAdd[] | undefined } | undefined;
  /** Made and stored, perhaps sent, no answer yet. */
  readonly pending: PendingSubmission | undefined;
  /** Accepted by the server, not yet seen in the log. */
  readonly awaitingEcho: readonly PendingSubmission[];
  readonly hold: Hold | undefined;
  /** Hex names of what this device sent last and has seen in the log, newest first. */
  readonly finished: readonly string[];
  /** Position of a commit of this epoch that we refused: the next commit names it (reading section 15). */
  readonly refusedCommit: number | undefined;
  readonly unread: number;
  readonly readPosition: number;
  readonly draft: string;
  readonly last: StoredMessage | undefined;
  readonly startedAt: number;
}

export interface Rejoined {
  /** ms */
  readonly at: number;
  /** What whoever loses step soon after it waits for before the next, ms. */
  readonly pause: number;
}

export interface GroupInvitation {
  /** I, as the GroupContext has it. */
  readonly key: Uint8Array;
  /** Of a link that a device of the account has made, as far as this device knows. */
  readonly seed: Secret<'invitation_seed'> | undefined;
  /** The siblings know of it, or need not. */
  readonly told: boolean;
}

export interface ClaimedForAdd {
  readonly accountId: AccountId;
  readonly keyPackageRef: Uint8Array;
  readonly keyPackage: Uint8Array;
}

/** Joining one group externally with the virtual client (draft section 5.5.2), as a resync too. */
export interface ExternalJoin {
  readonly groupId: Uint8Array;
  /** Emulator leaf of the device whose ExternalJoin is in the emulation group's log; undefined for a wish of this device's. */
  readonly announcedBy: number | undefined;
  /** ms: before it this device does nothing for it. */
  readonly notBefore: number;
  /** ms: how long it was paused after the last thing that did not work out. */
  readonly pause: number;
  /** After a refusal: wait until the emulation group has left this epoch. */
  readonly afterEmulationEpoch: bigint | undefined;
  /** Wait until the group's log is passed up to here. */
  readonly afterPosition: number | undefined;
  /** Behind the external commit that this device has made and that is not in the log. */
  readonly operation: Operation | undefined;
  readonly pending: Submission | undefined;
  readonly accepted: boolean;
  /** The newest GroupInfo that was fetched: what our commit was made from, or a sibling's is followed from. */
  readonly base: { readonly epoch: number; readonly groupInfo: Uint8Array } | undefined;
  /** A sibling's external commit stops the sequence until the GroupInfo of its epoch is here, or refused. */
  readonly wanted: { readonly epoch: number; readonly refused: boolean } | undefined;
  /** Of a group that no device of the account is in: the link that lets it in. */
  readonly invitation:
    | {
        readonly seed: Secret<'invitation_seed'>;
        readonly title: string;
        /** I's word to the server. */
        readonly proof: Uint8Array;
        /** The person asked for it here: it is here that they hear of its end. */
        readonly askedHere: boolean;
        /** The siblings know of it. */
        readonly told: boolean;
        /** The server takes it no more. */
        readonly over?: true;
      }
    | undefined;
}

/** One line of a conversation as it is kept, under `message/<conversation>/<position>`. */
export interface StoredMessage {
  readonly position: number;
  readonly messageKey: string;
  readonly kind: 'text' | 'event';
  /** Of an event its name: 'members', 'joined', 'rejoined', 'set-back', 'went-on', 'linked', 'unreadable'. */
  readonly text: string;
  readonly sender: AccountId | undefined;
  /** Of a 'members' event. */
  readonly added: readonly AccountId[];
  readonly removed: readonly AccountId[];
  readonly device: { readonly name: string; readonly own: boolean; readonly known: boolean } | undefined;
  readonly alarm: boolean;
  readonly at: number;
}

/** What the person has deleted in one conversation (see forget.ts). */
export interface Forgotten {
  /** Places in the log that the siblings have not been told of, ascending. */
  readonly positions: readonly number[];
  /** Hex names of what was written here and deleted before it came back, newest first: if it comes, it is not kept. */
  readonly names: readonly string[];
}

/** Linking in progress; see docs/linking.md for the exchange. */
export type LinkState = NewDeviceLink | AdderLink;

interface LinkCommon {
  readonly secret: Secret<'link_secret'>;
  readonly step: 'preparing' | 'show-code' | 'compare' | 'waiting-for-other' | 'adding' | 'done' | 'ended';
  readonly problem: LinkProblem | undefined;
  readonly saidYes: boolean;
  readonly otherSaidYes: boolean;
  /** ms; the exchange is over then, whatever its step. */
  readonly expiresAt: number;
  readonly request: Uint8Array | undefined;
  readonly answer: Uint8Array | undefined;
  readonly reveal: Uint8Array | undefined;
  readonly otherName: string | undefined;
  /** Slots to write at the server, in order. */
  readonly toPut: readonly { readonly slot: 'request' | 'answer' | 'reveal' | 'confirmed' | 'cancelled'; readonly payload: Uint8Array }[];
  /** All sealed conversations that the Welcome names. */
  readonly blobs: readonly LinkBlob[];
  /** Delete the mailbox at the server, then forget the exchange. */
  readonly toDelete: boolean;
  /** The person has closed it; it goes when the server has been told. */
  readonly hidden: boolean;
}

export interface LinkBlob {
  readonly hash: Uint8Array;
  /** Bytes. */
  readonly length: number;
}

export interface NewDeviceLink extends LinkCommon {
  readonly role: 'new';
  readonly nonce: Uint8Array;
  readonly keyPackage: Uint8Array;
  /** Waits for the blobs that it names; goes with `keys`. */
  readonly welcome: Uint8Array | undefined;
  /** Of the KeyPackage; undefined as soon as it is used or given up. */
  readonly keys:
    { readonly initPrivateKey: Secret<'init_private_key'>; readonly encryptionPrivateKey: Secret<'encryption_private_key'> } | undefined;
}

export interface AdderLink extends LinkCommon {
  readonly role: 'adder';
  readonly nonce: Uint8Array;
}

/** A device's cursor when it comes into the account at this place of the sequence. */
export function beginningAt(sequence: number): Cursor {
  return { sequence, known: sequence, marks: [{ sequence, mark: undefined }] };
}

export const EMPTY_STATE: EngineState = {
  device: undefined,
  creating: undefined,
  recovering: undefined,
  account: undefined,
  rejoining: undefined,
  cursor: { sequence: 0, known: 0, marks: [] },
  rewound: undefined,
  emulation: undefined,
  keyPackages: new Map(),
  uploads: undefined,
  stock: undefined,
  conversations: new Map(),
  forgotten: new Map(),
  externalJoins: new Map(),
  groups: new Map(),
  contacts: new Map(),
  link: undefined,
  linkBlobs: new Map(),
  notices: [],
  unlinked: false,
  setBack: false,
  copied: false,
  notifiesWords: false,
  leaving: false,
};

/** A step met a group whose MLS state is not in memory: load these and step again. Nothing has changed. */
export class NeedGroups extends Error {
  readonly conversationIds: readonly string[];

  constructor(conversationIds: readonly string[]) {
    super('groups are not loaded');
    this.conversationIds = conversationIds;
  }
}
