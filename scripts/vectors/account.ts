import { Secret, toHex, utf8 } from '../../src/bytes/index.ts';
import {
  APP_DATA_DICTIONARY,
  encodeComponentIds,
  setComponent,
  suiteName,
  type Extension,
  type LeafTemplate,
  type SignatureKeyPair,
} from '../../src/mls/index.ts';
import { encodeAccountBinding, signAccountBinding } from '../../src/virtual-client/account-binding.ts';
import { hex, protocol, suite } from './operations.ts';
import type { VectorRandom } from './random.ts';
import type { AccountVector } from './types.ts';

/** A virtual client as its leaves show it. */
export interface Account {
  readonly signer: SignatureKeyPair;
  readonly accountId: Uint8Array;
  readonly binding: Uint8Array;
}

/** `Lifetime` of every leaf of source `key_package`, seconds: the year 36812 is far enough. */
export const LIFETIME = { notBefore: 0n, notAfter: 2n ** 40n };

export async function describeAccount(random: VectorRandom): Promise<{ account: Account; vector: AccountVector }> {
  const seed = (): Uint8Array => random.distinct('bytes', () => random.bytes(32));
  const [signer, authentication] = [suite.signatureKeyPair(seed()), suite.signatureKeyPair(seed())];
  const accountId = random.distinct('bytes', () => random.bytes(16));
  const keyVersion = 1 + random.below(256);
  const claim = { accountId, keyVersion, signatureKey: signer.publicKey };
  const binding = encodeAccountBinding(await signAccountBinding(protocol, suite, authentication.privateKey, claim));
  return {
    account: { signer, accountId, binding },
    vector: {
      account_id: toHex(accountId),
      key_version: keyVersion,
      signature_private_key: hex(signer.privateKey),
      authentication_private_key: hex(authentication.privateKey),
      account_binding: toHex(binding),
    },
  };
}

/** What the virtual client's LeafNode says of itself. */
export function accountTemplate({ signer, accountId, binding }: Account, derivationInfo: Uint8Array): LeafTemplate {
  const { components } = protocol.revision;
  const entries = [
    [components.appComponents, encodeComponentIds([components.derivationInfo, components.accountBinding])],
    [components.derivationInfo, derivationInfo],
    [components.accountBinding, binding],
  ] as const;
  const extensions = entries.reduce<Extension[]>((before, [id, data]) => setComponent(before, id, data), []);
  return template(signer.publicKey, accountId, extensions);
}

/** A member without virtual clients. */
export interface OrdinaryMember {
  readonly signer: SignatureKeyPair;
  readonly template: LeafTemplate;
  readonly encryptionKey: Uint8Array;
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
}

export function ordinaryMember(random: VectorRandom, name: string): OrdinaryMember {
  const seed = (): Uint8Array => random.distinct('bytes', () => random.bytes(32));
  const signer = suite.signatureKeyPair(seed());
  const { publicKey, privateKey } = suite.deriveKeyPair(seed());
  return {
    signer,
    template: template(signer.publicKey, utf8(name), []),
    encryptionKey: publicKey,
    encryptionPrivateKey: Secret.of('encryption_private_key', privateKey),
  };
}

function template(signaturePublicKey: Uint8Array, identity: Uint8Array, extensions: Extension[]): LeafTemplate {
  return {
    signaturePublicKey,
    credential: { credentialType: 'basic', identity },
    capabilities: {
      versions: ['mls10'],
      ciphersuites: [suiteName(suite.id)],
      extensions: [APP_DATA_DICTIONARY],
      proposals: [],
      credentials: ['basic'],
    },
    extensions,
  };
}
