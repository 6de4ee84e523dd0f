import { StoreError } from './errors.ts';
import { makeSealedKey, openSealedKey, type SealedPlace, type SealedValue } from './sealing.ts';

/** A scope's key by the root's generation in which it was made. */
export interface KeyName {
  readonly scope: string;
  readonly born: number;
}

/** Text of a key's name; `@` is in no path. */
export function keyId(name: KeyName): string {
  return `${name.scope}@${name.born}`;
}

/**
 * Opened keys of scopes, kept in memory while the database is open: two for each conversation and a
 * handful besides. A key never changes under its name and goes only with the whole database, or when a
 * sweep has moved its scope to a new one: so a remembered key is a good one.
 */
export class KeyRing {
  readonly #database: string;
  readonly #generation: number;
  readonly #wrapping: CryptoKey;
  readonly #keys = new Map<string, CryptoKey>();

  constructor(database: string, generation: number, wrapping: CryptoKey) {
    this.#database = database;
    this.#generation = generation;
    this.#wrapping = wrapping;
  }

  /** Generation in which new keys are made. */
  get generation(): number {
    return this.#generation;
  }

  get(name: KeyName): CryptoKey | undefined {
    return this.#keys.get(keyId(name));
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
  }

  #place(name: KeyName): SealedPlace {
    return { database: this.#database, store: 'keys', path: keyId(name), rootGeneration: this.#generation };
  }
}
