import type { Database } from 'better-sqlite3';
import { concat, equal } from '../../src/bytes/index.ts';
import { ID_LENGTH } from '../../src/delivery/bounds.ts';
import type { AccountId, CommitRouting, Submission } from '../../src/engine/ports.ts';
import { MAX_FURTHER_COMMITS, MAX_GROUPS, MAX_LATE_EPOCHS, MAX_MEMBERS } from '../limits.ts';
import { Refusal } from '../problems.ts';
import { checkForGroup, isExternalCommit } from '../submission.ts';
import type { Accounts } from './sqlite-accounts.ts';
import type { ExternalBases } from './sqlite-external-bases.ts';
import type { Invitations } from './sqlite-invitations.ts';
import type { KeyPackages } from './sqlite-key-packages.ts';
import type { Links } from './sqlite-links.ts';
import type { Recoveries } from './sqlite-recoveries.ts';
import type { Removals } from './sqlite-removals.ts';
import type { AcceptedSubmission, Consistency } from './store.ts';

interface GroupRow {
  readonly emulates: Uint8Array | null;
  readonly epoch: number;
  readonly last_position: number;
  readonly group_info: Uint8Array;
}

interface LogRow {
  readonly group_id: Uint8Array;
  readonly position: number;
  readonly kind: string;
}

interface NewestCommit {
  readonly position: number;
  readonly further: number;
  readonly adds: Uint8Array;
  readonly removes: Uint8Array;
}

type Count = { readonly count: number };
type Sequence = { readonly sequence: number };

