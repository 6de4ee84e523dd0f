import { ed25519 } from '@noble/curves/ed25519.js';
import { concat, equal, fromBase64Url, Secret, toBase64Url, utf8 } from '../bytes/index.ts';
import { getComponent, setComponent, type Extension } from '../mls/index.ts';
import { invitationRequestContent } from '../virtual-client/account-proof.ts';
import { DecodeError, decode, encode, type Writer } from '../wire/index.ts';
import { MAX_TITLE } from './content.ts';
import { EngineError } from './errors.ts';
import { GROUP_SUITE } from './protocol.ts';

/**
 * Invitation by link. A member puts an Ed25519 public key I into the GroupContext; the link carries its seed.
 * Who has the seed may fetch the GroupInfo and join by external commit (draft section 5.5.2), which members
 * check by I's signature: the server, which knows I alone, can let nobody in.
 */

/** From the same private-use range as the reading's component IDs. */
export const INVITATION_COMPONENT = 0x8a07;
const KEY_LENGTH = 32;
const SIGNATURE_LENGTH = 64;
const MAX_GROUP_ID = 64;

export type InvitationSeed = Secret<'invitation_seed'>;

export function makeInvitationSeed(random: (length: number) => Uint8Array): InvitationSeed {
  return Secret.of('invitation_seed', random(KEY_LENGTH));
}

/** I of a seed, which stays the caller's. */
export function invitationKeyOf(seed: InvitationSeed): Uint8Array {
  return ed25519.getPublicKey(seed.reveal());
}

/** I in a GroupContext, undefined where nobody is invited. @throws EngineError 'bad-content' */
export function invitationKeyIn(extensions: readonly Extension[]): Uint8Array | undefined {
  const key = getComponent(extensions, INVITATION_COMPONENT);
  if (key !== undefined && key.length !== KEY_LENGTH) throw new EngineError('bad-content');
  return key;
}

/** The GroupContext's extensions with I put in, replaced or (undefined) taken out. */
export function withInvitationKey(extensions: readonly Extension[], key: Uint8Array | undefined): Extension[] {
  return setComponent(extensions, INVITATION_COMPONENT, key);
}

/** Who joins where, as the members see it. */
export interface InvitedJoin {
  readonly groupId: Uint8Array;
  /** The epoch before the external commit. */
  readonly epoch: bigint;
  readonly accountId: Uint8Array;
  /** `signature_key` of the joining LeafNode. */
  readonly signatureKey: Uint8Array;
}

const JOIN_LABEL = 'Chorus invitation';

/**
 *     struct {
 *       opaque label<V> = "Chorus invitation";
 *       opaque group_id<V>;
 *       uint64 epoch;
 *       opaque account_id<V>;
 *       opaque signature_key<V>;
 *     } InvitedJoinTBS;
 */
function joinContent({ groupId, epoch, accountId, signatureKey }: InvitedJoin): Uint8Array {
  return encode((writer) => writer.opaque(utf8(JOIN_LABEL)).opaque(groupId).uint64(epoch).opaque(accountId).opaque(signatureKey));
}

const PROOF_VERSION = 1;

/**
 * `authenticated_data` of the external commit: I's word for this joiner in this epoch.
 *
 *     struct { uint8 version = 1; opaque signature<V>; } InvitationProof;   // Ed25519 over InvitedJoinTBS
 */
export function signInvitedJoin(seed: InvitationSeed, join: InvitedJoin): Uint8Array {
  const signature = ed25519.sign(joinContent(join), seed.reveal());
  return encode((writer) => writer.uint8(PROOF_VERSION).opaque(signature));
}

