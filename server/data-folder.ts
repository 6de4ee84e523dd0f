import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import SqliteDatabase from 'better-sqlite3';
import { DataProblem, RESTORE_HINT } from './data-problem.ts';
import { checkDatabase } from './store/sqlite-check.ts';
import { openDatabase } from './store/sqlite-schema.ts';

/** What lies in DATA_DIR. */
export interface DataFiles {
  readonly database: string;
  /** Seed of the authentication key. */
  readonly key: string;
  /** Empty; whoever holds a lock on it is the one server of this folder. */
  readonly lock: string;
}

/** SQLite's own files beside a database. */
export const BESIDE_DATABASE = ['-wal', '-shm'] as const;

export function dataFiles(folder: string): DataFiles {
  return { database: join(folder, 'chorus.sqlite'), key: join(folder, 'authentication.key'), lock: join(folder, 'server.lock') };
}

/**
 * Makes the folder if need be and keeps every other server off it. The lock is the system's on an open file, so it ends
 * with the process however that ends. @returns what gives it back. @throws DataProblem in-use
 */
export function lockDataFolder(folder: string): () => void {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const lock = new SqliteDatabase(dataFiles(folder).lock, { timeout: 0 });
  try {
    lock.pragma('journal_mode = MEMORY');
    lock.exec('BEGIN EXCLUSIVE');
  } catch (error) {
    lock.close();
    if (!(error instanceof SqliteDatabase.SqliteError) || !error.code.startsWith('SQLITE_BUSY')) throw error;
    throw new DataProblem('in-use', `Another server is running on ${folder}. Stop it first, or choose another DATA_DIR.`, error);
  }
  return () => lock.close();
}

/**
 * Looks whether a server may start here, and makes the database at the first start: whole under another name first,
 * and before the key, so that a crash leaves nothing that looks like loss. @throws DataProblem
 */
export function prepareDatabase(folder: string): void {
  const { database, key } = dataFiles(folder);
  if (existsSync(database)) {
    const hasAccounts = checkDatabase(database);
    if (hasAccounts && !existsSync(key)) throw incomplete(key, database);
    return;
  }
  const left = [key, ...BESIDE_DATABASE.map((ending) => database + ending)].find((file) => existsSync(file));
  if (left !== undefined) throw incomplete(database, left);
  const draft = `${database}.new`;
  for (const ending of ['', ...BESIDE_DATABASE]) rmSync(draft + ending, { force: true });
  openDatabase(draft).close();
  renameSync(draft, database);
  syncFolder(folder);
}

/** Names in it survive a crash from here on. */
export function syncFolder(folder: string): void {
  const opened = openSync(folder, 'r');
  fsyncSync(opened);
  closeSync(opened);
}

function incomplete(missing: string, left: string): DataProblem {
  return new DataProblem(
    'incomplete',
    `${missing} is missing, though ${left} is there; the one is of no use without the other. ${RESTORE_HINT}`,
  );
}
