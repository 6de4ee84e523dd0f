import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { ed25519 } from '@noble/curves/ed25519.js';
import { describe, expect, it } from 'vitest';
import { SECURITY_HEADERS } from '../../../server/static.ts';
import { ROOT } from '../../../scripts/build/layout.ts';
import { sourceFiles } from '../../support/source-imports.ts';

interface SourceText {
  readonly file: string;
  readonly text: string;
}

const read = (file: string): SourceText => ({ file, text: readFileSync(join(ROOT, file), 'utf8') });
const files = [...sourceFiles('src'), ...sourceFiles('sw')].map(read);
const server = sourceFiles('server').map(read);

/** Files in which something is found, with what it is. */
const found = (where: readonly SourceText[], what: RegExp): string[] =>
  where.flatMap(({ file, text }) => [...text.matchAll(what)].map(([match]) => `${file}: ${match}`));

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
    expect(found(files, /\bconsole\s*[.[]\w*/g)).toEqual([]);
  });

  it('has the browser keep nothing that stands in a field, but for the username', () => {
    // Chromium writes what a form holds into its session files, in clear, unless told otherwise.
    const fields = found(files, /<(?:input|textarea)\b(?:[^>{"]|"[^"]*"|\{(?:[^{}]|\{[^{}]*\})*\})*>/g);
    expect(fields.length).toBeGreaterThan(15);
    const kept = fields.filter((field) => !/autocomplete="off"|type="checkbox"/.test(field));
    expect(kept.filter((field) => !field.includes('autocomplete="username"'))).toEqual([]);
    expect(kept).toHaveLength(2);
  });

  it('asks nobody but its own server', () => {
    const pages = [
      'index.html',
      ...readdirSync(join(ROOT, 'public'))
        .filter((name) => /\.(svg|webmanifest|html|txt)$/.test(name))
        .map((name) => join('public', name)),
    ];
    // A name of a format, which nobody fetches.
    const foreign = found([...files, ...pages.map(read)], /(?:https?|wss?):\/\/[^\s'"`)]+/g).filter(
      (what) => !what.endsWith('http://www.w3.org/2000/svg'),
    );
    expect(foreign).toEqual([]);
    expect(
      found(
        files,
        /\bnew (?:WebSocket|EventSource|XMLHttpRequest|Worker|SharedWorker|RTCPeerConnection)\b|\bsendBeacon\b|\bimportScripts\b/g,
      ),
    ).toEqual([]);
    // Whoever fetches is handed an address by the delivery client, which puts its own origin before each.
    const fetching = files.filter(({ text }) => /(?<![.\w'])fetch\(input, init\)/.test(text)).map(({ file }) => file);
    expect(fetching.sort()).toEqual(['src/bridge/leader.ts', 'sw/worker.ts']);
    expect(SECURITY_HEADERS['Content-Security-Policy']).toMatch(/^default-src 'none'; .*connect-src 'self'; /);
  });
});

describe('what runs anywhere', () => {
  const all = [...files, ...server];

  it('compares bytes with one function, whose time tells nothing of where they differ', () => {
    const comparing = /\.every\(\((\w+), (\w+)\) => \1 === \w+\[\2\]!?\)|timingSafeEqual|equalBytes|Buffer\.compare|\.equals\(/g;
    // Nodes are objects: it is asked whether they are the same, not whether they hold the same.
    expect(found(all, comparing)).toEqual(['src/virtual-client/pprf-codec.ts: .every((node, i) => node === after[i])']);
    // Codes, tags, keys and hashes never as text.
    const asText = /to(?:Hex|Base64Url)\([^)]*(?:[tT]ag|[mM]ac|[tT]oken|[cC]ommitment|[sS]ecret|[sS]ignature|[hH]ash|Key)\) [!=]==/g;
    expect(found(all, asText)).toEqual([]);
  });

  it('tells tags, codes, proofs and keys apart by that function', () => {
    const where = (file: string): string => all.find((source) => source.file === file)!.text;
    expect(where('src/mls/public-message.ts')).toMatch(/!equal\(membershipTag\(/);
    expect(where('src/mls/transcript.ts')).toMatch(/!equal\(confirmationTag\(/);
    expect(where('src/engine/linking.ts')).toMatch(/!equal\(commitmentTo\(/);
    expect(where('src/engine/linking.ts')).toMatch(/!equal\(opened\(after, 'confirmed'/);
    expect(where('server/store/sqlite-links.ts')).toMatch(/!equal\(row\.token_hash, tokenHash\)/);
  });

  it('puts no bytes into the text of an error', () => {
    // Of a Secret itself a text says its kind alone.
    const made = found(all, /new \w*(?:Error|Refusal|Problem)\((?:[^()]|\([^()]*\))*\)/g);
    expect(made.length).toBeGreaterThan(200);
    expect(made.filter((text) => /\.reveal\(|toHex|toBase64Url|fromUtf8|JSON\.stringify/.test(text))).toEqual([]);
  });

  it('writes no report of its memory', () => {
    expect(found(all, /writeHeapSnapshot|process\.report|setFlagsFromString|heapdump/g)).toEqual([]);
    const { scripts } = JSON.parse(read('package.json').text) as { scripts: Readonly<Record<string, string>> };
    expect(Object.values(scripts).filter((script) => /--(?:inspect|report|heap|abort-on-uncaught)/.test(script))).toEqual([]);
  });
});

describe('the server', () => {
  it('writes to its log when it starts or has a fault, and nothing of what it is asked', () => {
    const said = found(server, /\bconsole\s*\.\w+\([^;\n]*/g);
    expect(said.sort()).toEqual([
      'server/app.ts: console.error(error)',
      "server/events.ts: console.error('event stream:', error instanceof Error ? error.name : 'failed')",
      'server/main.ts: console.error(`Chorus does not start. ${error.message} Nothing has been changed.`)',
      'server/main.ts: console.log(`Chorus is running at ${server.url}`)',
      'server/start.ts: console.error(error))',
    ]);
  });
});
