import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { toHex } from '../../../src/bytes/index.ts';
import { getSuite, readGroupInfo } from '../../../src/mls/index.ts';

/** One entry of a group's log, as it lies in the server's database. */
export interface LogRow {
  readonly groupId: string;
  readonly position: number;
  readonly accountId: string;
  readonly kind: string;
  readonly epoch: number;
  readonly message: Uint8Array;
}

export interface GroupRow {
  readonly groupId: string;
  /** The account whose emulation group it is, or null for a conversation. */
  readonly emulates: string | null;
  readonly epoch: number;
  readonly groupInfo: Uint8Array;
}

/** What the server has stored, read from the database file beside the running server. */
export interface ServerLog {
  readonly accounts: ReadonlyMap<string, string>; // username -> account ID
  readonly groups: readonly GroupRow[];
  readonly log: readonly LogRow[];
  /** KeyPackages by which accounts were added to conversations, in that order. */
  readonly usedKeyPackages: readonly { readonly accountId: string; readonly announcedAt: number }[];
  /** Rows of each table, to show that nothing is left behind. */
  readonly rows: Readonly<Record<string, number>>;
}

export function readServerLog(dataDir: string): ServerLog {
  const database = new SqliteDatabase(databaseIn(dataDir), { readonly: true });
  try {
    const all = <Row>(sql: string): Row[] => database.prepare<[], Row>(sql).all();
    const tables = all<{ name: string }>("SELECT name FROM sqlite_schema WHERE type = 'table'").map(({ name }) => name);
    return {
      accounts: new Map(
        all<{ username: string; id: string }>('SELECT username, lower(hex(account_id)) AS id FROM accounts').map((row) => [
          row.username,
          row.id,
        ]),
      ),
      groups: all<GroupRow>(
        'SELECT lower(hex(group_id)) AS groupId, lower(hex(emulates)) AS emulates, epoch, group_info AS groupInfo FROM groups',
      ).map((row) => ({ ...row, emulates: row.emulates === '' ? null : row.emulates })),
      log: all<LogRow>(
        `SELECT lower(hex(group_id)) AS groupId, position, lower(hex(account_id)) AS accountId, kind, epoch, message
         FROM log ORDER BY group_id, position`,
      ),
      usedKeyPackages: all<{ accountId: string; announcedAt: number }>(
        `SELECT lower(hex(account_id)) AS accountId, announced_at AS announcedAt
         FROM sequences JOIN key_packages USING (account_id, key_package_ref) ORDER BY account_id, sequence`,
      ),
      rows: Object.fromEntries(
        tables.map((table) => [table, database.prepare<[], { n: number }>(`SELECT count(*) AS n FROM "${table}"`).get()?.n ?? 0]),
      ),
    };
  } finally {
    database.close();
  }
}

/** The accounts in the ratchet tree of a group's newest GroupInfo, one for each leaf, as anybody sees who holds it. */
export function accountsInTree({ groupInfo }: GroupRow): string[] {
  return readGroupInfo(getSuite(1), groupInfo).leaves.map(({ credential }) =>
    credential.credentialType === 'basic' ? toHex(credential.identity) : credential.credentialType,
  );
}

/** Does to the link mailboxes what time or a dishonest server would do. */
export function changeLinks(dataDir: string, sql: string): void {
  const database = new SqliteDatabase(databaseIn(dataDir));
  try {
    if (database.prepare(sql).run().changes === 0) throw new Error('no mailbox was changed');
  } finally {
    database.close();
  }
}

function databaseIn(dataDir: string): string {
  const file = readdirSync(dataDir, { recursive: true, encoding: 'utf8' }).find((name) => /\.(db|sqlite3?)$/.test(name));
  if (file === undefined) throw new Error(`no database in ${dataDir}`);
  return join(dataDir, file);
}
