import { equal, Secret, toHex } from '../bytes/index.ts';
import {
  applyCommit,
  buildKeyPackage,
  commit,
  keyPackageRef,
  memberLeaves,
  open,
  protectApplication,
  type Extension,
  type GroupState,
  type LeafNode,
  type OpenedApplication,
  type OpenedCommit,
  type Proposal,
} from '../mls/index.ts';
import {
  checkKeyPackageUpload,
  decodeActionAad,
  deriveEncryptionKeyPair,
  deriveInitKeyPair,
  encodeActionAad,
  type VirtualClientAction,
} from '../virtual-client/index.ts';
import { FORGET_MESSAGE, RESYNC_MESSAGE } from '../virtual-client/emulation-message.ts';
import { decodeDeviceProfile, encodeDeviceProfile, paddingFor } from './content.ts';
import { adoptEmulationGroup } from './emulation-epochs.ts';
import { EngineError } from './errors.ts';
import { followAnnouncement } from './external-join.ts';
import { followForgetMessage } from './forget.ts';
import { encodeKeyPackage, lifetimeFrom, secondsOf } from './key-package-messages.ts';
import { longerPause, othersFrom } from './later.ts';
import { followInvitationMessage } from './invitation.ts';
import { INVITATION_MESSAGE } from './invitation-link.ts';
import { linkFailed } from './linking.ts';
import { deviceIdOf, emulatorLeafCheck } from './leaf-check.ts';
import { emulatorLeafTemplate } from './leaf-templates.ts';
import type { CommitRouting, DeliveryAnswer, DeliveryCalls, DeviceId, NewDevice, SequenceEntry, Submission } from './ports.ts';
import { EMULATION_PROTOCOL, EMULATION_SUITE, GROUP_SUITE } from './protocol.ts';
import { dropPending, secretsOf } from './pending-emulation.ts';
import type { EmulationState, OutstandingKeyPackage, PendingEmulationMessage } from './state.ts';
import { beginRenewal, noteOwnPath } from './renewal-state.ts';
import type { Turn } from './turn.ts';
import { checkRecovering, followRecoveryKey, recoveryKeyOf } from './recovery-phrase.ts';
import { afterRecovery, afterRemove, followAccountKey, followBegin, followResync } from './removal-follow.ts';
import { allocate, currentEpoch, evaluate, prepareLeaf } from './virtual-leaf.ts';

/** This device's part in the emulation group: commits with virtual client actions, device profiles. */

/** Refilled when no more than LOW are left, up to FULL: enough for a busy day, few enough to derive in a moment. */
const KEY_PACKAGES_LOW = 6;
const KEY_PACKAGES_FULL = 20;
/** Claimed ones that nobody used count as outstanding until they expire; more than this are not kept. */
const KEY_PACKAGES_MOST = 100;
/** What the server refused for a reason that does not pass by itself is not tried again at once, ms. */
const REFUSED_PAUSE = 60_000;

/**
 * Whether this device should announce new KeyPackages now: the first in the roster does when few are
 * left, the others when none is, so that not all commit at once.
 */
export function needsKeyPackages(emulation: EmulationState, stock: number | undefined, outstanding: number): boolean {
  if (outstanding >= KEY_PACKAGES_MOST) return false;
  const epoch = emulation.epochs.get(emulation.currentEpochId);
  const first = epoch?.roster[0]?.emulatorLeaf === emulation.group.ownLeaf;
  return Math.min(stock ?? outstanding, outstanding) <= (first ? KEY_PACKAGES_LOW : 0);
}

/** Draft section 5.5.1: a commit that announces KeyPackages; they are uploaded when it has come back. */
export async function prepareKeyPackages(turn: Turn): Promise<void> {
  const { epochId } = currentEpoch(turn);
  const made: { outstanding: OutstandingKeyPackage; keyPackage: Uint8Array }[] = [];
  const { stock, keyPackages } = turn.state;
  for (let i = Math.min(stock ?? keyPackages.size, keyPackages.size); i < KEY_PACKAGES_FULL; i++) made.push(await makeKeyPackage(turn));
  await prepareCommit(turn, {
    purpose: 'key-packages',
    proposals: [],
    action: {
      type: 'key_package_upload',
      epochId,
      keyPackages: made.map(({ outstanding: { keyPackageRef: ref, operation } }) => ({ keyPackageRef: ref, random: operation.random })),
    },
    keyPackages: made.map(({ outstanding }) => outstanding),
    welcomeExtensions: [],
    newDevice: undefined,
  });
  turn.update({
    uploads: { keyPackages: made.map(({ outstanding, keyPackage }) => ({ keyPackageRef: outstanding.keyPackageRef, keyPackage })) },
  });
}

