import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ed25519 } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { sourceFiles } from '../../support/source-imports.ts';

const files = [...sourceFiles('src'), ...sourceFiles('sw')].map((file) => ({ file, text: readFileSync(join(ROOT, file), 'utf8') }));

describe('what runs at a person’s', () => {
  it('verifies Ed25519 by RFC 8032’s rules wherever it does, so that all devices judge alike', () => {
    const calls = files.flatMap(({ file, text }) =>
      [...text.matchAll(/ed25519\.verify\([^;{]*(\{[^}]*\})?/g)].map(([, rules]) => [file, rules]),
    );
    expect(calls.length).toBeGreaterThanOrEqual(5);
    expect(calls.filter(([, rules]) => rules !== '{ zip215: false }')).toEqual([]);
    // The laxer rules take a signature that others refuse: the identity as key signs everything.
    const [key, signature] = [new Uint8Array(32), new Uint8Array(64)];
    key[0] = signature[0] = 1;
    expect(ed25519.verify(signature, Uint8Array.of(1), key)).toBe(true);
    expect(ed25519.verify(signature, Uint8Array.of(1), key, { zip215: false })).toBe(false);
  });

  it('writes nothing to a console', () => {
    expect(files.filter(({ text }) => /\bconsole\s*[.[]/.test(text)).map(({ file }) => file)).toEqual([]);
  });

  it('compares bytes with one function, whose time tells nothing of where they differ', () => {
    const comparing = /\.every\(\((\w+), (\w+)\) => \1 === \w+\[\2\]!?\)|timingSafeEqual|equalBytes/;
    expect(files.filter(({ text }) => comparing.test(text)).map(({ file }) => file)).toEqual([]);
    // Codes, tags and hashes never as text.
    expect(
      files.filter(({ text }) => /toHex\([^)]*(?:[tT]ag|[mM]ac|[tT]oken|[cC]ommitment)[^)]*\) [!=]==/.test(text)).map(({ file }) => file),
    ).toEqual([]);
  });
});
