import { equal, Secret } from '../bytes/index.ts';
import type { MlsSuite } from './crypto-suite.ts';
import { MlsError } from './errors.ts';
import { checkGroupInfo, verifyGroupInfo } from './group-info.ts';
import type { GroupState } from './group-state.ts';
import { deriveEpochSecret, deriveMemberSecret, deriveWelcomeKey, startEpoch } from './key-schedule.ts';
import type { LeafCheck } from './leaf-policy.ts';
import { copyKey, publicKeyOf } from './own-path.ts';
import { derivePskSecret, type FindPsk } from './psk.ts';
import type { RatchetTree } from './ratchet-tree.ts';
import { interimTranscriptHash, verifyConfirmationTag } from './transcript.ts';
import {
  decodeExact,
  groupInfoCodec,
  groupSecretsCodec,
  mlsMessageCodec,
  suiteName,
  type Extension,
  type GroupInfo,
  type GroupSecrets,
  type Welcome,
} from './ts-mls.ts';
import { joinerPathKeys } from './update-path.ts';
import { sameKey } from './validate-leaf.ts';
import { NO_AAD, WELCOME_LABEL } from './welcome.ts';

/** RFC 9420 section 12.4.3.1. */

export interface JoinOptions {
  /** KeyPackageRef of the KeyPackage that the Welcome answers, and its private keys: the caller wipes its own. */
  readonly keyPackageRef: Uint8Array;
  readonly initPrivateKey: Secret<string>;
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
  /** External PSKs, and resumption PSKs of other groups. */
  readonly psks?: FindPsk | undefined;
  /** The tree when it comes beside the Welcome: data of a `ratchet_tree` extension. */
  readonly ratchetTree?: Uint8Array | undefined;
  readonly checkLeaf: LeafCheck;
  readonly useSafeExporter: boolean;
}

export interface Joined {
  readonly state: GroupState;
  /** Without the ratchet tree. */
  readonly groupInfoExtensions: readonly Extension[];
}

/**
 * Enters a group by a Welcome (MLSMessage). Whether the group is known already is the caller's to judge,
 * and whether the own leaf has the signature key that the KeyPackage was signed with.
 * Persist the state, then wipe the KeyPackage's private keys: they must not serve twice.
 * @throws DecodeError; MlsError 'not-for-us', 'invalid-welcome', 'unknown-psk', 'invalid-confirmation-tag', as `verifyGroupInfo` does
 */
export async function joinByWelcome(suite: MlsSuite, message: Uint8Array, options: JoinOptions): Promise<Joined> {
  const { groupInfo, memberSecret, encodedPathSecret } = await openWelcome(suite, message, options);
  const context = groupInfo.groupContext;
  const tree = await verifyGroupInfo(suite, groupInfo, options);
  const ownLeaf = findOwnLeaf(tree, options.encryptionPrivateKey);
  const pathSecret = encodedPathSecret && Secret.of('path_secret', encodedPathSecret);
  const pathPrivateKeys = pathSecret === undefined ? new Map() : joinerPathKeys(suite, tree, ownLeaf, groupInfo.signer, pathSecret);
  pathSecret?.wipe();
  const keys = startEpoch(suite, deriveEpochSecret(suite, memberSecret, context), {
    leafCount: tree.leafCount,
    useSafeExporter: options.useSafeExporter,
  });
  memberSecret.wipe();
  const { confirmationTag } = groupInfo;
  verifyConfirmationTag(suite, keys.schedule.confirmationKey, context.confirmedTranscriptHash, confirmationTag);
  const state: GroupState = {
    suite: suite.id,
    context,
    tree,
    ownLeaf,
    keys: { encryptionPrivateKey: copyKey(options.encryptionPrivateKey), pathPrivateKeys },
    ...keys,
    confirmationTag,
    interimTranscriptHash: interimTranscriptHash(suite, context.confirmedTranscriptHash, confirmationTag),
    proposals: [],
    pastEpochs: [],
  };
  return { state, groupInfoExtensions: groupInfo.extensions.filter(({ extensionType }) => extensionType !== 'ratchet_tree') };
}

