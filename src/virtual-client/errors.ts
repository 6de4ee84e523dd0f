/** What this package refuses, by name. The text never holds a secret nor the refused input. */
export type VirtualClientErrorCode =
  | 'leaf-punctured' // the PPRF leaf was evaluated before: its secret is gone
  | 'leaf-out-of-range' // no such leaf in a tree of this depth
  | 'wrong-length' // a secret or random value has not the length that the suite prescribes
  | 'random-exhausted' // the random source gave no usable value in far more draws than chance explains
  | 'invalid-leaf-count' // N_e is no power of two
  | 'invalid-roster' // roster unsorted, doubled, or outside of the tree
  | 'leaf-not-in-roster' // the leaf index names no member of that emulation epoch
  | 'no-own-leaf' // this device was no member in that emulation epoch, so it may not act there
  | 'unknown-emulation-epoch' // the epoch ID is not that of the epoch at hand
  | 'derivation-info-not-ours' // the DerivationInfo does not open under our epoch's key
  | 'derivation-info-malformed' // it opens, but holds no exact EpochInfoTBE
  | 'derived-key-mismatch' // the key that an operation gives is not the one that was sent
  | 'too-many-key-packages'
  | 'duplicate-key-package'
  | 'duplicate-pprf-leaf' // two operations of one upload meet in one PPRF leaf
  | 'components-not-sorted' // SafeAAD items out of order or doubled
  | 'binding-account-mismatch' // account binding of another account than the credential's
  | 'binding-key-mismatch' // account binding of another signature key than the leaf's
  | 'binding-version-regressed' // key_version below that of the leaf which it replaces
  | 'binding-signature-invalid'
  | 'recovery-signature-invalid'
  | 'state-blob-invalid'; // a transferred group state does not open, or is not the one announced

/** A rule of the draft (or of our reading of it) is broken; the state that was passed in is unchanged. */
export class VirtualClientError extends Error {
  override readonly name = 'VirtualClientError';
  readonly code: VirtualClientErrorCode;

  constructor(code: VirtualClientErrorCode, what?: string) {
    super(what === undefined ? code : `${code}: ${what}`);
    this.code = code;
  }
}
