import { equal, Secret, utf8 } from '../bytes/index.ts';
import { buildKeyPackage, validateKeyPackage } from '../mls/index.ts';
import { DecodeError } from '../wire/index.ts';
import { deviceKeyOf, isDeviceName, newDevice } from './device.ts';
import type { CommandProblem } from './command.ts';
import { decodeKeyPackage, encodeKeyPackage, lifetimeFrom } from './key-package-messages.ts';
import { emulatorLeafTemplate } from './leaf-templates.ts';
import {
  commitmentTo,
  decodeLinkAnswer,
  decodeLinkCode,
  decodeLinkRequest,
  encodeLinkAnswer,
  encodeLinkRequest,
  linkIdOf,
  linkTokenOf,
  linkTranscript,
  openSlot,
  sealSlot,
  type LinkRequest,
} from './link-code.ts';
import { dropPending } from './pending-emulation.ts';
import type { DeliveryAnswer, LinkSlot, Submission } from './ports.ts';
import { EMULATION_SUITE } from './protocol.ts';
import { forgetRecovery } from './recovery.ts';
import { EMPTY_STATE, type AdderLink, type LinkState, type NewDeviceLink } from './state.ts';
import type { Turn } from './turn.ts';
import type { LinkProblem } from './view.ts';

/**
 * The exchange by which a device joins the account (docs/linking.md):
 *
 *     new device                          adder
 *     request (KeyPackage, commitment) ->
 *                                      <- answer (account, nonce)
 *     reveal (nonce)                   ->
 *     both show the short number; both people say yes
 *     confirmed                        ->
 *                                      <- Welcome, with the commit that adds the device
 */

/** As long as the server keeps a mailbox that has no Welcome, ms. */
const LINK_LIFETIME = 10 * 60 * 1000;
const NONCE_LENGTH = 32;
const SECRET_LENGTH = 32;

type SealedSlot = Exclude<LinkSlot, 'welcome'>;

/** New device: makes its identity and a KeyPackage for the emulation group, and asks to be linked. */
export async function startLink(turn: Turn, deviceName: string): Promise<CommandProblem | undefined> {
  forgetClosedLink(turn);
  forgetRecovery(turn);
  if (turn.state.device !== undefined || turn.state.link !== undefined) return 'link-in-progress';
  if (!isDeviceName(deviceName)) return 'device-name-invalid';
  const device = newDevice(turn, deviceName);
  const init = EMULATION_SUITE.deriveKeyPair(turn.random(EMULATION_SUITE.nh));
  const encryption = EMULATION_SUITE.deriveKeyPair(turn.random(EMULATION_SUITE.nh));
  const keyPackage = encodeKeyPackage(
    await buildKeyPackage(
      EMULATION_SUITE,
      {
        leaf: emulatorLeafTemplate(device),
        encryptionKey: encryption.publicKey,
        initKey: init.publicKey,
        lifetime: lifetimeFrom(turn.now),
        extensions: [],
      },
      device.emulatorSigner,
    ),
  );
  const nonce = turn.random(NONCE_LENGTH);
  const secret = Secret.of('link_secret', turn.random(SECRET_LENGTH));
  const request = encodeLinkRequest({
    deviceId: device.deviceId,
    deviceKey: deviceKeyOf(device),
    deviceName,
    keyPackage,
    commitment: commitmentTo(EMULATION_SUITE, nonce),
  });
  const link: NewDeviceLink = {
    ...freshLink(turn, secret),
    role: 'new',
    nonce,
    keyPackage,
    welcome: undefined,
    keys: {
      initPrivateKey: Secret.of('init_private_key', init.privateKey),
      encryptionPrivateKey: Secret.of('encryption_private_key', encryption.privateKey),
    },
    request,
    toPut: [{ slot: 'request', payload: sealSlot(EMULATION_SUITE, secret, 'request', request, turn.random) }],
  };
  turn.update({ device, link });
  return undefined;
}

/** Linked device: takes the code that the other one shows. */
export function acceptLinkCode(turn: Turn, code: string): CommandProblem | undefined {
  if (turn.state.account === undefined) return 'not-ready';
  forgetClosedLink(turn);
  if (turn.state.link !== undefined) return 'link-in-progress';
  const secret = decodeLinkCode(EMULATION_SUITE, code);
  if (secret === undefined) return 'code-malformed';
  const link: AdderLink = { ...freshLink(turn, secret), role: 'adder', nonce: turn.random(NONCE_LENGTH) };
  turn.update({ link });
  return undefined;
}

