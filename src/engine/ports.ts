/**
 * What the engine asks of the world, as plain data. The engine never calls these: it emits
 * requests, `runtime.ts` hands them to the adapters in src/delivery and src/store, and what they
 * answer comes back as an input.
 */

/** Random bytes that name an account (virtual client), a device (emulator client) or a message. */
export type AccountId = Uint8Array; // 16 bytes, chosen by the server
export type DeviceId = Uint8Array; // 16 bytes, chosen by the device
export type MessageId = Uint8Array; // 16 bytes, chosen by the device; names one message over all its retries
export type LinkId = Uint8Array; // 16 bytes, derived from the link code

/** What a message is to the delivery service; everything else about it is encrypted. */
export type MessageKind = 'creation' | 'application' | 'proposal' | 'commit';

/** Reading section 14: a commit or Update of the virtual client states both; the server refuses it unless they are the newest. */
export interface Fence {
  readonly emulationEpoch: number;
  readonly keyVersion: number;
}

/** Draft section 5.9. The server compares it per sending account, group, epoch and ratchet type. */
export interface GenerationClaim {
  readonly ratchetType: 'application' | 'handshake';
  readonly generationId: Uint8Array;
}

/** The device that a commit with an Add brings into the emulation group. */
export interface NewDevice {
  readonly deviceId: DeviceId;
  /** Ed25519 public key that proves the device to the server. */
  readonly deviceKey: Uint8Array;
  /** Mailbox that gets the Welcome in the transaction that accepts the commit. */
  readonly linkId: LinkId;
  /** Position of the emulation log that the Welcome's state covers; refused if the log is longer. */
  readonly coversPosition: number;
}

/** What a commit tells the server besides itself. */
export interface CommitRouting {
  /** Accounts that the commit adds and removes, for fan-out. */
  readonly adds: readonly AccountId[];
  readonly removes: readonly AccountId[];
  /** One Welcome message for all that join; the KeyPackages that it uses up, by owner. */
  readonly welcome:
    | { readonly message: Uint8Array; readonly uses: readonly { readonly accountId: AccountId; readonly keyPackageRef: Uint8Array }[] }
    | undefined;
  /** Signed GroupInfo of the new epoch (MLSMessage). */
  readonly groupInfo: Uint8Array;
  /** Refs that a KeyPackageUpload in this commit (emulation group) announces. */
  readonly announces: readonly Uint8Array[];
  readonly newDevice: NewDevice | undefined;
  /** R of the emulation group after this commit (reading section 11). Every commit there states it: an earlier one may have lied. */
  readonly recoveryKey: Uint8Array | undefined;
  /** What a GroupContextExtensions proposal in this commit (higher-level group) makes of the group's invitation key; undefined where it stays. */
  readonly invitation: { readonly key: Uint8Array | undefined } | undefined;
  /** On an external commit by an account that is no member: the invitation key's signature over InvitationRequestTBS. */
  readonly invited: Uint8Array | undefined;
  /** Who is in the emulation group after this commit, for the same reason: the server forgets any other device of the account. */
  readonly devices: readonly DeviceId[] | undefined;
  /** Log position of the commit for the same epoch that this one's maker refused (reading section 15). */
  readonly refuses: number | undefined;
}

/** One message for one group's log. */
export interface Submission {
  readonly groupId: Uint8Array;
  readonly messageId: MessageId;
  readonly kind: MessageKind;
  /** MLS epoch in which the message was made (0 for a creation). */
  readonly epoch: number;
  /** MLSMessage; for a creation the epoch-0 GroupInfo. */
  readonly message: Uint8Array;
  /** On every PrivateMessage of the virtual client in a higher-level group; absent in the emulation group. */
  readonly generation: GenerationClaim | undefined;
  /** On commits and Updates in higher-level groups, and on their creation. */
  readonly fence: Fence | undefined;
  readonly commit: CommitRouting | undefined;
}

