import { createHash } from 'node:crypto';

/** A stream of random numbers that depends on nothing but its name. */
export class Dice {
  readonly #name: string;
  #block = Buffer.alloc(0);
  #blocks = 0;
  #used = 0;

  constructor(name: string) {
    this.#name = name;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    const bytes = new Uint8Array(length);
    for (let filled = 0; filled < length;) {
      if (this.#used === this.#block.length) this.#refill();
      const part = this.#block.subarray(this.#used, this.#used + length - filled);
      bytes.set(part, filled);
      filled += part.length;
      this.#used += part.length;
    }
    return bytes;
  }

  /** A whole number below `sides`; the bias of a division of 2^48 does not matter here. */
  roll(sides: number): number {
    const bytes = this.bytes(6);
    return Buffer.from(bytes.buffer).readUIntBE(0, 6) % sides;
  }

  chance(percent: number): boolean {
    return this.roll(100) < percent;
  }

  pick<Value>(values: readonly Value[]): Value {
    return values[this.roll(values.length)]!;
  }

  #refill(): void {
    this.#block = createHash('sha512').update(`${this.#name}\0${this.#blocks}`).digest();
    this.#blocks += 1;
    this.#used = 0;
  }
}
