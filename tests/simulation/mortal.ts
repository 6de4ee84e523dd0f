import type { Dice } from './dice.ts';
import type { Actor } from './scheduler.ts';

/** An actor that can die at any of its waits. */
export class Mortal implements Actor {
  readonly name: string;
  /** Of the browser profile that it runs in. */
  indexedDB: IDBFactory | undefined;
  readonly #dice: Dice;
  readonly #onDeath: () => void;
  #alive = true;
  #pointsLeft = Infinity;
  #onCrash: () => void = () => {};

  constructor(name: string, dice: Dice, onDeath: () => void) {
    this.name = name;
    this.#dice = dice;
    this.#onDeath = onDeath;
  }

  get alive(): boolean {
    return this.#alive;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return this.#dice.bytes(length);
  }

  /** It dies at the wait that comes after `points` others, unless it dies before; `onCrash` is called when it does. */
  dieAfter(points: number, onCrash: () => void): void {
    if (points >= this.#pointsLeft) return;
    this.#pointsLeft = points;
    this.#onCrash = onCrash;
  }

  die(): void {
    if (!this.#alive) return;
    this.#alive = false;
    this.#onDeath();
  }

  point(): Promise<void> {
    if (this.#alive && this.#pointsLeft <= 0) {
      this.#onCrash();
      this.die();
    }
    this.#pointsLeft -= 1;
    return this.#alive ? Promise.resolve() : new Promise(() => {});
  }
}