/**
 * A message, a Welcome, or what the server itself puts into the emulation group's log: a device is cut
 * off (`message` is a RemovalStatement), a new account key is bound (`message` is its AccountBinding).
 */
export type EntryKind = MessageKind | 'welcome' | 'begin-removal' | 'account-key';

/** One step of the account's sequence (reading section 14), in acceptance order over all its groups. */
export interface SequenceEntry {
  readonly sequence: number;
  readonly groupId: Uint8Array;
  /** Place in the group's log; 0 is the creation. A welcome has the place of the commit that made it. */
  readonly position: number;
  readonly kind: EntryKind;
  readonly epoch: number;
  readonly message: Uint8Array;
  /** Only on messages of the own account: other accounts never learn it. */
  readonly messageId: MessageId | undefined;
  /** Only on welcomes: which KeyPackage of this account it uses up. */
  readonly keyPackageRef: Uint8Array | undefined;
  /** Server's clock at acceptance, ms since 1970. */
  readonly acceptedAt: number;
}

/** Slots of a link mailbox, written once each (see docs/linking.md). */
export type LinkSlot = 'request' | 'answer' | 'reveal' | 'confirmed' | 'cancelled' | 'welcome';

export interface ClaimedKeyPackage {
  readonly accountId: AccountId;
  readonly keyPackageRef: Uint8Array;
  readonly keyPackage: Uint8Array;
}

/** A device that the server does not know, vouched for by R: `proof` is R's signature over RecoveryProofTBS. */
export interface RecoveryClaim {
  readonly username: string;
  readonly deviceId: DeviceId;
  readonly deviceKey: Uint8Array;
  readonly proof: Uint8Array;
}

export interface OpenedRecovery {
  readonly accountId: AccountId;
  readonly keyVersion: number;
  /** Newest GroupInfo of the emulation group, and where its log ends. */
  readonly groupInfo: Uint8Array;
  readonly epoch: number;
  readonly position: number;
  /** RemovalStatements of devices that were cut off, newest first: some may still be in the group. */
  readonly removals: readonly Uint8Array[];
}

/** All that a recovery changes at the server at once (draft section 4.2, reading section 11). */
export interface Recovery extends RecoveryClaim {
  /** The account's key that `signatureKey` replaces; refused unless it is the newest. */
  readonly keyVersion: number;
  readonly signatureKey: Uint8Array;
  /** The new key's signature over AccountKeyTBS. */
  readonly keyProof: Uint8Array;
  /** Epoch of the emulation group that the external commit ends. */
  readonly epoch: number;
  readonly commit: { readonly messageId: MessageId; readonly message: Uint8Array; readonly groupInfo: Uint8Array };
  /** ResyncMessage, in the epoch that the commit begins. */
  readonly resync: { readonly messageId: MessageId; readonly message: Uint8Array };
}

export interface ListedGroup {
  readonly groupId: Uint8Array;
  readonly answered: boolean;
}

export interface AccountDescription {
  readonly accountId: AccountId;
  readonly username: string;
}

