import { describe, expect, it } from 'vitest';
import { concat, toHex, utf8 } from '../../../src/bytes/index.ts';
import {
  checkKeyPackageUpload,
  decodeAction,
  decodeActionAad,
  encodeAction,
  encodeActionAad,
  type KeyPackageUpload,
  type VirtualClientAction,
} from '../../../src/virtual-client/actions.ts';
import { allocateOperation, operationLeaf } from '../../../src/virtual-client/operation-secrets.ts';
import { decodeSafeAad, encodeSafeAad } from '../../../src/virtual-client/safe-aad.ts';
import type { Protocol } from '../../../src/virtual-client/revision.ts';
import { encode } from '../../../src/wire/index.ts';
import { codeOf, epochOf, protocol, randomFrom, suite } from './setup.ts';

const epoch = epochOf({ own: 1 });
const ref = (name: string): Uint8Array => suite.hash(utf8(name));
const upload = (count: number): KeyPackageUpload => ({
  type: 'key_package_upload',
  epochId: epoch.epochId,
  keyPackages: Array.from({ length: count }, (_, i) => ({ keyPackageRef: ref(`ref ${i}`), random: ref(`random ${i}`) })),
});
const join: VirtualClientAction = { type: 'external_join', groupId: utf8('a group') };

describe('virtual client actions', () => {
  it('come back as they went', () => {
    for (const action of [upload(0), upload(3), upload(128), join]) {
      expect(decodeAction(protocol, encodeAction(action))).toEqual(action);
      expect(decodeActionAad(protocol, encodeActionAad(protocol, action))).toEqual(action);
    }
  });

  it('are refused with trailing or missing bytes and of an unknown type', () => {
    for (const action of [upload(2), join]) {
      const bytes = encodeAction(action);
      expect(codeOf(() => decodeAction(protocol, concat(bytes, new Uint8Array(1))))).toBe('trailing-bytes');
      expect(codeOf(() => decodeAction(protocol, bytes.slice(0, -1)))).toBe('truncated');
      for (const type of [0, 3, 255])
        expect(codeOf(() => decodeAction(protocol, concat(Uint8Array.of(type), bytes.slice(1))))).toBe('invalid-value');
    }
  });

  it('announce at most 128 KeyPackages, none twice, on both ends', () => {
    expect(codeOf(() => encodeAction(upload(129)))).toBe('too-many-key-packages');
    const twice = { ...upload(2), keyPackages: [upload(1).keyPackages[0]!, { keyPackageRef: ref('ref 0'), random: ref('other') }] };
    expect(codeOf(() => encodeAction(twice))).toBe('duplicate-key-package');
    const raw = (infos: KeyPackageUpload['keyPackages']): Uint8Array =>
      encode((w) =>
        w
          .uint8(1)
          .opaque(epoch.epochId)
          .vector(infos, (inner, info) => inner.opaque(info.keyPackageRef).opaque(info.random)),
      );
    expect(codeOf(() => decodeAction(protocol, raw(upload(129).keyPackages)))).toBe('vector-too-long');
    expect(codeOf(() => decodeAction(protocol, raw(twice.keyPackages)))).toBe('invalid-value');
    expect(codeOf(() => decodeAction(protocol, raw([{ keyPackageRef: ref('r'), random: new Uint8Array(31) }])))).toBe('invalid-value');
  });
});

describe('a KeyPackage upload', () => {
  it('is fit to follow when all of its PPRF leaves can be evaluated', () => {
    expect(() => checkKeyPackageUpload(protocol, epoch, 1, upload(5))).not.toThrow();
  });

  it('is refused before any puncture for a punctured leaf, another epoch, or a vacant sender', () => {
    const { next, value } = allocateOperation(protocol, epoch, randomFrom('spent'));
    const spent = { ...upload(1), keyPackages: [...upload(1).keyPackages, { keyPackageRef: ref('s'), random: value.random }] };
    expect(codeOf(() => checkKeyPackageUpload(protocol, next, 1, spent))).toBe('leaf-punctured');
    expect(codeOf(() => checkKeyPackageUpload(protocol, epochOf({ name: 'next' }), 1, upload(1)))).toBe('unknown-emulation-epoch');
    expect(codeOf(() => checkKeyPackageUpload(protocol, epoch, 3, upload(1)))).toBe('leaf-not-in-roster');
  });

  it('is refused when two of its operations meet in one PPRF leaf', () => {
    const random = ref('same');
    const same = { ...upload(0), keyPackages: [ref('a'), ref('b')].map((keyPackageRef) => ({ keyPackageRef, random })) };
    expect(codeOf(() => checkKeyPackageUpload(protocol, epoch, 1, same))).toBe('duplicate-pprf-leaf');
    const narrow: Protocol = { ...protocol, revision: { ...protocol.revision, pprfLeaf: () => 7 } }; // every random value in one leaf
    expect(operationLeaf(narrow, 1, random)).toBe(7);
    expect(codeOf(() => checkKeyPackageUpload(narrow, epoch, 1, upload(2)))).toBe('duplicate-pprf-leaf');
  });
});

describe('SafeAAD', () => {
  const items = [1, 0x8a02].map((componentId) => ({ componentId, data: utf8(`data ${componentId}`) }));

  it('without an action is one zero byte', () => {
    expect(toHex(encodeActionAad(protocol, undefined))).toBe('00');
    expect(decodeActionAad(protocol, Uint8Array.of(0))).toBeUndefined();
  });

  it('keeps items of other components, which are no action of ours', () => {
    expect(decodeSafeAad(encodeSafeAad(items))).toEqual(items);
    expect(decodeActionAad(protocol, encodeSafeAad(items.slice(0, 1)))).toBeUndefined();
  });

  it('is sorted and names each component once, on both ends', () => {
    const raw = (list: typeof items): Uint8Array =>
      encode((w) => w.vector(list, (inner, item) => inner.uint16(item.componentId).opaque(item.data)));
    for (const bad of [[...items].reverse(), [items[0]!, items[0]!]]) {
      expect(codeOf(() => encodeSafeAad(bad))).toBe('components-not-sorted');
      expect(codeOf(() => decodeSafeAad(raw(bad)))).toBe('invalid-value');
    }
  });

  it('is refused empty, with trailing bytes, and with more items than anyone uses', () => {
    expect(codeOf(() => decodeSafeAad(new Uint8Array()))).toBe('truncated');
    expect(codeOf(() => decodeSafeAad(Uint8Array.of(0, 0)))).toBe('trailing-bytes');
    const many = Array.from({ length: 17 }, (_, componentId) => ({ componentId, data: new Uint8Array() }));
    expect(codeOf(() => decodeSafeAad(encodeSafeAad(many)))).toBe('vector-too-long');
  });
});
