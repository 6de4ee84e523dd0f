import { createCipheriv, createHash, type Cipher } from 'node:crypto';

/**
 * All chance of a fuzzing run comes from one number, new in each run: the scene, its keys, and what is changed in which case.
 * With the number of a case besides, that case alone is played (or all up to it, where one builds on the other).
 */
export const SEED = numberFrom('CHORUS_SEED') ?? Date.now() % 1_000_000_000;
export const ONLY_CASE = numberFrom('CHORUS_CASE');

function numberFrom(variable: string): number | undefined {
  const text = process.env[variable];
  return text === undefined ? undefined : Number(text);
}

const NO_IV = new Uint8Array(16);

let drawing: { readonly name: string; stream: Cipher | undefined };

/** From here on what the platform gives as random comes from the seed and `name`: the same again in the same order. */
export function drawFor(name: string): void {
  drawing = { name: `${SEED}/${name}`, stream: undefined };
  crypto.getRandomValues = draw;
}

function draw<Filled extends ArrayBufferView | null>(array: Filled): Filled {
  if (array === null) return array;
  const key = (): Buffer => createHash('sha256').update(drawing.name).digest();
  drawing.stream ??= createCipheriv('aes-256-ctr', key(), NO_IV);
  const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
  bytes.set(drawing.stream.update(new Uint8Array(bytes.length)));
  return array;
}