/** Requests to the delivery service and what each returns when it succeeds. */
export interface DeliveryCalls {
  /** Public; pins the authentication key on first use. */
  'describe-server': { request: object; answer: { authenticationKey: Uint8Array } };
  /**
   * Signed by the new device's own key; the account key proves itself by `proof`, a signature over
   * username and device key. Idempotent for the same keys.
   */
  'create-account': {
    request: {
      username: string;
      deviceId: DeviceId;
      deviceKey: Uint8Array;
      signatureKey: Uint8Array;
      proof: Uint8Array;
      emulationGroupId: Uint8Array;
      emulationGroupInfo: Uint8Array;
    };
    /** `binding` is the AccountBinding component (reading section 15). `sequence` is where the account starts. */
    answer: { accountId: AccountId; keyVersion: number; binding: Uint8Array; sequence: number };
  };
  'find-account': { request: { username: string }; answer: AccountDescription };
  'describe-accounts': { request: { accountIds: readonly AccountId[] }; answer: { accounts: readonly AccountDescription[] } };
  /** Idempotent by messageId. */
  /** `checked`: nothing before it has its generation. Otherwise only the log tells whether it counts (draft section 5.9). */
  submit: { request: Submission; answer: { position: number; sequence: number; checked: boolean } };
  'upload-key-packages': {
    request: { keyPackages: readonly { keyPackageRef: Uint8Array; keyPackage: Uint8Array }[] };
    answer: { stock: number };
  };
  /** One KeyPackage per account, handed out once; idempotent by claimId. */
  'claim-key-packages': {
    request: { claimId: Uint8Array; accountIds: readonly AccountId[] };
    answer: { keyPackages: readonly ClaimedKeyPackage[] };
  };
  'fetch-sequence': {
    /** `mark` is that of the entry `after`, where the device knows it (sequence-mark.ts). */
    request: { after: number; limit: number; mark?: Uint8Array | undefined };
    answer: { entries: readonly SequenceEntry[]; last: number; stock: number };
  };
  /**
   * Reading section 12, Begin. Idempotent by device; `statement` is a RemovalStatement for it. A device may
   * name itself.
   */
  'begin-removal': { request: { deviceId: DeviceId; statement: Uint8Array }; answer: object };
  /** Compare-and-set on `keyVersion`; idempotent for the same key. `proof` is the new key's signature over AccountKeyTBS. */
  'bind-account-key': {
    request: { keyVersion: number; signatureKey: Uint8Array; proof: Uint8Array };
    answer: { keyVersion: number; binding: Uint8Array };
  };
  /** Without `epoch` the newest; with it one that an external commit of the own account left (reading section 11). */
  'fetch-group': {
    request: { groupId: Uint8Array; epoch: number | undefined };
    answer: { groupInfo: Uint8Array; epoch: number; position: number };
  };
  /** The newest GroupInfo, for an account that is no member and has a link; `proof` as in `CommitRouting.invited`. */
  'open-invitation': {
    request: { groupId: Uint8Array; proof: Uint8Array };
    answer: DeliveryCalls['fetch-group']['answer'];
  };
  /** Groups of the account, without its emulation group. `answered`: the account has sent something there itself. */
  'list-groups': { request: object; answer: { groups: readonly ListedGroup[] } };
  /** A new device asks what it needs to join with the recovery phrase. Signed by its own key, as 'create-account'. */
  'open-recovery': { request: RecoveryClaim; answer: OpenedRecovery };
  /** Reading section 11, in one transaction. Signed by the new device's own key; idempotent by device. */
  recover: { request: Recovery; answer: { keyVersion: number; binding: Uint8Array; position: number; sequence: number } };
  'put-blob': { request: { hash: Uint8Array; bytes: Uint8Array }; answer: object };
  'fetch-blob': { request: { hash: Uint8Array }; answer: { bytes: Uint8Array } };
  /** Public, by the mailbox's token; the first `request` makes the mailbox. */
  'put-link-slot': { request: { linkId: LinkId; token: Uint8Array; slot: LinkSlot; payload: Uint8Array }; answer: object };
  /** Waits up to 25 s for a slot that is not in `have`. */
  'fetch-link': {
    request: { linkId: LinkId; token: Uint8Array; have: readonly LinkSlot[] };
    answer: { slots: Partial<Record<LinkSlot, Uint8Array>> };
  };
  'delete-link': { request: { linkId: LinkId; token: Uint8Array }; answer: object };
}

export type DeliveryCall = keyof DeliveryCalls;

export type DeliveryRequest = { [Call in DeliveryCall]: { readonly call: Call } & Readonly<DeliveryCalls[Call]['request']> }[DeliveryCall];