/** Appending to a group's log and fanning out, all inside the caller's transaction. */
export function submissionsOf(
  database: Database,
  accounts: Accounts,
  keyPackages: KeyPackages,
  links: Links,
  externalBases: ExternalBases,
  removals: Removals,
  recoveries: Recoveries,
  invitations: Invitations,
  consistency: Consistency,
) {
  const retried = database.prepare<[Uint8Array, Uint8Array], LogRow>(
    'SELECT group_id, position, kind FROM log WHERE account_id = ? AND message_id = ?',
  );
  const sequenceOf = database.prepare<[Uint8Array, Uint8Array, number], Sequence>(
    'SELECT sequence FROM sequences WHERE account_id = ? AND group_id = ? AND position = ?',
  );
  const groupOf = database.prepare<[Uint8Array], GroupRow>(
    'SELECT emulates, epoch, last_position, group_info FROM groups WHERE group_id = ?',
  );
  const insertGroup = database.prepare(
    'INSERT INTO groups (group_id, emulates, epoch, last_position, group_info) VALUES (?, NULL, 0, 0, ?)',
  );
  const newestCommitOf = database.prepare<[Uint8Array], NewestCommit>(
    'SELECT position, further, adds, removes FROM newest_commits WHERE group_id = ?',
  );
  const setNewestCommit = database.prepare(
    `INSERT INTO newest_commits VALUES (?, ?, ?, ?, ?) ON CONFLICT (group_id) DO UPDATE
     SET position = excluded.position, adds = excluded.adds, removes = excluded.removes,
         further = CASE excluded.further WHEN 0 THEN 0 ELSE newest_commits.further + 1 END`,
  );
  const movePosition = database.prepare('UPDATE groups SET last_position = ? WHERE group_id = ?');
  const moveEpoch = database.prepare('UPDATE groups SET epoch = ?, group_info = ? WHERE group_id = ?');
  const isMember = database.prepare<[Uint8Array, Uint8Array], object>('SELECT 1 FROM members WHERE group_id = ? AND account_id = ?');
  const membersOf = database.prepare<[Uint8Array], { account_id: Uint8Array }>('SELECT account_id FROM members WHERE group_id = ?');
  const countMembers = database.prepare<[Uint8Array], Count>('SELECT count(*) AS count FROM members WHERE group_id = ?');
  const countGroups = database.prepare<[Uint8Array], Count>('SELECT count(*) AS count FROM members WHERE account_id = ?');
  const insertMember = database.prepare('INSERT INTO members VALUES (?, ?)');
  const deleteMember = database.prepare('DELETE FROM members WHERE group_id = ? AND account_id = ?');
  const claimGeneration = database.prepare('INSERT OR IGNORE INTO generations VALUES (?, ?, ?, ?)');
  const deleteGenerations = database.prepare('DELETE FROM generations WHERE group_id = ?');
  const append = database.prepare('INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)');
  const nextSequence = database.prepare<[Uint8Array], Sequence>(
    'UPDATE accounts SET last_sequence = last_sequence + 1 WHERE account_id = ? RETURNING last_sequence AS sequence',
  );
  const insertSequence = database.prepare('INSERT INTO sequences VALUES (?, ?, ?, ?, ?)');

  /** `invitedBy`: the key whose signature is `commit.invited`. */
  function submit(sender: AccountId, submission: Submission, invitedBy: Uint8Array | undefined, now: number): AcceptedSubmission {
    const earlier = retried.get(sender, submission.messageId);
    if (earlier !== undefined) return answerAgain(sender, submission, earlier);
    return submission.kind === 'creation' ? create(sender, submission, now) : add(sender, submission, invitedBy, now);
  }

  function answerAgain(sender: AccountId, { groupId, kind }: Submission, earlier: LogRow): AcceptedSubmission {
    const sequence = sequenceOf.get(sender, earlier.group_id, earlier.position)?.sequence;
    if (sequence === undefined || !equal(earlier.group_id, groupId) || earlier.kind !== kind) throw new Refusal('malformed');
    return { position: earlier.position, sequence, reached: [], link: undefined };
  }

  function create(sender: AccountId, submission: Submission, now: number): AcceptedSubmission {
    if (groupOf.get(submission.groupId) !== undefined) throw new Refusal('group-exists');
    checkForGroup(submission, false);
    checkFence(sender, submission);
    makeRoom(sender);
    insertGroup.run(submission.groupId, submission.message);
    insertMember.run(submission.groupId, sender);
    record(sender, submission, 0, now);
    return { position: 0, sequence: deliver(sender, submission.groupId, 0, null), reached: [sender], link: undefined };
  }

  function add(sender: AccountId, submission: Submission, invitedBy: Uint8Array | undefined, now: number): AcceptedSubmission {
    const { groupId, epoch, generation, commit } = submission;
    const group = groupOf.get(groupId);
    if (group === undefined) throw new Refusal('unknown-group');
    const joins = isMember.get(groupId, sender) === undefined;
    if (joins && commit?.invited === undefined) throw new Refusal('not-a-member');
    if (joins) invitations.check(groupId, invitedBy);
    const further = isFurther(submission, group);
    if (epoch !== group.epoch && !further && !isLate(submission, group)) throw new Refusal('stale-epoch');
    checkForGroup(submission, group.emulates !== null);
    checkFence(sender, submission);
    const claimed =
      generation === undefined ? 1 : claimGeneration.run(groupId, sender, generation.ratchetType, generation.generationId).changes;
    if (claimed === 0 && (consistency === 'strong' || commit !== undefined)) throw new Refusal('generation-taken');
    const position = group.last_position + 1;
    if (further) undoRouting(groupId);
    if (joins) letIn(groupId, sender);
    const members = membersOf.all(groupId).map(({ account_id }) => account_id);
    if (commit !== undefined) {
      applyCommit(sender, submission, commit, group, now);
      setNewestCommit.run(groupId, position, further ? 1 : 0, joined(joins ? [sender] : commit.adds), joined(commit.removes));
    }
    record(sender, submission, position, now);
    movePosition.run(position, groupId);
    const reached = [...members, ...(commit?.adds ?? [])];
    for (const member of members) deliver(member, groupId, position, null);
    for (const { accountId, keyPackageRef } of commit?.welcome?.uses ?? []) deliver(accountId, groupId, position, keyPackageRef);
    const sequence = sequenceOf.get(sender, groupId, position)?.sequence;
    if (sequence === undefined) throw new Error('the sender is no member of its own group');
    if (isExternalCommit(submission) && !further) externalBases.keep(sender, sequence, groupId, epoch, group.group_info);
    return { position, sequence, reached, link: commit?.newDevice?.linkId };
  }

  /** An application message that was on its way while commits were ordered before it. */
  function isLate({ kind, epoch }: Submission, group: GroupRow): boolean {
    return consistency === 'eventual' && kind === 'application' && epoch < group.epoch && epoch >= group.epoch - MAX_LATE_EPOCHS;
  }

  /** Reading section 15: a commit that honest members refuse does not use its epoch up. */
  function isFurther({ groupId, epoch, commit }: Submission, group: GroupRow): boolean {
    if (commit?.refuses === undefined || epoch !== group.epoch - 1) return false;
    const newest = newestCommitOf.get(groupId);
    return newest !== undefined && newest.position === commit.refuses && newest.further < MAX_FURTHER_COMMITS;
  }

  /** Members as they were before the refused commit. */
  function undoRouting(groupId: Uint8Array): void {
    const newest = newestCommitOf.get(groupId);
    if (newest === undefined) return;
    for (const added of split(newest.adds)) deleteMember.run(groupId, added);
    for (const removed of split(newest.removes)) insertMember.run(groupId, removed);
    invitations.undoCommit(groupId);
  }

  function checkFence(sender: AccountId, { fence }: Submission): void {
    if (fence === undefined) return;
    const account = accounts.requireAccount(sender);
    if (fence.emulationEpoch !== groupOf.get(account.emulation_group_id)?.epoch) throw new Refusal('stale-emulation-epoch');
    if (fence.keyVersion !== account.key_version) throw new Refusal('stale-key-version');
  }

  function applyCommit(sender: AccountId, { groupId, epoch }: Submission, commit: CommitRouting, group: GroupRow, now: number): void {
    for (const { accountId, keyPackageRef } of commit.welcome?.uses ?? []) keyPackages.spend(accountId, keyPackageRef, sender, now);
    changeMembers(sender, groupId, commit);
    invitations.passCommit(groupId, commit.invitation);
    if (commit.announces.length > 0 && epoch < removals.floorOf(sender)) throw new Refusal('stale-emulation-epoch');
    keyPackages.announce(sender, commit.announces, now);
    if (commit.recoveryKey !== undefined) recoveries.setKey(sender, commit.recoveryKey);
    const { newDevice, welcome } = commit;
    if (newDevice !== undefined && welcome !== undefined) {
      if (newDevice.coversPosition !== group.last_position) throw new Refusal('stale-log');
      if (removals.isRemoved(newDevice.deviceId)) throw new Refusal('malformed');
      accounts.addDevice(sender, newDevice.deviceId, newDevice.deviceKey);
      links.deliverWelcome(newDevice.linkId, welcome.message, now);
    }
    if (commit.devices !== undefined) accounts.keepDevices(sender, commit.devices);
    moveEpoch.run(epoch + 1, commit.groupInfo, groupId);
    deleteGenerations.run(groupId); // nothing of a past epoch is accepted any more
  }

  function changeMembers(sender: AccountId, groupId: Uint8Array, { adds, removes }: CommitRouting): void {
    for (const removed of removes) {
      if (equal(removed, sender) || deleteMember.run(groupId, removed).changes === 0) throw new Refusal('malformed');
    }
    for (const added of adds) letIn(groupId, added);
    if ((countMembers.get(groupId)?.count ?? 0) > MAX_MEMBERS) throw new Refusal('too-many');
  }

  function letIn(groupId: Uint8Array, accountId: AccountId): void {
    if (isMember.get(groupId, accountId) !== undefined) throw new Refusal('malformed');
    makeRoom(accountId);
    insertMember.run(groupId, accountId);
  }

  function makeRoom(accountId: AccountId): void {
    if ((countGroups.get(accountId)?.count ?? 0) >= MAX_GROUPS) throw new Refusal('too-many', { accountId });
  }

  function record(sender: AccountId, submission: Submission, position: number, now: number): void {
    const { groupId, messageId, kind, epoch, message, commit } = submission;
    const welcome = commit?.newDevice === undefined ? (commit?.welcome?.message ?? null) : null;
    append.run(groupId, position, sender, messageId, kind, epoch, message, welcome, now);
  }

  function deliver(accountId: AccountId, groupId: Uint8Array, position: number, keyPackageRef: Uint8Array | null): number {
    const sequence = nextSequence.get(accountId)?.sequence;
    if (sequence === undefined) throw new Refusal('unknown-account', { accountId });
    insertSequence.run(accountId, sequence, groupId, position, keyPackageRef);
    return sequence;
  }

  return { submit };
}

function joined(ids: readonly Uint8Array[]): Uint8Array {
  return concat(...ids);
}

function split(ids: Uint8Array): Uint8Array[] {
  return Array.from({ length: ids.length / ID_LENGTH }, (_, i) => ids.slice(i * ID_LENGTH, (i + 1) * ID_LENGTH));
}
