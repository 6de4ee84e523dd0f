import { spawn } from 'node:child_process';
import { ROOT } from './build/layout.ts';

export interface Step {
  readonly name: string;
  readonly action: () => unknown;
}

export interface Played {
  readonly name: string;
  readonly seconds: number;
  readonly failed: boolean;
}

/** Plays one step, which says its name, what was wrong with it and how long it took. A failure is told, and not thrown. */
export async function playStep({ name, action }: Step, say: (text: unknown) => void = console.log): Promise<Played> {
  const started = Date.now();
  let failed = false;
  say(`\n== ${name}`);
  try {
    await action();
  } catch (error) {
    failed = true;
    say(error instanceof Error ? error.message : error);
  }
  const seconds = (Date.now() - started) / 1000;
  say(`== ${name}: ${failed ? 'failed after ' : ''}${seconds.toFixed(1)} s`);
  return { name, seconds, failed };
}

/** Plays all steps, one after the other, so that one run tells all that is wrong; at the end says of each how it went. */
export async function playSteps(steps: readonly Step[], say: (text: unknown) => void = console.log): Promise<readonly Played[]> {
  const played: Played[] = [];
  for (const step of steps) played.push(await playStep(step, say));
  say('');
  for (const { name, seconds, failed } of played) say(`${name}: ${failed ? 'failed' : 'passed'}, ${Math.round(seconds)} s`);
  return played;
}

/** Runs a command in the project's folder. @throws Error when it does not end with 0 */
export function run(command: string, args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<void> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 'inherit', 'inherit'], env: { ...process.env, ...environment } });
    child.on('error', reject);
    child.on('exit', (code, signal) =>
      code === 0 ? resolve() : reject(new Error(`${command} ended with ${code ?? signal ?? 'an error'}`)),
    );
  });
}