/** Stable problem types of the delivery service (RFC 9457); docs/delivery-service.md explains each. */
export type ProblemType =
  | 'generation-taken' // a sibling's message used this generation: encrypt again
  | 'stale-epoch' // the group has moved on: process its log, then make the message anew
  | 'stale-emulation-epoch'
  | 'stale-key-version'
  | 'stale-log' // a commit with an Add does not cover the emulation log
  | 'log-changed' // the server's log is not the one that this device has followed: it was restored from a backup
  | 'group-exists'
  | 'unknown-group'
  | 'not-a-member'
  | 'username-taken'
  | 'unknown-account'
  | 'no-key-package'
  | 'spent-key-package' // a Welcome names a KeyPackage that is used up or revoked
  | 'unannounced-key-package'
  | 'unknown-device'
  | 'no-such-device' // the account has no such device to remove
  | 'last-device' // without it nobody could act for the account
  | 'invitation-refused' // no such group, or the link is not good any more
  | 'recovery-refused' // no such account, no phrase, or another one
  | 'bad-signature'
  | 'clock-skew'
  | 'unknown-link'
  | 'link-slot-taken'
  | 'unknown-blob'
  | 'malformed'
  | 'too-large'
  | 'too-many'
  | 'rate-limited'
  | 'internal';

export interface Problem {
  readonly type: ProblemType;
  readonly status: number;
  /** Only on 'rate-limited' and the server's own trouble: wait this long, ms. */
  readonly retryAfter: number | undefined;
  /** 'no-key-package', 'unknown-account', 'spent-key-package': whose. */
  readonly accountId: AccountId | undefined;
}

export type DeliveryAnswer<Call extends DeliveryCall> =
  | { readonly outcome: 'done'; readonly value: DeliveryCalls[Call]['answer'] }
  | { readonly outcome: 'refused'; readonly problem: Problem }
  /** No answer, or not one of this server's: it may or may not have been carried out. */
  | { readonly outcome: 'unreachable' };

/** How a device proves itself; undefined for calls of a device that the server does not know yet. */
export interface DeviceProof {
  readonly deviceId: DeviceId;
  readonly deviceKeySeed: Uint8Array;
}

export interface DeliveryPort {
  send<Call extends DeliveryCall>(
    call: Call,
    request: DeliveryCalls[Call]['request'],
    proof: DeviceProof | undefined,
    signal: AbortSignal,
  ): Promise<DeliveryAnswer<Call>>;
}

/** Records by key; keys are paths such as `group/<id>/tree`. Values are opaque bytes. What fails, fails with a `StoreError`. */
export interface StorePort {
  /** All records whose key starts with `prefix`, in key order. */
  load(prefix: string): Promise<ReadonlyMap<string, Uint8Array>>;
  get(key: string): Promise<Uint8Array | undefined>;
  /** Up to `limit` records with a key in [from, to), newest key first: for paging through a conversation. */
  page(from: string, to: string, limit: number): Promise<ReadonlyMap<string, Uint8Array>>;
  /** One strict transaction; resolves at its complete event, rejects with nothing written. */
  write(changes: StoreChanges): Promise<void>;
  /** Removes everything that this device holds. */
  destroy(): Promise<void>;
}

export interface StoreChanges {
  readonly puts: ReadonlyMap<string, Uint8Array>;
  readonly deletes: readonly string[];
}

/** Why a store could not do what was asked: the `code` of its `StoreError`s; stable, for the UI's words and for tests. */
export type StoreErrorCode =
  | 'quota-exceeded' // the disk, or this site's share of it, is full
  | 'blocked' // another context of this origin keeps the database from being opened or deleted
  | 'newer-version' // a later version of the app has changed the database
  | 'unavailable' // the browser refuses storage here (private mode, a policy, a damaged profile)
  | 'locked' // the app lock is on, and this worker has not been given what opens it since it started
  | 'root-missing' // the database is there and the key above all its keys is not: nothing can be read any more
  | 'sealed-record-unreadable' // damaged, moved from its place, or sealed under a key that is gone
  | 'invalid-path'
  | 'write-failed'; // nothing was written
