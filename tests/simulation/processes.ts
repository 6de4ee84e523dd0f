import { spawn } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import type { Faults } from './faults.ts';

/** Simulations in processes of their own: virtual time needs the globals of a whole process, and a build is broken for one. */

const SCRIPT = fileURLToPath(new URL('../../scripts/simulate.ts', import.meta.url));

/** For what lives shortly, MB: a tenth faster. */
const MORE_ROOM = '--max-semi-space-size=128';

/** The last line of `npm run simulate -- --figures`. */
export interface Figures {
  readonly schedules: number;
  readonly events: number;
  /** That took effect. */
  readonly faults: Faults;
  readonly checks: number;
  readonly sealed: number;
  readonly texts: number;
  readonly sweeps: number;
  /** Virtual. */
  readonly hours: number;
  /** Real. */
  readonly seconds: number;
  readonly failed: number | null;
}

export interface Ran {
  readonly figures: Figures;
  /** Everything that was said. */
  readonly output: string;
  /** Of a schedule that failed, in few words: what is broken, and how to see it again. The message of the test's failure. */
  readonly failure: string | undefined;
}

/**
 * A process that plays `schedules` schedules from each seed on. Its start costs as much as two of them, and it gets
 * faster with the first few. @throws Error when the process ends without figures
 */
export function simulate(seeds: number | readonly number[], schedules: number, ...more: readonly string[]): Promise<Ran> {
  return run('--seed', String(seeds), '--schedules', `${schedules}`, ...more);
}

/** The same for schedules that are there already, each as JSON. */
export function playAgain(schedules: readonly string[], ...more: readonly string[]): Promise<Ran> {
  return run(...schedules.flatMap((schedule) => ['--schedule', schedule]), ...more);
}

function run(...options: readonly string[]): Promise<Ran> {
  const given = [MORE_ROOM, '--import', 'tsx', SCRIPT, '--figures', ...options];
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, given, { stdio: ['ignore', 'pipe', 'pipe'] });
    let output = '';
    for (const stream of [child.stdout, child.stderr]) stream.on('data', (part: Buffer) => (output += part.toString()));
    child.on('error', reject);
    child.on('exit', () => {
      const last = output
        .trimEnd()
        .split('\n')
        .findLast((line) => line.startsWith('{"schedules"'));
      if (last === undefined) reject(new Error(output));
      else resolve({ figures: JSON.parse(last) as Figures, output, failure: failureIn(output) });
    });
  });
}

/** `output` is what scripts/simulate.ts says. */
function failureIn(output: string): string | undefined {
  const said = output.split('\n').filter((line) => /^(seed \d+: |again: )/.test(line));
  return said.length > 0 ? said.join('\n') : undefined;
}

/** Runs `task` on each value, as many at once as the machine has processors. */
export async function inParallel<Value>(values: readonly Value[], task: (value: Value) => Promise<void>): Promise<void> {
  const waiting = [...values];
  const worker = async (): Promise<void> => {
    for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) await task(next);
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
}
