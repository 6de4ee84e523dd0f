import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

/**
 * Which functions of ts-mls our code, and so every run of the working group's vectors, can reach: the
 * vectors prove what is not on this list. On it are encoders and decoders of wire structs, and one table.
 */
const REACHED: Readonly<Record<string, readonly string[]>> = {
  authenticatedContent: ['decodeAuthenticatedContent', 'encodeAuthenticatedContent', 'encodeAuthenticatedContentTBM'],
  commit: ['decodeCommit', 'encodeCommit'],
  extension: ['extensionTypeToNumber'],
  externalSender: ['decodeExternalSender', 'encodeExternalSender'],
  framedContent: ['encodeFramedContentTBS'],
  groupContext: ['decodeGroupContext', 'encodeGroupContext'],
  groupInfo: ['decodeGroupInfo', 'encodeGroupInfo', 'encodeGroupInfoTBS'],
  groupSecrets: ['decodeGroupSecrets', 'encodeGroupSecrets'],
  keyPackage: ['decodeKeyPackage', 'encodeKeyPackage', 'encodeKeyPackageTBS'],
  leafNode: ['decodeLeafNode', 'encodeLeafNode', 'encodeLeafNodeTBS'],
  message: ['decodeMlsMessage', 'encodeMlsMessage'],
  parentHash: ['encodeParentHashInput'],
  presharedkey: ['decodePskId', 'encodePskId', 'encodePskLabel'],
  privateMessage: ['encodePrivateContentAAD'],
  proposal: ['decodeProposal', 'encodeProposal'],
  ratchetTree: ['decodeNode', 'encodeNode'],
  requiredCapabilities: ['decodeRequiredCapabilities', 'encodeRequiredCapabilities'],
  sender: ['encodeSenderDataAAD'],
  transcriptHash: ['encodeConfirmedTranscriptHashInput'],
  treeHash: ['encodeTreeHashInput'],
  updatePath: ['decodeUpdatePath', 'encodeUpdatePath'],
};

/** Functions of ts-mls that judge, derive or hold state. */
const STATE_MACHINE = [
  'applyProposals',
  'applyUpdatePath',
  'createApplicationMessage',
  'createCommit',
  'createGroup',
  'createProposal',
  'createSecretTree',
  'createUpdatePath',
  'decryptGroupInfo',
  'deriveKeySchedule',
  'initializeEpoch',
  'joinGroup',
  'joinGroupExternal',
  'processMessage',
  'processPrivateMessage',
  'processPublicMessage',
  'protect',
  'signGroupInfo',
  'treeHash',
  'unprotectPrivateMessage',
  'validateRatchetTree',
  'verifyGroupInfoSignature',
  'verifyParentHashes',
];

const SOURCES = join(import.meta.dirname, '../../../src');

function valueImports(source: string): Record<string, string[]> {
  const found: Record<string, string[]> = {};
  for (const [, names, module] of source.matchAll(/^import \{([^}]*)\} from '(ts-mls[^']*)';/gms)) {
    const values = names!
      .split(',')
      .map((name) => name.trim())
      .filter((name) => name !== '' && !name.startsWith('type '));
    if (values.length > 0) found[module!] = [...(found[module!] ?? []), ...values].sort();
  }
  return found;
}

function sourceFiles(): string[] {
  return readdirSync(SOURCES, { recursive: true, encoding: 'utf8' }).filter((file) => /\.(ts|svelte)$/.test(file));
}

describe('what our code takes from ts-mls', () => {
  const imports = valueImports(readFileSync(join(SOURCES, 'mls/ts-mls.ts'), 'utf8'));

  it('is the written list of functions, all of them codecs', () => {
    const expected = Object.fromEntries(Object.entries(REACHED).map(([module, names]) => [`ts-mls/${module}.js`, [...names].sort()]));
    expect(imports).toEqual(expected);
  });

  it('has nothing of its state machine', () => {
    const reached = Object.values(imports).flat();
    expect(reached.length).toBeGreaterThan(20);
    expect(reached.filter((name) => STATE_MACHINE.includes(name))).toEqual([]);
  });

  it('comes through one file', () => {
    const importing = sourceFiles().filter((file) => /from '(ts-mls['/])|import\('ts-mls/.test(readFileSync(join(SOURCES, file), 'utf8')));
    expect(importing).toEqual([join('mls', 'ts-mls.ts')]);
  });
});
