import { concat } from '../../src/bytes/index.ts';

/** A state that is kept in several records is mutated one record at a time: a byte says which, and its bytes follow. */
type Named = readonly (readonly [string, Uint8Array])[];

export function inRecords(records: Named): Uint8Array[] {
  return records.slice(0, 256).map(([, bytes], place) => concat(Uint8Array.of(place), bytes));
}

export function sizeOf(records: Named): number {
  return records.reduce((sum, [, bytes]) => sum + bytes.length, 0);
}

/** All records, one of them replaced; with nothing but its place, it is missing. */
export function readRecords(records: Named, bytes: Uint8Array): Map<string, Uint8Array> {
  const all = new Map(records.map(([name, value]) => [name, value.slice()]));
  const replaced = records[bytes[0] ?? 0]?.[0];
  if (replaced === undefined) return all;
  if (bytes.length > 1) all.set(replaced, bytes.slice(1));
  else all.delete(replaced);
  return all;
}
