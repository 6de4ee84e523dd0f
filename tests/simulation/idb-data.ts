/** What lies in a database: rows in the order of their keys. */

/** The kinds of key that the store uses. */
export type Key = string | readonly (string | number)[];

export interface Row {
  readonly key: Key;
  readonly value: unknown;
}

/** Digits of the largest whole number that a key has in it. */
const DIGITS = 16;
const BEHIND_ALL = '~';

/** Text that sorts as the key does among those of its own object store, which are all texts or all lists of one form. */
export function sortKey(key: Key): string {
  if (typeof key === 'string') return key;
  const number = (value: number): string => (value === Infinity ? BEHIND_ALL : String(value).padStart(DIGITS, '0'));
  return key.map((part) => (typeof part === 'number' ? number(part) : part)).join('\0');
}

/** IDBKeyRange. */
export class KeyRange {
  readonly #from: string | undefined;
  readonly #to: string | undefined;
  readonly #fromOpen: boolean;
  readonly #toOpen: boolean;

  constructor(from: Key | undefined, to: Key | undefined, fromOpen = false, toOpen = false) {
    this.#from = from === undefined ? undefined : sortKey(from);
    this.#to = to === undefined ? undefined : sortKey(to);
    this.#fromOpen = fromOpen;
    this.#toOpen = toOpen;
    const isEmpty =
      this.#from !== undefined && this.#to !== undefined && (this.#from > this.#to || (this.#from === this.#to && (fromOpen || toOpen)));
    if (isEmpty) throw new DOMException('an empty range', 'DataError');
  }

  static bound(from: Key, to: Key, fromOpen = false, toOpen = false): KeyRange {
    return new KeyRange(from, to, fromOpen, toOpen);
  }

  static only(key: Key): KeyRange {
    return new KeyRange(key, key);
  }

  static lowerBound(from: Key, open = false): KeyRange {
    return new KeyRange(from, undefined, open);
  }

  static upperBound(to: Key, open = false): KeyRange {
    return new KeyRange(undefined, to, false, open);
  }

  has(sorted: string): boolean {
    if (this.#from !== undefined && (this.#fromOpen ? sorted <= this.#from : sorted < this.#from)) return false;
    return this.#to === undefined || (this.#toOpen ? sorted < this.#to : sorted <= this.#to);
  }
}

export type Query = Key | KeyRange | null | undefined;

/** Rows of one object store by sort key. */
export type Rows = Map<string, Row>;

export interface Data {
  version: number;
  readonly stores: Map<string, Rows>;
}

/** Rows never change in place: a copy may share them. */
export function copyOf({ version, stores }: Data): Data {
  return { version, stores: new Map([...stores].map(([name, rows]) => [name, new Map(rows)])) };
}

/** As a value comes out of a database: another object, the same inside. */
export function cloned(value: unknown): unknown {
  if (value instanceof Uint8Array) return value.slice();
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(cloned);
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, cloned(inner)]));
}

/** What a transaction has written and nobody else sees yet: undefined for a row that is gone. */
export type Written = Map<string, Map<string, Row | undefined>>;

export class View {
  readonly #rows: Rows;
  readonly #written: Map<string, Row | undefined>;

  constructor(rows: Rows, written: Map<string, Row | undefined>) {
    this.#rows = rows;
    this.#written = written;
  }

  get(sorted: string): Row | undefined {
    return this.#written.has(sorted) ? this.#written.get(sorted) : this.#rows.get(sorted);
  }

  /** In the order of their keys. */
  select(query: Query): Row[] {
    if (query !== null && query !== undefined && !(query instanceof KeyRange)) {
      const row = this.get(sortKey(query));
      return row === undefined ? [] : [row];
    }
    const found: [string, Row][] = [];
    const look = (sorted: string, row: Row | undefined): void => {
      if (row !== undefined && (query?.has(sorted) ?? true)) found.push([sorted, row]);
    };
    for (const [sorted, row] of this.#rows) if (!this.#written.has(sorted)) look(sorted, row);
    for (const [sorted, row] of this.#written) look(sorted, row);
    return found.sort(([a], [b]) => (a < b ? -1 : 1)).map(([, row]) => row);
  }
}