async function makeKeyPackage(turn: Turn): Promise<{ outstanding: OutstandingKeyPackage; keyPackage: Uint8Array }> {
  const operation = allocate(turn);
  const { template, encryptionKey } = prepareLeaf(turn, operation, GROUP_SUITE);
  const init = deriveInitKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE);
  init.privateKey.wipe();
  const keyPackage = await buildKeyPackage(
    GROUP_SUITE,
    { leaf: template, encryptionKey, initKey: init.publicKey, lifetime: lifetimeFrom(turn.now), extensions: [] },
    turn.account().signer,
  );
  const outstanding = { keyPackageRef: keyPackageRef(GROUP_SUITE, keyPackage), operation, announcedAt: 0 };
  return { outstanding, keyPackage: encodeKeyPackage(keyPackage) };
}

/** Of the batch that is to be uploaded: a slow answer to an earlier one says nothing about it. */
export function onUploadAnswer(
  turn: Turn,
  { keyPackages: sent }: DeliveryCalls['upload-key-packages']['request'],
  answer: DeliveryAnswer<'upload-key-packages'>,
): void {
  const { uploads } = turn.state;
  const isIn = (ref: Uint8Array): boolean => sent.some(({ keyPackageRef: other }) => equal(other, ref));
  if (uploads?.keyPackages.some(({ keyPackageRef: ref }) => isIn(ref)) !== true) return;
  if (answer.outcome === 'done') turn.update({ uploads: undefined, stock: answer.value.stock });
  else if (answer.outcome === 'refused' && answer.problem.retryAfter === undefined) turn.update({ uploads: undefined });
}

export interface EmulationCommit {
  readonly purpose: PendingEmulationMessage['purpose'];
  readonly proposals: readonly Proposal[];
  readonly action: VirtualClientAction | undefined;
  readonly keyPackages: readonly OutstandingKeyPackage[];
  readonly welcomeExtensions: readonly Extension[];
  readonly newDevice: NewDevice | undefined;
  /** What a GroupContextExtensions proposal among `proposals` makes of R. */
  readonly recoveryKey?: Uint8Array;
}

/** Every commit of the emulation group has a path with fresh keys (reading section 7). */
export async function prepareCommit(turn: Turn, what: EmulationCommit): Promise<void> {
  const device = turn.device();
  const { group, groupId, refusedCommit } = turn.emulation();
  const encryption = EMULATION_SUITE.deriveKeyPair(turn.random(EMULATION_SUITE.nh));
  const encryptionPrivateKey = Secret.of('encryption_private_key', encryption.privateKey);
  const pathSecret = Secret.of('path_secret', turn.random(EMULATION_SUITE.nh));
  const { next, value, spent } = await commit(EMULATION_SUITE, group, {
    signer: device.emulatorSigner,
    proposals: what.proposals,
    references: 'none',
    path: { leaf: emulatorLeafTemplate(device), own: { encryptionPrivateKey, pathSecret } },
    wireFormat: 'private',
    authenticatedData: encodeActionAad(EMULATION_PROTOCOL, what.action),
    guard: () => turn.random(4),
    welcomeExtensions: what.welcomeExtensions,
    random: turn.random,
    checkLeaf: emulatorLeafCheck,
    now: secondsOf(turn.now),
  });
  turn.spend(spent);
  const routing: CommitRouting = {
    adds: [],
    removes: [],
    welcome: value.welcome === undefined ? undefined : { message: value.welcome, uses: [] },
    groupInfo: value.groupInfo,
    announces: what.keyPackages.map(({ keyPackageRef: ref }) => ref),
    newDevice: what.newDevice,
    invitation: undefined,
    invited: undefined,
    recoveryKey: what.recoveryKey ?? recoveryKeyOf(group.context.extensions),
    devices: devicesAfter(group, what),
    refuses: refusedCommit,
  };
  turn.updateEmulation({
    group: next,
    pending: {
      purpose: what.purpose,
      submission: {
        groupId,
        messageId: turn.random(16),
        kind: 'commit',
        epoch: Number(group.context.epoch),
        message: value.message,
        generation: undefined,
        fence: undefined,
        commit: routing,
      },
      encryptionPrivateKey,
      pathSecret,
      keyPackages: what.keyPackages,
      accepted: false,
    },
  });
}

