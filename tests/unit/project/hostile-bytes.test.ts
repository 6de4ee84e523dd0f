import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { isTitled, referencesOf } from '../../support/doc-references.ts';

/** docs/hostile-bytes.md says of each attack which test refuses it. */

const page = readFileSync(join(ROOT, 'docs/hostile-bytes.md'), 'utf8');
const sections = page.split(/^## /m).slice(1);
const rowsOf = (section: string): string[] => section.split('\n').filter((line) => /^\| (?!attack \||way in \|)/.test(line));

describe('the list of attacks', () => {
  test('names tests that exist', () => {
    const missing = referencesOf(page).filter(({ file, name }) => !isTitled(join('tests', file), name));
    expect(missing.map(({ file, name }) => `${file}: ${name}`)).toEqual([]);
  });

  test('has rows for members, siblings and the server, and in every row a test', () => {
    const titles = sections.map((section) => section.split('\n')[0]);
    expect(titles).toEqual([
      'Fuzzing',
      'A hostile member of a conversation',
      'A hostile sibling, and whom it talks to',
      'A hostile server',
    ]);
    for (const section of sections) expect(rowsOf(section).length).toBeGreaterThan(6);
    expect(sections.flatMap(rowsOf).filter((row) => referencesOf(row).length === 0)).toEqual([]);
  });
});
