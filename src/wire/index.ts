export { Reader, Writer, decode, encode } from './codec.ts';
export { DecodeError, type DecodeErrorCode } from './errors.ts';
