import { equal } from '../src/bytes/index.ts';
import { MAX_APPLICATION_MESSAGE, MAX_COMMIT_BYTES, MAX_CREATION_MESSAGE, MAX_PROPOSAL_MESSAGE } from '../src/delivery/bounds.ts';
import type { MessageKind, Recovery, Submission } from '../src/engine/ports.ts';
import { DecodeError, Reader } from '../src/wire/index.ts';
import { Refusal } from './problems.ts';

/** What the delivery service can see of a message, and the rules that need no look at the store. */

const MLS10 = 1;
/** RFC 9420, section 17.2. */
const WIRE_FORMAT = { publicMessage: 1, privateMessage: 2, welcome: 3, groupInfo: 4 } as const;
/** RFC 9420, section 6. */
const CONTENT_TYPE = { 1: 'application', 2: 'proposal', 3: 'commit' } as const;
const NEW_MEMBER_COMMIT = 4;

/** The clear part of an MLSMessage: which group and epoch it says it is for. */
export interface MessageHeader {
  readonly form: 'public' | 'private' | 'group-info';
  readonly groupId: Uint8Array;
  readonly epoch: bigint;
  readonly kind: MessageKind;
}

/**
 * Reads as far as the header goes:
 * ```
 * struct { ProtocolVersion version; WireFormat wire_format; ... } MLSMessage;
 * struct { opaque group_id<V>; uint64 epoch; ContentType content_type; ... } PrivateMessage;
 * struct { opaque group_id<V>; uint64 epoch; Sender sender; opaque authenticated_data<V>; ContentType content_type; ... } PublicMessage;
 * struct { ProtocolVersion version; CipherSuite cipher_suite; opaque group_id<V>; uint64 epoch; ... } GroupInfo;
 * ```
 * A PublicMessage is let through only as a new member's commit (external commit). @throws DecodeError
 */
export function readHeader(message: Uint8Array): MessageHeader {
  const reader = new Reader(message);
  if (reader.uint16('version') !== MLS10) throw new DecodeError('invalid-value', 'version');
  const format = reader.uint16('wire_format');
  switch (format) {
    case WIRE_FORMAT.groupInfo: {
      if (reader.uint16('version') !== MLS10) throw new DecodeError('invalid-value', 'version');
      reader.uint16('cipher_suite');
      return { form: 'group-info', groupId: reader.opaque('group_id'), epoch: reader.uint64('epoch'), kind: 'creation' };
    }
    case WIRE_FORMAT.privateMessage:
      return { form: 'private', groupId: reader.opaque('group_id'), epoch: reader.uint64('epoch'), kind: readKind(reader) };
    case WIRE_FORMAT.publicMessage: {
      const groupId = reader.opaque('group_id');
      const epoch = reader.uint64('epoch');
      if (reader.uint8('sender_type') !== NEW_MEMBER_COMMIT) throw new DecodeError('invalid-value', 'sender_type');
      reader.opaque('authenticated_data');
      if (readKind(reader) !== 'commit') throw new DecodeError('invalid-value', 'content_type');
      return { form: 'public', groupId, epoch, kind: 'commit' };
    }
    default:
      throw new DecodeError('invalid-value', 'wire_format');
  }
}

function readKind(reader: Reader): MessageKind {
  const type = reader.uint8('content_type');
  if (type === 1 || type === 2 || type === 3) return CONTENT_TYPE[type];
  throw new DecodeError('invalid-value', 'content_type');
}

/** @throws Refusal `malformed` unless `message` is the GroupInfo of this group and epoch */
export function checkGroupInfo(message: Uint8Array, groupId: Uint8Array, epoch: number): void {
  const header = headerOf(message);
  if (header.form !== 'group-info' || !equal(header.groupId, groupId) || header.epoch !== BigInt(epoch)) throw new Refusal('malformed');
}

function headerOf(message: Uint8Array): MessageHeader {
  try {
    return readHeader(message);
  } catch (error) {
    if (error instanceof DecodeError) throw new Refusal('malformed');
    throw error;
  }
}

function isWelcome(message: Uint8Array): boolean {
  if (message.length < 4) return false;
  const reader = new Reader(message);
  return reader.uint16('version') === MLS10 && reader.uint16('wire_format') === WIRE_FORMAT.welcome;
}

const MAX_MESSAGE: Readonly<Record<Exclude<MessageKind, 'commit'>, number>> = {
  creation: MAX_CREATION_MESSAGE,
  application: MAX_APPLICATION_MESSAGE,
  proposal: MAX_PROPOSAL_MESSAGE,
};

