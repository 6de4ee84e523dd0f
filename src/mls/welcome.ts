import type { Secret } from '../bytes/index.ts';
import type { MlsSuite, Random } from './crypto-suite.ts';
import { signGroupInfo, treeExtension } from './group-info.ts';
import type { GroupState } from './group-state.ts';
import { keyPackageRef } from './key-package.ts';
import { deriveWelcomeKey } from './key-schedule.ts';
import type { AddedMember, StagedProposals } from './stage-proposals.ts';
import { groupInfoCodec, groupSecretsCodec, mlsMessageCodec, suiteName, type EncryptedGroupSecrets, type Extension } from './ts-mls.ts';
import type { CreatedPath } from './update-path.ts';

/*
 * struct { opaque joiner_secret<V>; optional<PathSecret> path_secret; PreSharedKeyID psks<V>; } GroupSecrets;
 * struct { KeyPackageRef new_member; HPKECiphertext encrypted_group_secrets; } EncryptedGroupSecrets;
 * struct { CipherSuite cipher_suite; EncryptedGroupSecrets secrets<V>; opaque encrypted_group_info<V>; } Welcome;
 */

export const WELCOME_LABEL = 'Welcome';
export const NO_AAD: Uint8Array = new Uint8Array(0);

export interface WelcomeContents {
  /** The epoch that the members join. */
  readonly epoch: GroupState;
  readonly joinerSecret: Secret<'joiner_secret'>;
  readonly memberSecret: Secret<'member_secret'>;
  readonly staged: StagedProposals;
  readonly path: CreatedPath | undefined;
  /** Beside the ratchet tree. */
  readonly extensions: readonly Extension[];
  readonly signer: Secret<'signature_private_key'>;
  readonly random: Random;
}

/** MLSMessage with the Welcome for all members that the commit adds (RFC 9420 section 12.4.3.1); undefined when it adds none. */
export async function createWelcome(suite: MlsSuite, contents: WelcomeContents): Promise<Uint8Array | undefined> {
  const { epoch, staged, extensions, signer } = contents;
  if (staged.added.length === 0) return undefined;
  const groupInfo = await signGroupInfo(suite, epoch, [treeExtension(epoch.tree), ...extensions], epoch.ownLeaf, signer);
  const { key, nonce } = deriveWelcomeKey(suite, contents.memberSecret);
  const plaintext = groupInfoCodec.encode(groupInfo);
  const encryptedGroupInfo = await suite.sealAsync(key.reveal(), nonce, NO_AAD, plaintext);
  plaintext.fill(0);
  key.wipe();
  const secrets = await Promise.all(staged.added.map((member) => secretsFor(suite, contents, member, encryptedGroupInfo)));
  return mlsMessageCodec.encode({
    version: 'mls10',
    wireformat: 'mls_welcome',
    welcome: { cipherSuite: suiteName(suite.id), secrets, encryptedGroupInfo },
  });
}

async function secretsFor(
  suite: MlsSuite,
  { joinerSecret, staged, path, random }: WelcomeContents,
  { leafIndex, keyPackage }: AddedMember,
  encryptedGroupInfo: Uint8Array,
): Promise<EncryptedGroupSecrets> {
  const plaintext = groupSecretsCodec.encode({
    joinerSecret: joinerSecret.reveal(),
    pathSecret: path?.pathSecretFor(leafIndex).reveal(),
    psks: [...staged.pskIds],
  });
  const sealed = await suite.encryptWithLabel(keyPackage.initKey, WELCOME_LABEL, encryptedGroupInfo, plaintext, random);
  plaintext.fill(0);
  const newMember = keyPackageRef(suite, keyPackage);
  return { newMember, encryptedGroupSecrets: sealed };
}
