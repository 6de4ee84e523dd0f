import type { Database } from 'better-sqlite3';
import { equal } from '../../src/bytes/index.ts';
import { LINK_SLOTS } from '../../src/delivery/frames.ts';
import type { LinkId, LinkSlot } from '../../src/engine/ports.ts';
import { LINK_LIFETIME, MAX_OPEN_LINKS, WELCOME_LIFETIME } from '../limits.ts';
import { Refusal } from '../problems.ts';

interface LinkRow {
  readonly token_hash: Uint8Array;
  readonly expires_at: number;
}

/** Mailboxes in which a new device and an old one meet. Each function runs inside the caller's transaction. */
export function linksOf(database: Database) {
  const find = database.prepare<[Uint8Array], LinkRow>('SELECT * FROM links WHERE link_id = ?');
  const count = database.prepare<[], { count: number }>('SELECT count(*) AS count FROM links');
  const insert = database.prepare('INSERT INTO links VALUES (?, ?, ?)');
  const extend = database.prepare('UPDATE links SET expires_at = ? WHERE link_id = ?');
  const deleteOne = database.prepare('DELETE FROM links WHERE link_id = ? AND token_hash = ?');
  const deleteExpired = database.prepare('DELETE FROM links WHERE expires_at <= ?');
  const slotOf = database.prepare<[Uint8Array, LinkSlot], { payload: Uint8Array }>(
    'SELECT payload FROM link_slots WHERE link_id = ? AND slot = ?',
  );
  const insertSlot = database.prepare('INSERT INTO link_slots VALUES (?, ?, ?)');

  function open(linkId: LinkId, now: number): LinkRow | undefined {
    const row = find.get(linkId);
    return row !== undefined && row.expires_at > now ? row : undefined;
  }

  function require(linkId: LinkId, tokenHash: Uint8Array, now: number): void {
    const row = open(linkId, now);
    if (row === undefined || !equal(row.token_hash, tokenHash)) throw new Refusal('unknown-link');
  }

  function put(linkId: LinkId, tokenHash: Uint8Array, slot: Exclude<LinkSlot, 'welcome'>, payload: Uint8Array, now: number): void {
    if (slot === 'request' && open(linkId, now) === undefined) {
      sweep(now); // an expired mailbox of this name is gone before the new one comes
      if ((count.get()?.count ?? 0) >= MAX_OPEN_LINKS) throw new Refusal('too-many');
      insert.run(linkId, tokenHash, now + LINK_LIFETIME);
    }
    require(linkId, tokenHash, now);
    const earlier = slotOf.get(linkId, slot);
    if (earlier !== undefined) {
      if (!equal(earlier.payload, payload)) throw new Refusal('link-slot-taken');
      return;
    }
    if (slot === 'cancelled' && slotOf.get(linkId, 'welcome') !== undefined) throw new Refusal('link-slot-taken'); // too late: linked
    insertSlot.run(linkId, slot, payload);
  }

  /** The accepted commit's part of the mailbox. A mailbox that either side has cancelled takes no Welcome. */
  function deliverWelcome(linkId: LinkId, welcome: Uint8Array, now: number): void {
    if (open(linkId, now) === undefined || slotOf.get(linkId, 'cancelled') !== undefined) throw new Refusal('unknown-link');
    if (slotOf.get(linkId, 'welcome') !== undefined) throw new Refusal('link-slot-taken');
    insertSlot.run(linkId, 'welcome', welcome);
    extend.run(now + WELCOME_LIFETIME, linkId);
  }

  function read(linkId: LinkId, tokenHash: Uint8Array, now: number): Partial<Record<LinkSlot, Uint8Array>> {
    require(linkId, tokenHash, now);
    const slots: Partial<Record<LinkSlot, Uint8Array>> = {};
    for (const slot of LINK_SLOTS) {
      const payload = slotOf.get(linkId, slot)?.payload;
      if (payload !== undefined) slots[slot] = payload;
    }
    return slots;
  }

  function sweep(now: number): void {
    deleteExpired.run(now);
  }

  return {
    put,
    deliverWelcome,
    read,
    sweep,
    delete: (linkId: LinkId, tokenHash: Uint8Array): void => {
      deleteOne.run(linkId, tokenHash);
    },
  };
}

export type Links = ReturnType<typeof linksOf>;
