import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { referencesOf, wrongReferencesOf } from '../../support/doc-references.ts';

/** docs/hostile-bytes.md says of each attack which test refuses it. */

const page = readFileSync(join(ROOT, 'docs/hostile-bytes.md'), 'utf8');
const sections = page.split(/^## /m).slice(1);
const rowsOf = (section: string): string[] => section.split('\n').filter((line) => /^\| (?!attack \||way in \|)/.test(line));

describe('the list of attacks', () => {
  test('names tests that exist, and links to them', () => {
    expect(wrongReferencesOf(page)).toEqual([]);
  });

  test('is read: a test that is not there, a link to another file or none are found', () => {
    const title = 'in a link request';
    const wrong = [
      `[\`unit/fuzz/found.test.ts: no such title\`](../tests/unit/fuzz/found.test.ts)`,
      `[\`unit/fuzz/found.test.ts: ${title}\`](../tests/unit/fuzz/entries.test.ts)`,
      `\`unit/fuzz/found.test.ts: ${title}\``,
    ];
    expect(
      wrongReferencesOf(`| all | ${wrong.join(', ')}, [\`unit/fuzz/found.test.ts: ${title}\`](../tests/unit/fuzz/found.test.ts) |`),
    ).toHaveLength(3);
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
