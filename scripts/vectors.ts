import { parseArgs } from 'node:util';
import { generateVectors } from './vectors/generate.ts';

/** `npm run --silent vectors -- --seed N --count K`: a JSON array of K test vectors on standard output. */
const MAX_COUNT = 5_000; // 67 kB each: an array that still is one string

function number(name: string, text: string | undefined): bigint {
  if (text === undefined || !/^\d{1,19}$/.test(text)) throw new RangeError(`--${name} takes a whole number from 0`);
  return BigInt(text);
}

try {
  const { values } = parseArgs({ options: { seed: { type: 'string' }, count: { type: 'string' } } });
  const count = number('count', values.count);
  if (count > MAX_COUNT) throw new RangeError(`--count is at most ${MAX_COUNT}`);
  process.stdout.write(`${JSON.stringify(await generateVectors(number('seed', values.seed), Number(count)), null, 2)}\n`);
} catch (error) {
  process.stderr.write(
    `vectors: ${error instanceof Error ? error.message : 'failed'}\nusage: npm run --silent vectors -- --seed N --count K\n`,
  );
  process.exitCode = 2;
}
