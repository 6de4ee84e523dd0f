import { Secret, utf8 } from '../bytes/index.ts';
import type { CipherSuite, HpkeKeyPair } from '../virtual-client/ciphersuite.ts';
import type { MlsSuite } from './crypto-suite.ts';
import type { EpochSecrets } from './group-state.ts';
import { createSafeExporter, type SafeExporter } from './safe-exporter.ts';
import { createSecretTree, type SecretTree } from './secret-tree.ts';
import { groupContextCodec, type GroupContext } from './ts-mls.ts';

const NOTHING = new Uint8Array(0);
const EXTERNAL_INIT = utf8('MLS 1.0 external init secret');

/** RFC 9420 section 8. Each function leaves its arguments alone; the caller wipes them when they are spent. */

/**
 * `joiner_secret = ExpandWithLabel(KDF.Extract(init_secret_[n-1], commit_secret), "joiner", GroupContext_[n], KDF.Nh)`;
 * `commit_secret` is Nh zeros for a commit without a path.
 */
export function deriveJoinerSecret(
  suite: CipherSuite,
  initSecret: Secret<'init_secret'>,
  commitSecret: Secret<'commit_secret'>,
  context: GroupContext,
): Secret<'joiner_secret'> {
  const extracted = suite.extract(initSecret.reveal(), commitSecret.reveal());
  const joiner = suite.expandWithLabel(extracted, 'joiner', groupContextCodec.encode(context), suite.nh);
  extracted.fill(0);
  return Secret.of('joiner_secret', joiner);
}

/** `member_secret = KDF.Extract(joiner_secret, psk_secret)`, from which the welcome and the epoch secret come. */
export function deriveMemberSecret(
  suite: CipherSuite,
  joinerSecret: Secret<'joiner_secret'>,
  pskSecret: Secret<'psk_secret'>,
): Secret<'member_secret'> {
  return Secret.of('member_secret', suite.extract(joinerSecret.reveal(), pskSecret.reveal()));
}

/**
 * Key and nonce of a Welcome's `encrypted_group_info` (RFC 9420 section 12.4.3.1).
 * `welcome_secret = DeriveSecret(member_secret, "welcome")`, `welcome_key = ExpandWithLabel(welcome_secret, "key", "", AEAD.Nk)`,
 * `welcome_nonce = ExpandWithLabel(welcome_secret, "nonce", "", AEAD.Nn)`
 */
export function deriveWelcomeKey(
  suite: CipherSuite,
  memberSecret: Secret<'member_secret'>,
): { readonly key: Secret<'welcome_key'>; readonly nonce: Uint8Array } {
  const welcome = deriveWelcomeSecret(suite, memberSecret);
  const key = Secret.of('welcome_key', suite.expandWithLabel(welcome.reveal(), 'key', NOTHING, suite.nk));
  const nonce = suite.expandWithLabel(welcome.reveal(), 'nonce', NOTHING, suite.nn);
  welcome.wipe();
  return { key, nonce };
}

/** `welcome_secret = DeriveSecret(member_secret, "welcome")` */
export function deriveWelcomeSecret(suite: CipherSuite, memberSecret: Secret<'member_secret'>): Secret<'welcome_secret'> {
  return Secret.of('welcome_secret', suite.deriveSecret(memberSecret.reveal(), 'welcome'));
}

/** `epoch_secret = ExpandWithLabel(member_secret, "epoch", GroupContext_[n], KDF.Nh)` */
export function deriveEpochSecret(
  suite: CipherSuite,
  memberSecret: Secret<'member_secret'>,
  context: GroupContext,
): Secret<'epoch_secret'> {
  return Secret.of('epoch_secret', suite.expandWithLabel(memberSecret.reveal(), 'epoch', groupContextCodec.encode(context), suite.nh));
}

/** All that an epoch starts with. */
export interface EpochKeys {
  readonly schedule: EpochSecrets;
  readonly secretTree: SecretTree;
  readonly exporter: SafeExporter | undefined;
}

/**
 * The epoch's secrets (RFC 9420 table 4), its secret tree over `leafCount` leaves (blanks included) and,
 * where the group uses it, its safe exporter. Takes over `epochSecret`, which is wiped.
 */
export function startEpoch(
  suite: CipherSuite,
  epochSecret: Secret<'epoch_secret'>,
  options: { readonly leafCount: number; readonly useSafeExporter: boolean },
): EpochKeys {
  const derive = (label: string): Uint8Array => suite.deriveSecret(epochSecret.reveal(), label);
  const schedule: EpochSecrets = {
    senderDataSecret: Secret.of('sender_data_secret', derive('sender data')),
    exporterSecret: Secret.of('exporter_secret', derive('exporter')),
    externalSecret: Secret.of('external_secret', derive('external')),
    confirmationKey: Secret.of('confirmation_key', derive('confirm')),
    membershipKey: Secret.of('membership_key', derive('membership')),
    resumptionPsk: Secret.of('resumption_psk', derive('resumption')),
    epochAuthenticator: derive('authentication'),
    initSecret: Secret.of('init_secret', derive('init')),
  };
  const secretTree = createSecretTree(Secret.of('encryption_secret', derive('encryption')), options.leafCount);
  const exporter = options.useSafeExporter ? createSafeExporter(suite, epochSecret) : undefined;
  epochSecret.wipe();
  return { schedule, secretTree, exporter };
}

/** `external_priv, external_pub = KEM.DeriveKeyPair(external_secret)`; the caller wipes the private key. */
export function deriveExternalKeyPair(suite: CipherSuite, externalSecret: Secret<'external_secret'>): HpkeKeyPair {
  return suite.deriveKeyPair(externalSecret.reveal());
}

/**
 * The joiner's side of an external commit (RFC 9420 section 8.3), with a prescribed ephemeral key pair:
 * `kem_output, context = SetupBaseS(external_pub, ""); init_secret = context.export("MLS 1.0 external init secret", KDF.Nh)`
 * @throws MlsError 'invalid-public-key'
 */
export function encapsulateInitSecret(
  suite: MlsSuite,
  externalPub: Uint8Array,
  ephemeral: HpkeKeyPair,
): { readonly kemOutput: Uint8Array; readonly initSecret: Secret<'init_secret'> } {
  const { kemOutput, secret } = suite.exportToPublicKey(externalPub, ephemeral, EXTERNAL_INIT, suite.nh);
  return { kemOutput, initSecret: Secret.of('init_secret', secret) };
}

/** The members' side. @throws MlsError 'invalid-public-key' */
export function decapsulateInitSecret(
  suite: MlsSuite,
  externalSecret: Secret<'external_secret'>,
  kemOutput: Uint8Array,
): Secret<'init_secret'> {
  const { privateKey } = deriveExternalKeyPair(suite, externalSecret);
  const secret = suite.exportFromKemOutput(privateKey, kemOutput, EXTERNAL_INIT, suite.nh);
  privateKey.fill(0);
  return Secret.of('init_secret', secret);
}

/** `MLS-Exporter(Label, Context, Length) = ExpandWithLabel(DeriveSecret(exporter_secret, Label), "exported", Hash(Context), Length)` */
export function exportSecret(
  suite: CipherSuite,
  exporterSecret: Secret<'exporter_secret'>,
  label: string,
  context: Uint8Array,
  length: number,
): Secret<'exported_secret'> {
  const derived = suite.deriveSecret(exporterSecret.reveal(), label);
  const exported = suite.expandWithLabel(derived, 'exported', suite.hash(context), length);
  derived.fill(0);
  return Secret.of('exported_secret', exported);
}
