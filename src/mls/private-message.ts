import { equal, type Secret, type Spending } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { signContent, verifyContent } from './framing.ts';
import type { GroupState } from './group-state.ts';
import { allocate, messageKey, type MessageKey, type RatchetType, type SecretTree } from './secret-tree.ts';
import { decodeContent, encodeContent } from './private-message-content.ts';
import { openSenderData, REUSE_GUARD_LENGTH, sealSenderData } from './sender-data.ts';
import {
  encodePrivateContentAAD,
  mlsMessageCodec,
  type AuthenticatedContent,
  type ContentTypeName,
  type FramedContentInfo,
  type GroupContext,
  type LeafNode,
  type PrivateMessage,
} from './ts-mls.ts';

/** RFC 9420 section 6.3: content encrypted with a key of the secret tree, its sender with the sender data key. */

/** The 4 bytes of a message's reuse guard, made from the nonce that the key schedule gave. */
export type Guard = (keyScheduleNonce: Uint8Array) => Uint8Array;

export interface SealOptions {
  readonly guard: Guard;
  /** Zero bytes to append to a content of `length` bytes. */
  readonly padding: (length: number) => number;
}

export interface ProtectOptions extends SealOptions {
  readonly signer: Secret<'signature_private_key'>;
  readonly authenticatedData: Uint8Array;
}

export interface Sealed {
  /** MLSMessage. */
  readonly message: Uint8Array;
  readonly generation: number;
  readonly ratchetType: RatchetType;
  /** The nonce before the guard was applied; it tells nothing about the key. */
  readonly keyScheduleNonce: Uint8Array;
  readonly content: AuthenticatedContent;
}

export interface Unprotected {
  readonly content: AuthenticatedContent;
  /** Leaf index in the tree of `epoch`. */
  readonly sender: number;
  readonly senderLeaf: LeafNode;
  readonly epoch: bigint;
  readonly generation: number;
  readonly ratchetType: RatchetType;
  readonly reuseGuard: Uint8Array;
  readonly keyScheduleNonce: Uint8Array;
}

/**
 * Signs and encrypts an application message or a proposal. (A commit's confirmation tag depends on its
 * signature: see `sealContent`.) Persist `next` before the message leaves the device, then wipe `spent`.
 * @throws MlsError 'generations-exhausted'
 */
export async function protect(
  suite: MlsSuite,
  state: GroupState,
  content: Exclude<FramedContentInfo, { contentType: 'commit' }>,
  options: ProtectOptions,
): Promise<Spending<GroupState, Sealed>> {
  const framed = {
    groupId: state.context.groupId,
    epoch: state.context.epoch,
    sender: { senderType: 'member', leafIndex: state.ownLeaf },
    authenticatedData: options.authenticatedData,
    ...content,
  } as const;
  const signature = await signContent(suite, options.signer, framed, 'mls_private_message', state.context);
  const auth = { contentType: content.contentType, signature };
  return sealContent(suite, state, { wireformat: 'mls_private_message', content: framed, auth }, options);
}

/**
 * Encrypts content of our own leaf that is signed already, as PrivateMessage of the current epoch.
 * Persist `next` before the message leaves the device, then wipe `spent`. The key stays in `next`
 * until a message of this generation is read (see `allocate`).
 * @throws MlsError 'generations-exhausted'
 */
export async function sealContent(
  suite: MlsSuite,
  state: GroupState,
  authenticated: AuthenticatedContent,
  options: SealOptions,
): Promise<Spending<GroupState, Sealed>> {
  const { content } = authenticated;
  const ratchetType = ratchetTypeOf(content.contentType);
  const { next: secretTree, value: key, spent } = allocate(suite, state.secretTree, state.ownLeaf, ratchetType);
  const keyScheduleNonce = key.nonce.reveal().slice();
  const reuseGuard = options.guard(keyScheduleNonce);
  const plaintext = encodeContent(authenticated, options.padding);
  const ciphertext = await suite.sealAsync(key.key.reveal(), guarded(key.nonce, reuseGuard), encodePrivateContentAAD(content), plaintext);
  plaintext.fill(0);
  wipe(key);

  const senderData = { leafIndex: state.ownLeaf, generation: key.generation, reuseGuard };
  const encryptedSenderData = sealSenderData(suite, state.schedule.senderDataSecret, content, ciphertext, senderData);
  const message = mlsMessageCodec.encode({
    version: 'mls10',
    wireformat: 'mls_private_message',
    privateMessage: {
      groupId: content.groupId,
      epoch: content.epoch,
      contentType: content.contentType,
      authenticatedData: content.authenticatedData,
      encryptedSenderData,
      ciphertext,
    },
  });
  return {
    next: { ...state, secretTree },
    value: { message, generation: key.generation, ratchetType, keyScheduleNonce, content: authenticated },
    spent,
  };
}

