/**
 * The only file that imports ts-mls's subpath modules (version 1.6.4, pinned: they are no stable
 * interface). We take its wire structs, their codecs and nothing that holds state.
 */
import { equal } from '../bytes/index.ts';
import type { CipherSuiteId } from '../virtual-client/ciphersuite.ts';
import { DecodeError } from '../wire/index.ts';

// Framing: RFC 9420 section 6; the index exports only MLSMessage's codec.
import {
  decodeAuthenticatedContent,
  encodeAuthenticatedContent,
  encodeAuthenticatedContentTBM,
  type AuthenticatedContent,
} from 'ts-mls/authenticatedContent.js';
import { encodeFramedContentTBS, type FramedContent, type FramedContentAuthData, type FramedContentTBS } from 'ts-mls/framedContent.js';
import { decodeMlsMessage, encodeMlsMessage, type MLSMessage } from 'ts-mls/message.js';
// PrivateMessage and its AADs: section 6.3; not in the index.
import { encodePrivateContentAAD, type PrivateMessage } from 'ts-mls/privateMessage.js';
import { encodeSenderDataAAD } from 'ts-mls/sender.js';
import type { PublicMessage } from 'ts-mls/publicMessage.js';
// ConfirmedTranscriptHashInput: section 8.2; not in the index.
import { encodeConfirmedTranscriptHashInput } from 'ts-mls/transcriptHash.js';
// Commit and proposals: section 12; their codecs are not in the index.
import { decodeCommit, encodeCommit, type Commit } from 'ts-mls/commit.js';
import { decodeProposal, encodeProposal, type Proposal } from 'ts-mls/proposal.js';
import { decodeUpdatePath, encodeUpdatePath, type UpdatePath } from 'ts-mls/updatePath.js';
// Group information and joining: sections 8.1, 12.4.3; codecs of parts are not in the index.
import { decodeGroupContext, encodeGroupContext, type GroupContext } from 'ts-mls/groupContext.js';
import { decodeGroupInfo, encodeGroupInfo, encodeGroupInfoTBS, type GroupInfo } from 'ts-mls/groupInfo.js';
import { decodeGroupSecrets, encodeGroupSecrets, type GroupSecrets } from 'ts-mls/groupSecrets.js';
import type { Welcome } from 'ts-mls/welcome.js';
import type { HPKECiphertext } from 'ts-mls/hpkeCiphertext.js';
// Key packages and leaves: sections 7.2, 10; the signed forms are not in the index.
import { decodeKeyPackage, encodeKeyPackage, encodeKeyPackageTBS, type KeyPackage } from 'ts-mls/keyPackage.js';
import { decodeLeafNode, encodeLeafNode, encodeLeafNodeTBS, type LeafNode } from 'ts-mls/leafNode.js';
import type { Capabilities } from 'ts-mls/capabilities.js';
import type { Credential } from 'ts-mls/credential.js';
import { extensionTypeToNumber, type Extension } from 'ts-mls/extension.js';
import { decodeExternalSender, encodeExternalSender, type ExternalSender } from 'ts-mls/externalSender.js';
import { decodeRequiredCapabilities, encodeRequiredCapabilities, type RequiredCapabilities } from 'ts-mls/requiredCapabilities.js';
// Pre-shared keys: section 8.4; not in the index.
import { decodePskId, encodePskId, encodePskLabel, type PreSharedKeyID } from 'ts-mls/presharedkey.js';
// The ratchet tree and its hash inputs: sections 7.8, 7.9, 12.4.3.3; not in the index.
import { decodeNode, encodeNode, type Node } from 'ts-mls/ratchetTree.js';
import type { ParentNode } from 'ts-mls/parentNode.js';
import { encodeParentHashInput } from 'ts-mls/parentHash.js';
import { encodeTreeHashInput } from 'ts-mls/treeHash.js';
import type { Sender } from 'ts-mls/sender.js';
import type { CiphersuiteName } from 'ts-mls/crypto/ciphersuite.js';

