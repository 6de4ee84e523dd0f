import { fromBase64Url, toBase64Url, utf8 } from '../../src/bytes/index.ts';
import type { Dice } from './mutate.ts';
import { mutate } from './mutate.ts';

/** Values that JSON can have where another one is meant. */
const STRANGERS: readonly unknown[] = [
  null,
  true,
  0,
  1,
  -1,
  0.5,
  2 ** 32,
  Number.MAX_SAFE_INTEGER,
  2 ** 53,
  1e308,
  '',
  'AA',
  'x'.repeat(5000),
  '\u0000\ud800',
  '__proto__',
  [],
  [[]],
  {},
  { __proto__: 1, constructor: null },
];

type Place = readonly [Record<string, unknown>, string];

/** Changes to a valid JSON text, mostly such that it has the same form as before: in its bytes, its structure, or the bytes that stand in its strings. */
export function mutateJson(sample: Uint8Array, dice: Dice, others: readonly Uint8Array[]): Uint8Array {
  const how = dice.below(10);
  if (how === 0) return mutate([sample], dice);
  let root: unknown = parsed(sample);
  for (let left = 1 + dice.below(2); left > 0; left--) root = how < 3 ? distort(root, dice, others) : alter(root, dice, others);
  return utf8(JSON.stringify(root) ?? '');
}

/** IDs, keys, hashes and signatures have a length of their own. */
const MOST_FIXED = 64;

/** Another value of the same kind in one place, or the value that stands there in another text. */
function alter(root: unknown, dice: Dice, others: readonly Uint8Array[]): unknown {
  const places = placesOf(root).filter(([parent, key]) => !(parent[key] instanceof Object));
  if (places.length === 0) return root;
  const [parent, key] = dice.of(places);
  const value = parent[key];
  const there = placesOf(parsed(dice.of(others))).filter((place) => place[1] === key && place[0][key] !== null);
  if (there.length > 0 && dice.below(value === null ? 1 : 4) === 0) {
    const [from] = dice.of(there);
    parent[key] = from[key];
  } else if (typeof value === 'number') parent[key] = dice.of([value + 1, Math.max(0, value - 1), value + 2, 0, Number.MAX_SAFE_INTEGER]);
  else if (typeof value === 'boolean') parent[key] = !value;
  else if (typeof value === 'string') parent[key] = otherBytes(value, dice);
  return root;
}

function otherBytes(text: string, dice: Dice): string {
  try {
    const bytes = fromBase64Url(text);
    if (bytes.length > MOST_FIXED || bytes.length === 0) return toBase64Url(mutate([bytes], dice));
    bytes[dice.below(bytes.length)]! ^= 1 << dice.below(8);
    return toBase64Url(bytes);
  } catch {
    return new TextDecoder().decode(mutate([utf8(text)], dice));
  }
}

const parsed = (text: Uint8Array): unknown => JSON.parse(new TextDecoder().decode(text));

function distort(root: unknown, dice: Dice, others: readonly Uint8Array[]): unknown {
  const places = placesOf(root);
  if (places.length === 0 || dice.below(40) === 0) return dice.of(STRANGERS);
  const [at, key] = dice.of(places);
  const value = at[key];
  switch (dice.below(8)) {
    case 0:
      at[key] = structuredClone(dice.of(STRANGERS));
      break;
    case 1:
      delete at[key];
      break;
    case 2:
      at[dice.of(['extra', '__proto__', 'toString', '0'])] = value;
      break;
    case 3:
      if (Array.isArray(value)) at[key] = Array.from({ length: dice.of([2, 33, 300]) }, () => value[0] as unknown);
      else at[key] = [value];
      break;
    case 4: {
      const there = placesOf(parsed(dice.of(others)));
      if (there.length > 0) {
        const [from, name] = dice.of(there);
        at[key] = from[name];
      }
      break;
    }
    default:
      at[key] = typeof value === 'string' ? new TextDecoder().decode(mutate([utf8(value)], dice)) : [value];
  }
  return root;
}

/** Every value within a list or an object, by its place. */
function placesOf(value: unknown): Place[] {
  if (typeof value !== 'object' || value === null) return [];
  const at = value as Record<string, unknown>;
  return Object.keys(at).flatMap((key): Place[] => [[at, key], ...placesOf(at[key])]);
}
