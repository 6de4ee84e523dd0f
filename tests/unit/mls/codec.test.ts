import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat } from '../../../src/bytes/index.ts';
import { commitCodec, decodeExact, groupSecretsCodec, mlsMessageCodec, proposalCodec, type Codec } from '../../../src/mls/ts-mls.ts';
import { RatchetTree } from '../../../src/mls/ratchet-tree.ts';
import { DecodeError, Reader, Writer } from '../../../src/wire/index.ts';
import { loadVectors, vectorsPresent } from '../../support/mls-vectors.ts';

/** RFC 9420 section 17.4: proposal types, which the vectors leave out. */
const PROPOSALS = {
  add_proposal: 1,
  update_proposal: 2,
  remove_proposal: 3,
  pre_shared_key_proposal: 4,
  re_init_proposal: 5,
  external_init_proposal: 6,
  group_context_extensions_proposal: 7,
};

const MESSAGES = [
  'mls_welcome',
  'mls_group_info',
  'mls_key_package',
  'public_message_application',
  'public_message_proposal',
  'public_message_commit',
  'private_message',
];

function decodes<Value>(codec: Codec<Value>, bytes: Uint8Array): void {
  expect(codec.encode(decodeExact(codec, bytes))).toEqual(bytes);
  expect(() => decodeExact(codec, concat(bytes, Uint8Array.of(0)))).toThrow(DecodeError);
  expect(() => decodeExact(codec, bytes.subarray(0, bytes.length - 1))).toThrow(DecodeError);
}

describe.skipIf(!vectorsPresent)('working group vectors: messages', () => {
  const vectors = loadVectors('messages');

  it('decode to what encodes to the same bytes, and refuse one byte more or less', () => {
    expect(vectors.length).toBeGreaterThan(0);
    for (const vector of vectors) {
      for (const field of MESSAGES) decodes(mlsMessageCodec, vector.bytes(field));
      for (const [field, type] of Object.entries(PROPOSALS)) {
        decodes(proposalCodec, concat(new Writer().uint16(type).finish(), vector.bytes(field)));
      }
      decodes(commitCodec, vector.bytes('commit'));
      decodes(groupSecretsCodec, vector.bytes('group_secrets'));
      const tree = vector.bytes('ratchet_tree');
      expect(RatchetTree.decode(tree).encode()).toEqual(tree);
      expect(() => RatchetTree.decode(concat(tree, Uint8Array.of(0)))).toThrow(DecodeError);
      expect(() => RatchetTree.decode(tree.subarray(0, tree.length - 1))).toThrow(DecodeError);
    }
  }); // 300 vectors of 18 structs, each decoded three times

  it('changed at random decode to the same bytes or throw DecodeError', () => {
    const samples = vectors.slice(0, 4).flatMap((vector) => MESSAGES.map((field) => vector.bytes(field)));
    fc.assert(
      fc.property(fc.constantFrom(...samples), fc.nat(), fc.integer({ min: 1, max: 255 }), (sample, position, change) => {
        const bytes = sample.slice();
        bytes[position % bytes.length]! ^= change;
        try {
          expect(mlsMessageCodec.encode(decodeExact(mlsMessageCodec, bytes))).toEqual(bytes);
        } catch (error) {
          expect(error).toBeInstanceOf(DecodeError);
        }
      }),
      { numRuns: 300 },
    );
  });

  it('share no memory with their input', () => {
    const input = vectors[0]!.bytes('private_message');
    const message = decodeExact(mlsMessageCodec, input);
    const before = mlsMessageCodec.encode(message);
    input.fill(0);
    expect(mlsMessageCodec.encode(message)).toEqual(before);
  });
});

describe.skipIf(!vectorsPresent)('working group vectors: deserialization', () => {
  it.each(loadVectors('deserialization'))('$name: length header', (vector) => {
    const header = vector.bytes('vlbytes_header');
    const length = vector.number('length');
    if (length >= 1 << 26) {
      // longer than any field of ours may be: refused, whatever follows
      expect(() => new Reader(header).opaque('value')).toThrow('vector-too-long');
      return;
    }
    expect(new Reader(concat(header, new Uint8Array(length))).opaque('value').length).toBe(length);
    expect(new Writer().opaque(new Uint8Array(length)).finish().subarray(0, header.length)).toEqual(header);
  });
});

describe('a length prefix that is not minimal', () => {
  it('is refused inside any struct', () => {
    // Commit with no proposals, no path; then the same with the empty vector's length on two bytes
    expect(decodeExact(commitCodec, Uint8Array.of(0, 0))).toEqual({ proposals: [], path: undefined });
    expect(() => decodeExact(commitCodec, Uint8Array.of(0x40, 0, 0))).toThrow(DecodeError);
  });

  it('and so is a presence octet other than 0 and 1', () => {
    expect(() => decodeExact(commitCodec, Uint8Array.of(0, 2))).toThrow(DecodeError);
  });
});

describe('a malformed proposal of a known type', () => {
  it('is not taken for a proposal of an unknown type', () => {
    const remove = Uint8Array.of(0, 3, 0, 0, 0, 1);
    const mangled = Uint8Array.of(0, 3, 2, 0, 1); // what would be custom data of 2 bytes
    expect(decodeExact(proposalCodec, remove)).toEqual({ proposalType: 'remove', remove: { removed: 1 } });
    expect(() => decodeExact(proposalCodec, mangled)).toThrow(DecodeError);
    const commit = (proposal: Uint8Array): Uint8Array => concat(Uint8Array.of(proposal.length + 1, 1), proposal, Uint8Array.of(0));
    expect(decodeExact(commitCodec, commit(remove)).proposals.length).toBe(1);
    expect(() => decodeExact(commitCodec, commit(mangled))).toThrow(DecodeError);
    expect(decodeExact(proposalCodec, Uint8Array.of(0xf0, 0, 2, 0, 1))).toMatchObject({ proposalType: 0xf000 });
  });
});