/** The two messages of a recovery: an external commit of the emulation group, and an application message of its next epoch. @throws Refusal `malformed` */
export function checkRecovery({ epoch, commit, resync }: Recovery, groupId: Uint8Array): void {
  const [joining, telling] = [headerOf(commit.message), headerOf(resync.message)];
  const fits =
    joining.form === 'public' &&
    joining.epoch === BigInt(epoch) &&
    equal(joining.groupId, groupId) &&
    telling.form === 'private' &&
    telling.kind === 'application' &&
    telling.epoch === BigInt(epoch) + 1n &&
    equal(telling.groupId, groupId);
  if (!fits) throw new Refusal('malformed');
  checkGroupInfo(commit.groupInfo, groupId, epoch + 1);
}

/** What the submission says of itself agrees with what its message says. @throws Refusal `malformed`, `too-large` */
export function checkSubmission(submission: Submission): void {
  const { kind, message, commit } = submission;
  if ((kind === 'commit') !== (commit !== undefined)) throw new Refusal('malformed');
  const size = message.length + (commit?.groupInfo.length ?? 0) + (commit?.welcome?.message.length ?? 0);
  if (size > (kind === 'commit' ? MAX_COMMIT_BYTES : MAX_MESSAGE[kind])) throw new Refusal('too-large');

  const header = headerOf(message);
  const agrees = header.kind === kind && equal(header.groupId, submission.groupId) && header.epoch === BigInt(submission.epoch);
  if (!agrees || (kind === 'creation' && submission.epoch !== 0)) throw new Refusal('malformed');
  const ratchetType = kind === 'application' ? 'application' : 'handshake';
  if (submission.generation !== undefined && (header.form !== 'private' || submission.generation.ratchetType !== ratchetType)) {
    throw new Refusal('malformed');
  }
  if (commit !== undefined) {
    checkGroupInfo(commit.groupInfo, submission.groupId, submission.epoch + 1);
    if (commit.welcome !== undefined && !isWelcome(commit.welcome.message)) throw new Refusal('malformed');
  }
}

/** Rules of an emulation group's or a higher-level group's messages. @throws Refusal `malformed` */
export function checkForGroup(submission: Submission, isEmulationGroup: boolean): void {
  if (!(isEmulationGroup ? fitsEmulationGroup(submission) : fitsHigherLevelGroup(submission))) throw new Refusal('malformed');
}

function fitsEmulationGroup({ kind, message, generation, fence, commit }: Submission): boolean {
  if (kind === 'creation' || generation !== undefined || fence !== undefined || readHeader(message).form !== 'private') return false;
  if (commit === undefined) return true;
  const oneAccount = commit.adds.length === 0 && commit.removes.length === 0 && (commit.welcome?.uses.length ?? 0) === 0;
  if (commit.invitation !== undefined || commit.invited !== undefined) return false;
  return oneAccount && (commit.welcome === undefined) === (commit.newDevice === undefined) && areDistinct(commit.announces);
}

function fitsHigherLevelGroup({ kind, message, generation, fence, commit }: Submission): boolean {
  const isPrivate = readHeader(message).form === 'private';
  if (isPrivate !== (generation !== undefined)) return false;
  // An Update cannot be told from another proposal, so that all of them state it.
  if ((kind === 'application') !== (fence === undefined)) return false;
  if (commit === undefined) return true;
  if (commit.announces.length > 0 || commit.newDevice !== undefined) return false;
  if (commit.recoveryKey !== undefined || commit.devices !== undefined) return false;
  // A member changes the invitation, somebody from outside uses it.
  if (isPrivate ? commit.invited !== undefined : commit.invitation !== undefined) return false;
  // An external commit moves its account's own leaf and nobody else's.
  if (!isPrivate && commit.adds.length + commit.removes.length > 0) return false;
  if ((commit.welcome === undefined) !== (commit.adds.length === 0)) return false;
  const joined = commit.welcome?.uses.map(({ accountId }) => accountId) ?? [];
  return (
    areDistinct([...commit.adds, ...commit.removes]) &&
    joined.length === commit.adds.length &&
    areDistinct(joined) &&
    joined.every((id) => commit.adds.some((added) => equal(added, id)))
  );
}

/** A PublicMessage is let through as that alone. */
export function isExternalCommit({ message }: Submission): boolean {
  return readHeader(message).form === 'public';
}

/** No two of the same bytes. */
export function areDistinct(items: readonly Uint8Array[]): boolean {
  return new Set(items.map((item) => item.join())).size === items.length;
}
