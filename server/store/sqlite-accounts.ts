import type { Database } from 'better-sqlite3';
import { equal } from '../../src/bytes/index.ts';
import type { AccountDescription, AccountId, DeliveryCalls, DeviceId, NewDevice } from '../../src/engine/ports.ts';
import { MAX_DEVICES } from '../limits.ts';
import { Refusal } from '../problems.ts';
import type { Caller, NewAccount } from './store.ts';

export interface AccountRow {
  readonly account_id: Uint8Array;
  readonly username: string;
  readonly signature_key: Uint8Array;
  readonly key_version: number;
  readonly binding: Uint8Array;
  readonly emulation_group_id: Uint8Array;
}

interface DeviceRow {
  readonly account_id: Uint8Array;
  readonly device_key: Uint8Array;
}

/** Accounts and their devices. Each function runs inside the caller's transaction. */
export function accountsOf(database: Database) {
  const accountById = database.prepare<[Uint8Array], AccountRow>('SELECT * FROM accounts WHERE account_id = ?');
  const accountByName = database.prepare<[string], AccountRow>('SELECT * FROM accounts WHERE username = ?');
  const insertAccount = database.prepare('INSERT INTO accounts VALUES (?, ?, ?, ?, ?, ?, 0)');
  const deviceById = database.prepare<[Uint8Array], DeviceRow>('SELECT account_id, device_key FROM devices WHERE device_id = ?');
  const countDevices = database.prepare<[Uint8Array], { count: number }>('SELECT count(*) AS count FROM devices WHERE account_id = ?');
  const devicesOf = database.prepare<[Uint8Array], { device_id: Uint8Array }>('SELECT device_id FROM devices WHERE account_id = ?');
  const deleteDevice = database.prepare('DELETE FROM devices WHERE device_id = ?');
  const insertDevice = database.prepare('INSERT INTO devices VALUES (?, ?, ?)');
  const groupExists = database.prepare<[Uint8Array], object>('SELECT 1 FROM groups WHERE group_id = ?');
  const insertGroup = database.prepare('INSERT INTO groups (group_id, emulates, epoch, last_position, group_info) VALUES (?, ?, 0, 0, ?)');
  const insertMember = database.prepare('INSERT INTO members VALUES (?, ?)');

  const describe = ({ account_id, username }: AccountRow): AccountDescription => ({ accountId: account_id, username });

  function requireDevice(caller: Caller): void {
    const device = deviceById.get(caller.deviceId);
    if (device === undefined || !equal(device.account_id, caller.accountId)) throw new Refusal('unknown-device');
  }

  function isSame(row: AccountRow, account: NewAccount): boolean {
    const device = deviceById.get(account.deviceId);
    return (
      device !== undefined &&
      equal(device.account_id, row.account_id) &&
      equal(device.device_key, account.deviceKey) &&
      equal(row.signature_key, account.signatureKey) &&
      equal(row.emulation_group_id, account.emulationGroupId)
    );
  }

  function createAccount(account: NewAccount): DeliveryCalls['create-account']['answer'] {
    const row = accountByName.get(account.username);
    if (row !== undefined) {
      if (!isSame(row, account)) throw new Refusal('username-taken');
      return { accountId: row.account_id, keyVersion: row.key_version, binding: row.binding, sequence: 0 };
    }
    if (groupExists.get(account.emulationGroupId) !== undefined) throw new Refusal('group-exists');
    const { accountId, keyVersion, binding, emulationGroupId } = account;
    insertAccount.run(accountId, account.username, account.signatureKey, keyVersion, binding, emulationGroupId);
    addDevice(accountId, account.deviceId, account.deviceKey);
    insertGroup.run(emulationGroupId, accountId, account.emulationGroupInfo);
    insertMember.run(emulationGroupId, accountId);
    return { accountId, keyVersion, binding, sequence: 0 };
  }

  function addDevice(accountId: AccountId, deviceId: DeviceId, deviceKey: NewDevice['deviceKey']): void {
    if (deviceById.get(deviceId) !== undefined) throw new Refusal('malformed'); // 128 random bits do not meet by chance
    if ((countDevices.get(accountId)?.count ?? 0) >= MAX_DEVICES) throw new Refusal('too-many');
    insertDevice.run(deviceId, accountId, deviceKey);
  }

  /** Forgets the account's devices that are not in `devices`. */
  function keepDevices(accountId: AccountId, devices: readonly DeviceId[]): void {
    for (const { device_id } of devicesOf.all(accountId)) {
      if (!devices.some((deviceId) => equal(deviceId, device_id))) deleteDevice.run(device_id);
    }
  }

  function requireAccount(accountId: AccountId): AccountRow {
    const row = accountById.get(accountId);
    if (row === undefined) throw new Refusal('unknown-account', { accountId });
    return row;
  }

  return {
    requireDevice,
    createAccount,
    addDevice,
    keepDevices,
    requireAccount,
    findDevice(deviceId: DeviceId) {
      const row = deviceById.get(deviceId);
      return row === undefined ? undefined : { accountId: row.account_id, deviceKey: row.device_key };
    },
    findAccount(username: string): AccountDescription {
      const row = accountByName.get(username);
      if (row === undefined) throw new Refusal('unknown-account');
      return describe(row);
    },
    describeAccounts: (accountIds: readonly AccountId[]): AccountDescription[] =>
      accountIds.flatMap((accountId) => {
        const row = accountById.get(accountId);
        return row === undefined ? [] : [describe(row)];
      }),
    accountNamed: (username: string): AccountRow | undefined => accountByName.get(username),
  };
}

export type Accounts = ReturnType<typeof accountsOf>;
