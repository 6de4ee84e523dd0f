import { concat, equal, fromBase64Url, Secret, toBase64Url, toHex, utf8 } from '../bytes/index.ts';
import type { CipherSuite, RandomSource } from '../virtual-client/index.ts';
import { decode, encode } from '../wire/index.ts';
import type { LinkSlot } from './ports.ts';

/**
 * Linking two devices through a mailbox at the server (docs/linking.md). The code carries one
 * secret from the new device to the adder, out of band; everything in the mailbox is sealed under
 * keys derived from it. A short number, bound to both sides' messages by a commitment, guards
 * against a code that somebody else saw: to make the numbers equal by chance an attacker has one
 * try in a million.
 */

const PREFIX = 'CHORUS1-';
const SECRET_LENGTH = 32;
/** Finds slips of copying; it protects nothing, the sealed messages do. */
const CHECK_LENGTH = 4;
const SHORT_NUMBERS = 1_000_000;

/** Text for the QR code and the clipboard: `CHORUS1-` and base64url of the secret and its check. */
export function encodeLinkCode(suite: CipherSuite, secret: Secret<'link_secret'>): string {
  const bytes = secret.reveal();
  return PREFIX + toBase64Url(concat(bytes, check(suite, bytes)));
}

/** @returns undefined when the text is not a link code (spaces and line breaks around or inside are forgiven). */
export function decodeLinkCode(suite: CipherSuite, text: string): Secret<'link_secret'> | undefined {
  const compact = text.replace(/\s+/g, '');
  if (!compact.startsWith(PREFIX) || compact.length > 80) return undefined;
  let bytes: Uint8Array;
  try {
    bytes = fromBase64Url(compact.slice(PREFIX.length));
  } catch {
    return undefined;
  }
  if (bytes.length !== SECRET_LENGTH + CHECK_LENGTH) return undefined;
  const secret = bytes.slice(0, SECRET_LENGTH);
  if (!equal(bytes.slice(SECRET_LENGTH), check(suite, secret))) return undefined;
  return Secret.of('link_secret', secret);
}

function check(suite: CipherSuite, secret: Uint8Array): Uint8Array {
  return suite.expandWithLabel(secret, 'chorus link check', new Uint8Array(), CHECK_LENGTH);
}

/** Name of the mailbox: `ExpandWithLabel(link_secret, "chorus link id", "", 16)` */
export function linkIdOf(suite: CipherSuite, secret: Secret<'link_secret'>): Uint8Array {
  return suite.expandWithLabel(secret.reveal(), 'chorus link id', new Uint8Array(), 16);
}

/** Proof to the server that one may use the mailbox: `ExpandWithLabel(link_secret, "chorus link token", "", 32)` */
export function linkTokenOf(suite: CipherSuite, secret: Secret<'link_secret'>): Uint8Array {
  return suite.expandWithLabel(secret.reveal(), 'chorus link token', new Uint8Array(), 32);
}

/**
 * Seals a message for `slot` under the slot's key: a random nonce, then the ciphertext. Either side, and
 * two adders of one code, may seal for the same slot; the server takes the first.
 */
export function sealSlot(
  suite: CipherSuite,
  secret: Secret<'link_secret'>,
  slot: LinkSlot,
  plaintext: Uint8Array,
  random: RandomSource,
): Uint8Array {
  const nonce = random(suite.nn);
  return concat(nonce, suite.seal(slotKey(suite, secret, slot), nonce, utf8(slot), plaintext));
}

/** @returns undefined when the payload was not sealed for this slot under this secret. */
export function openSlot(suite: CipherSuite, secret: Secret<'link_secret'>, slot: LinkSlot, payload: Uint8Array): Uint8Array | undefined {
  if (payload.length < suite.nn) return undefined;
  return suite.open(slotKey(suite, secret, slot), payload.slice(0, suite.nn), utf8(slot), payload.slice(suite.nn));
}

/** `ExpandWithLabel(link_secret, "chorus link key", slot, Nk)` */
function slotKey(suite: CipherSuite, secret: Secret<'link_secret'>, slot: LinkSlot): Uint8Array {
  return suite.expandWithLabel(secret.reveal(), 'chorus link key', utf8(slot), suite.nk);
}

