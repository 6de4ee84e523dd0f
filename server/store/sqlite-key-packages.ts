import type { Database } from 'better-sqlite3';
import { equal } from '../../src/bytes/index.ts';
import type { AccountId, ClaimedKeyPackage, DeliveryCalls } from '../../src/engine/ports.ts';
import { CLAIM_MEMORY, KEY_PACKAGE_CLAIMABLE, KEY_PACKAGE_LIFETIME, MAX_KEY_PACKAGES, MAX_UNUSED_CLAIMS } from '../limits.ts';
import { Refusal } from '../problems.ts';
import type { Accounts } from './sqlite-accounts.ts';

interface KeyPackageRow {
  readonly key_package_ref: Uint8Array;
  readonly announced_at: number;
  readonly key_package: Uint8Array | null;
  readonly claimed_by: Uint8Array | null;
  readonly spent: number;
}

interface ClaimRow {
  readonly owner_id: Uint8Array;
  readonly key_package_ref: Uint8Array;
  readonly key_package: Uint8Array;
}

type Count = { readonly count: number };

/** A KeyPackage is announced, uploaded, claimed and spent, in this order. Each function runs inside the caller's transaction. */
export function keyPackagesOf(database: Database, accounts: Accounts) {
  const find = database.prepare<[Uint8Array, Uint8Array], KeyPackageRow>(
    'SELECT * FROM key_packages WHERE account_id = ? AND key_package_ref = ?',
  );
  const insert = database.prepare('INSERT INTO key_packages (account_id, key_package_ref, announced_at) VALUES (?, ?, ?)');
  const store = database.prepare('UPDATE key_packages SET key_package = ? WHERE account_id = ? AND key_package_ref = ?');
  const claimRow = database.prepare(
    'UPDATE key_packages SET key_package = NULL, claimed_by = ? WHERE account_id = ? AND key_package_ref = ?',
  );
  const spendRow = database.prepare('UPDATE key_packages SET spent = 1 WHERE account_id = ? AND key_package_ref = ?');
  const oldestInStock = database.prepare<[Uint8Array, number], KeyPackageRow>(
    `SELECT * FROM key_packages WHERE account_id = ? AND key_package IS NOT NULL AND announced_at > ?
     ORDER BY announced_at, key_package_ref LIMIT 1`,
  );
  const countStock = database.prepare<[Uint8Array, number], Count>(
    'SELECT count(*) AS count FROM key_packages WHERE account_id = ? AND key_package IS NOT NULL AND announced_at > ?',
  );
  const countUnclaimed = database.prepare<[Uint8Array, number], Count>(
    'SELECT count(*) AS count FROM key_packages WHERE account_id = ? AND claimed_by IS NULL AND announced_at > ?',
  );
  const countUnused = database.prepare<[Uint8Array, Uint8Array, number], Count>(
    'SELECT count(*) AS count FROM key_packages WHERE account_id = ? AND claimed_by = ? AND spent = 0 AND announced_at > ?',
  );
  const findClaim = database.prepare<[Uint8Array, Uint8Array], ClaimRow>('SELECT * FROM claims WHERE account_id = ? AND claim_id = ?');
  const insertClaim = database.prepare('INSERT INTO claims VALUES (?, ?, ?, ?, ?, ?)');
  const deleteUnused = database.prepare('DELETE FROM key_packages WHERE account_id = ? AND spent = 0');
  const deleteOld = database.prepare('DELETE FROM key_packages WHERE announced_at <= ?');
  const deleteOldClaims = database.prepare('DELETE FROM claims WHERE claimed_at <= ?');

  const stock = (accountId: AccountId, now: number): number => countStock.get(accountId, now - KEY_PACKAGE_CLAIMABLE)?.count ?? 0;

  function announce(accountId: AccountId, refs: readonly Uint8Array[], now: number): void {
    if ((countUnclaimed.get(accountId, now - KEY_PACKAGE_LIFETIME)?.count ?? 0) + refs.length > MAX_KEY_PACKAGES)
      throw new Refusal('too-many');
    for (const ref of refs) {
      if (find.get(accountId, ref) !== undefined) throw new Refusal('malformed');
      insert.run(accountId, ref, now);
    }
  }

  function upload(accountId: AccountId, uploaded: DeliveryCalls['upload-key-packages']['request']['keyPackages'], now: number): number {
    for (const { keyPackageRef, keyPackage } of uploaded) {
      const row = find.get(accountId, keyPackageRef);
      if (row === undefined || row.announced_at <= now - KEY_PACKAGE_LIFETIME) throw new Refusal('unannounced-key-package');
      if (row.claimed_by !== null) continue; // a retry of an upload that somebody has drawn from already
      if (row.key_package !== null && !equal(row.key_package, keyPackage)) throw new Refusal('malformed');
      store.run(keyPackage, accountId, keyPackageRef);
    }
    return stock(accountId, now);
  }

  function claim(claimer: AccountId, claimId: Uint8Array, owners: readonly AccountId[], now: number): readonly ClaimedKeyPackage[] {
    const earlier = findClaim.all(claimer, claimId);
    if (earlier.length > 0) return answerAgain(earlier, owners);
    return owners.map((owner) => {
      accounts.requireAccount(owner);
      if ((countUnused.get(owner, claimer, now - KEY_PACKAGE_LIFETIME)?.count ?? 0) >= MAX_UNUSED_CLAIMS) {
        throw new Refusal('too-many', { accountId: owner });
      }
      const row = oldestInStock.get(owner, now - KEY_PACKAGE_CLAIMABLE);
      if (row === undefined || row.key_package === null) throw new Refusal('no-key-package', { accountId: owner });
      claimRow.run(claimer, owner, row.key_package_ref);
      insertClaim.run(claimer, claimId, owner, row.key_package_ref, row.key_package, now);
      return { accountId: owner, keyPackageRef: row.key_package_ref, keyPackage: row.key_package };
    });
  }

  function answerAgain(earlier: readonly ClaimRow[], owners: readonly AccountId[]): readonly ClaimedKeyPackage[] {
    if (earlier.length !== owners.length) throw new Refusal('malformed');
    return owners.map((owner) => {
      const row = earlier.find(({ owner_id }) => equal(owner_id, owner));
      if (row === undefined) throw new Refusal('malformed');
      return { accountId: owner, keyPackageRef: row.key_package_ref, keyPackage: row.key_package };
    });
  }

  /** Uses up a KeyPackage that `claimer` has claimed. */
  function spend(owner: AccountId, ref: Uint8Array, claimer: AccountId, now: number): void {
    const row = find.get(owner, ref);
    const usable = row !== undefined && row.spent === 0 && row.announced_at > now - KEY_PACKAGE_LIFETIME;
    if (!usable || row.claimed_by === null || !equal(row.claimed_by, claimer)) throw new Refusal('spent-key-package', { accountId: owner });
    spendRow.run(owner, ref);
  }

  /** All that are announced, in stock or claimed; what is spent stays known. */
  function revoke(accountId: AccountId): void {
    deleteUnused.run(accountId);
  }

  function sweep(now: number): void {
    deleteOld.run(now - KEY_PACKAGE_LIFETIME);
    deleteOldClaims.run(now - CLAIM_MEMORY);
  }

  return { stock, announce, upload, claim, spend, revoke, sweep };
}

export type KeyPackages = ReturnType<typeof keyPackagesOf>;
