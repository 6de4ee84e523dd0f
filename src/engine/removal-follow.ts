import { ed25519 } from '@noble/curves/ed25519.js';
import { equal, toHex } from '../bytes/index.ts';
import type { LeafNode, OpenedApplication } from '../mls/index.ts';
import { decodeResyncMessage } from '../virtual-client/emulation-message.ts';
import { decodeAccountBinding, verifyAccountBinding } from '../virtual-client/index.ts';
import { decodeRemovalStatement, removalContent, type RemovalStatement } from '../virtual-client/removal-statement.ts';
import { EngineError } from './errors.ts';
import { othersFrom } from './later.ts';
import { deviceIdOf } from './leaf-check.ts';
import { dropPending } from './pending-emulation.ts';
import type { SequenceEntry } from './ports.ts';
import { EMULATION_PROTOCOL, GROUP_SUITE } from './protocol.ts';
import { markPhrase } from './recovery-phrase.ts';
import { forgetFinished, membersOf, updateRemoval, type Member } from './removal-members.ts';
import { isUnsafe } from './removal-state.ts';
import { requeueUnanswered } from './sending.ts';
import type { Turn } from './turn.ts';

/** What the log says of a removal; every device of the account reads it alike. */

/** Without another foreign key for as long, the next one is answered at once again, ms. */
const FOREIGN_KEYS_FORGOTTEN_AFTER = 24 * 60 * 60_000;

/**
 * Begin, at its place in the sequence: whatever KeyPackages there are, are revoked. An Add of ours on its way is given up,
 * as it covers a shorter log. A commit that announces KeyPackages stays until the server says that it refuses it: with
 * another statement for a device that is out already it takes it, and whoever does not know its own commit again is out of
 * step with its siblings for good.
 * @throws EngineError when no device of the account has asked for it
 */
export function followBegin(turn: Turn, entry: SequenceEntry): void {
  const statement = decodeRemovalStatement(entry.message);
  const emulation = turn.emulation();
  const members = membersOf(emulation);
  const { deviceId, signatureKey, signature } = statement;
  const isMember = members.some((member) => equal(member.signatureKey, signatureKey));
  if (!isMember || !ed25519.verify(signature, removalContent(emulation.groupId, deviceId), signatureKey, { zip215: false })) {
    throw new EngineError('bad-removal');
  }
  revokeKeyPackages(turn);
  if (emulation.pending?.purpose === 'add-device') dropPending(turn, emulation.pending);
  if (equal(deviceId, turn.device().deviceId)) turn.update({ unlinked: true });
  forgetFinished(turn);
  const { removal } = turn.emulation();
  const asked = removal.asked.filter((other) => !equal(other.deviceId, deviceId));
  const member = members.find((candidate) => equal(candidate.deviceId, deviceId));
  const askedHere = equal(asksFor(turn, statement, members), turn.device().emulatorSignatureKey);
  const isNew = member !== undefined && !removal.cutOff.some((other) => equal(other.deviceId, deviceId));
  const cutOff = isNew ? [...removal.cutOff, { deviceId, name: member.name, askedHere, othersFrom: othersFrom(turn) }] : removal.cutOff;
  updateRemoval(turn, { asked, cutOff });
}

/** Key of the device that makes the Remove without waiting: the one that asked or, of a device that leaves by itself, the first that stays. */
function asksFor(turn: Turn, { deviceId, signatureKey }: RemovalStatement, members: readonly Member[]): Uint8Array {
  const { cutOff } = turn.emulation().removal;
  const leaving = [deviceId, ...cutOff.map((device) => device.deviceId)];
  const stays = members.find((member) => !leaving.some((other) => equal(other, member.deviceId)));
  const byItself = members.some((member) => equal(member.deviceId, deviceId) && equal(member.signatureKey, signatureKey));
  return byItself && stays !== undefined ? stays.signatureKey : signatureKey;
}

/** A commit of the emulation group that removed `removed` was followed; `epoch` is the one that it made. */
export function afterRemove(turn: Turn, removed: readonly LeafNode[], epoch: bigint): void {
  const emulation = turn.emulation();
  const { removal, deviceNames } = emulation;
  const gone = removed.map((leaf) => toHex(deviceIdOf(leaf)));
  const names = removed.map((leaf) => deviceNames.get(toHex(leaf.signaturePublicKey)) ?? '');
  const stays = ({ deviceId }: { readonly deviceId: Uint8Array }): boolean => !gone.includes(toHex(deviceId));
  revokeKeyPackages(turn);
  updateRemoval(turn, {
    asked: removal.asked.filter(stays),
    cutOff: removal.cutOff.filter(stays),
    removed: [...removal.removed, ...names],
    keyDue: true,
    foreignKeys: 0,
    floor: epoch,
  });
  for (const name of names) turn.notice('device-removed', name);
  markPhrase(turn);
  for (const [id, conversation] of turn.state.conversations) {
    const { pending, rejoined } = conversation;
    if (rejoined !== undefined) turn.updateConversation(id, { rejoined: undefined }); // who was in the way may be out
    if (pending?.submission.kind === 'application' && isUnsafe(turn.emulation(), conversation)) requeueUnanswered(turn, id, pending);
  }
}