function devicesAfter(group: GroupState, { proposals, newDevice }: EmulationCommit): DeviceId[] {
  const removed = proposals.flatMap((proposal) => (proposal.proposalType === 'remove' ? [proposal.remove.removed] : []));
  const stay = memberLeaves(group).filter(({ leafIndex }) => !removed.includes(leafIndex));
  return [...stay.map(({ leaf }) => deviceIdOf(leaf)), ...(newDevice === undefined ? [] : [newDevice.deviceId])];
}

/** Tells the siblings a device's name. */
export async function prepareDeviceProfile(turn: Turn): Promise<void> {
  const { announceDevices } = turn.emulation();
  const [profile] = announceDevices;
  if (profile === undefined) return;
  await prepareEmulationMessage(turn, 'device-profile', encodeDeviceProfile(profile));
}

/** One EmulationMessage to the siblings. */
export async function prepareEmulationMessage(
  turn: Turn,
  purpose: 'device-profile' | 'account-key' | 'invitation' | 'forget',
  content: Uint8Array,
): Promise<void> {
  const { group, groupId } = turn.emulation();
  const { next, value, spent } = await protectApplication(EMULATION_SUITE, group, content, {
    signer: turn.device().emulatorSigner,
    authenticatedData: encodeActionAad(EMULATION_PROTOCOL, undefined),
    padding: paddingFor(content.length),
    guard: () => turn.random(4),
  });
  turn.spend(spent);
  turn.updateEmulation({
    group: next,
    pending: {
      purpose,
      submission: {
        groupId,
        messageId: turn.random(16),
        kind: 'application',
        epoch: Number(group.context.epoch),
        message: value.message,
        generation: undefined,
        fence: undefined,
        commit: undefined,
      },
      encryptionPrivateKey: undefined,
      pathSecret: undefined,
      keyPackages: [],
      accepted: false,
    },
  });
}

/** The server's answer to the pending message. Accepted ones stay until they come back in the log. */
export function onEmulationAnswer(turn: Turn, sent: Submission, answer: DeliveryAnswer<'submit'>): void {
  const { pending } = turn.emulation();
  if (pending === undefined || !equal(pending.submission.message, sent.message) || answer.outcome === 'unreachable') return;
  if (answer.outcome === 'done') {
    turn.updateEmulation({ pending: { ...pending, accepted: true } });
    return;
  }
  if (answer.problem.retryAfter !== undefined) return;
  const { type } = answer.problem;
  dropPending(turn, pending);
  if (type === 'stale-epoch' || type === 'stale-log' || type === 'stale-emulation-epoch') {
    turn.behind = true;
    const { hold, position, removal } = turn.emulation();
    // A removal that we know of by now: nobody makes a commit before ours, the Remove.
    const isBegun = type === 'stale-emulation-epoch' && removal.cutOff.length > 0;
    const awaited = isBegun ? undefined : (sent.commit?.newDevice?.coversPosition ?? position);
    // Once is a race that another device has won. Again and again it is a server that lies, or a crowd of devices.
    const pause = hold === undefined ? 0 : longerPause(hold.pause);
    turn.updateEmulation({ hold: { position: awaited, notBefore: turn.now + pause, pause } });
    return;
  }
  turn.updateEmulation({ hold: { position: undefined, notBefore: turn.now + REFUSED_PAUSE, pause: 0 } });
  if (pending.purpose === 'add-device') linkFailed(turn, sent.commit, type === 'unknown-link' ? 'timed-out' : 'unreachable');
}

/** One entry of the emulation group's log, from whichever device. */
export async function followEmulationEntry(turn: Turn, entry: SequenceEntry): Promise<void> {
  const { group, position } = turn.emulation();
  if (entry.position <= position) return;
  if (entry.position !== position + 1) throw new EngineError('out-of-order');
  if (entry.position === turn.emulation().joinedAt) {
    // The commit by which this device came in: its Welcome brought what follows from it.
    const floor = { epoch: group.context.epoch, by: -1, othersFrom: othersFrom(turn) };
    turn.updateEmulation({ position: entry.position, floor });
    beginRenewal(turn, floor, false);
    return;
  }
  if (entry.kind === 'begin-removal' || entry.kind === 'account-key') {
    turn.updateEmulation({ position: entry.position });
    if (entry.kind === 'begin-removal') followBegin(turn, entry);
    else await followAccountKey(turn, entry);
    return;
  }
  const pending = turn.emulation().pending;
  const own = pending !== undefined && equal(pending.submission.message, entry.message);
  const opened = await open(EMULATION_SUITE, group, entry.message);
  if (opened.value.kind !== entry.kind) throw new EngineError('wrong-kind');
  turn.spend(opened.spent);
  turn.updateEmulation({ group: opened.next, position: entry.position });
  if (opened.value.kind === 'commit') await followCommit(turn, entry, opened.value, own ? pending : undefined);
  else if (opened.value.kind === 'application') await followApplication(turn, opened.value);
  else throw new EngineError('wrong-kind');
  if (own) finishPending(turn, pending);
  else if (pending !== undefined && opened.value.kind === 'commit') {
    // The epoch is over, and ours did not come before its end: the server has refused it, or will.
    dropPending(turn, pending);
  }
}

