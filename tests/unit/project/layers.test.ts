import { describe, expect, test } from 'vitest';
import { importCycles, importsOf, sourceFiles, type SourceImport } from '../../support/source-imports.ts';

/**
 * What each part may import beside itself: a folder (ending in a slash) with all that is in it, or one file.
 * Imports run one way: bytes <- wire <- virtual-client <- mls <- engine, and the rest around it sees only faces.
 */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  'src/bytes/': [],
  'src/wire/': ['src/bytes/'],
  'src/virtual-client/': ['src/bytes/', 'src/wire/'],
  'src/mls/': ['src/bytes/', 'src/wire/', 'src/virtual-client/'],
  'src/engine/': ['src/bytes/', 'src/wire/', 'src/virtual-client/', 'src/mls/'],
  'src/store/': ['src/bytes/', 'src/wire/', 'src/engine/ports.ts'],
  'src/delivery/': ['src/bytes/', 'src/wire/', 'src/engine/ports.ts'],
  'src/bridge/': ['src/bytes/', 'src/engine/view.ts', 'src/engine/command.ts', 'src/delivery/event-stream.ts'],
  'src/ui/': ['src/bridge/'],
  'sw/': ['src/bytes/', 'src/wire/', 'src/virtual-client/', 'src/mls/', 'src/engine/', 'src/store/', 'src/delivery/', 'src/bridge/'],
  // The server knows ciphertext: frames, headers, and what it signs and verifies for an account.
  'server/': [
    'src/bytes/',
    'src/wire/',
    'src/delivery/',
    'src/engine/ports.ts',
    'src/virtual-client/account-binding.ts',
    'src/virtual-client/account-proof.ts',
    'src/virtual-client/removal-statement.ts',
    'src/virtual-client/sequence-mark.ts',
    'src/virtual-client/revisions/draft-00.ts',
  ],
};

const files = Object.keys(MAY_IMPORT).flatMap(sourceFiles);
const imports = files.flatMap(importsOf);
const show = ({ from, to }: SourceImport): string => `${from} -> ${to}`;

describe('imports run one way', () => {
  test.each(Object.entries(MAY_IMPORT))('%s imports nothing beyond what it may see', (part, allowed) => {
    const own = imports.filter(({ from, isPackage }) => from.startsWith(part) && !isPackage);
    const seen = (to: string): boolean => [part, ...allowed].some((place) => (place.endsWith('/') ? to.startsWith(place) : to === place));
    expect(own.filter(({ to }) => !seen(to)).map(show)).toEqual([]);
  });

  test('every part has source files, so that the rules are about something', () => {
    expect(Object.keys(MAY_IMPORT).filter((part) => sourceFiles(part).length === 0)).toEqual([]);
  });

  test('no file imports itself through others', () => {
    expect(importCycles(imports.filter(({ typeOnly }) => !typeOnly))).toEqual([]);
  });

  test('a ring of imports is found where there is one', () => {
    const edge = (from: string, to: string): SourceImport => ({ from, to, isPackage: false, typeOnly: false });
    expect(importCycles([edge('a', 'b'), edge('b', 'c'), edge('c', 'b')])).toEqual([['b', 'c', 'b']]);
  });
});

describe('ts-mls stays behind src/mls', () => {
  const ofTsMls = imports.filter(({ to }) => to === 'ts-mls' || to.startsWith('ts-mls/'));

  test('nothing outside src/mls imports it', () => {
    expect(ofTsMls.filter(({ from }) => !from.startsWith('src/mls/')).map(show)).toEqual([]);
  });

  test('its inner modules are imported in src/mls/ts-mls.ts alone', () => {
    const inner = ofTsMls.filter(({ to }) => to !== 'ts-mls');
    expect(new Set(inner.map(({ from }) => from))).toEqual(new Set(['src/mls/ts-mls.ts']));
  });
});

describe('each part runs where it must', () => {
  test('nothing under src or sw imports a module of Node', () => {
    const ofNode = imports.filter(({ from, to }) => !from.startsWith('server/') && to.startsWith('node:'));
    expect(ofNode.map(show)).toEqual([]);
  });

  test('the protocol and the MLS layer know no store, network or server package', () => {
    const core = imports.filter(({ from, isPackage }) => isPackage && /^src\/(bytes|wire|virtual-client|mls|engine)\//.test(from));
    expect(core.filter(({ to }) => !/^(ts-mls|@noble\/(ciphers|curves|hashes)|@hpke\/core)(\/|$)/.test(to)).map(show)).toEqual([]);
  });
});