/**
 * A device has joined with the recovery phrase: its ResyncMessage tells the account's new key next. The
 * newcomer does not know who is there, so each tells its own name.
 */
export function afterRecovery(turn: Turn): void {
  revokeKeyPackages(turn);
  updateRemoval(turn, { keyDue: true });
  const { emulatorSignatureKey: signatureKey, deviceName: name } = turn.device();
  turn.updateEmulation({ announceDevices: [...turn.emulation().announceDevices, { signatureKey, name }] });
  turn.notice('device-recovered', '');
}

/** The first after the Remove or the external join wins. */
export function followResync(turn: Turn, opened: OpenedApplication): void {
  const { group, removal } = turn.emulation();
  const key = decodeResyncMessage(opened.applicationData);
  opened.applicationData.fill(0);
  if (!removal.keyDue || opened.epoch !== group.context.epoch) {
    key.wipe();
    return;
  }
  const { publicKey, privateKey } = GROUP_SUITE.signatureKeyPair(key.reveal().slice());
  turn.spend([key]);
  updateRemoval(turn, { keyDue: false, told: [...removal.told, { signatureKey: publicKey, signer: privateKey }], bindAgainAt: 0 });
}

/**
 * The server has bound a key. One that a device of the account told becomes the account's; over any other
 * one a key of ours is to be bound. @throws EngineError 'stale-key-version', VirtualClientError 'binding-...'
 */
export async function followAccountKey(turn: Turn, entry: SequenceEntry): Promise<void> {
  const binding = decodeAccountBinding(entry.message);
  const account = turn.account();
  const { told, foreignVersion } = turn.emulation().removal;
  if (binding.keyVersion <= Math.max(account.keyVersion, foreignVersion)) throw new EngineError('stale-key-version');
  await verifyAccountBinding(EMULATION_PROTOCOL, GROUP_SUITE, account.authenticationKey, binding, {
    accountId: account.accountId,
    signatureKey: binding.signatureKey,
    replacedKeyVersion: account.keyVersion,
  });
  const index = told.findIndex(({ signatureKey }) => equal(signatureKey, binding.signatureKey));
  const key = told[index];
  if (key === undefined) return followForeignKey(turn, binding.keyVersion);
  const { keyVersion, signatureKey, signer, formerKeys } = account;
  turn.spend(told.slice(0, index).map((passedOver) => passedOver.signer));
  updateRemoval(turn, { told: told.slice(index + 1), foreignVersion: 0, bindAgainAt: 0 });
  turn.update({
    account: {
      ...account,
      ...key,
      keyVersion: binding.keyVersion,
      binding: entry.message,
      formerKeys: [{ keyVersion, signatureKey, signer }, ...formerKeys],
    },
  });
}

/**
 * Who bound it is no device in the emulation group: with a recovery that we refuse, or by a device that the
 * server knows and nobody has added. Until a key of ours has the next version, the server takes no commit of ours.
 * Who goes on binding keys, with the phrase or with a device's whole profile, is answered ever later: `foreignKeyPause` grows.
 */
function followForeignKey(turn: Turn, foreignVersion: number): void {
  const { keyDue, told, foreignKeys, foreignAt } = turn.emulation().removal;
  updateRemoval(turn, {
    keyDue: keyDue || told.length === 0,
    foreignVersion,
    foreignKeys: Math.abs(turn.now - foreignAt) < FOREIGN_KEYS_FORGOTTEN_AFTER ? foreignKeys + 1 : 1,
    foreignAt: turn.now,
    bindAgainAt: 0,
  });
  turn.notice('foreign-key', '');
}

/** Those that are in the log; of what is on its way the uploads stay, for when it comes. */
function revokeKeyPackages(turn: Turn): void {
  const { keyPackages, uploads } = turn.state;
  turn.spend([...keyPackages.values()].map(({ operation }) => operation.operationSecret));
  const isOnItsWay = turn.emulation().pending?.purpose === 'key-packages';
  turn.update({ keyPackages: new Map(), uploads: isOnItsWay ? uploads : undefined });
}
