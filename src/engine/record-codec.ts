import { Secret, utf8 } from '../bytes/index.ts';
import { DecodeError, decode, encode, type Reader, type Writer } from '../wire/index.ts';

/**
 * Binary form of the engine's own records: trees of numbers, text, bytes, secrets, lists, maps and
 * plain objects. Secrets stay bytes all the way (a text form would leave copies that nobody can
 * wipe). A record begins with FORMAT.
 */

/** Raised when the meaning of any record changes; an older reader then refuses by name. */
const FORMAT = 1;
/** Deeper nesting than any record has; a recursion bound. */
const MAX_DEPTH = 12;
/** Items of one list or map; above any conversation's or queue's size. */
const MAX_ITEMS = 65_536;

const Tag = {
  undefined: 0,
  null: 1,
  false: 2,
  true: 3,
  number: 4,
  bigint: 5,
  string: 6,
  bytes: 7,
  secret: 8,
  list: 9,
  map: 10,
  object: 11,
} as const;

/** The record's bytes. @throws TypeError for a value that has no form, such as a function */
export function encodeRecord(value: unknown): Uint8Array {
  return encode((writer) => write(writer.uint8(FORMAT), value));
}

/**
 * The value of bytes that `encodeRecord` made. Records are authenticated by the store, so their
 * shape is the writer's: the caller names the type. @throws DecodeError on anything else.
 */
export function decodeRecord<Value>(bytes: Uint8Array): Value {
  return decode(bytes, 'record', (reader) => {
    if (reader.uint8('record format') !== FORMAT) throw new DecodeError('invalid-value', 'record format');
    return read(reader, MAX_DEPTH);
  }) as Value;
}

function write(writer: Writer, value: unknown): void {
  if (value === undefined) writer.uint8(Tag.undefined);
  else if (value === null) writer.uint8(Tag.null);
  else if (typeof value === 'boolean') writer.uint8(value ? Tag.true : Tag.false);
  else if (typeof value === 'number') {
    const bytes = new Uint8Array(8);
    new DataView(bytes.buffer).setFloat64(0, value);
    writer.uint8(Tag.number).bytes(bytes);
  } else if (typeof value === 'bigint') writer.uint8(Tag.bigint).uint64(value);
  else if (typeof value === 'string') writer.uint8(Tag.string).opaque(utf8(value));
  else if (value instanceof Uint8Array) writer.uint8(Tag.bytes).opaque(value);
  else if (isSecret(value)) writer.uint8(Tag.secret).opaque(utf8(value.kind)).opaque(value.reveal());
  else if (Array.isArray(value)) writer.uint8(Tag.list).vector(value as unknown[], write);
  else if (value instanceof Map) writer.uint8(Tag.map).vector([...(value as ReadonlyMap<unknown, unknown>)], writeEntry);
  else if (typeof value === 'object') writer.uint8(Tag.object).vector(Object.entries(value) as [string, unknown][], writeEntry);
  else throw new TypeError(`no form for a ${typeof value}`);
}

function isSecret(value: unknown): value is Secret<string> {
  return value instanceof Secret;
}

function writeEntry(writer: Writer, [key, value]: readonly [unknown, unknown]): void {
  if (typeof key !== 'string') throw new TypeError('keys are text');
  writer.opaque(utf8(key));
  write(writer, value);
}

function read(reader: Reader, depth: number): unknown {
  if (depth === 0) throw new DecodeError('invalid-value', 'record depth');
  switch (reader.uint8('tag')) {
    case Tag.undefined:
      return undefined;
    case Tag.null:
      return null;
    case Tag.false:
      return false;
    case Tag.true:
      return true;
    case Tag.number: {
      const bytes = reader.bytes(8, 'number');
      return new DataView(bytes.buffer).getFloat64(0);
    }
    case Tag.bigint:
      return reader.uint64('bigint');
    case Tag.string:
      return reader.text('string');
    case Tag.bytes:
      return reader.opaque('bytes');
    case Tag.secret: {
      const kind = reader.text('secret kind', 64);
      return Secret.of(kind, reader.opaque('secret'));
    }
    case Tag.list:
      return reader.vector('list', (item) => read(item, depth - 1), MAX_ITEMS);
    case Tag.map:
      return new Map(readEntries(reader, depth));
    case Tag.object:
      return Object.fromEntries(readEntries(reader, depth));
    default:
      throw new DecodeError('invalid-value', 'tag');
  }
}

function readEntries(reader: Reader, depth: number): [string, unknown][] {
  return reader.vector('entries', (item): [string, unknown] => [item.text('key', 256), read(item, depth - 1)], MAX_ITEMS);
}
