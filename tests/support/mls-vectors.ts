import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fromHex } from '../../src/bytes/index.ts';

/** The MLS working group's vectors are no part of this repository; MLS_TEST_VECTORS names their folder. */
const FOLDER = process.env['MLS_TEST_VECTORS'] ?? '/work/shared/mls-test-vectors';

export const vectorsPresent = existsSync(FOLDER);

if (!vectorsPresent) {
  console.warn(`The MLS working group's test vectors are not in ${FOLDER}: set MLS_TEST_VECTORS to their folder. Their tests are skipped.`);
}

/** One JSON object of a vector file; its getters refuse a missing or differently typed field. */
export class Vector {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly name: string;

  constructor(value: unknown, name: string) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) throw new TypeError(`${name} is no object`);
    this.#fields = { ...value };
    this.name = name;
  }

  has(field: string): boolean {
    return this.#fields[field] !== undefined && this.#fields[field] !== null;
  }

  bytes(field: string): Uint8Array {
    return fromHex(this.text(field));
  }

  text(field: string): string {
    const value = this.#fields[field];
    if (typeof value !== 'string') throw new TypeError(`${this.name}.${field} is no text`);
    return value;
  }

  number(field: string): number {
    const value = this.#fields[field];
    if (typeof value !== 'number') throw new TypeError(`${this.name}.${field} is no number`);
    return value;
  }

  vector(field: string): Vector {
    return new Vector(this.#fields[field], `${this.name}.${field}`);
  }

  vectors(field: string): Vector[] {
    return this.list(field).map((value, i) => new Vector(value, `${this.name}.${field}[${i}]`));
  }

  /** The objects in one of the lists that make up `field`. */
  nested(field: string, index: number): Vector[] {
    const inner = this.list(field)[index];
    if (!Array.isArray(inner)) throw new TypeError(`${this.name}.${field}[${index}] is no list`);
    return inner.map((value, i) => new Vector(value, `${this.name}.${field}[${index}][${i}]`));
  }

  list(field: string): readonly unknown[] {
    const value = this.#fields[field];
    if (!Array.isArray(value)) throw new TypeError(`${this.name}.${field} is no list`);
    return value;
  }
}

/** The vectors of one file, such as "crypto-basics"; empty when the folder is absent. */
export function loadVectors(file: string): Vector[] {
  if (!vectorsPresent) return [];
  const parsed: unknown = JSON.parse(readFileSync(join(FOLDER, `${file}.json`), 'utf8'));
  if (!Array.isArray(parsed)) throw new TypeError(`${file}.json is no list`);
  return parsed.map((value, i) => new Vector(value, `${file}[${i}]`));
}

/** Those of a ciphersuite that Chorus has. */
export function loadSuiteVectors(file: string, suite: 1 | 3): Vector[] {
  return loadVectors(file).filter((vector) => vector.number('cipher_suite') === suite);
}