export type { AuthenticatedContentCommit, AuthenticatedContentTBM } from 'ts-mls/authenticatedContent.js';
export type { FramedContentCommit, FramedContentInfo } from 'ts-mls/framedContent.js';
export type { ContentTypeName } from 'ts-mls/contentType.js';
export type { WireformatName } from 'ts-mls/wireformat.js';
export type { ProposalAdd } from 'ts-mls/proposal.js';
export type { ProposalOrRef } from 'ts-mls/proposalOrRefType.js';
export type { UpdatePathNode } from 'ts-mls/updatePath.js';
export type { GroupInfoTBS } from 'ts-mls/groupInfo.js';
export type { EncryptedGroupSecrets } from 'ts-mls/welcome.js';
export type { KeyPackageTBS } from 'ts-mls/keyPackage.js';
export type { LeafNodeCommit, LeafNodeKeyPackage, LeafNodeTBS, LeafNodeUpdate } from 'ts-mls/leafNode.js';
export type { Lifetime } from 'ts-mls/lifetime.js';
export type { CredentialTypeName } from 'ts-mls/credentialType.js';
export type { ExtensionType } from 'ts-mls/extension.js';
export type { ParentHashInput } from 'ts-mls/parentHash.js';
export type { TreeHashInput } from 'ts-mls/treeHash.js';
export type {
  AuthenticatedContent,
  Capabilities,
  CiphersuiteName,
  Commit,
  Credential,
  Extension,
  ExternalSender,
  FramedContent,
  FramedContentAuthData,
  FramedContentTBS,
  GroupContext,
  GroupInfo,
  GroupSecrets,
  HPKECiphertext,
  KeyPackage,
  LeafNode,
  MLSMessage,
  Node,
  ParentNode,
  PreSharedKeyID,
  PrivateMessage,
  Proposal,
  PublicMessage,
  RequiredCapabilities,
  Sender,
  UpdatePath,
  Welcome,
};

// Encoders of what is hashed, signed or authenticated and never decoded.
export {
  encodeAuthenticatedContentTBM,
  encodeConfirmedTranscriptHashInput,
  encodeFramedContentTBS,
  encodeGroupInfoTBS,
  encodeKeyPackageTBS,
  encodeLeafNodeTBS,
  encodeParentHashInput,
  encodePrivateContentAAD,
  encodePskLabel,
  encodeSenderDataAAD,
  encodeTreeHashInput,
};
export { extensionTypeToNumber };

/** Both directions of one wire struct. */
export interface Codec<Value> {
  readonly name: string;
  readonly encode: (value: Value) => Uint8Array;
  readonly decode: (bytes: Uint8Array, offset: number) => [Value, number] | undefined;
}

function codec<Value>(name: string, encode: Codec<Value>['encode'], decode: Codec<Value>['decode']): Codec<Value> {
  return { name, encode, decode };
}

/** RFC 9420 section 17.4 assigns types up to this one a struct of their own. */
const LAST_KNOWN_PROPOSAL = 7;

/**
 * ts-mls takes a malformed proposal of a known type for one of an unknown type, whose data are any
 * bytes: such a Remove would be no Remove to us and none to a stricter member. Refused here.
 */
function withProposals<Value>(decode: Codec<Value>['decode'], proposalsOf: (value: Value) => readonly Proposal[]): Codec<Value>['decode'] {
  const misread = ({ proposalType }: Proposal): boolean => typeof proposalType === 'number' && proposalType <= LAST_KNOWN_PROPOSAL;
  return (bytes, offset) => {
    const decoded = decode(bytes, offset);
    return decoded === undefined || proposalsOf(decoded[0]).some(misread) ? undefined : decoded;
  };
}

function proposalsOfCommit({ proposals }: Commit): Proposal[] {
  return proposals.flatMap((each) => (each.proposalOrRefType === 'proposal' ? [each.proposal] : []));
}

function proposalsOfContent(content: FramedContent): Proposal[] {
  if (content.contentType === 'application') return [];
  return content.contentType === 'proposal' ? [content.proposal] : proposalsOfCommit(content.commit);
}

function proposalsOfMessage(message: MLSMessage): Proposal[] {
  return message.wireformat === 'mls_public_message' ? proposalsOfContent(message.publicMessage.content) : [];
}

