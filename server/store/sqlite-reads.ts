import type { Database } from 'better-sqlite3';
import { equal } from '../../src/bytes/index.ts';
import type { AccountId, DeliveryCalls, EntryKind, ListedGroup, SequenceEntry } from '../../src/engine/ports.ts';
import { sequenceMark } from '../../src/virtual-client/sequence-mark.ts';
import { BLOB_LIFETIME, MAX_BLOB_BYTES } from '../limits.ts';
import { Refusal } from '../problems.ts';
import type { ExternalBases } from './sqlite-external-bases.ts';
import type { Invitations } from './sqlite-invitations.ts';

interface EntryRow {
  readonly sequence: number;
  readonly group_id: Uint8Array;
  readonly position: number;
  readonly key_package_ref: Uint8Array | null;
  readonly account_id: Uint8Array;
  readonly message_id: Uint8Array;
  readonly kind: EntryKind;
  readonly epoch: number;
  readonly message: Uint8Array;
  readonly accepted_at: number;
}

/** Sequences and groups as an account may see them. Each function runs inside the caller's transaction. */
export function readsOf(database: Database, externalBases: ExternalBases, invitations: Invitations) {
  const entriesAfter = database.prepare<[Uint8Array, number, number], EntryRow>(
    `SELECT sequence, group_id, position, key_package_ref, log.account_id, message_id, kind, epoch, accepted_at,
            CASE WHEN key_package_ref IS NULL THEN message ELSE welcome END AS message
     FROM sequences JOIN log USING (group_id, position)
     WHERE sequences.account_id = ? AND sequence > ? ORDER BY sequence LIMIT ?`,
  );
  const lastSequence = database.prepare<[Uint8Array], { last: number }>('SELECT last_sequence AS last FROM accounts WHERE account_id = ?');
  const groupOf = database.prepare<[Uint8Array], DeliveryCalls['fetch-group']['answer']>(
    'SELECT group_info AS groupInfo, epoch, last_position AS position FROM groups WHERE group_id = ?',
  );
  const isMember = database.prepare<[Uint8Array, Uint8Array], object>('SELECT 1 FROM members WHERE group_id = ? AND account_id = ?');

  const groupsOf = database.prepare<[Uint8Array], { group_id: Uint8Array; answered: number }>(
    `SELECT members.group_id AS group_id,
            EXISTS (SELECT 1 FROM log WHERE log.group_id = members.group_id AND log.account_id = members.account_id) AS answered
     FROM members JOIN groups USING (group_id) WHERE members.account_id = ? AND groups.emulates IS NULL ORDER BY members.group_id`,
  );

  function entry(reader: AccountId, row: EntryRow): SequenceEntry {
    const isWelcome = row.key_package_ref !== null;
    return {
      sequence: row.sequence,
      groupId: row.group_id,
      position: row.position,
      kind: isWelcome ? 'welcome' : row.kind,
      epoch: row.epoch,
      message: row.message,
      messageId: equal(row.account_id, reader) ? row.message_id : undefined,
      keyPackageRef: row.key_package_ref ?? undefined,
      acceptedAt: row.accepted_at,
    };
  }

  function sequence(reader: AccountId, after: number, limit: number, maxBytes: number): { entries: SequenceEntry[]; last: number } {
    const entries: SequenceEntry[] = [];
    let size = 0;
    for (const row of entriesAfter.iterate(reader, after, limit)) {
      size += row.message.length;
      if (entries.length > 0 && size > maxBytes) break;
      entries.push(entry(reader, row));
    }
    return { entries, last: lastSequence.get(reader)?.last ?? 0 };
  }

  function checkMark(reader: AccountId, after: number, mark: Uint8Array): void {
    const row = entriesAfter.get(reader, after - 1, 1);
    if (row?.sequence !== after || !equal(sequenceMark(entry(reader, row)), mark)) throw new Refusal('log-changed');
  }

  function group(reader: AccountId, groupId: Uint8Array, epoch: number | undefined): DeliveryCalls['fetch-group']['answer'] {
    const found = groupOf.get(groupId);
    if (found === undefined) throw new Refusal('unknown-group');
    if (isMember.get(groupId, reader) === undefined) throw new Refusal('not-a-member');
    if (epoch === undefined || epoch === found.epoch) return found;
    const groupInfo = externalBases.find(reader, groupId, epoch);
    if (groupInfo === undefined) throw new Refusal('stale-epoch');
    return { groupInfo, epoch, position: found.position };
  }

  function invitedGroup(groupId: Uint8Array, invitedBy: Uint8Array | undefined): DeliveryCalls['fetch-group']['answer'] {
    invitations.check(groupId, invitedBy);
    const found = groupOf.get(groupId);
    if (found === undefined) throw new Refusal('invitation-refused');
    return found;
  }

  const groups = (reader: AccountId): ListedGroup[] =>
    groupsOf.all(reader).map(({ group_id, answered }) => ({ groupId: group_id, answered: answered === 1 }));

  return { sequence, checkMark, group, invitedGroup, groups };
}

/** Sealed state on its way to a linked device of the same account. Each function runs inside the caller's transaction. */
export function blobsOf(database: Database) {
  const find = database.prepare<[Uint8Array, Uint8Array, number], { bytes: Uint8Array }>(
    'SELECT bytes FROM blobs WHERE account_id = ? AND hash = ? AND expires_at > ?',
  );
  const total = database.prepare<[Uint8Array], { total: number }>(
    'SELECT coalesce(sum(length(bytes)), 0) AS total FROM blobs WHERE account_id = ?',
  );
  const put = database.prepare(
    'INSERT INTO blobs VALUES (?, ?, ?, ?) ON CONFLICT (account_id, hash) DO UPDATE SET expires_at = excluded.expires_at',
  );
  const deleteExpired = database.prepare('DELETE FROM blobs WHERE expires_at <= ?');

  return {
    put(accountId: AccountId, hash: Uint8Array, bytes: Uint8Array, now: number): void {
      const isNew = find.get(accountId, hash, now) === undefined;
      if (isNew && (total.get(accountId)?.total ?? 0) + bytes.length > MAX_BLOB_BYTES) throw new Refusal('too-many');
      put.run(accountId, hash, bytes, now + BLOB_LIFETIME);
    },
    read(accountId: AccountId, hash: Uint8Array, now: number): Uint8Array {
      const found = find.get(accountId, hash, now);
      if (found === undefined) throw new Refusal('unknown-blob');
      return found.bytes;
    },
    sweep(now: number): void {
      deleteExpired.run(now);
    },
  };
}
