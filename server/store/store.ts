import type {
  AccountDescription,
  AccountId,
  ClaimedKeyPackage,
  DeliveryCalls,
  DeviceId,
  LinkId,
  LinkSlot,
  ListedGroup,
  OpenedRecovery,
  Recovery,
  SequenceEntry,
  Submission,
} from '../../src/engine/ports.ts';

/** Who asks: proven by the request's signature, and known to the store again in every transaction. */
export interface Caller {
  readonly accountId: AccountId;
  readonly deviceId: DeviceId;
}

export interface NewAccount extends Omit<DeliveryCalls['create-account']['request'], 'proof'> {
  readonly accountId: AccountId;
  readonly keyVersion: number;
  readonly binding: Uint8Array;
}

export interface AccountKey {
  readonly keyVersion: number;
  readonly signatureKey: Uint8Array;
  readonly binding: Uint8Array;
}

/** An account and the R that has vouched for a request. */
export interface VouchedFor {
  readonly accountId: AccountId;
  readonly recoveryKey: Uint8Array;
}

export interface AcceptedSubmission {
  readonly position: number;
  /** In the sequence of the submitting account. */
  readonly sequence: number;
  /** Accounts whose sequence has grown; empty for a retry. */
  readonly reached: readonly AccountId[];
  /** Mailbox that got a Welcome. */
  readonly link: LinkId | undefined;
}

export interface SequencePage {
  readonly entries: readonly SequenceEntry[];
  /** Last sequence number of the account. */
  readonly last: number;
  /** KeyPackages that others can claim. */
  readonly stock: number;
}

/**
 * What the delivery service keeps. One method is one durable transaction: when its promise resolves, the
 * change survives a crash; when it rejects with a Refusal (server/problems.ts), nothing has changed.
 * Times are the server's clock, ms since 1970. Every method with a `caller` refuses with `unknown-device`
 * unless that device belongs to that account at that moment.
 */
/**
 * Draft section 5.9: a strongly consistent service refuses a second message of a ratchet generation, and messages of
 * epochs that are over. An eventually consistent one orders commits alone and lets both through.
 */
export type Consistency = 'strong' | 'eventual';

export interface DeliveryStore {
  /** Idempotent for the same username and keys: answers what the first call stored. @throws username-taken, group-exists, malformed */
  createAccount(account: NewAccount): Promise<DeliveryCalls['create-account']['answer']>;
  findDevice(deviceId: DeviceId): Promise<{ readonly accountId: AccountId; readonly deviceKey: Uint8Array } | undefined>;
  /** @throws unknown-account */
  findAccount(caller: Caller, username: string): Promise<AccountDescription>;
  /** In the order asked for; unknown ones are left out, so that one of them does not hide the others. */
  describeAccounts(caller: Caller, accountIds: readonly AccountId[]): Promise<readonly AccountDescription[]>;