/** What a Welcome holds for one KeyPackage; nothing of the GroupInfo is verified yet. */
export interface OpenedWelcome {
  readonly groupInfo: GroupInfo;
  readonly memberSecret: Secret<'member_secret'>;
  readonly encodedPathSecret: Uint8Array | undefined;
}

/** @throws DecodeError; MlsError 'not-for-us', 'invalid-welcome', 'unknown-psk' */
export async function openWelcome(
  suite: MlsSuite,
  message: Uint8Array,
  options: Pick<JoinOptions, 'keyPackageRef' | 'initPrivateKey' | 'psks'>,
): Promise<OpenedWelcome> {
  const welcome = decodeWelcome(suite, message);
  const secrets = await openGroupSecrets(suite, welcome, options);
  const joinerSecret = Secret.of('joiner_secret', secrets.joinerSecret);
  const pskSecret = derivePskSecret(suite, secrets.psks, (id) => options.psks?.(id));
  const memberSecret = deriveMemberSecret(suite, joinerSecret, pskSecret);
  joinerSecret.wipe();
  pskSecret.wipe();
  return { groupInfo: await openGroupInfo(suite, welcome, memberSecret), memberSecret, encodedPathSecret: secrets.pathSecret };
}

function decodeWelcome(suite: MlsSuite, bytes: Uint8Array): Welcome {
  const message = decodeExact(mlsMessageCodec, bytes);
  if (message.wireformat !== 'mls_welcome') throw new MlsError('invalid-welcome', 'another kind of message');
  if (message.welcome.cipherSuite !== suiteName(suite.id)) throw new MlsError('invalid-welcome', 'ciphersuite');
  return message.welcome;
}

async function openGroupSecrets(
  suite: MlsSuite,
  welcome: Welcome,
  { keyPackageRef, initPrivateKey }: Pick<JoinOptions, 'keyPackageRef' | 'initPrivateKey'>,
): Promise<GroupSecrets> {
  const ours = welcome.secrets.find(({ newMember }) => equal(newMember, keyPackageRef));
  if (ours === undefined) throw new MlsError('not-for-us');
  const { kemOutput, ciphertext } = ours.encryptedGroupSecrets;
  const context = welcome.encryptedGroupInfo;
  const plaintext = await suite.decryptWithLabel(initPrivateKey.reveal(), WELCOME_LABEL, context, kemOutput, ciphertext);
  if (plaintext === undefined) throw new MlsError('invalid-welcome', 'group secrets do not open');
  const secrets = decodeExact(groupSecretsCodec, plaintext);
  plaintext.fill(0);
  // Reinitialised and branched groups are none that Chorus takes part in.
  if (secrets.psks.some((id) => id.psktype === 'resumption' && id.usage !== 'application'))
    throw new MlsError('invalid-welcome', 'psk usage');
  return secrets;
}

async function openGroupInfo(suite: MlsSuite, welcome: Welcome, memberSecret: Secret<'member_secret'>): Promise<GroupInfo> {
  const { key, nonce } = deriveWelcomeKey(suite, memberSecret);
  const plaintext = await suite.openAsync(key.reveal(), nonce, NO_AAD, welcome.encryptedGroupInfo);
  key.wipe();
  if (plaintext === undefined) throw new MlsError('invalid-welcome', 'group info does not open');
  const groupInfo = decodeExact(groupInfoCodec, plaintext);
  checkGroupInfo(suite, groupInfo);
  return groupInfo;
}

/**
 * The leaf of our KeyPackage, known by its encryption key, which is in no other leaf. Whose signature key and
 * credential stand beside it is for the caller to compare with its own.
 */
function findOwnLeaf(tree: RatchetTree, encryptionPrivateKey: Secret<'encryption_private_key'>): number {
  const encryptionKey = publicKeyOf(encryptionPrivateKey);
  for (const [leafIndex, leaf] of tree.leaves()) {
    if (!sameKey(leaf.hpkePublicKey, encryptionKey)) continue;
    if (leaf.leafNodeSource !== 'key_package') throw new MlsError('wrong-leaf-source');
    return leafIndex;
  }
  throw new MlsError('invalid-welcome', 'our leaf is not in the tree');
}
