import type { Database } from 'better-sqlite3';
import { equal } from '../../src/bytes/index.ts';
import type { AccountId, DeviceId, EntryKind } from '../../src/engine/ports.ts';
import { Refusal } from '../problems.ts';
import type { Accounts } from './sqlite-accounts.ts';
import type { KeyPackages } from './sqlite-key-packages.ts';
import type { AccountKey } from './store.ts';

interface GroupRow {
  readonly epoch: number;
  readonly last_position: number;
}

/** Where an entry stands, in its group's log and in the account's sequence. */
export interface Place {
  readonly position: number;
  readonly sequence: number;
}

/** Cutting off devices and changing account keys (reading section 12), inside the caller's transaction. */
export function removalsOf(database: Database, accounts: Accounts, keyPackages: KeyPackages) {
  const removalOf = database.prepare<[Uint8Array], { account_id: Uint8Array }>('SELECT account_id FROM removals WHERE device_id = ?');
  const highestFloor = database.prepare<[Uint8Array], { floor: number | null }>(
    'SELECT max(floor) AS floor FROM removals WHERE account_id = ?',
  );
  const insertRemoval = database.prepare('INSERT INTO removals VALUES (?, ?, ?)');
  const deleteDevice = database.prepare('DELETE FROM devices WHERE device_id = ?');
  const countDevices = database.prepare<[Uint8Array], { count: number }>('SELECT count(*) AS count FROM devices WHERE account_id = ?');
  const isStated = database.prepare<[Uint8Array, Uint8Array], object>(
    "SELECT 1 FROM log WHERE group_id = ? AND kind = 'begin-removal' AND message = ? LIMIT 1",
  );
  const groupOf = database.prepare<[Uint8Array], GroupRow>('SELECT epoch, last_position FROM groups WHERE group_id = ?');
  const movePosition = database.prepare('UPDATE groups SET last_position = ? WHERE group_id = ?');
  const append = database.prepare('INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)');
  const nextSequence = database.prepare<[Uint8Array], { sequence: number }>(
    'UPDATE accounts SET last_sequence = last_sequence + 1 WHERE account_id = ? RETURNING last_sequence AS sequence',
  );
  const insertSequence = database.prepare('INSERT INTO sequences VALUES (?, ?, ?, ?, NULL)');
  const setKey = database.prepare('UPDATE accounts SET signature_key = ?, key_version = ?, binding = ? WHERE account_id = ?');

  const floorOf = (accountId: AccountId): number => highestFloor.get(accountId)?.floor ?? 0;
  const isRemoved = (deviceId: DeviceId): boolean => removalOf.get(deviceId) !== undefined;

  function begin(accountId: AccountId, deviceId: DeviceId, statement: Uint8Array, entryId: Uint8Array, now: number): boolean {
    const earlier = removalOf.get(deviceId);
    if (earlier !== undefined && equal(earlier.account_id, accountId)) return repeat(accountId, statement, entryId, now);
    const device = accounts.findDevice(deviceId);
    if (device !== undefined && !equal(device.accountId, accountId)) throw new Refusal('no-such-device');
    // One that is not known here may be in the emulation group for all that, by another ID than the one it had told or without any.
    if (device !== undefined && (countDevices.get(accountId)?.count ?? 0) < 2) throw new Refusal('last-device');
    const { epoch } = emulationGroupOf(accountId);
    deleteDevice.run(deviceId);
    insertRemoval.run(deviceId, accountId, epoch + 1);
    keyPackages.revoke(accountId);
    announce(accountId, 'begin-removal', statement, entryId, now);
    return true;
  }

  /** Whether siblings followed the statement before it is not known here: another one is theirs to judge, too. */
  function repeat(accountId: AccountId, statement: Uint8Array, entryId: Uint8Array, now: number): boolean {
    if (isStated.get(accounts.requireAccount(accountId).emulation_group_id, statement) !== undefined) return false;
    keyPackages.revoke(accountId);
    announce(accountId, 'begin-removal', statement, entryId, now);
    return true;
  }

  function accountKey(accountId: AccountId): AccountKey {
    const { key_version, signature_key, binding } = accounts.requireAccount(accountId);
    return { keyVersion: key_version, signatureKey: signature_key, binding };
  }

  function bind(accountId: AccountId, next: AccountKey, entryId: Uint8Array, now: number): boolean {
    const current = accounts.requireAccount(accountId);
    if (equal(current.signature_key, next.signatureKey)) return false;
    rekey(accountId, next, entryId, now);
    return true;
  }

  /** The account has `key` from now on, and no KeyPackage names another one. @throws stale-key-version */
  function rekey(accountId: AccountId, key: AccountKey, entryId: Uint8Array, now: number): Place {
    if (key.keyVersion !== accounts.requireAccount(accountId).key_version + 1) throw new Refusal('stale-key-version');
    setKey.run(key.signatureKey, key.keyVersion, key.binding, accountId);
    return announce(accountId, 'account-key', key.binding, entryId, now);
  }

  /** An entry in the present epoch of the emulation group's log, for the account's devices. */
  function announce(accountId: AccountId, kind: EntryKind, content: Uint8Array, entryId: Uint8Array, now: number): Place {
    const groupId = accounts.requireAccount(accountId).emulation_group_id;
    const { epoch, last_position } = emulationGroupOf(accountId);
    const position = last_position + 1;
    append.run(groupId, position, accountId, entryId, kind, epoch, content, now);
    movePosition.run(position, groupId);
    const sequence = nextSequence.get(accountId)?.sequence;
    if (sequence === undefined) throw new Refusal('unknown-account', { accountId });
    insertSequence.run(accountId, sequence, groupId, position);
    return { position, sequence };
  }

  function emulationGroupOf(accountId: AccountId): GroupRow {
    const group = groupOf.get(accounts.requireAccount(accountId).emulation_group_id);
    if (group === undefined) throw new Error('an account without its emulation group');
    return group;
  }

  return { begin, accountKey, bind, rekey, announce, floorOf, isRemoved };
}

export type Removals = ReturnType<typeof removalsOf>;