function freshLink(turn: Turn, secret: Secret<'link_secret'>) {
  return {
    secret,
    step: 'preparing' as const,
    problem: undefined,
    saidYes: false,
    otherSaidYes: false,
    expiresAt: turn.now + LINK_LIFETIME,
    request: undefined,
    answer: undefined,
    reveal: undefined,
    otherName: undefined,
    toPut: [],
    blobs: [],
    toDelete: false,
    hidden: false,
  };
}

/** The person compared the numbers. */
export function confirmLink(turn: Turn, yes: boolean): CommandProblem | undefined {
  const { link } = turn.state;
  if (link === undefined || link.step !== 'compare') return 'no-link';
  if (!yes) {
    endLink(turn, 'refused-here');
    return undefined;
  }
  if (link.role === 'new') putSlot(turn, 'confirmed', transcriptOf(link));
  turn.update({ link: { ...currentLink(turn), saidYes: true, step: 'waiting-for-other' } });
  advance(turn);
  return undefined;
}

/** Gives up a running exchange, or puts a finished one out of sight. */
export function closeLink(turn: Turn): CommandProblem | undefined {
  const { link } = turn.state;
  if (link === undefined) return 'no-link';
  if (link.step === 'adding') return 'link-in-progress';
  if (link.step !== 'done' && link.step !== 'ended') endLink(turn, 'refused-here');
  forgetLink(turn);
  return undefined;
}

/**
 * Ends the exchange with a reason. The other side is told, the mailbox goes, and of a device that
 * was to be linked nothing stays but the sentence on its screen.
 */
export function endLink(turn: Turn, problem: LinkProblem): void {
  const link = currentLink(turn);
  if (link.step === 'ended' || link.step === 'done') return;
  // As long as nobody has answered there is nobody to tell, and nobody else who would clear the mailbox.
  const answered = link.role === 'adder' || link.answer !== undefined;
  const tellOther = answered && (problem === 'refused-here' || problem === 'code-tampered' || problem === 'own-code');
  const cancelled = {
    slot: 'cancelled' as const,
    payload: sealSlot(EMULATION_SUITE, link.secret, 'cancelled', utf8(problem), turn.random),
  };
  const kept = { step: 'ended' as const, problem, toPut: tellOther ? [cancelled] : [], toDelete: !tellOther };
  // As long as something that its Welcome names is not at the server, the commit has not gone out.
  const pending = turn.state.emulation?.pending;
  if (turn.state.linkBlobs.size > 0 && pending?.purpose === 'add-device') dropPending(turn, pending);
  turn.update({ link: { ...withoutKeys(turn, link), ...kept }, linkBlobs: new Map() });
}

/** The KeyPackage's private keys are used up. */
export function withoutKeys<Link extends LinkState>(turn: Turn, link: Link): Link {
  if (link.role !== 'new' || link.keys === undefined) return link;
  turn.spend([link.keys.initPrivateKey, link.keys.encryptionPrivateKey]);
  return { ...link, keys: undefined, welcome: undefined };
}

/** Forgets the exchange; on a device that was not linked, the device too. */
function forgetLink(turn: Turn): void {
  const link = currentLink(turn);
  const pendingWork = link.toPut.length > 0 || link.toDelete;
  if (pendingWork) {
    turn.update({ link: { ...link, hidden: true } });
    return;
  }
  dropLink(turn, link);
}

function dropLink(turn: Turn, link: LinkState): void {
  turn.spend([link.secret]);
  withoutKeys(turn, link);
  if (turn.state.account === undefined) {
    const { device } = turn.state;
    if (device !== undefined) turn.spend([device.deviceKeySeed, device.emulatorSigner]);
    turn.state = EMPTY_STATE;
  } else turn.update({ link: undefined });
}

/** A link that is over, or was closed while the server could not be told, makes room for what the person does next. */
export function forgetClosedLink(turn: Turn): void {
  const { link } = turn.state;
  if (link !== undefined && (link.hidden || isOver(link))) dropLink(turn, link);
}

/** Whether a request was about the link of now: a slow answer must not be taken for one about the next. */
export function isOfLink({ state: { link } }: Turn, { linkId }: { readonly linkId: Uint8Array }): boolean {
  return link !== undefined && equal(mailboxOf(link).linkId, linkId);
}

