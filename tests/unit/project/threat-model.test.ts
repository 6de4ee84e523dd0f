import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { referencesOf, wrongReferencesOf } from '../../support/doc-references.ts';

/** docs/threat-model.md says of each row which test shows it, or that it does not hold. */

interface Row {
  readonly what: string;
  readonly holds: string;
  readonly shownBy: string;
}

const page = readFileSync(join(ROOT, 'docs/threat-model.md'), 'utf8');

const rows = page.split('\n').flatMap((line): Row[] => {
  const [, what, holds, shownBy, ...rest] = line.split('|').map((cell) => cell.trim());
  if (what === undefined || holds === undefined || shownBy === undefined || /^-+$/.test(what)) return [];
  if (rest.length !== 1) throw new Error(`not a row of three cells: ${line}`);
  return holds === 'what holds' ? [] : [{ what, holds, shownBy }];
});

describe('the threat model', () => {
  test('has rows', () => {
    expect(rows.length).toBeGreaterThan(30);
  });

  test('names tests that exist, and links to them', () => {
    expect(wrongReferencesOf(page)).toEqual([]);
  });

  test('has in every row a test, or says that it does not hold', () => {
    const unsaid = rows.filter(({ holds, shownBy }) => referencesOf(shownBy).length > 0 === holds.startsWith('**does not hold'));
    expect(unsaid.map(({ what }) => what)).toEqual([]);
  });
});
