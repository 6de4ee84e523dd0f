import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { importsOf, sourceFiles } from '../../support/source-imports.ts';

/** What the project says of itself: the packages it is built on, and where. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  vite: ['vite.config.ts'],
  svelte: ['src/ui/'],
  'ts-mls': ['src/mls/'],
  '@noble/ciphers': ['src/'],
  '@noble/hashes': ['src/'],
  idb: ['src/store/'],
  'workbox-window': ['src/ui/', 'src/bridge/'],
  '@playwright/test': ['tests/e2e/', 'playwright.config.ts'],
};

const TOP_LEVEL = [
  '.ci/run',
  'ARCHITECTURE.md',
  'CONTRIBUTING.md',
  'LICENSE',
  'README.md',
  'bench',
  'docs',
  'package.json',
  'public',
  'server',
  'src/virtual-client',
  'sw',
  'test-vectors',
  'tests',
];

interface Manifest {
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
  readonly engines: Readonly<Record<string, string>>;
  readonly scripts: Readonly<Record<string, string>>;
}

const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Manifest;
const all = { ...manifest.dependencies, ...manifest.devDependencies };

/** Source files of a place: of a folder all, or the one file. */
const filesAt = (place: string): string[] => (place.endsWith('/') ? sourceFiles(place) : [place]);
const belongsTo = (name: string) => (specifier: string) => specifier === name || specifier.startsWith(`${name}/`);

describe('the project is what it says', () => {
  test.each(Object.entries(PACKAGES))('it is built on %s', (name, places) => {
    expect(all).toHaveProperty([name]);
    const used = places
      .flatMap(filesAt)
      .flatMap(importsOf)
      .some(({ to }) => belongsTo(name)(to));
    expect(used, `${name} is imported in ${places.join(' or ')}`).toBe(true);
  });

  test.each(TOP_LEVEL)('%s is there and not empty', (entry) => {
    const path = join(ROOT, entry);
    expect(existsSync(path)).toBe(true);
    const content = entry.includes('.') || entry === 'LICENSE' || entry === '.ci/run' ? readFileSync(path, 'utf8') : readdirSync(path);
    expect(content.length).toBeGreaterThan(0);
  });

  test('every version is pinned', () => {
    expect(Object.entries(all).filter(([, version]) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual([]);
  });

  test('what runs is imported, and what is imported is named', () => {
    const running = ['src/', 'sw/', 'server/'].flatMap(sourceFiles).flatMap(importsOf);
    const imported = new Set(running.filter(({ to, isPackage }) => isPackage && !to.startsWith('node:')).map(({ to }) => packageOf(to)));
    expect(imported).toEqual(new Set(Object.keys(manifest.dependencies)));
  });

  test("the README's commands are scripts", () => {
    const readme = readFileSync(join(ROOT, 'README.md'), 'utf8');
    const named = [...readme.matchAll(/npm run (?:--silent )?([\w:-]+)/g)].map((match) => match[1] ?? '');
    expect([...named, 'start', 'test'].filter((script) => !(script in manifest.scripts))).toEqual([]);
  });
});

const packageOf = (specifier: string): string =>
  specifier
    .split('/')
    .slice(0, specifier.startsWith('@') ? 2 : 1)
    .join('/');
