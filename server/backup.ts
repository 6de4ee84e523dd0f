import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  fsyncSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { writeKey } from './authentication-key.ts';
import { BESIDE_DATABASE, dataFiles, lockDataFolder, syncFolder } from './data-folder.ts';
import { DataProblem } from './data-problem.ts';
import { checkDatabase } from './store/sqlite-check.ts';

/** A backup is one file: the server's database, and in it this table with what lies beside it in DATA_DIR. */
const BACKUP_TABLE = `
  CREATE TABLE backup (
    made_at INTEGER NOT NULL, -- ms since 1970
    authentication_key BLOB NOT NULL
  ) STRICT;
`;

/**
 * Copies all that a restored server needs into the one file `to`, which only its owner may read: the authentication
 * key's seed is in it. A server may be running. `VACUUM INTO` reads in one transaction, so the copy is the database of
 * one moment, and neither waits for writers nor begins anew because of them; nothing deleted is in it.
 * The file is there whole or not at all. @throws DataProblem exists, damaged, foreign, newer, incomplete
 */
export function makeBackup(dataDir: string, to: string, now: number): void {
  const { database, key } = dataFiles(dataDir);
  for (const needed of [database, key]) {
    if (!existsSync(needed)) throw new DataProblem('incomplete', `${needed} is missing: there is nothing to back up.`);
  }
  if (existsSync(to)) throw exists(to);
  const draft = `${to}.part`;
  rmSync(draft, { force: true });
  mkdirSync(dirname(to), { recursive: true });
  closeSync(openSync(draft, 'wx', 0o600)); // VACUUM INTO takes an empty file, and leaves its mode
  try {
    checkDatabase(database);
    const source = new SqliteDatabase(database, { readonly: true, fileMustExist: true });
    try {
      source.prepare('VACUUM INTO ?').run(draft);
    } finally {
      source.close();
    }
    const copy = new SqliteDatabase(draft);
    try {
      copy.exec(BACKUP_TABLE);
      copy.prepare('INSERT INTO backup VALUES (?, ?)').run(now, readFileSync(key));
    } finally {
      copy.close();
    }
    checkDatabase(draft);
    syncFile(draft);
    linkUnlessThere(draft, to);
  } finally {
    rmSync(draft, { force: true });
  }
  syncFolder(dirname(to));
}

export interface Restored {
  /** When the backup was made, ms since 1970. */
  readonly madeAt: number;
  /** Where the data of before lies now; undefined when there was none. */
  readonly keptAside: string | undefined;
}

/**
 * Puts a backup in the place of a stopped server's data. Data that is there gets another name, is never lost, and is
 * touched only with `replace`. A crash in between leaves either the data of before or a key without a database, which the server
 * refuses; the same command again then mends it.
 * @throws DataProblem in-use, exists, damaged, foreign, newer
 */
export function restoreBackup(dataDir: string, from: string, replace: boolean, now: number): Restored {
  if (!existsSync(from)) throw new DataProblem('incomplete', `${from} does not exist.`);
  const unlock = lockDataFolder(dataDir);
  const { database, key } = dataFiles(dataDir);
  const draft = `${database}.restored`;
  try {
    checkDatabase(from);
    const present = [key, database, ...BESIDE_DATABASE.map((ending) => database + ending)].filter((file) => existsSync(file));
    if (present.length > 0 && !replace) {
      throw new DataProblem('exists', `${dataDir} holds data already. With --replace it is kept aside and the backup takes its place.`);
    }
    const { madeAt, seed } = unpack(from, draft);
    const keptAside = present.length === 0 ? undefined : setAside(dataDir, present, now);
    rmSync(database, { force: true }); // first: a key without its database is what no server starts on
    syncFolder(dataDir);
    writeKey(key, seed);
    for (const ending of BESIDE_DATABASE) rmSync(database + ending, { force: true });
    renameSync(draft, database);
    syncFolder(dataDir);
    return { madeAt, keptAside };
  } finally {
    for (const ending of ['', '-journal', ...BESIDE_DATABASE]) rmSync(draft + ending, { force: true });
    unlock();
  }
}

/** Makes a server's database of the backup at `draft`, without the key. */
function unpack(from: string, draft: string): { readonly madeAt: number; readonly seed: Uint8Array } {
  copyFileSync(from, draft);
  chmodSync(draft, 0o600);
  const database = new SqliteDatabase(draft);
  try {
    const isBackup = database.prepare("SELECT 1 FROM sqlite_master WHERE name = 'backup'").get() !== undefined;
    const row = isBackup
      ? database.prepare<[], { made_at: number; authentication_key: Uint8Array }>('SELECT * FROM backup').get()
      : undefined;
    if (row === undefined) throw new DataProblem('foreign', `${from} is no backup: make one with \`npm run backup\`.`);
    database.pragma('secure_delete = ON');
    database.exec('DROP TABLE backup');
    return { madeAt: row.made_at, seed: new Uint8Array(row.authentication_key) };
  } finally {
    database.close();
    syncFile(draft);
  }
}

/** Gives the files a second name each, so that the first can be used anew. */
function setAside(dataDir: string, files: readonly string[], now: number): string {
  const aside = join(dataDir, `before-restore-${new Date(now).toISOString().replaceAll(':', '-')}`);
  mkdirSync(aside, { mode: 0o700 });
  for (const file of files) linkSync(file, join(aside, basename(file)));
  syncFolder(aside);
  syncFolder(dataDir);
  return aside;
}

/** A second name for the file; unlike a rename it never takes another file's place. */
function linkUnlessThere(draft: string, to: string): void {
  try {
    linkSync(draft, to);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') throw exists(to);
    throw error;
  }
}

function exists(path: string): DataProblem {
  return new DataProblem('exists', `${path} exists already, and a backup replaces nothing: choose another name.`);
}

function syncFile(path: string): void {
  const opened = openSync(path, 'r+');
  fsyncSync(opened);
  closeSync(opened);
}