/** Device names and usernames, in bytes. */
const MAX_NAME = 256;
const MAX_KEY_PACKAGE = 16_384;

/**
 * What the new device says of itself.
 *
 *     struct {
 *       opaque device_id<V>;  opaque device_key<V>;  opaque device_name<V>;
 *       opaque key_package<V>;        // MLSMessage: its KeyPackage for the emulation group
 *       opaque commitment<V>;         // Hash(nonce), the nonce being revealed after the answer
 *     } LinkRequest;
 */
export interface LinkRequest {
  readonly deviceId: Uint8Array;
  readonly deviceKey: Uint8Array;
  readonly deviceName: string;
  readonly keyPackage: Uint8Array;
  readonly commitment: Uint8Array;
}

export function encodeLinkRequest(request: LinkRequest): Uint8Array {
  return encode((writer) =>
    writer
      .opaque(request.deviceId)
      .opaque(request.deviceKey)
      .opaque(utf8(request.deviceName))
      .opaque(request.keyPackage)
      .opaque(request.commitment),
  );
}

/** @throws DecodeError */
export function decodeLinkRequest(bytes: Uint8Array): LinkRequest {
  return decode(bytes, 'link request', (reader) => ({
    deviceId: reader.opaqueOf(16, 'device_id'),
    deviceKey: reader.opaqueOf(32, 'device_key'),
    deviceName: reader.text('device_name', MAX_NAME),
    keyPackage: reader.opaque('key_package', MAX_KEY_PACKAGE),
    commitment: reader.opaqueOf(32, 'commitment'),
  }));
}

/**
 * What the adder says of the account.
 *
 *     struct {
 *       opaque account_id<V>;  opaque username<V>;  opaque device_name<V>;
 *       opaque emulation_group_id<V>;  opaque authentication_key<V>;  opaque nonce<V>;
 *     } LinkAnswer;
 */
export interface LinkAnswer {
  readonly accountId: Uint8Array;
  readonly username: string;
  readonly deviceName: string;
  readonly emulationGroupId: Uint8Array;
  /** The authentication service's key as the account has pinned it. */
  readonly authenticationKey: Uint8Array;
  readonly nonce: Uint8Array;
}

export function encodeLinkAnswer(answer: LinkAnswer): Uint8Array {
  return encode((writer) =>
    writer
      .opaque(answer.accountId)
      .opaque(utf8(answer.username))
      .opaque(utf8(answer.deviceName))
      .opaque(answer.emulationGroupId)
      .opaque(answer.authenticationKey)
      .opaque(answer.nonce),
  );
}

/** @throws DecodeError */
export function decodeLinkAnswer(bytes: Uint8Array): LinkAnswer {
  return decode(bytes, 'link answer', (reader) => ({
    accountId: reader.opaqueOf(16, 'account_id'),
    username: reader.text('username', MAX_NAME),
    deviceName: reader.text('device_name', MAX_NAME),
    emulationGroupId: reader.opaqueOf(16, 'emulation_group_id'),
    authenticationKey: reader.opaqueOf(32, 'authentication_key'),
    nonce: reader.opaqueOf(32, 'nonce'),
  }));
}

/** The new device's commitment to its nonce, made before it sees the adder's. */
export function commitmentTo(suite: CipherSuite, nonce: Uint8Array): Uint8Array {
  return suite.hash(nonce);
}

/** `Hash(request || answer || nonce of the new device)` of the opened messages, each as `opaque<V>`. */
export function linkTranscript(suite: CipherSuite, request: Uint8Array, answer: Uint8Array, reveal: Uint8Array): Uint8Array {
  return suite.hash(encode((writer) => writer.opaque(request).opaque(answer).opaque(reveal)));
}

/** The number that both sides show, six digits as "123 456". */
export function shortNumberOf(suite: CipherSuite, transcript: Uint8Array): string {
  const wide = suite.expandWithLabel(transcript, 'chorus short number', new Uint8Array(), 16);
  const digits = (BigInt(`0x${toHex(wide)}`) % BigInt(SHORT_NUMBERS)).toString().padStart(6, '0');
  return `${digits.slice(0, 3)} ${digits.slice(3)}`;
}
