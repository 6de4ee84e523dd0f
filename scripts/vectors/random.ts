import { sha256 } from '@noble/hashes/sha2.js';
import { toHex, utf8 } from '../../src/bytes/index.ts';
import { encode } from '../../src/wire/index.ts';

/**
 * Repeatable random bytes for the vectors, from SHA-256 over seed and counter. `distinct` values are
 * not repeated within one generator, so no two vectors of an array share an input.
 */
export class VectorRandom {
  readonly #seed: Uint8Array;
  readonly #given = new Set<string>();
  #counter = 0n;

  /** Another `purpose` gives another stream: what one draws leaves the other as it was. */
  constructor(seed: bigint, purpose = 'Chorus test vectors') {
    this.#seed = encode((w) => w.opaque(utf8(purpose)).uint64(seed));
  }

  readonly bytes = (length: number): Uint8Array => {
    const out = new Uint8Array(length);
    for (let offset = 0; offset < length; offset += 32) {
      const block = sha256(encode((w) => w.bytes(this.#seed).uint64(this.#counter++)));
      out.set(block.subarray(0, Math.min(32, length - offset)), offset);
    }
    return out;
  };

  /** Uniform below a power of two up to 2^32. */
  below(powerOfTwo: number): number {
    return new DataView(this.bytes(4).buffer).getUint32(0) % powerOfTwo;
  }

  /** The first value of `draw` that this generator has not given for `purpose`. */
  distinct<Value extends number | Uint8Array>(purpose: string, draw: () => Value): Value {
    for (;;) {
      const value = draw();
      const name = `${purpose} ${typeof value === 'number' ? value : toHex(value)}`;
      if (this.#given.has(name)) continue;
      this.#given.add(name);
      return value;
    }
  }
}
