import { concat, fromUtf8 } from '../bytes/index.ts';
import { DecodeError } from './errors.ts';

/**
 * TLS presentation language as RFC 9420 uses it: big-endian integers, and vectors whose length
 * prefix is the variable-size integer of section 2.1.2 in its shortest form.
 */

/** No single field of ours comes near this; it stops a length prefix from asking for the moon. */
const MAX_VECTOR_LENGTH = 1 << 26; // 64 MiB

/** Appends fields; `finish` returns them in one piece. */
export class Writer {
  readonly #parts: Uint8Array[] = [];

  uint8(value: number): this {
    return this.#uint(value, 1);
  }

  uint16(value: number): this {
    return this.#uint(value, 2);
  }

  uint32(value: number): this {
    return this.#uint(value, 4);
  }

  uint64(value: bigint): this {
    if (value < 0n || value >= 1n << 64n) throw new RangeError('uint64 out of range');
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setBigUint64(0, value);
    return this.bytes(bytes);
  }

  /** Bytes without a length prefix. */
  bytes(value: Uint8Array): this {
    this.#parts.push(value);
    return this;
  }

  /** `opaque value<V>` */
  opaque(value: Uint8Array): this {
    return this.#length(value.length).bytes(value);
  }

  /** `Item items<V>`: the prefix counts bytes, not items. */
  vector<Item>(items: readonly Item[], write: (writer: Writer, item: Item) => void): this {
    const inner = new Writer();
    for (const item of items) write(inner, item);
    return this.opaque(inner.finish());
  }

  /** `optional<Item> item` */
  optional<Item>(item: Item | undefined, write: (writer: Writer, item: Item) => void): this {
    if (item === undefined) return this.uint8(0);
    this.uint8(1);
    write(this, item);
    return this;
  }

  finish(): Uint8Array {
    return concat(...this.#parts);
  }

  #uint(value: number, size: number): this {
    if (!Number.isInteger(value) || value < 0 || value >= 2 ** (8 * size)) throw new RangeError(`uint${8 * size} out of range`);
    const bytes = new Uint8Array(size);
    for (let i = size - 1, rest = value; i >= 0; i--, rest = Math.floor(rest / 256)) bytes[i] = rest % 256;
    return this.bytes(bytes);
  }

  #length(length: number): this {
    if (length < 0x40) return this.uint8(length);
    if (length < 0x4000) return this.uint16(0x4000 | length);
    if (length < 0x40000000) return this.uint32(0x80000000 + length);
    throw new RangeError('vector too long');
  }
}

/** Reads fields strictly; every method throws DecodeError and reads nothing past the end. */
export class Reader {
  readonly #bytes: Uint8Array;
  #offset = 0;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  get remaining(): number {
    return this.#bytes.length - this.#offset;
  }

  uint8(what: string): number {
    return this.#take(1, what)[0]!;
  }

  uint16(what: string): number {
    const [a, b] = this.#take(2, what);
    return (a! << 8) | b!;
  }

  uint32(what: string): number {
    const [a, b, c, d] = this.#take(4, what);
    return ((a! << 24) | (b! << 16) | (c! << 8) | d!) >>> 0;
  }

  uint64(what: string): bigint {
    const bytes = this.#take(8, what);
    return new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0);
  }

  /** `length` bytes without a prefix, copied. */
  bytes(length: number, what: string): Uint8Array {
    return this.#take(length, what).slice();
  }

  /** `opaque value<V>`, copied; `max` bounds its length in bytes. */
  opaque(what: string, max: number = MAX_VECTOR_LENGTH): Uint8Array {
    return this.#vectorBytes(what, max).slice();
  }

  /** `opaque value<V>` of exactly `length` bytes. */
  opaqueOf(length: number, what: string): Uint8Array {
    const value = this.opaque(what, length);
    if (value.length !== length) throw new DecodeError('invalid-value', `${what} has a wrong length`);
    return value;
  }

  /** `opaque value<V>` that holds UTF-8; `max` bounds its length in bytes. */
  text(what: string, max: number = MAX_VECTOR_LENGTH): string {
    const bytes = this.#vectorBytes(what, max);
    try {
      return fromUtf8(bytes);
    } catch {
      throw new DecodeError('invalid-value', `${what} is no UTF-8`);
    }
  }

  /** `Item items<V>`; `max` bounds the number of items. Each item must consume at least one byte. */
  vector<Item>(what: string, read: (reader: Reader) => Item, max: number): Item[] {
    const inner = new Reader(this.#vectorBytes(what, MAX_VECTOR_LENGTH));
    const items: Item[] = [];
    while (inner.remaining > 0) {
      if (items.length === max) throw new DecodeError('vector-too-long', what);
      const before = inner.remaining;
      items.push(read(inner));
      if (inner.remaining === before) throw new DecodeError('invalid-value', `${what} has an empty item`);
    }
    return items;
  }

  /** `optional<Item> item` */
  optional<Item>(what: string, read: (reader: Reader) => Item): Item | undefined {
    const present = this.uint8(what);
    if (present > 1) throw new DecodeError('invalid-value', what);
    return present === 1 ? read(this) : undefined;
  }

  end(what: string): void {
    if (this.remaining > 0) throw new DecodeError('trailing-bytes', what);
  }

  #vectorBytes(what: string, max: number): Uint8Array {
    const length = this.#length(what);
    if (length > max) throw new DecodeError('vector-too-long', what);
    return this.#take(length, what);
  }

  #length(what: string): number {
    const first = this.uint8(what);
    const size = first >> 6;
    if (size === 0) return first;
    if (size === 3) throw new DecodeError('invalid-value', `length of ${what}`);
    const count = size === 1 ? 1 : 3;
    let length = first & 0x3f;
    for (const byte of this.#take(count, what)) length = length * 256 + byte;
    if (length < (size === 1 ? 0x40 : 0x4000)) throw new DecodeError('length-not-minimal', what);
    return length;
  }

  #take(length: number, what: string): Uint8Array {
    if (this.remaining < length) throw new DecodeError('truncated', what);
    const taken = this.#bytes.subarray(this.#offset, this.#offset + length);
    this.#offset += length;
    return taken;
  }
}

/** Bytes written by `write`. */
export function encode(write: (writer: Writer) => void): Uint8Array {
  const writer = new Writer();
  write(writer);
  return writer.finish();
}

/** Reads all of `bytes`. @throws DecodeError, also when bytes are left over. */
export function decode<Value>(bytes: Uint8Array, what: string, read: (reader: Reader) => Value): Value {
  const reader = new Reader(bytes);
  const value = read(reader);
  reader.end(what);
  return value;
}
