import type { Database } from 'better-sqlite3';
import { equal } from '../../src/bytes/index.ts';
import { MAX_RECOVERY_STATEMENTS } from '../../src/delivery/bounds.ts';
import type { AccountId, DeliveryCalls, OpenedRecovery, Recovery } from '../../src/engine/ports.ts';
import { Refusal } from '../problems.ts';
import { checkRecovery } from '../submission.ts';
import type { Accounts } from './sqlite-accounts.ts';
import type { KeyPackages } from './sqlite-key-packages.ts';
import type { Removals } from './sqlite-removals.ts';
import type { VouchedFor } from './store.ts';

/** Recovery keys, and joining with one (reading section 11). The server knows R and nothing that it comes from. */

const TABLES = `
  CREATE TABLE IF NOT EXISTS recovery_keys (
    account_id BLOB PRIMARY KEY REFERENCES accounts,
    recovery_key BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
`;

type Answer = DeliveryCalls['recover']['answer'];

/** Each function runs inside the caller's transaction. */
export function recoveriesOf(database: Database, accounts: Accounts, keyPackages: KeyPackages, removals: Removals) {
  database.exec(TABLES);
  const find = database.prepare<[Uint8Array], { recovery_key: Uint8Array }>('SELECT recovery_key FROM recovery_keys WHERE account_id = ?');
  const set = database.prepare(
    'INSERT INTO recovery_keys VALUES (?, ?) ON CONFLICT (account_id) DO UPDATE SET recovery_key = excluded.recovery_key',
  );
  const groupOf = database.prepare<[Uint8Array], { groupInfo: Uint8Array; epoch: number; position: number }>(
    'SELECT group_info AS groupInfo, epoch, last_position AS position FROM groups WHERE group_id = ?',
  );
  const statementsOf = database.prepare<[Uint8Array], { message: Uint8Array }>(
    `SELECT message FROM log WHERE group_id = ? AND kind = 'begin-removal' ORDER BY position DESC LIMIT ${MAX_RECOVERY_STATEMENTS}`,
  );
  const moveEpoch = database.prepare('UPDATE groups SET epoch = ?, group_info = ? WHERE group_id = ?');
  const setNewestCommit = database.prepare(
    `INSERT INTO newest_commits VALUES (?, ?, 0, x'', x'') ON CONFLICT (group_id) DO UPDATE
     SET position = excluded.position, further = 0, adds = x'', removes = x''`,
  );
  const entryOf = database.prepare<[Uint8Array, Uint8Array], { position: number }>(
    'SELECT position FROM log WHERE account_id = ? AND message_id = ?',
  );
  const placeOf = database.prepare<[Uint8Array, Uint8Array, number], { sequence: number; message: Uint8Array }>(
    'SELECT sequence, message FROM sequences JOIN log USING (group_id, position) WHERE sequences.account_id = ? AND group_id = ? AND position = ?',
  );

  function keyOf(username: string): VouchedFor | undefined {
    const account = accounts.accountNamed(username);
    const row = account && find.get(account.account_id);
    return account && row && { accountId: account.account_id, recoveryKey: row.recovery_key };
  }

  /** R may have changed since it was looked up. */
  function checkKey({ accountId, recoveryKey }: VouchedFor): void {
    const row = find.get(accountId);
    if (row === undefined || !equal(row.recovery_key, recoveryKey)) throw new Refusal('recovery-refused');
  }

  function open(vouched: VouchedFor): OpenedRecovery {
    checkKey(vouched);
    const { account_id, key_version, emulation_group_id } = accounts.requireAccount(vouched.accountId);
    const group = groupOf.get(emulation_group_id);
    if (group === undefined) throw new Error('an account without its emulation group');
    const removed = statementsOf.all(emulation_group_id).map(({ message }) => message);
    return { accountId: account_id, keyVersion: key_version, ...group, removals: removed };
  }

  function recover(
    vouched: VouchedFor,
    recovery: Recovery,
    binding: Uint8Array,
    entryId: Uint8Array,
    now: number,
  ): { answer: Answer; changed: boolean } {
    const { accountId } = vouched;
    const { deviceId, deviceKey, signatureKey, epoch, commit, resync } = recovery;
    const groupId = accounts.requireAccount(accountId).emulation_group_id;
    const known = recoveredAgain(recovery);
    if (known !== undefined) return { answer: known, changed: false };
    checkKey(vouched);
    checkRecovery(recovery, groupId);
    const group = groupOf.get(groupId);
    if (group?.epoch !== epoch) throw new Refusal('stale-epoch');
    const used = [commit, resync].some(({ messageId }) => entryOf.get(accountId, messageId) !== undefined);
    if (used || equal(commit.messageId, resync.messageId)) throw new Refusal('malformed');
    if (removals.isRemoved(deviceId)) throw new Refusal('malformed');
    accounts.addDevice(accountId, deviceId, deviceKey);
    keyPackages.revoke(accountId);
    const joining = removals.announce(accountId, 'commit', commit.message, commit.messageId, now);
    moveEpoch.run(epoch + 1, commit.groupInfo, groupId);
    setNewestCommit.run(groupId, joining.position);
    removals.announce(accountId, 'application', resync.message, resync.messageId, now);
    const keyVersion = recovery.keyVersion + 1;
    const place = removals.rekey(accountId, { keyVersion, signatureKey, binding }, entryId, now);
    return { answer: { keyVersion, binding, ...place }, changed: true };
  }

  /** The first answer, if the device is in already. The key's entry is the second after the external commit's. */
  function recoveredAgain({ deviceId, deviceKey, keyVersion, commit }: Recovery): Answer | undefined {
    const known = accounts.findDevice(deviceId);
    if (known === undefined) return undefined;
    const { accountId } = known;
    const groupId = accounts.requireAccount(accountId).emulation_group_id;
    const position = (entryOf.get(accountId, commit.messageId)?.position ?? -Infinity) + 2;
    const entry = Number.isFinite(position) ? placeOf.get(accountId, groupId, position) : undefined;
    if (entry === undefined || !equal(known.deviceKey, deviceKey)) throw new Refusal('malformed');
    return { keyVersion: keyVersion + 1, binding: entry.message, position, sequence: entry.sequence };
  }

  const setKey = (accountId: AccountId, recoveryKey: Uint8Array) => void set.run(accountId, recoveryKey);
  return { keyOf, setKey, open, recover, recoveredAgain };
}

export type Recoveries = ReturnType<typeof recoveriesOf>;
