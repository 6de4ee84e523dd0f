import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { isTitled, referencesOf } from '../../support/doc-references.ts';

/** docs/conformance.md is what it says it is: what it names exists, and it names all that the draft asks for. */

const TESTS = 'tests/unit';
const KEYWORDS = ['MUST', 'SHOULD', 'MAY'] as const;
const KINDS = [...KEYWORDS, 'struct', 'enum', 'formula', 'text', 'TODO', 'scenario'];

interface Row {
  readonly section: string;
  readonly kind: string;
  readonly what: string;
  readonly doneBy: string;
  readonly shownBy: string;
}

const page = readFileSync(join(ROOT, 'docs/conformance.md'), 'utf8');
const rows = rowsOf(page);

/** Sections of the draft that have a row of a keyword, and how many; kept here because a clone has no copy of the draft. */
const KEYWORDS_BY_SECTION: Readonly<Record<string, readonly string[]>> = {
  '5.2': ['MUST'],
  '5.3': ['MUST', 'MUST'],
  '5.5.1': ['MUST', 'MUST'],
  '5.5.2': ['MUST', 'MUST', 'MUST'],
  '5.6': ['MUST'],
  '5.9': ['SHOULD', 'MAY'],
};

const SECTIONS = '1 2 3 3.1 3.2 4 4.1 4.2 4.3 5 5.1 5.2 5.3 5.4 5.5 5.5.1 5.5.2 5.6 5.7 5.8 5.9 6 7 8 8.1 8.2 9 10 10.1 10.2'.split(' ');

const STRUCTS: Readonly<Record<string, readonly string[]>> = {
  '4.2': ['ResyncMessage'],
  '5.2': ['HashInput'],
  '5.3': ['DerivationInfoComponent', 'EpochInfoTBE'],
  '5.5': ['ActionType', 'VirtualClientAction'],
  '5.5.1': ['KeyPackageInfo', 'KeyPackageUpload'],
  '5.5.2': ['ExternalJoin'],
  '5.9': ['RatchetType', 'PrivateMessageContext'],
};

const FORMULAS: Readonly<Record<string, readonly string[]>> = {
  '5.2': [
    'emulator_epoch_secret',
    'epoch_id',
    'epoch_base_secret',
    'epoch_encryption_key',
    'generation_id_secret',
    'VirtualClientSecret',
    'pprf_input',
    'operation_secret',
    'signature_key_secret',
    'encryption_key_secret',
    'init_key_secret',
    'path_generation_secret',
  ],
  '5.7': ['output', 'input'],
  '5.8': ['prp_key', 'reuse_guard'],
  '5.9': ['generation_id'],
};

/** What is not built, by the word that begins its reason; a feature that is merged leaves this list. */
const NOT_YET: readonly string[] = [];

function rowsOf(markdown: string): Row[] {
  const found: Row[] = [];
  let section = '';
  for (const line of markdown.split('\n')) {
    section = /^## ([\d.]+(?=\. )|Scenarios)/.exec(line)?.[1] ?? section;
    const [, kind, what, doneBy, shownBy, ...rest] = line.split('|').map((cell) => cell.trim());
    if (kind === undefined || what === undefined || doneBy === undefined || shownBy === undefined) continue;
    if (kind === 'kind' || /^-+$/.test(kind)) continue;
    if (rest.length !== 1) throw new Error(`not a row of four cells: ${line}`);
    found.push({ section, kind, what, doneBy, shownBy });
  }
  return found;
}

const isExcused = ({ doneBy }: Row): boolean => /^(does not apply|not yet): \S/.test(doneBy);
const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
const show = ({ section, kind, what }: Row): string => `${section} ${kind} ${what}`;

function read(path: string): string {
  return existsSync(join(ROOT, path)) ? readFileSync(join(ROOT, path), 'utf8') : '';
}

/** A declaration, or a member of an object or a class. */
function isDeclared(file: string, name: string): boolean {
  const declared = new RegExp(
    `\\b(?:function\\*?|const|class|interface|type) ${escaped(name)}\\b|^  (?:async )?${escaped(name)}(?:\\(|: )`,
    'm',
  );
  return declared.test(read(file));
}

function namesIn(section: string, kinds: readonly string[]): string[] {
  const own = rows.filter((row) => row.section === section && kinds.includes(row.kind));
  return own.map(({ what }) => /^`(\w+)`/.exec(what)?.[1] ?? '');
}

