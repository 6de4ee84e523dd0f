import type { Database } from 'better-sqlite3';
import { equal } from '../../src/bytes/index.ts';
import { Refusal } from '../problems.ts';

/** Keys of invitations by link, as members' commits have said: who proves to have one may join from outside. */

const TABLES = `
  CREATE TABLE IF NOT EXISTS invitations (
    group_id BLOB PRIMARY KEY REFERENCES groups,
    invitation_key BLOB, -- null when withdrawn
    key_before BLOB -- before the commit that made the group's epoch, which honest members may refuse
  ) STRICT, WITHOUT ROWID;
`;

interface InvitationRow {
  readonly invitation_key: Uint8Array | null;
  readonly key_before: Uint8Array | null;
}

/** Each function runs inside the caller's transaction. */
export function invitationsOf(database: Database) {
  database.exec(TABLES);
  const find = database.prepare<[Uint8Array], InvitationRow>('SELECT invitation_key, key_before FROM invitations WHERE group_id = ?');
  const set = database.prepare(
    `INSERT INTO invitations VALUES (?, ?, ?) ON CONFLICT (group_id) DO UPDATE
     SET invitation_key = excluded.invitation_key, key_before = excluded.key_before`,
  );
  const forget = database.prepare('DELETE FROM invitations WHERE group_id = ?');

  const keyOf = (groupId: Uint8Array): Uint8Array | undefined => find.get(groupId)?.invitation_key ?? undefined;

  return {
    keyOf,

    /** @throws Refusal `invitation-refused` unless `vouched`, which has signed the request, is the group's key now */
    check(groupId: Uint8Array, vouched: Uint8Array | undefined): void {
      const key = keyOf(groupId);
      if (vouched === undefined || key === undefined || !equal(key, vouched)) throw new Refusal('invitation-refused');
    },

    /** A commit was taken: it changes the key (undefined withdraws it) or leaves it. */
    passCommit(groupId: Uint8Array, change: { readonly key: Uint8Array | undefined } | undefined): void {
      const before = keyOf(groupId);
      const after = change === undefined ? before : change.key;
      if (before === undefined && after === undefined) forget.run(groupId);
      else set.run(groupId, after ?? null, before ?? null);
    },

    /** The commit that made the group's epoch was refused by members. */
    undoCommit(groupId: Uint8Array): void {
      const row = find.get(groupId);
      if (row === undefined) return;
      if (row.key_before === null) forget.run(groupId);
      else set.run(groupId, row.key_before, row.key_before);
    },
  };
}

export type Invitations = ReturnType<typeof invitationsOf>;
