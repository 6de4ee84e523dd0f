import type { Database } from 'better-sqlite3';
import type { AccountId, DeliveryCalls } from '../../src/engine/ports.ts';
import type { Caller } from './store.ts';

/**
 * GroupInfos that external commits were made from (reading section 11): a device of the committing account
 * that is not in the group follows the commit with it. Each is kept until every device has passed the commit.
 */

const TABLES = `
  CREATE TABLE IF NOT EXISTS external_bases (
    account_id BLOB NOT NULL REFERENCES accounts,
    sequence INTEGER NOT NULL, -- of the external commit, in the account's sequence
    group_id BLOB NOT NULL REFERENCES groups,
    epoch INTEGER NOT NULL,
    group_info BLOB NOT NULL,
    PRIMARY KEY (account_id, sequence)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS external_bases_by_group ON external_bases (group_id, epoch);

  CREATE TABLE IF NOT EXISTS device_cursors (
    device_id BLOB PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts,
    sequence INTEGER NOT NULL -- up to which the device has stored its sequence; known only while a base waits for it
  ) STRICT, WITHOUT ROWID;
`;

/** A device that is away for longer than these last rejoins by itself; an account in 200 groups resyncs each now and then. */
const MAX_BASES_OF_ACCOUNT = 256;

/** Each function runs inside the caller's transaction. */
export function externalBasesOf(database: Database) {
  database.exec(TABLES);
  const insert = database.prepare('INSERT INTO external_bases VALUES (?, ?, ?, ?, ?)');
  const trim = database.prepare(
    `DELETE FROM external_bases WHERE account_id = ? AND sequence NOT IN
       (SELECT sequence FROM external_bases WHERE account_id = ? ORDER BY sequence DESC LIMIT ${MAX_BASES_OF_ACCOUNT})`,
  );
  const find = database.prepare<[Uint8Array, Uint8Array, number], { group_info: Uint8Array }>(
    'SELECT group_info FROM external_bases WHERE account_id = ? AND group_id = ? AND epoch = ? ORDER BY sequence LIMIT 1',
  );
  const hasAny = database.prepare<[Uint8Array], object>('SELECT 1 FROM external_bases WHERE account_id = ? LIMIT 1');
  const pass = database.prepare(
    `INSERT INTO device_cursors VALUES (?, ?, ?)
     ON CONFLICT (device_id) DO UPDATE SET sequence = max(device_cursors.sequence, excluded.sequence)`,
  );
  const deletePassed = database.prepare(
    `DELETE FROM external_bases WHERE account_id = ? AND sequence <=
       (SELECT min(coalesce(device_cursors.sequence, 0))
        FROM devices LEFT JOIN device_cursors USING (device_id) WHERE devices.account_id = ?)`,
  );
  const deleteCursors = database.prepare('DELETE FROM device_cursors WHERE account_id = ?');

  return {
    /** The external commit with this place in the account's sequence was made from this GroupInfo. */
    keep(accountId: AccountId, sequence: number, groupId: Uint8Array, epoch: number, groupInfo: Uint8Array): void {
      insert.run(accountId, sequence, groupId, epoch, groupInfo);
      trim.run(accountId, accountId);
    },

    find(accountId: AccountId, groupId: Uint8Array, epoch: number): DeliveryCalls['fetch-group']['answer']['groupInfo'] | undefined {
      return find.get(accountId, groupId, epoch)?.group_info;
    },

    /** Whether anything waits for devices of the account. */
    isWaiting(accountId: AccountId): boolean {
      return hasAny.get(accountId) !== undefined;
    },

    /** The device has stored its sequence up to `sequence`. */
    confirm({ accountId, deviceId }: Caller, sequence: number): void {
      pass.run(deviceId, accountId, sequence);
      deletePassed.run(accountId, accountId);
      if (hasAny.get(accountId) === undefined) deleteCursors.run(accountId);
    },
  };
}

export type ExternalBases = ReturnType<typeof externalBasesOf>;
