import { StoreError } from './errors.ts';
import { makeSealedKey, open, openSealedKey, resealKey, seal, type SealedPlace, type SealedValue } from './sealing.ts';

/** A scope's key. Numbers rise: what is written is sealed under the newest. */
export interface KeyName {
  readonly scope: string;
  readonly number: number;
}

/** Text of a key's name; `@` is in no path. */
export function keyId(name: KeyName): string {
  return `${name.scope}@${name.number}`;
}

/**
 * Opened keys of scopes, kept in memory while the database is open: two for each conversation and a
 * handful besides. A key never changes under its name, and names are given anew only under another
 * root, that is, on another ring: so a remembered key is a good one.
 */
export class KeyRing {
  readonly #database: string;
  readonly #generation: number;
  readonly #wrapping: CryptoKey;
  readonly #keys = new Map<string, CryptoKey>();
  readonly #newest = new Map<string, number>();
  /** Keys that the database marks as outdated already. */
  readonly #outdated = new Set<string>();

  constructor(database: string, generation: number, wrapping: CryptoKey) {
    this.#database = database;
    this.#generation = generation;
    this.#wrapping = wrapping;
  }

  /** Of the root above these keys. */
  get generation(): number {
    return this.#generation;
  }

  get(name: KeyName): CryptoKey | undefined {
    return this.#keys.get(keyId(name));
  }

  /** The number of the scope's newest key, as far as it is known. */
  newest(scope: string): number | undefined {
    return this.#newest.get(scope);
  }

  /** Opens a key as it lies in the database. @throws StoreError 'sealed-record-unreadable' */
  async open(name: KeyName, sealed: SealedValue): Promise<CryptoKey> {
    if (sealed.rootGeneration !== this.#generation) throw new StoreError('sealed-record-unreadable', keyId(name));
    const key = await openSealedKey(this.#wrapping, this.#place(name), sealed);
    this.#keys.set(keyId(name), key);
    return key;
  }

  /** A new key for the scope. It is on the ring only once `keep` is called: when it is stored. */
  make(name: KeyName): Promise<{ key: CryptoKey; sealed: SealedValue }> {
    return makeSealedKey(this.#wrapping, this.#place(name));
  }

  keep(name: KeyName, key: CryptoKey): void {
    this.#keys.set(keyId(name), key);
    this.#newest.set(name.scope, Math.max(name.number, this.newest(name.scope) ?? 0));
  }

  /** The key as it is to lie in the database under the next ring's root. @throws StoreError 'sealed-record-unreadable' */
  reseal(name: KeyName, sealed: SealedValue, next: KeyRing): Promise<SealedValue> {
    const from = { wrapping: this.#wrapping, place: this.#place(name) };
    return resealKey(from, { wrapping: next.#wrapping, place: next.#place(name) }, sealed);
  }

  /** Something that opens with this ring's root and factor alone, and says nothing. */
  makeCheck(): Promise<SealedValue> {
    return seal(this.#wrapping, this.#checkPlace(), new Uint8Array());
  }

  /** Whether this ring's root and factor are those of the check. */
  async passes(check: SealedValue): Promise<boolean> {
    return open(this.#wrapping, this.#checkPlace(), check).then(
      () => true,
      () => false,
    );
  }

  isMarked(name: KeyName): boolean {
    return this.#outdated.has(keyId(name));
  }

  mark(name: KeyName): void {
    this.#outdated.add(keyId(name));
  }

  /** No key has an empty name. */
  #checkPlace(): SealedPlace {
    return { database: this.#database, store: 'keys', path: '', rootGeneration: this.#generation };
  }

  #place(name: KeyName): SealedPlace {
    return { database: this.#database, store: 'keys', path: keyId(name), rootGeneration: this.#generation };
  }
}