/** The mailbox's next write was taken, or will never be. */
export function onLinkPut(turn: Turn, slot: SealedSlot, answer: DeliveryAnswer<'put-link-slot'>): void {
  const { link } = turn.state;
  if (link === undefined || link.toPut[0]?.slot !== slot || answer.outcome === 'unreachable') return;
  if (answer.outcome === 'refused' && answer.problem.retryAfter !== undefined) return;
  turn.update({ link: { ...link, toPut: link.toPut.slice(1), toDelete: slot === 'cancelled' ? false : link.toDelete } });
  // A repeated put of the same payload is taken; another payload in our slot is somebody else's.
  if (answer.outcome === 'refused' && slot !== 'cancelled')
    endLink(turn, answer.problem.type === 'link-slot-taken' ? 'code-tampered' : 'code-unknown');
  else if (link.role === 'new' && slot === 'request') turn.update({ link: { ...currentLink(turn), step: 'show-code' } });
  if (currentLink(turn).hidden) forgetLink(turn);
}

export function onLinkDeleted(turn: Turn, answer: DeliveryAnswer<'delete-link'>): void {
  const { link } = turn.state;
  if (link === undefined || answer.outcome === 'unreachable') return;
  turn.update({ link: { ...link, toDelete: false } });
  if (link.hidden) forgetLink(turn);
}

/** What lies in the mailbox now. Returns the Welcome if it is there for us. */
export async function onLinkFetched(turn: Turn, answer: DeliveryAnswer<'fetch-link'>): Promise<Uint8Array | undefined> {
  const { link } = turn.state;
  if (link === undefined || isOver(link) || answer.outcome === 'unreachable') return undefined;
  if (answer.outcome === 'refused') {
    if (answer.problem.retryAfter === undefined) endLink(turn, link.step === 'preparing' ? 'code-unknown' : 'timed-out');
    return undefined;
  }
  const { slots } = answer.value;
  const cancelled = slots.cancelled && openSlot(EMULATION_SUITE, link.secret, 'cancelled', slots.cancelled);
  if (cancelled !== undefined) {
    endLink(turn, equal(cancelled, utf8('code-tampered')) ? 'code-tampered' : 'refused-there');
    turn.update({ link: { ...currentLink(turn), toPut: [], toDelete: true } });
    return undefined;
  }
  try {
    if (link.role === 'adder') await readAsAdder(turn, slots);
    else readAsNewDevice(turn, slots);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    endLink(turn, 'code-tampered');
    return undefined;
  }
  advance(turn);
  return link.role === 'new' && currentLink(turn).step === 'adding' ? slots.welcome : undefined;
}

type Slots = Partial<Record<LinkSlot, Uint8Array>>;

async function readAsAdder(turn: Turn, slots: Slots): Promise<void> {
  const link = currentLink(turn);
  if (link.request === undefined && slots.request !== undefined) {
    const request = opened(link, 'request', slots.request);
    const { deviceName, deviceId } = await checkRequest(turn, decodeLinkRequest(request));
    const { device, account } = { device: turn.device(), account: turn.account() };
    if (equal(deviceId, device.deviceId)) {
      endLink(turn, 'own-code');
      return;
    }
    const answer = encodeLinkAnswer({
      accountId: account.accountId,
      username: account.username,
      deviceName: device.deviceName,
      emulationGroupId: turn.emulation().groupId,
      authenticationKey: account.authenticationKey,
      nonce: link.nonce,
    });
    turn.update({ link: { ...link, request, answer, otherName: deviceName } });
    putSlot(turn, 'answer', answer);
  }
  const now = currentLink(turn);
  if (now.reveal === undefined && slots.reveal !== undefined && now.request !== undefined) {
    const reveal = opened(now, 'reveal', slots.reveal);
    if (!equal(commitmentTo(EMULATION_SUITE, reveal), decodeLinkRequest(now.request).commitment))
      throw new DecodeError('invalid-value', 'reveal');
    turn.update({ link: { ...now, reveal, step: 'compare' } });
  }
  const after = currentLink(turn);
  if (!after.otherSaidYes && slots.confirmed !== undefined && after.reveal !== undefined) {
    if (!equal(opened(after, 'confirmed', slots.confirmed), transcriptOf(after))) throw new DecodeError('invalid-value', 'confirmed');
    turn.update({ link: { ...after, otherSaidYes: true } });
  }
}