export const authenticatedContentCodec: Codec<AuthenticatedContent> = codec(
  'AuthenticatedContent',
  encodeAuthenticatedContent,
  withProposals(decodeAuthenticatedContent, ({ content }) => proposalsOfContent(content)),
);
export const commitCodec: Codec<Commit> = codec('Commit', encodeCommit, withProposals(decodeCommit, proposalsOfCommit));
export const externalSenderCodec: Codec<ExternalSender> = codec('ExternalSender', encodeExternalSender, decodeExternalSender);
export const groupContextCodec: Codec<GroupContext> = codec('GroupContext', encodeGroupContext, decodeGroupContext);
export const groupInfoCodec: Codec<GroupInfo> = codec('GroupInfo', encodeGroupInfo, decodeGroupInfo);
export const groupSecretsCodec: Codec<GroupSecrets> = codec('GroupSecrets', encodeGroupSecrets, decodeGroupSecrets);
export const keyPackageCodec: Codec<KeyPackage> = codec('KeyPackage', encodeKeyPackage, decodeKeyPackage);
export const leafNodeCodec: Codec<LeafNode> = codec('LeafNode', encodeLeafNode, decodeLeafNode);
export const mlsMessageCodec: Codec<MLSMessage> = codec(
  'MLSMessage',
  encodeMlsMessage,
  withProposals(decodeMlsMessage, proposalsOfMessage),
);
export const nodeCodec: Codec<Node> = codec('Node', encodeNode, decodeNode);
export const preSharedKeyIdCodec: Codec<PreSharedKeyID> = codec('PreSharedKeyID', encodePskId, decodePskId);
export const proposalCodec: Codec<Proposal> = codec(
  'Proposal',
  encodeProposal,
  withProposals(decodeProposal, (proposal) => [proposal]),
);
export const requiredCapabilitiesCodec: Codec<RequiredCapabilities> = codec(
  'RequiredCapabilities',
  encodeRequiredCapabilities,
  decodeRequiredCapabilities,
);
export const updatePathCodec: Codec<UpdatePath> = codec('UpdatePath', encodeUpdatePath, decodeUpdatePath);

/**
 * The struct that `bytes` hold, exactly and canonically. The result shares no memory with `bytes`.
 * @throws DecodeError
 */
export function decodeExact<Value>(codec: Codec<Value>, bytes: Uint8Array): Value {
  const [value, length] = decodePrefix(codec, bytes.slice());
  if (length !== bytes.length) throw new DecodeError('trailing-bytes', codec.name);
  return value;
}

/**
 * The struct at the start of `bytes` and its length; the result may share memory with `bytes`.
 * Encoding it again must give the same bytes, which refuses length prefixes that are not minimal and
 * presence octets other than 0 and 1: ts-mls's decoders let them through.
 * @throws DecodeError
 */
export function decodePrefix<Value>(codec: Codec<Value>, bytes: Uint8Array): [value: Value, length: number] {
  const decoded = attempt(codec.name, () => codec.decode(bytes, 0));
  if (decoded === undefined) throw new DecodeError('invalid-value', codec.name);
  const [value, length] = decoded;
  if (length > bytes.length) throw new DecodeError('truncated', codec.name);
  const again = attempt(codec.name, () => codec.encode(value));
  if (!equal(again, bytes.subarray(0, length))) throw new DecodeError('invalid-value', `${codec.name} is not in canonical form`);
  return [value, length];
}

/** ts-mls throws errors of its own and plain TypeErrors on malformed input: both become ours. */
function attempt<Value>(what: string, decode: () => Value): Value {
  try {
    return decode();
  } catch {
    throw new DecodeError('invalid-value', what);
  }
}

/** A proposal of the current epoch that a commit may name by reference. */
export interface ProposalMessage {
  /** ProposalRef (RFC 9420 section 5.2). */
  readonly reference: Uint8Array;
  readonly proposal: Proposal;
  readonly sender: Sender;
}

const SUITE_NAMES: Readonly<Record<CipherSuiteId, CiphersuiteName>> = {
  1: 'MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519',
  3: 'MLS_128_DHKEMX25519_CHACHA20POLY1305_SHA256_Ed25519',
};

/** ts-mls's name of a suite. */
export function suiteName(id: CipherSuiteId): CiphersuiteName {
  return SUITE_NAMES[id];
}

/** The suite of that name, undefined when Chorus does not know it. */
export function suiteId(name: CiphersuiteName): CipherSuiteId | undefined {
  if (name === SUITE_NAMES[1]) return 1;
  return name === SUITE_NAMES[3] ? 3 : undefined;
}
