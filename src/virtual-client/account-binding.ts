import { equal, utf8, type Secret } from '../bytes/index.ts';
import { decode, encode } from '../wire/index.ts';
import { VirtualClientError } from './errors.ts';
import type { Protocol } from './revision.ts';

/**
 * Component 0x8A05 of a virtual client's LeafNode (reading section 15): the authentication service's
 * word that this signature key is the account's.
 *
 *     struct { opaque account_id<V>; uint32 key_version; opaque signature_key<V>; opaque signature<V>; } AccountBinding;
 */
export interface AccountBinding {
  readonly accountId: Uint8Array;
  /** Rises by one with every new account key. */
  readonly keyVersion: number;
  readonly signatureKey: Uint8Array;
  /** Ed25519, by the server's authentication key. */
  readonly signature: Uint8Array;
}

/** RFC 9420's SignWithLabel and VerifyWithLabel, which put "MLS 1.0 " before the label's bytes. */
export interface LabelSigner {
  signWithLabel(privateKey: Secret<'signature_private_key'>, label: Uint8Array, content: Uint8Array): Promise<Uint8Array>;
}
export interface LabelVerifier {
  verifyWithLabel(publicKey: Uint8Array, label: Uint8Array, content: Uint8Array, signature: Uint8Array): Promise<boolean>;
}

/** Server-made IDs have 16 bytes; a basic credential of another server may hold a longer name. */
const MAX_ACCOUNT_ID = 255;
const KEY_LENGTH = 32; // Ed25519
const SIGNATURE_LENGTH = 64; // Ed25519

export function encodeAccountBinding(binding: AccountBinding): Uint8Array {
  return encode((w) => w.opaque(binding.accountId).uint32(binding.keyVersion).opaque(binding.signatureKey).opaque(binding.signature));
}

/** @throws DecodeError */
export function decodeAccountBinding(bytes: Uint8Array): AccountBinding {
  return decode(bytes, 'AccountBinding', (r) => ({
    accountId: r.opaque('account_id', MAX_ACCOUNT_ID),
    keyVersion: r.uint32('key_version'),
    signatureKey: r.opaqueOf(KEY_LENGTH, 'signature_key'),
    signature: r.opaqueOf(SIGNATURE_LENGTH, 'signature'),
  }));
}

/** `struct { opaque account_id<V>; uint32 key_version; opaque signature_key<V>; } AccountBindingTBS;` */
export function encodeAccountBindingTbs(binding: Omit<AccountBinding, 'signature'>): Uint8Array {
  return encode((w) => w.opaque(binding.accountId).uint32(binding.keyVersion).opaque(binding.signatureKey));
}

/**
 * `struct { opaque base_label<V> = "MLS Component"; uint16 component_id; opaque label<V>; } ComponentOperationLabel;`
 * The bytes are the label of SignWithLabel.
 */
export function componentOperationLabel(componentId: number, label: string): Uint8Array {
  return encode((w) => w.opaque(utf8('MLS Component')).uint16(componentId).opaque(utf8(label)));
}

function bindingLabel({ revision }: Pick<Protocol, 'revision'>): Uint8Array {
  return componentOperationLabel(revision.components.accountBinding, 'AccountBinding');
}

/** The authentication service's side. */
export async function signAccountBinding(
  protocol: Pick<Protocol, 'revision'>,
  signer: LabelSigner,
  authenticationPrivateKey: Secret<'signature_private_key'>,
  binding: Omit<AccountBinding, 'signature'>,
): Promise<AccountBinding> {
  const signature = await signer.signWithLabel(authenticationPrivateKey, bindingLabel(protocol), encodeAccountBindingTbs(binding));
  return { accountId: binding.accountId, keyVersion: binding.keyVersion, signatureKey: binding.signatureKey, signature };
}

/** What the LeafNode that carries a binding says itself. */
export interface BoundLeaf {
  /** Identity of the leaf's basic credential. */
  readonly accountId: Uint8Array;
  readonly signatureKey: Uint8Array;
  /** `key_version` of the leaf which this one replaces; undefined for a leaf that is new in the group. */
  readonly replacedKeyVersion: number | undefined;
}

/**
 * Whether a leaf's account binding holds. It is judged from group state alone, so it means the same
 * whenever the message is read.
 * @throws VirtualClientError 'binding-account-mismatch', 'binding-key-mismatch', 'binding-version-regressed',
 * 'binding-signature-invalid'
 */
export async function verifyAccountBinding(
  protocol: Pick<Protocol, 'revision'>,
  verifier: LabelVerifier,
  authenticationKey: Uint8Array,
  binding: AccountBinding,
  leaf: BoundLeaf,
): Promise<void> {
  if (!equal(binding.accountId, leaf.accountId)) throw new VirtualClientError('binding-account-mismatch');
  if (!equal(binding.signatureKey, leaf.signatureKey)) throw new VirtualClientError('binding-key-mismatch');
  if (leaf.replacedKeyVersion !== undefined && binding.keyVersion < leaf.replacedKeyVersion)
    throw new VirtualClientError('binding-version-regressed');
  const content = encodeAccountBindingTbs(binding);
  if (!(await verifier.verifyWithLabel(authenticationKey, bindingLabel(protocol), content, binding.signature)))
    throw new VirtualClientError('binding-signature-invalid');
}
