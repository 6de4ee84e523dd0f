import type { Database } from 'better-sqlite3';
import SqliteDatabase from 'better-sqlite3';

/** Changing tables raises this and adds a migration; a newer file than this server knows is refused. */
export const SCHEMA_VERSION = 2;

/**
 * Ciphertext and routing only. No table ties an entry of a log to a device: `log.account_id` is the virtual
 * client that sent it, kept so that a retry finds its message and the own account its message ID.
 */
const SCHEMA = `
  CREATE TABLE accounts (
    account_id BLOB PRIMARY KEY,
    username TEXT NOT NULL UNIQUE,
    signature_key BLOB NOT NULL,
    key_version INTEGER NOT NULL,
    binding BLOB NOT NULL,
    emulation_group_id BLOB NOT NULL UNIQUE,
    last_sequence INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE devices (
    device_id BLOB PRIMARY KEY,
    account_id BLOB NOT NULL REFERENCES accounts,
    device_key BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX devices_by_account ON devices (account_id);

  CREATE TABLE groups (
    group_id BLOB PRIMARY KEY,
    emulates BLOB REFERENCES accounts, -- the account whose emulation group it is, or null
    epoch INTEGER NOT NULL,
    last_position INTEGER NOT NULL,
    group_info BLOB NOT NULL
  ) STRICT;

  CREATE TABLE members (
    group_id BLOB NOT NULL REFERENCES groups,
    account_id BLOB NOT NULL REFERENCES accounts,
    PRIMARY KEY (group_id, account_id)
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX members_by_account ON members (account_id);

  -- The commit that made the group's epoch, and what it changed: honest members may refuse it.
  CREATE TABLE newest_commits (
    group_id BLOB PRIMARY KEY REFERENCES groups,
    position INTEGER NOT NULL,
    further INTEGER NOT NULL, -- commits taken for the same epoch after a refused one
    adds BLOB NOT NULL, -- account IDs of 16 bytes, one after the other
    removes BLOB NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE log (
    group_id BLOB NOT NULL REFERENCES groups,
    position INTEGER NOT NULL,
    account_id BLOB NOT NULL REFERENCES accounts,
    message_id BLOB NOT NULL,
    kind TEXT NOT NULL,
    epoch INTEGER NOT NULL,
    message BLOB NOT NULL,
    welcome BLOB, -- of a commit that adds accounts
    accepted_at INTEGER NOT NULL,
    PRIMARY KEY (group_id, position),
    UNIQUE (account_id, message_id)
  ) STRICT;

  CREATE TABLE sequences (
    account_id BLOB NOT NULL REFERENCES accounts,
    sequence INTEGER NOT NULL,
    group_id BLOB NOT NULL,
    position INTEGER NOT NULL,
    key_package_ref BLOB, -- set on a welcome, which stands in for the commit that made it
    PRIMARY KEY (account_id, sequence),
    UNIQUE (account_id, group_id, position),
    FOREIGN KEY (group_id, position) REFERENCES log
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE generations (
    group_id BLOB NOT NULL REFERENCES groups,
    account_id BLOB NOT NULL REFERENCES accounts,
    ratchet_type TEXT NOT NULL,
    generation_id BLOB NOT NULL,
    PRIMARY KEY (group_id, account_id, ratchet_type, generation_id)
  ) STRICT, WITHOUT ROWID; -- of the group's current epoch only

  CREATE TABLE key_packages (
    account_id BLOB NOT NULL REFERENCES accounts,
    key_package_ref BLOB NOT NULL,
    announced_at INTEGER NOT NULL,
    key_package BLOB, -- null until uploaded, and again once claimed
    claimed_by BLOB REFERENCES accounts,
    spent INTEGER NOT NULL DEFAULT 0, -- remembered until it expires: a retried upload must not bring it back
    PRIMARY KEY (account_id, key_package_ref)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE claims (
    account_id BLOB NOT NULL REFERENCES accounts,
    claim_id BLOB NOT NULL,
    owner_id BLOB NOT NULL REFERENCES accounts,
    key_package_ref BLOB NOT NULL,
    key_package BLOB NOT NULL,
    claimed_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, claim_id, owner_id)
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE blobs (
    account_id BLOB NOT NULL REFERENCES accounts,
    hash BLOB NOT NULL,
    bytes BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (account_id, hash)
  ) STRICT;

  CREATE TABLE links (
    link_id BLOB PRIMARY KEY,
    token_hash BLOB NOT NULL,
    expires_at INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;

  CREATE TABLE link_slots (
    link_id BLOB NOT NULL REFERENCES links ON DELETE CASCADE,
    slot TEXT NOT NULL,
    payload BLOB NOT NULL,
    PRIMARY KEY (link_id, slot)
  ) STRICT;
`;

/** Since version 2. */
const REMOVALS = `
  CREATE TABLE removals (
    device_id BLOB PRIMARY KEY, -- cut off; its row in devices is gone, and its ID never comes back
    account_id BLOB NOT NULL REFERENCES accounts,
    floor INTEGER NOT NULL -- first epoch of the emulation group in which KeyPackages may be announced again
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX removals_by_account ON removals (account_id);
`;

/**
 * Opens or makes the database file. WAL with synchronous=FULL: a commit is on the disk when it returns.
 * @throws Error when a newer server made the file.
 */
export function openDatabase(path: string): Database {
  const database = new SqliteDatabase(path);
  database.pragma('journal_mode = WAL');
  database.pragma('synchronous = FULL');
  database.pragma('foreign_keys = ON');
  database.pragma('secure_delete = ON'); // spent KeyPackages and links are overwritten, not only unlinked
  const version = database.pragma('user_version', { simple: true });
  if (version === 0) {
    database.transaction(() => {
      database.exec(SCHEMA + REMOVALS);
      database.pragma(`user_version = ${SCHEMA_VERSION}`);
    })();
  } else if (version === 1) {
    database.transaction(() => {
      database.exec(REMOVALS);
      database.pragma(`user_version = ${SCHEMA_VERSION}`);
    })();
  } else if (version !== SCHEMA_VERSION) {
    database.close();
    throw new Error(`${path} was made by another version of this server`);
  }
  return database;
}