  /**
   * Appends to a group's log and fans out, in this order of judgement: retry by message ID, membership, epoch,
   * fence, generation, KeyPackages, members, new device. The submission's own form has been checked
   * (server/submission.ts); `invitedBy` is the key whose signature `commit.invited` is. @throws every refusal of
   * docs/delivery-service.md's "Submitting"
   */
  submit(caller: Caller, submission: Submission, now: number, invitedBy?: Uint8Array): Promise<AcceptedSubmission>;
  /** The key of the group's invitation by link; undefined when there is none, or no such group. */
  invitationKey(groupId: Uint8Array): Promise<Uint8Array | undefined>;
  /** The newest GroupInfo, for somebody whom the key `invitedBy` vouches for. @throws invitation-refused when that is not the group's key */
  openInvitation(
    caller: Caller,
    groupId: Uint8Array,
    invitedBy: Uint8Array | undefined,
  ): Promise<DeliveryCalls['open-invitation']['answer']>;
  /** Whether the account's sequence is the one that the device has followed up to `after`. @throws log-changed when the entry there has another mark, or none */
  checkMark(caller: Caller, after: number, mark: Uint8Array | undefined): Promise<void>;
  /** Entries of the account's sequence beyond `after`, at most `limit` and about `maxBytes`, but one if there is one. */
  readSequence(caller: Caller, after: number, limit: number, maxBytes: number, now: number): Promise<SequencePage>;
  /**
   * Cuts a device off at once, revokes the account's unused KeyPackages, raises the floor and says so in the
   * emulation group's log. Idempotent for the same statement. @returns whether anything has changed. @throws no-such-device, last-device
   */
  beginRemoval(caller: Caller, deviceId: DeviceId, statement: Uint8Array, entryId: Uint8Array, now: number): Promise<boolean>;
  /** @throws unknown-account */
  accountKey(caller: Caller): Promise<AccountKey>;
  /**
   * Puts `next` in the place of the key before it and says so in the emulation group's log. Idempotent for the
   * same key. @returns whether anything has changed. @throws stale-key-version
   */
  bindAccountKey(caller: Caller, next: AccountKey, entryId: Uint8Array, now: number): Promise<boolean>;
  /** R of an account; undefined when there is none, or no such account. */
  recoveryKey(username: string): Promise<VouchedFor | undefined>;
  /** What a device needs to join with R. @throws recovery-refused when R has changed */
  openRecovery(vouched: VouchedFor): Promise<OpenedRecovery>;
  /** The answer to a recovery that was accepted before, whatever R is by now; undefined for a device that is not known. @throws malformed */
  recoveredAgain(recovery: Recovery): Promise<DeliveryCalls['recover']['answer'] | undefined>;
  /**
   * Reading section 11: registers the device, revokes the account's unused KeyPackages, appends the external
   * commit and the ResyncMessage to the emulation group's log and binds the new account key. Idempotent by
   * device. @throws recovery-refused when R has changed, stale-epoch, stale-key-version, too-many, malformed
   */
  recover(
    vouched: VouchedFor,
    recovery: Recovery,
    binding: Uint8Array,
    entryId: Uint8Array,
    now: number,
  ): Promise<{ readonly answer: DeliveryCalls['recover']['answer']; readonly changed: boolean }>;
  listGroups(caller: Caller): Promise<readonly ListedGroup[]>;
  /** The device has stored all of its sequence up to here: what waited for it may go. */
  confirmSequence(caller: Caller, sequence: number): Promise<void>;
  /**
   * The newest GroupInfo, or that of `epoch` if the own account left it by an external commit that some of its
   * devices may not have followed. @throws unknown-group, not-a-member, stale-epoch when that one is not kept
   */
  readGroup(caller: Caller, groupId: Uint8Array, epoch: number | undefined): Promise<DeliveryCalls['fetch-group']['answer']>;

  /** @returns the stock after it. @throws unannounced-key-package, spent-key-package, malformed */
  uploadKeyPackages(
    caller: Caller,
    keyPackages: DeliveryCalls['upload-key-packages']['request']['keyPackages'],
    now: number,
  ): Promise<number>;
  /** All or none; idempotent by claim ID. @throws no-key-package, unknown-account, too-many */
  claimKeyPackages(
    caller: Caller,
    claimId: Uint8Array,
    accountIds: readonly AccountId[],
    now: number,
  ): Promise<readonly ClaimedKeyPackage[]>;

  /** Idempotent. @throws too-many */
  putBlob(caller: Caller, hash: Uint8Array, bytes: Uint8Array, now: number): Promise<void>;
  /** Blobs of the own account only. @throws unknown-blob */
  readBlob(caller: Caller, hash: Uint8Array, now: number): Promise<Uint8Array>;

  /** Idempotent for the same payload. @throws unknown-link, link-slot-taken, too-many */
  putLinkSlot(linkId: LinkId, tokenHash: Uint8Array, slot: Exclude<LinkSlot, 'welcome'>, payload: Uint8Array, now: number): Promise<void>;
  /** @throws unknown-link */
  readLink(linkId: LinkId, tokenHash: Uint8Array, now: number): Promise<Partial<Record<LinkSlot, Uint8Array>>>;
  /** Also when there is none, so that a retry succeeds. */
  deleteLink(linkId: LinkId, tokenHash: Uint8Array): Promise<void>;

  /** Deletes what has expired at `now`. */
  sweep(now: number): Promise<void>;
  close(): Promise<void>;
}
