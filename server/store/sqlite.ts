import { accountsOf } from './sqlite-accounts.ts';
import { externalBasesOf } from './sqlite-external-bases.ts';
import { invitationsOf } from './sqlite-invitations.ts';
import { keyPackagesOf } from './sqlite-key-packages.ts';
import { linksOf } from './sqlite-links.ts';
import { blobsOf, readsOf } from './sqlite-reads.ts';
import { openDatabase } from './sqlite-schema.ts';
import { removalsOf } from './sqlite-removals.ts';
import { recoveriesOf } from './sqlite-recoveries.ts';
import { submissionsOf } from './sqlite-submit.ts';
import type { Caller, Consistency, DeliveryStore } from './store.ts';

/** DeliveryStore in one SQLite file. better-sqlite3 is synchronous, so two transactions never interleave. */
export function openSqliteStore(path: string, consistency: Consistency): DeliveryStore {
  const database = openDatabase(path);
  const accounts = accountsOf(database);
  const keyPackages = keyPackagesOf(database, accounts);
  const links = linksOf(database);
  const removals = removalsOf(database, accounts, keyPackages);
  const externalBases = externalBasesOf(database);
  const recoveries = recoveriesOf(database, accounts, keyPackages, removals);
  const invitations = invitationsOf(database);
  const submissions = submissionsOf(database, accounts, keyPackages, links, externalBases, removals, recoveries, invitations, consistency);
  const reads = readsOf(database, externalBases, invitations);
  const blobs = blobsOf(database);

  const write = async <Value>(work: () => Value): Promise<Value> => database.transaction(work).immediate();
  const read = async <Value>(work: () => Value): Promise<Value> => database.transaction(work).deferred();

  const as =
    <Value>(caller: Caller, work: () => Value) =>
    (): Value => {
      accounts.requireDevice(caller);
      return work();
    };

  return {
    createAccount: (account) => write(() => accounts.createAccount(account)),
    findDevice: (deviceId) => read(() => accounts.findDevice(deviceId)),
    findAccount: (caller, username) => read(as(caller, () => accounts.findAccount(username))),
    describeAccounts: (caller, ids) => read(as(caller, () => accounts.describeAccounts(ids))),
    submit: (caller, submission, now, invitedBy) =>
      write(as(caller, () => submissions.submit(caller.accountId, submission, invitedBy, now))),
    invitationKey: (groupId) => read(() => invitations.keyOf(groupId)),
    openInvitation: (caller, groupId, invitedBy) => read(as(caller, () => reads.invitedGroup(groupId, invitedBy))),
    beginRemoval: (caller, deviceId, statement, entryId, now) =>
      write(as(caller, () => removals.begin(caller.accountId, deviceId, statement, entryId, now))),
    accountKey: (caller) => read(as(caller, () => removals.accountKey(caller.accountId))),
    bindAccountKey: (caller, next, entryId, now) => write(as(caller, () => removals.bind(caller.accountId, next, entryId, now))),
    readSequence: (caller, after, limit, maxBytes, now) =>
      read(
        as(caller, () => ({
          ...reads.sequence(caller.accountId, after, limit, maxBytes),
          stock: keyPackages.stock(caller.accountId, now),
        })),
      ),
    checkMark: async (caller, after, mark) => {
      if (mark !== undefined) await read(as(caller, () => reads.checkMark(caller.accountId, after, mark)));
    },
    confirmSequence: async (caller, sequence) => {
      const isWaiting = await read(as(caller, () => externalBases.isWaiting(caller.accountId)));
      if (isWaiting) await write(as(caller, () => externalBases.confirm(caller, sequence)));
    },
    recoveryKey: (username) => read(() => recoveries.keyOf(username)),
    openRecovery: (vouched) => read(() => recoveries.open(vouched)),
    recoveredAgain: (recovery) => read(() => recoveries.recoveredAgain(recovery)),
    recover: (vouched, recovery, binding, entryId, now) => write(() => recoveries.recover(vouched, recovery, binding, entryId, now)),
    listGroups: (caller) => read(as(caller, () => reads.groups(caller.accountId))),
    readGroup: (caller, groupId, epoch) => read(as(caller, () => reads.group(caller.accountId, groupId, epoch))),
    uploadKeyPackages: (caller, uploaded, now) => write(as(caller, () => keyPackages.upload(caller.accountId, uploaded, now))),
    claimKeyPackages: (caller, claimId, owners, now) => write(as(caller, () => keyPackages.claim(caller.accountId, claimId, owners, now))),
    putBlob: (caller, hash, bytes, now) => write(as(caller, () => blobs.put(caller.accountId, hash, bytes, now))),
    readBlob: (caller, hash, now) => read(as(caller, () => blobs.read(caller.accountId, hash, now))),
    putLinkSlot: (linkId, tokenHash, slot, payload, now) => write(() => links.put(linkId, tokenHash, slot, payload, now)),
    readLink: (linkId, tokenHash, now) => read(() => links.read(linkId, tokenHash, now)),
    deleteLink: (linkId, tokenHash) => write(() => links.delete(linkId, tokenHash)),
    sweep: (now) =>
      write(() => {
        links.sweep(now);
        blobs.sweep(now);
        keyPackages.sweep(now);
      }),
    close: async () => {
      database.close();
    },
  };
}
