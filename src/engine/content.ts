import { utf8, type Secret } from '../bytes/index.ts';
import type { CipherSuite } from '../virtual-client/index.ts';
import { DecodeError, decode, encode, Reader } from '../wire/index.ts';

/** What Chorus puts into application messages, in conversations and in the emulation group. */

const CONTENT_VERSION = 1;
const TEXT = 1;
/** Bytes of UTF-8; a long letter, and far below the server's bound for one message. */
export const MAX_TEXT = 16_384;
/** Lengths are rounded up to a multiple of this, so that a ciphertext's length tells little. */
const PADDING_BLOCK = 256;

/**
 *     struct { uint8 version = 1; uint8 type = 1; opaque text<V>; } TextContent;
 */
export function encodeText(text: string): Uint8Array {
  return encode((writer) => writer.uint8(CONTENT_VERSION).uint8(TEXT).opaque(utf8(text)));
}

/** @returns undefined for a version or type that this version does not know. @throws DecodeError */
export function decodeText(bytes: Uint8Array): string | undefined {
  if (bytes[0] !== CONTENT_VERSION || bytes[1] !== TEXT) return undefined;
  return decode(bytes, 'content', (reader) => {
    reader.bytes(2, 'version and type');
    return reader.text('text', MAX_TEXT);
  });
}

/** Zero bytes to add to a content of `length` bytes. */
export function paddingFor(length: number): number {
  return (PADDING_BLOCK - (length % PADDING_BLOCK)) % PADDING_BLOCK;
}

const DEVICE_PROFILE = 2;
/** Bytes of a device's name. */
export const MAX_DEVICE_NAME = 64;

/**
 * EmulationMessage of the reading's section 11, extended by a type of ours.
 *
 *     struct { uint8 type = 2; opaque signature_key<V>; opaque name<V>; } DeviceProfile;
 */
export function encodeDeviceProfile(profile: { readonly signatureKey: Uint8Array; readonly name: string }): Uint8Array {
  return encode((writer) => writer.uint8(DEVICE_PROFILE).opaque(profile.signatureKey).opaque(utf8(profile.name)));
}

/** @throws DecodeError */
export function decodeDeviceProfile(bytes: Uint8Array): { signatureKey: Uint8Array; name: string } {
  return decode(bytes, 'emulation message', (reader) => {
    if (reader.uint8('type') !== DEVICE_PROFILE) throw new DecodeError('invalid-value', 'type of emulation message');
    return { signatureKey: reader.opaqueOf(32, 'signature_key'), name: reader.text('name', 4 * MAX_DEVICE_NAME) };
  });
}

const CONVERSATION_VERSION = 1;
/** Bytes of a conversation's title. */
export const MAX_TITLE = 256;

/**
 * What all members know of a conversation (component CONVERSATION_COMPONENT). New members get it inside
 * their Welcome's encrypted GroupInfo; the GroupContext, which the server sees, has it sealed. An empty
 * title is a conversation of two.
 *
 *     struct { uint8 version = 1; opaque title<V>; } ConversationProfile;
 */
export function encodeConversationProfile(title: string): Uint8Array {
  return encode((writer) => writer.uint8(CONVERSATION_VERSION).opaque(utf8(title)));
}

/** The title, or none when a member's client wrote something else. */
export function readConversationProfile(bytes: Uint8Array | undefined): string {
  if (bytes === undefined) return '';
  try {
    return decode(bytes, 'conversation profile', (reader) => {
      if (reader.uint8('version') !== CONVERSATION_VERSION) throw new DecodeError('invalid-value', 'version of conversation profile');
      return reader.text('title', MAX_TITLE);
    });
  } catch {
    return '';
  }
}

/** Titles are filled up with zeros to this many bytes, so that their length does not show; the longest fits. */
const SEALED_TITLE = 320;

/**
 * The profile for the GroupContext of a group that the virtual client creates, for its own devices:
 * key and nonce are `ExpandWithLabel(group_creation_secret, "chorus title key" | "chorus title nonce", group_id, Nk | Nn)`,
 * used once, since a group is created once.
 */
export function sealTitle(suite: CipherSuite, creationSecret: Secret<'epoch_secret'>, groupId: Uint8Array, title: string): Uint8Array {
  const { key, nonce } = titleKey(suite, creationSecret, groupId);
  const profile = encode((writer) => writer.opaque(encodeConversationProfile(title)));
  const filled = new Uint8Array(SEALED_TITLE);
  filled.set(profile);
  return suite.seal(key, nonce, groupId, filled);
}

/** The title that a sibling sealed, or none. */
export function openTitle(
  suite: CipherSuite,
  creationSecret: Secret<'epoch_secret'>,
  groupId: Uint8Array,
  sealed: Uint8Array | undefined,
): string {
  const { key, nonce } = titleKey(suite, creationSecret, groupId);
  const filled = sealed && suite.open(key, nonce, groupId, sealed);
  return filled === undefined ? '' : readConversationProfile(new Reader(filled).opaque('profile'));
}

function titleKey(suite: CipherSuite, creationSecret: Secret<'epoch_secret'>, groupId: Uint8Array): { key: Uint8Array; nonce: Uint8Array } {
  return {
    key: suite.expandWithLabel(creationSecret.reveal(), 'chorus title key', groupId, suite.nk),
    nonce: suite.expandWithLabel(creationSecret.reveal(), 'chorus title nonce', groupId, suite.nn),
  };
}

/** From the same private-use range as the reading's component IDs. */
export const CONVERSATION_COMPONENT = 0x8a06;
