import { createHash } from 'node:crypto';
import type { Actor } from './scheduler.ts';

/**
 * Every use of an AEAD in every process of the world. It outlives crashes, restarts and copies: what a
 * nonce was used for in a process that is dead counts as well.
 */
export class Ledger {
  readonly #report: (claim: string, detail: string) => void;
  /** Plaintext's hash by key and nonce. */
  readonly #uses = new Map<string, string>();
  /** Key of a ciphertext. */
  readonly #keys = new Map<string, string>();
  /** By device: ciphertext that left under a key. */
  readonly #left = new Map<string, Map<string, string>>();
  /** Ciphertexts that a device has sealed under a key that it had read with. */
  readonly #late = new Set<string>();
  /** The device of a runtime. */
  readonly #devices = new Map<Actor, string>();
  /** By runtime: keys that the step under way has opened with; they count once the step is stored. */
  readonly #opening = new Map<Actor, Set<string>>();
  /** By device: keys that a stored step has opened a message with. */
  readonly #consumed = new Map<string, Set<string>>();
  count = 0;

  constructor(report: (claim: string, detail: string) => void) {
    this.#report = report;
  }

  sealed(actor: Actor | undefined, key: Uint8Array, nonce: Uint8Array, plaintext: Uint8Array, ciphertext: Uint8Array): void {
    this.count += 1;
    const name = Buffer.from(key).toString('base64');
    const use = name + Buffer.from(nonce).toString('base64');
    const hash = createHash('sha256').update(plaintext).digest('base64');
    const before = this.#uses.get(use);
    if (before !== undefined && before !== hash) {
      this.#report('no (key, nonce) pair was ever used for two different plaintexts', `by ${actor?.name ?? 'nobody'}`);
    }
    this.#uses.set(use, hash);
    const message = nameOf(ciphertext);
    this.#keys.set(message, name);
    const device = actor && this.#devices.get(actor);
    if (device !== undefined && this.#consumed.get(device)?.has(name) === true) this.#late.add(message);
  }

  /** A record is sealed for the disk, under a key that nothing but the disk's records are sealed under. */
  storedUnder(key: Uint8Array, nonce: Uint8Array): void {
    this.count += 1;
    const use = Buffer.concat([key, nonce]).toString('latin1');
    if (this.#uses.has(use)) this.#report('no (key, nonce) pair was ever used for two different plaintexts', 'by the store');
    this.#uses.set(use, '');
  }

  opened(actor: Actor | undefined, key: Uint8Array): void {
    if (actor === undefined) return;
    const keys = this.#opening.get(actor) ?? new Set<string>();
    this.#opening.set(actor, keys.add(Buffer.from(key).toString('base64')));
  }

  /** A step of this runtime begins: what an abandoned one has opened was not consumed. */
  stepBegins(actor: Actor, device: string): void {
    this.#devices.set(actor, device);
    this.#opening.delete(actor);
  }

  /** It is stored: its keys are consumed on this device. */
  stepStored(actor: Actor, device: string): void {
    const consumed = this.#consumed.get(device) ?? new Set<string>();
    for (const key of this.#opening.get(actor) ?? []) consumed.add(key);
    this.#consumed.set(device, consumed);
    this.#opening.delete(actor);
  }

  /**
   * A message leaves a device. Where nothing is forged, `refusesNothing`: else a key may have opened what was then
   * refused, which leaves it unused.
   */
  left(device: string, ciphertext: Uint8Array, refusesNothing: boolean): void {
    const name = nameOf(ciphertext);
    const key = this.#keys.get(name);
    if (key === undefined) return;
    const left = this.#left.get(device) ?? new Map<string, string>();
    this.#left.set(device, left);
    const before = left.get(key);
    if (before === name) return;
    if (before !== undefined) this.#report('no spent generation is used again', `${device} has sent two messages under one key`);
    if (refusesNothing && this.#late.has(name)) {
      this.#report('no spent generation is used again', `${device} has sent under a key that it has read with`);
    }
    left.set(key, name);
  }
}

function nameOf(ciphertext: Uint8Array): string {
  return createHash('sha256').update(ciphertext).digest('base64');
}