function finishPending(turn: Turn, pending: PendingEmulationMessage): void {
  turn.spend(secretsOf(pending));
  const { announceDevices } = turn.emulation();
  turn.updateEmulation({
    pending: undefined,
    hold: undefined, // it worked: the next refusal is the first again
    announceDevices: pending.purpose === 'device-profile' ? announceDevices.slice(1) : announceDevices,
  });
}

async function followCommit(
  turn: Turn,
  entry: SequenceEntry,
  opened: OpenedCommit,
  own: PendingEmulationMessage | undefined,
): Promise<void> {
  const before = currentEpoch(turn);
  const action = decodeActionAad(EMULATION_PROTOCOL, opened.authenticatedData);
  if (opened.pathLeaf === undefined) throw new EngineError('bad-action');
  if (opened.external) return followRecovery(turn, entry, opened, opened.pathLeaf);
  if (opened.sender.senderType !== 'member') throw new EngineError('unexpected-sender');
  const emulatorLeaf = opened.sender.leafIndex;
  const { ownLeaf, context } = turn.emulation().group;
  if (own === undefined && emulatorLeaf === ownLeaf && opened.epoch === context.epoch) return followCopy(turn, opened);
  if (action?.type === 'key_package_upload' && own === undefined) checkKeyPackageUpload(EMULATION_PROTOCOL, before, emulatorLeaf, action);
  const ownPath =
    own?.encryptionPrivateKey !== undefined && own.pathSecret !== undefined
      ? { encryptionPrivateKey: own.encryptionPrivateKey, pathSecret: own.pathSecret }
      : undefined;
  const applied = await applyCommit(EMULATION_SUITE, turn.emulation().group, opened, {
    ...(ownPath === undefined ? {} : { ownPath }),
    checkLeaf: emulatorLeafCheck,
    now: secondsOf(entry.acceptedAt),
  });
  const effects = applied.value;
  const rekeyed = followRecoveryKey(turn, applied.next, own !== undefined);
  const isMoved = effects.added.length > 0 || effects.removed.length > 0;
  // Each has consequences of its own: a new R must not hide those of an Add or a Remove.
  if ([action !== undefined, rekeyed, isMoved].filter(Boolean).length > 1) throw new EngineError('bad-action');
  turn.spend(applied.spent);
  if (effects.removedSelf) {
    turn.update({ unlinked: true });
    return;
  }
  if (action?.type === 'external_join') followAnnouncement(turn, emulatorLeaf, action.groupId);
  else if (action !== undefined) {
    announce(turn, entry.acceptedAt, own?.keyPackages ?? evaluated(turn, emulatorLeaf, action));
  }
  const epoch = adoptEmulationGroup(turn, applied.next, entry.acceptedAt);
  if (own !== undefined) noteOwnPath(turn);
  // A new R changes nothing that the conversations' leaves come from.
  if (action === undefined && !rekeyed) {
    const floor = { epoch: epoch.epoch, by: emulatorLeaf, othersFrom: othersFrom(turn) };
    if (isMoved) turn.updateEmulation({ floor });
    beginRenewal(turn, floor, own?.purpose === 'renew' && !turn.emulation().renewalAsked);
  }
  if (effects.removed.length > 0) {
    afterRemove(
      turn,
      effects.removed.map(({ leaf }) => leaf),
      epoch.epoch,
    );
  }
  nameAddedDevices(
    turn,
    effects.added.map(({ leaf }) => leaf),
    emulatorLeaf,
  );
}

/**
 * A commit by this device's leaf that it did not make, or does not remember: its profile was copied, or put back, or the
 * server has said that it refuses what it took. MLS follows no path of one's own without its secrets. Who is alone goes on
 * in its place (reading section 15); siblings have followed it, and there would be two groups of one account from here.
 * @throws EngineError 'unexpected-sender' for who is alone
 */
function followCopy(turn: Turn, { content: { content } }: OpenedCommit): void {
  const adds = content.commit.proposals.some((one) => one.proposalOrRefType === 'proposal' && one.proposal.proposalType === 'add');
  if (isAlone(turn.emulation()) && !adds) throw new EngineError('unexpected-sender');
  turn.update({ copied: true });
}

