/**
 * Bytes that must not be printed, cloned to another context or outlive their use.
 * `Kind` keeps an operation secret from being passed where a base secret is due.
 * The holder that takes a Secret out of the state wipes it once the state without it is stored.
 */
export class Secret<Kind extends string> {
  readonly kind: Kind;
  #bytes: Uint8Array | undefined;
  /** An own function makes structuredClone and postMessage refuse the object. */
  readonly notCloneable: () => void = () => {};

  private constructor(kind: Kind, bytes: Uint8Array) {
    this.kind = kind;
    this.#bytes = bytes;
  }

  /** Takes ownership: the caller keeps no other reference to `bytes`. */
  static of<Kind extends string>(kind: Kind, bytes: Uint8Array): Secret<Kind> {
    return new Secret(kind, bytes);
  }

  /** The bytes themselves, not a copy: do not keep them. @throws Error after `wipe`. */
  reveal(): Uint8Array {
    if (this.#bytes === undefined) throw new Error(`${this.kind} was wiped`);
    return this.#bytes;
  }

  get wiped(): boolean {
    return this.#bytes === undefined;
  }

  /** Overwrites the bytes with zeros and forgets them. */
  wipe(): void {
    this.#bytes?.fill(0);
    this.#bytes = undefined;
  }

  toString(): string {
    return `[secret ${this.kind}]`;
  }

  toJSON(): string {
    return this.toString();
  }
}

/** The result of an operation that uses something up: persist `next`, wipe `spent`, then use `value`. */
export interface Spending<Next, Value> {
  readonly next: Next;
  readonly value: Value;
  readonly spent: readonly Secret<string>[];
}
