import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret, toHex, utf8 } from '../../../src/bytes/index.ts';
import {
  decodeComponentIds,
  decodeDictionary,
  encodeComponentIds,
  encodeDictionary,
  getComponent,
  setComponent,
} from '../../../src/mls/app-data-dictionary.ts';
import { createSafeExporter, safeExport } from '../../../src/mls/safe-exporter.ts';
import { getSuite } from '../../../src/mls/suite.ts';
import { pprfNodes } from '../../../src/virtual-client/pprf.ts';

const suite = getSuite(1);
const epochSecret = (): Secret<'epoch_secret'> => Secret.of('epoch_secret', new Uint8Array(32).fill(7));

describe('the safe exporter', () => {
  it('gives the leaf of the component in a tree derived like the secret tree', () => {
    let node = suite.deriveSecret(new Uint8Array(32).fill(7), 'application_export');
    for (let bit = 15; bit >= 0; bit--) node = suite.expandWithLabel(node, 'tree', utf8((0x8a00 >> bit) & 1 ? 'right' : 'left'), 32);
    expect(safeExport(suite, createSafeExporter(suite, epochSecret()), 0x8a00).value.reveal()).toEqual(node);
  });

  it('gives each component once', () => {
    const { next } = safeExport(suite, createSafeExporter(suite, epochSecret()), 0x8a00);
    expect(() => safeExport(suite, next, 0x8a00)).toThrow('component-exported');
  });

  it('gives other components the same secret before and after', () => {
    const exporter = createSafeExporter(suite, epochSecret());
    const { next } = safeExport(suite, exporter, 0x8a00);
    for (const id of [0, 0x8a01, 0xffff]) {
      expect(safeExport(suite, next, id).value.reveal()).toEqual(safeExport(suite, exporter, id).value.reveal());
    }
  });

  it('keeps nothing from which an exported secret follows', () => {
    const { next, value } = safeExport(suite, createSafeExporter(suite, epochSecret()), 5);
    const kept = [...pprfNodes(next.tree)];
    expect(kept.length).toBe(16);
    for (const { first, prefixLength, secret } of kept) {
      expect(5 >= first && 5 < first + 2 ** (16 - prefixLength)).toBe(false);
      expect(toHex(secret.reveal())).not.toBe(toHex(value.reveal()));
    }
  });

  it('names what the caller must wipe', () => {
    const exporter = createSafeExporter(suite, epochSecret());
    const { next, spent } = safeExport(suite, exporter, 5);
    for (const secret of spent) secret.wipe();
    expect([...pprfNodes(exporter.tree)].every(({ secret }) => secret.wiped)).toBe(true);
    expect([...pprfNodes(next.tree)].some(({ secret }) => secret.wiped)).toBe(false);
  });

  it('knows no component beyond uint16', () => {
    for (const id of [-1, 0.5, 0x10000]) {
      expect(() => safeExport(suite, createSafeExporter(suite, epochSecret()), id)).toThrow('invalid-component-id');
    }
  });
});

describe('the app data dictionary', () => {
  it('encodes sorted whatever the order of insertion, and decodes the same', () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fc.tuple(fc.nat(0xffff), fc.uint8Array({ maxLength: 100 })), { selector: ([id]) => id, maxLength: 20 }),
        (entries) => {
          const encoded = encodeDictionary(new Map(entries));
          expect(encodeDictionary(new Map([...entries].reverse()))).toEqual(encoded);
          expect(decodeDictionary(encoded)).toEqual(new Map([...entries].sort(([a], [b]) => a - b)));
        },
      ),
      { numRuns: 50 },
    );
  });

  it('refuses unsorted, doubled and trailing components', () => {
    expect(() => decodeDictionary(Uint8Array.of(6, 0, 2, 0, 0, 1, 0))).toThrow('invalid-app-data-dictionary');
    expect(() => decodeDictionary(Uint8Array.of(6, 0, 1, 0, 0, 1, 0))).toThrow('invalid-app-data-dictionary');
    expect(() => decodeDictionary(Uint8Array.of(3, 0, 1, 0, 0))).toThrow('trailing-bytes');
    expect(() => decodeDictionary(Uint8Array.of(4, 0, 1, 0, 0))).toThrow('truncated');
  });

  it('is put into extensions, changed and taken out without touching the others', () => {
    const other = { extensionType: 0xff00, extensionData: Uint8Array.of(1) };
    const once = setComponent([other], 0x8a01, Uint8Array.of(5));
    const twice = setComponent(once, 1, encodeComponentIds([0x8a01, 0x8a05]));
    expect(getComponent(twice, 0x8a01)).toEqual(Uint8Array.of(5));
    expect(decodeComponentIds(getComponent(twice, 1)!)).toEqual([0x8a01, 0x8a05]);
    expect(setComponent(setComponent(twice, 1, undefined), 0x8a01, undefined)).toEqual([other]);
    expect(getComponent([other], 1)).toBeUndefined();
    expect(() => getComponent([...twice, ...once], 1)).toThrow('invalid-app-data-dictionary');
  });
});
