/** Codes of malformed input; the text never holds the input itself. */
export type DecodeErrorCode =
  | 'truncated' // the input ends inside a field
  | 'trailing-bytes' // bytes are left over behind the last field
  | 'vector-too-long' // a length prefix is over the field's bound
  | 'length-not-minimal' // a length prefix uses more bytes than it needs (RFC 9420, section 2.1.2)
  | 'invalid-value'; // a field holds a value that its type does not have

/** Bytes from outside do not have the form that they should have. */
export class DecodeError extends Error {
  override readonly name = 'DecodeError';
  readonly code: DecodeErrorCode;

  constructor(code: DecodeErrorCode, what: string) {
    super(`${code}: ${what}`);
    this.code = code;
  }
}
