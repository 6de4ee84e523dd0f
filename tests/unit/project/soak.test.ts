import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { SOAK_PARTS } from '../../../scripts/soak-parts.ts';
import { playSteps, run } from '../../../scripts/steps.ts';

/** The simulation is a part of its own, without the runner of the tests. */
const PLAYED_OTHERWISE = 'tests/unit/simulation/schedules.test.ts';

describe('npm run soak', () => {
  test('plays every test that has long rounds', () => {
    const files = readdirSync(join(ROOT, 'tests'), { recursive: true, encoding: 'utf8' }).map((file) => `tests/${file}`);
    const tests = files.filter((file) => /\.(test|spec)\.ts$/.test(file));
    const long = tests.filter((path) => /from '[./]+\/support\/rounds\.ts'/.test(readFileSync(join(ROOT, path), 'utf8')));
    expect(long.length).toBeGreaterThan(10);
    const paths = SOAK_PARTS.flatMap((part) => part.paths);
    expect(long.filter((file) => file !== PLAYED_OTHERWISE && !paths.some((path) => file.startsWith(path)))).toEqual([]);
    expect(paths.filter((path) => !existsSync(join(ROOT, path)))).toEqual([]);
  });

  test('goes on when a part has failed, and says of each how it went', async () => {
    const said: unknown[] = [];
    const node = (script: string) => () => run(process.execPath, ['-e', script]);
    const played = await playSteps(
      [
        { name: 'one that fails', action: node('process.exit(3)') },
        { name: 'one that is killed', action: node("process.kill(process.pid, 'SIGKILL')") },
        { name: 'one that passes', action: node('') },
      ],
      (text) => said.push(text),
    );
    expect(played.map(({ name, failed }) => [name, failed])).toEqual([
      ['one that fails', true],
      ['one that is killed', true],
      ['one that passes', false],
    ]);
    const last = said.slice(-3).map((line) => String(line).replace(/\d+ s$/, 'N s'));
    expect(last).toEqual(['one that fails: failed, N s', 'one that is killed: failed, N s', 'one that passes: passed, N s']);
    expect(said.join('\n')).toContain('ended with 3');
    expect(said.join('\n')).toContain('ended with SIGKILL');
  });
});
