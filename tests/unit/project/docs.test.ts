import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';

const documents = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], { cwd: ROOT, encoding: 'utf8' })
  .split('\n')
  .filter((name) => name !== '' && existsSync(join(ROOT, name)));

/** Targets of links and images within the project, and of `<img src>`. */
function relativeTargets(markdown: string): string[] {
  const prose = markdown.replace(/^```.*?^```/gms, '').replace(/`[^`\n]*`/g, '');
  const targets = [...prose.matchAll(/\]\(([^)\s]+)\)|<img[^>]*\ssrc="([^"]+)"|^\[[^\]]+\]:\s+(\S+)/gm)].map(
    (match) => match[1] ?? match[2] ?? match[3] ?? '',
  );
  return targets.filter((target) => !/^[a-z]+:|^#/.test(target));
}

test('there are documents', () => {
  expect(documents).toEqual(expect.arrayContaining(['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md']));
});

test.each(documents)('every relative link in %s leads to a file', (document) => {
  const targets = relativeTargets(readFileSync(join(ROOT, document), 'utf8'));
  const missing = targets.filter((target) => !existsSync(join(ROOT, dirname(document), decodeURIComponent(target.replace(/#.*$/, '')))));
  expect(missing).toEqual([]);
});

test('the README begins with the two commands', () => {
  const commands = [...readFileSync(join(ROOT, 'README.md'), 'utf8').matchAll(/^npm ci && npm (start|test)/gm)].map((match) => match[1]);
  expect(commands.slice(0, 2)).toEqual(['start', 'test']);
});
