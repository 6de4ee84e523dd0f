/** Codes of refused MLS input and of operations that the state does not allow. Stable: callers switch on them. */
export type MlsErrorCode =
  // framing and message protection
  | 'wrong-group' // the message names another group
  | 'unknown-epoch' // neither the current epoch nor a kept past one
  | 'wrong-content-type' // the content may not travel in this framing
  | 'sender-data-unreadable' // the encrypted sender data do not open
  | 'unknown-sender' // no such leaf, external sender or joiner
  | 'message-key-gone' // the generation was consumed before, or is older than what is kept
  | 'generation-too-far' // the generation lies further ahead than a receiver will ratchet
  | 'generations-exhausted' // the sender's ratchet reached the last generation
  | 'ciphertext-unreadable' // the content does not open with the key of its generation
  | 'message-too-long'
  | 'padding-not-zero'
  | 'invalid-signature'
  | 'invalid-membership-tag'
  // ratchet tree, leaves and update paths
  | 'group-full' // the tree has no room for another leaf
  | 'unknown-leaf' // the leaf is blank or outside the tree
  | 'invalid-tree' // the nodes do not form a ratchet tree
  | 'wrong-tree-hash'
  | 'wrong-parent-hash'
  | 'wrong-leaf-source' // the leaf node's source does not fit the place where it stands
  | 'unsupported-capability' // a version, suite, extension, proposal or credential that is in use and not supported
  | 'outside-lifetime'
  | 'duplicate-key' // a signature or encryption key that another leaf or node has
  | 'invalid-key-package'
  | 'wrong-path-length' // the path does not have one node for each node of the filtered direct path
  | 'wrong-ciphertext-count' // a path node does not have one ciphertext for each recipient
  | 'path-secret-unreadable' // the path secret meant for us does not open
  | 'path-key-mismatch' // a public key of the path is not the one that its secret gives
  // proposals and commits
  | 'wrong-epoch' // proposals and commits count in the current epoch only
  | 'unsupported-proposal' // a type that Chorus does not take part in, or that this sender may not propose
  | 'too-many-proposals'
  | 'proposals-pending' // a commit must come before the next application message
  | 'unknown-proposal' // a commit names a proposal that we do not have
  | 'invalid-proposal-list' // the proposals of a commit do not go together (RFC 9420 section 12.2)
  | 'invalid-extensions' // an extension type stands twice
  | 'path-required' // the proposals need an update path and the commit has none
  | 'own-secrets-missing' // our own leaf changes, and the caller did not give the secrets for it
  // joining
  | 'invalid-group-info'
  | 'invalid-welcome'
  | 'not-for-us' // the Welcome holds no secrets for this KeyPackage
  // key schedule and exporters
  | 'invalid-confirmation-tag' // members did not derive the same epoch
  | 'invalid-psk-nonce' // its length is not the suite's Nh
  | 'unknown-psk' // a pre-shared key is named that the caller did not give
  | 'no-safe-exporter' // the group was not set up to have one
  | 'component-exported' // the safe exporter gave this component's secret before
  | 'invalid-component-id'
  | 'invalid-public-key' // an HPKE or signature public key with which no secret can be made
  | 'invalid-app-data-dictionary';

/** MLS refuses. The text holds no secret and nothing of the peer's choice. */
export class MlsError extends Error {
  override readonly name = 'MlsError';
  readonly code: MlsErrorCode;

  constructor(code: MlsErrorCode, what?: string) {
    super(what === undefined ? code : `${code}: ${what}`);
    this.code = code;
  }
}