/** RFC 8032's rules, so that all members judge alike. @throws EngineError 'unexpected-sender' unless I lets this joiner in; DecodeError */
export function checkInvitedJoin(key: Uint8Array, join: InvitedJoin, authenticatedData: Uint8Array): void {
  const signature = decode(authenticatedData, 'InvitationProof', (reader) => {
    if (reader.uint8('version') !== PROOF_VERSION) throw new DecodeError('invalid-value', 'version of InvitationProof');
    return reader.opaqueOf(SIGNATURE_LENGTH, 'signature');
  });
  if (!ed25519.verify(signature, joinContent(join), key, { zip215: false })) throw new EngineError('unexpected-sender');
}

/** What the server asks for before it hands out the GroupInfo, and takes the commit. */
export function signInvitationRequest(seed: InvitationSeed, groupId: Uint8Array, accountId: Uint8Array): Uint8Array {
  return ed25519.sign(invitationRequestContent({ groupId, accountId }), seed.reveal());
}

/** What a link says, to people and to the account's own devices. */
export interface Invitation {
  readonly groupId: Uint8Array;
  readonly seed: InvitationSeed;
  readonly title: string;
}

const LINK_VERSION = 1;
/** Finds slips of copying; the server's and the members' checks protect. */
const CHECK_LENGTH = 4;
/** Characters; the longest has a group ID of 64 bytes and a title of 256. */
const MAX_CODE = 512;

/**
 * The part of a link behind `#/join/`, which browsers do not send: base64url of this and a check of it.
 *
 *     struct { uint8 version = 1; opaque group_id<V>; opaque seed<V>; opaque title<V>; } InvitationLink;
 */
export function encodeInvitationCode(invitation: Invitation): string {
  const body = encode((writer) => writeInvitation(writer.uint8(LINK_VERSION), invitation));
  return toBase64Url(concat(body, check(body)));
}

/** @returns undefined when the text is no invitation. The caller owns the seed. */
export function decodeInvitationCode(code: string): Invitation | undefined {
  if (code.length > MAX_CODE) return undefined;
  try {
    const bytes = fromBase64Url(code);
    const body = bytes.slice(0, -CHECK_LENGTH);
    if (bytes.length <= CHECK_LENGTH || !equal(bytes.slice(-CHECK_LENGTH), check(body))) return undefined;
    return readInvitation(body, LINK_VERSION);
  } catch {
    return undefined;
  }
}

/** Reading section 11's EmulationMessage, extended by a second type of ours. */
export const INVITATION_MESSAGE = 3;

/**
 * Tells the siblings: they show the link too, or finish the join. The encoding holds the seed in clear; wipe it
 * as soon as it is sealed.
 *
 *     struct { uint8 type = 3; opaque group_id<V>; opaque seed<V>; opaque title<V>; } InvitationMessage;
 */
export function encodeInvitationMessage(invitation: Invitation): Uint8Array {
  return encode((writer) => writeInvitation(writer.uint8(INVITATION_MESSAGE), invitation));
}

/** The caller owns the seed, and wipes `bytes`. @throws DecodeError */
export function decodeInvitationMessage(bytes: Uint8Array): Invitation {
  return readInvitation(bytes, INVITATION_MESSAGE);
}

function writeInvitation(writer: Writer, { groupId, seed, title }: Invitation): Writer {
  return writer.opaque(groupId).opaque(seed.reveal()).opaque(utf8(title));
}

function readInvitation(bytes: Uint8Array, first: number): Invitation {
  return decode(bytes, 'invitation', (reader) => {
    if (reader.uint8('version or type') !== first) throw new DecodeError('invalid-value', 'invitation');
    const groupId = reader.opaque('group_id', MAX_GROUP_ID);
    if (groupId.length === 0) throw new DecodeError('invalid-value', 'group_id');
    const seed = reader.opaqueOf(KEY_LENGTH, 'seed').slice();
    return { groupId: groupId.slice(), seed: Secret.of('invitation_seed', seed), title: reader.text('title', MAX_TITLE) };
  });
}

function check(body: Uint8Array): Uint8Array {
  return GROUP_SUITE.hash(body).slice(0, CHECK_LENGTH);
}