/**
 * Opens a PrivateMessage of the current epoch or a kept past one and verifies its signature. Only then
 * is there a new state; after a failure the old one still opens the genuine message of that generation.
 * Persist `next`, then wipe `spent`: the message cannot be opened again.
 * @throws MlsError, DecodeError
 */
export async function unprotect(suite: MlsSuite, state: GroupState, message: PrivateMessage): Promise<Spending<GroupState, Unprotected>> {
  const epoch = findEpoch(state, message);
  const { leafIndex, generation, reuseGuard } = openSenderData(
    suite,
    epoch.senderDataSecret,
    message,
    message.ciphertext,
    message.encryptedSenderData,
  );
  const senderLeaf = epoch.leaf(leafIndex);
  if (senderLeaf === undefined) throw new MlsError('unknown-sender');

  const ratchetType = ratchetTypeOf(message.contentType);
  const { next: secretTree, value: key, spent } = messageKey(suite, epoch.secretTree, leafIndex, ratchetType, generation);
  const keyScheduleNonce = key.nonce.reveal().slice();
  const nonce = guarded(key.nonce, reuseGuard);
  const plaintext = await suite.openAsync(key.key.reveal(), nonce, encodePrivateContentAAD(message), message.ciphertext);
  wipe(key);
  if (plaintext === undefined) throw new MlsError('ciphertext-unreadable');

  const { info, auth } = decodeContent(message.contentType, plaintext);
  const { groupId, epoch: epochNumber, authenticatedData } = message;
  const sender = { senderType: 'member', leafIndex } as const;
  const content: AuthenticatedContent = {
    wireformat: 'mls_private_message',
    content: { groupId, epoch: epochNumber, sender, authenticatedData, ...info },
    auth,
  };
  await verifyContent(suite, senderLeaf.signaturePublicKey, content, epoch.context);
  return {
    next: epoch.with(secretTree),
    value: { content, sender: leafIndex, senderLeaf, epoch: message.epoch, generation, ratchetType, reuseGuard, keyScheduleNonce },
    spent,
  };
}

interface ReadableEpoch {
  readonly context: GroupContext;
  readonly senderDataSecret: Secret<'sender_data_secret'>;
  readonly secretTree: SecretTree;
  leaf(leafIndex: number): LeafNode | undefined;
  with(secretTree: SecretTree): GroupState;
}

function findEpoch(state: GroupState, message: PrivateMessage): ReadableEpoch {
  if (!equal(message.groupId, state.context.groupId)) throw new MlsError('wrong-group');
  if (message.epoch === state.context.epoch) {
    return {
      context: state.context,
      senderDataSecret: state.schedule.senderDataSecret,
      secretTree: state.secretTree,
      leaf: (leafIndex) => state.tree.leaf(leafIndex),
      with: (secretTree) => ({ ...state, secretTree }),
    };
  }
  const past = state.pastEpochs.find(({ context }) => context.epoch === message.epoch);
  if (past === undefined) throw new MlsError('unknown-epoch');
  return {
    context: past.context,
    senderDataSecret: past.senderDataSecret,
    secretTree: past.secretTree,
    leaf: (leafIndex) => past.leaves.get(leafIndex),
    with: (secretTree) => ({
      ...state,
      pastEpochs: state.pastEpochs.map((each) => (each === past ? { ...past, secretTree } : each)),
    }),
  };
}

/** RFC 9420 section 6.3.1: proposals and commits use the handshake ratchet. */
function ratchetTypeOf(contentType: ContentTypeName): RatchetType {
  return contentType === 'application' ? 'application' : 'handshake';
}

/** The nonce XORed with the guard in its first 4 bytes. */
function guarded(nonce: Secret<'message_nonce'>, reuseGuard: Uint8Array): Uint8Array {
  if (reuseGuard.length !== REUSE_GUARD_LENGTH) throw new RangeError('a reuse guard has 4 bytes');
  return nonce.reveal().map((byte, i) => byte ^ (reuseGuard[i] ?? 0));
}

function wipe({ key, nonce }: MessageKey): void {
  key.wipe();
  nonce.wipe();
}