/** Whether `entry`, which was refused, shows that a copy of the only device has gone on where this one cannot follow. */
export function isOvertakenByCopy(emulation: EmulationState, { kind, epoch }: SequenceEntry): boolean {
  const { group, refusedCommit } = emulation;
  return kind === 'commit' && refusedCommit !== undefined && BigInt(epoch) > group.context.epoch && isAlone(emulation);
}

function isAlone({ group }: EmulationState): boolean {
  return memberLeaves(group).length === 1;
}

/**
 * A new device joins from outside (draft section 4.2): only who has the phrase can have signed its leaf
 * (reading section 11). It counts as an Add for the floor, and all KeyPackages before it are revoked.
 * @throws VirtualClientError 'recovery-signature-invalid'; EngineError
 */
async function followRecovery(turn: Turn, entry: SequenceEntry, opened: OpenedCommit, joining: LeafNode): Promise<void> {
  const { group } = turn.emulation();
  checkRecovering(group, joining);
  if (decodeActionAad(EMULATION_PROTOCOL, opened.authenticatedData) !== undefined) throw new EngineError('bad-action');
  const applied = await applyCommit(EMULATION_SUITE, group, opened, { checkLeaf: emulatorLeafCheck, now: secondsOf(entry.acceptedAt) });
  const { added, removed } = applied.value;
  const [joiner] = added;
  if (joiner === undefined || added.length !== 1 || removed.length > 0) throw new EngineError('bad-action');
  turn.spend(applied.spent);
  const epoch = adoptEmulationGroup(turn, applied.next, entry.acceptedAt);
  const floor = { epoch: epoch.epoch, by: joiner.leafIndex, othersFrom: othersFrom(turn) };
  turn.updateEmulation({ floor });
  beginRenewal(turn, floor, false);
  afterRecovery(turn);
}

function evaluated(
  turn: Turn,
  emulatorLeaf: number,
  action: Extract<VirtualClientAction, { type: 'key_package_upload' }>,
): OutstandingKeyPackage[] {
  return action.keyPackages.map(({ keyPackageRef: ref, random }) => ({
    keyPackageRef: ref,
    operation: evaluate(turn, currentEpoch(turn), emulatorLeaf, random),
    announcedAt: 0,
  }));
}

function announce(turn: Turn, at: number, announced: readonly OutstandingKeyPackage[]): void {
  const keyPackages = new Map(turn.state.keyPackages);
  for (const keyPackage of announced) keyPackages.set(toHex(keyPackage.keyPackageRef), { ...keyPackage, announcedAt: at });
  turn.update({ keyPackages });
}

function nameAddedDevices(turn: Turn, added: readonly LeafNode[], by: number): void {
  for (const leaf of added) {
    const name = turn.emulation().deviceNames.get(toHex(leaf.signaturePublicKey));
    turn.notice('device-linked', name ?? '');
    if (by === turn.emulation().group.ownLeaf && name !== undefined) {
      turn.updateEmulation({ announceDevices: [...turn.emulation().announceDevices, { signatureKey: leaf.signaturePublicKey, name }] });
    }
  }
}

async function followApplication(turn: Turn, opened: OpenedApplication): Promise<void> {
  if (decodeActionAad(EMULATION_PROTOCOL, opened.authenticatedData) !== undefined) throw new EngineError('bad-action');
  if (opened.applicationData[0] === RESYNC_MESSAGE) return followResync(turn, opened);
  if (opened.applicationData[0] === INVITATION_MESSAGE) return followInvitationMessage(turn, opened.applicationData);
  if (opened.applicationData[0] === FORGET_MESSAGE) return followForgetMessage(turn, opened.applicationData);
  const profile = decodeDeviceProfile(opened.applicationData);
  const { roster } = currentEpoch(turn);
  if (!roster.some(({ signatureKey }) => equal(signatureKey, profile.signatureKey))) throw new EngineError('bad-content');
  turn.updateEmulation({ deviceNames: new Map(turn.emulation().deviceNames).set(toHex(profile.signatureKey), profile.name) });
}

/** Private keys of a KeyPackage that a Welcome uses. */
export function keyPackageKeys({ operation }: OutstandingKeyPackage): {
  init: ReturnType<typeof deriveInitKeyPair>;
  encryption: ReturnType<typeof deriveEncryptionKeyPair>;
} {
  return {
    init: deriveInitKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE),
    encryption: deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE),
  };
}