function readAsNewDevice(turn: Turn, slots: Slots): void {
  const link = currentLink(turn);
  if (link.answer !== undefined || slots.answer === undefined || link.role !== 'new') return;
  const answer = opened(link, 'answer', slots.answer);
  const { username, deviceName } = decodeLinkAnswer(answer);
  turn.update({ link: { ...link, answer, reveal: link.nonce, step: 'compare', otherName: `${username} (${deviceName})` } });
  putSlot(turn, 'reveal', link.nonce);
}

/** The KeyPackage is sound and is for the device that the request names. */
async function checkRequest(turn: Turn, request: LinkRequest): Promise<LinkRequest> {
  const keyPackage = decodeKeyPackage(request.keyPackage);
  await validateKeyPackage(EMULATION_SUITE, keyPackage, BigInt(Math.floor(turn.now / 1000)));
  const { credential } = keyPackage.leafNode;
  if (credential.credentialType !== 'basic' || !equal(credential.identity, request.deviceId))
    throw new DecodeError('invalid-value', 'link request');
  if (!isDeviceName(request.deviceName)) throw new DecodeError('invalid-value', 'device name');
  return request;
}

/** Both have said yes: the adder commits, the new device waits for its Welcome. */
function advance(turn: Turn): void {
  const link = currentLink(turn);
  if (link.step !== 'waiting-for-other') return;
  if (link.role === 'new' || link.otherSaidYes) turn.update({ link: { ...link, step: 'adding' } });
}

/** Nothing came of it in time. */
export function expireLink(turn: Turn): void {
  const { link } = turn.state;
  if (link !== undefined && !isOver(link) && link.step !== 'adding') endLink(turn, 'timed-out');
}

/** The link's commit is in the log: the new device has its Welcome, whatever else became of the link, if it is still known. */
export function linkDone(turn: Turn, commit: Submission['commit']): void {
  const { link } = turn.state;
  if (link === undefined || commit?.newDevice === undefined || !isOfLink(turn, commit.newDevice)) return;
  turn.update({ link: { ...link, step: 'done', problem: undefined, toPut: [] }, linkBlobs: new Map() });
}

/** The link's commit has not worked out. */
export function linkFailed(turn: Turn, commit: Submission['commit'], problem: LinkProblem): void {
  if (commit?.newDevice !== undefined && isOfLink(turn, commit.newDevice)) endLink(turn, problem);
}

/** New device: the Welcome does not bring what was agreed. */
export function refuseWelcome(turn: Turn): void {
  endLink(turn, 'code-tampered');
}

/** The KeyPackage and name of the device that the adder is to add. */
export function requestOf(link: AdderLink): LinkRequest {
  if (link.request === undefined) throw new DecodeError('truncated', 'link request');
  return decodeLinkRequest(link.request);
}

/** `opaque` transcript of the exchange, from which both sides' short number comes. */
export function transcriptOf(link: LinkState): Uint8Array {
  if (link.request === undefined || link.answer === undefined || link.reveal === undefined)
    throw new DecodeError('truncated', 'link transcript');
  return linkTranscript(EMULATION_SUITE, link.request, link.answer, link.reveal);
}

export function isOver(link: LinkState): boolean {
  return link.step === 'done' || link.step === 'ended';
}

/** How the server knows the mailbox, and that we may use it. */
export function mailboxOf(link: LinkState): { linkId: Uint8Array; token: Uint8Array } {
  return { linkId: linkIdOf(EMULATION_SUITE, link.secret), token: linkTokenOf(EMULATION_SUITE, link.secret) };
}

function putSlot(turn: Turn, slot: SealedSlot, plaintext: Uint8Array): void {
  const link = currentLink(turn);
  const payload = sealSlot(EMULATION_SUITE, link.secret, slot, plaintext, turn.random);
  turn.update({ link: { ...link, toPut: [...link.toPut, { slot, payload }] } });
}

function opened(link: LinkState, slot: SealedSlot, payload: Uint8Array): Uint8Array {
  const plaintext = openSlot(EMULATION_SUITE, link.secret, slot, payload);
  if (plaintext === undefined) throw new DecodeError('invalid-value', 'sealed slot');
  return plaintext;
}

function currentLink(turn: Turn): LinkState {
  const { link } = turn.state;
  if (link === undefined) throw new Error('no link');
  return link;
}