describe('the table of conformance', () => {
  test('names functions that exist', () => {
    const references = rows.flatMap(({ doneBy }) => referencesOf(doneBy));
    expect(references.length).toBeGreaterThan(80);
    expect(references.filter(({ file, name }) => !isDeclared(file, name)).map(({ file, name }) => `${file}: ${name}`)).toEqual([]);
  });

  test('names tests that exist', () => {
    const references = rows.flatMap(({ shownBy }) => referencesOf(shownBy));
    expect(references.length).toBeGreaterThan(80);
    expect(references.filter(({ file, name }) => !isTitled(join(TESTS, file), name)).map(({ file, name }) => `${file}: ${name}`)).toEqual(
      [],
    );
  });

  test('has in every row a function and a test, or a reason for neither', () => {
    const lacking = rows.filter((row) =>
      isExcused(row)
        ? row.shownBy !== ''
        : referencesOf(row.shownBy).length === 0 || (row.kind !== 'scenario' && referencesOf(row.doneBy).length === 0),
    );
    expect(lacking.map(show)).toEqual([]);
    expect(rows.filter(({ kind }) => !KINDS.includes(kind)).map(show)).toEqual([]);
  });

  test('says of what is not built that it is not', () => {
    const open = rows.filter(({ doneBy }) => doneBy.startsWith('not yet: '));
    expect(open.map(({ section, doneBy }) => `${section} ${/^not yet: (\w+)/.exec(doneBy)![1]!}`)).toEqual(NOT_YET);
    // A rule of the draft is kept or does not apply; only prose may wait.
    expect(open.filter(({ kind }) => kind !== 'text').map(show)).toEqual([]);
  });

  test('has every section, keyword, struct and formula of the draft', () => {
    expect([...new Set(rows.map(({ section }) => section))]).toEqual([...SECTIONS, 'Scenarios']);
    for (const section of SECTIONS) {
      const keywords = rows.filter((row) => row.section === section && KEYWORDS.some((word) => word === row.kind));
      expect([section, ...keywords.map(({ kind }) => kind)]).toEqual([section, ...(KEYWORDS_BY_SECTION[section] ?? [])]);
      expect(namesIn(section, ['struct', 'enum'])).toEqual(expect.arrayContaining([...(STRUCTS[section] ?? [])]));
      expect(namesIn(section, ['formula'])).toEqual(FORMULAS[section] ?? []);
    }
  });

  test('finds a name, a title and a row that are not there', () => {
    expect(isDeclared('src/virtual-client/pprf.ts', 'evaluateTwice')).toBe(false);
    expect(isTitled(join(TESTS, 'virtual-client/pprf.test.ts'), 'the puncturable')).toBe(false);
    expect(() => rowsOf('## 1. x\n| MUST | a | b | c | d |')).toThrow('not a row');
  });
});

const draft = join(ROOT, '../shared/spec/draft-ietf-mls-virtual-clients-00.txt');

describe.skipIf(!existsSync(draft))('the lists of this test', () => {
  const sections = existsSync(draft) ? sectionsOf(readFileSync(draft, 'utf8')) : new Map<string, string>();

  test('have the sections of the draft', () => {
    expect([...sections.keys()]).toEqual(SECTIONS);
  });

  test('have every keyword, struct and formula of the draft', () => {
    for (const [section, text] of sections) {
      const keywords = [...text.matchAll(/\b(?:MUST|SHOULD|MAY|SHALL|REQUIRED|RECOMMENDED|OPTIONAL)\b/g)].map(([word]) => word);
      expect([section, ...keywords]).toEqual([section, ...(KEYWORDS_BY_SECTION[section] ?? [])]);
      const structs = [...text.matchAll(/^\} (\w+);?$|^enum \{[^}]*\} (\w+)/gm)].map(([, struct, enumeration]) => struct ?? enumeration);
      expect([section, ...structs]).toEqual([section, ...(STRUCTS[section] ?? [])]);
      const formulas = [...text.matchAll(/^(\w+)(?:\(\w+\))? =(?: |$)/gm)].map(([, name]) => name);
      expect([section, ...formulas]).toEqual([section, ...(FORMULAS[section] ?? [])]);
    }
  });
});

/** The draft's numbered sections up to its references, each with the text up to the next heading. */
function sectionsOf(text: string): Map<string, string> {
  const parts = text.split(/^(\d+(?:\.\d+)*)\. (?=[A-Z])/m);
  const found = new Map<string, string>();
  for (let i = 1; i < parts.length; i += 2) {
    const number = parts[i]!;
    if (number === '11') break;
    found.set(number, parts[i + 1]!);
  }
  return found;
}
