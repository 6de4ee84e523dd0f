import { decodeComponentIds, decodeDictionary, encodeComponentIds, encodeDictionary } from '../../src/mls/app-data-dictionary.ts';
import { decodeGroup, decodeGroupTransfer, encodeGroup, encodeGroupTransfer } from '../../src/mls/group-codec.ts';
import { decodeGroupInfo, readGroupInfo } from '../../src/mls/group-info.ts';
import {
  decodeHeader,
  decodeLeafChanges,
  decodeNodes,
  decodePast,
  decodeRatchet,
  decodeTree,
  encodeTree,
} from '../../src/mls/group-records.ts';
import type { GroupState } from '../../src/mls/index.ts';
import { MlsError } from '../../src/mls/errors.ts';
import { decodeContent, encodeContent } from '../../src/mls/private-message-content.ts';
import { RatchetTree } from '../../src/mls/ratchet-tree.ts';
import { decodeTreeNodes, encodeTreeNodes } from '../../src/mls/ratchet-tree-codec.ts';
import {
  decodeExact,
  groupContextCodec,
  groupInfoCodec,
  keyPackageCodec,
  leafNodeCodec,
  mlsMessageCodec,
  proposalCodec,
  type Codec,
  type MLSMessage,
} from '../../src/mls/ts-mls.ts';
import { getSuite } from '../../src/mls/suite.ts';
import { DecodeError } from '../../src/wire/index.ts';
import { inRecords, readRecords, sizeOf } from './records.ts';
import type { Samples } from './samples.ts';
import { target, type Target } from './target.ts';

const ours = (error: unknown): boolean => error instanceof DecodeError || error instanceof MlsError;
const malformed = (error: unknown): boolean => error instanceof DecodeError;

function struct<Value>(codec: Codec<Value>, values: readonly Value[]): Target {
  return target<Value>(codec.name, ['decodeExact', 'decodePrefix'], {
    samples: values.map((value) => codec.encode(value)),
    decode: (bytes) => decodeExact(codec, bytes),
    encode: (value) => codec.encode(value),
    allows: malformed,
  });
}

/** RFC 9420's structs, and the group states that are stored and handed over. */
export function mlsTargets(samples: Samples, group: GroupState): Target[] {
  const suite = getSuite(1);
  const messages = samples.messages.map((bytes): MLSMessage => decodeExact(mlsMessageCodec, bytes));
  const groupInfos = messages.flatMap((message) => (message.wireformat === 'mls_group_info' ? [message.groupInfo] : []));
  const keyPackages = samples.keyPackages
    .map((bytes) => decodeExact(mlsMessageCodec, bytes))
    .flatMap((message) => (message.wireformat === 'mls_key_package' ? [message.keyPackage] : []));
  const leaves = [...group.tree.leaves()].map(([, leaf]) => leaf);
  const dictionaries = leaves.flatMap(({ extensions }) => extensions.filter(({ extensionType }) => extensionType === 6));
  const groupInfoMessages = samples.messages.filter((_, i) => messages[i]!.wireformat === 'mls_group_info');
  const records = [...encodeGroup(group)];
  const named = (part: RegExp): Uint8Array[] => records.filter(([name]) => part.test(name)).map(([, bytes]) => bytes);
  const decodeRecord = (name: string, covers: string, part: RegExp, decode: (bytes: Uint8Array) => unknown): Target =>
    target(name, [covers], { samples: named(part), decode, allows: ours });
  const [keyPackage] = keyPackages;
  const signature = new Uint8Array(64).fill(7);
  const contents = {
    application: encodeContent(
      {
        wireformat: 'mls_private_message',
        content: {
          groupId: group.context.groupId,
          epoch: group.context.epoch,
          sender: { senderType: 'member', leafIndex: 0 },
          authenticatedData: new Uint8Array(),
          contentType: 'application',
          applicationData: new Uint8Array(40),
        },
        auth: { contentType: 'application', signature },
      },
      () => 30,
    ),
    proposal: encodeContent(
      {
        wireformat: 'mls_private_message',
        content: {
          groupId: group.context.groupId,
          epoch: group.context.epoch,
          sender: { senderType: 'member', leafIndex: 0 },
          authenticatedData: new Uint8Array(),
          contentType: 'proposal',
          proposal: { proposalType: 'add', add: { keyPackage: keyPackage! } },
        },
        auth: { contentType: 'proposal', signature },
      },
      () => 30,
    ),
    commit: encodeContent(
      {
        wireformat: 'mls_private_message',
        content: {
          groupId: group.context.groupId,
          epoch: group.context.epoch,
          sender: { senderType: 'member', leafIndex: 0 },
          authenticatedData: new Uint8Array(),
          contentType: 'commit',
          commit: {
            proposals: [{ proposalOrRefType: 'proposal', proposal: { proposalType: 'add', add: { keyPackage: keyPackage! } } }],
            path: undefined,
          },
        },
        auth: { contentType: 'commit', signature, confirmationTag: new Uint8Array(32) },
      },
      () => 30,
    ),
  };
  const newer = new Map(group.tree.leaves());
  return [
    target('MLSMessage', ['decodeExact'], {
      samples: [...samples.messages, ...samples.keyPackages],
      decode: (bytes) => decodeExact(mlsMessageCodec, bytes),
      encode: (message) => mlsMessageCodec.encode(message),
      allows: malformed,
    }),
    struct(groupInfoCodec, groupInfos),
    struct(keyPackageCodec, keyPackages),
    struct(leafNodeCodec, leaves),
    struct(groupContextCodec, [group.context]),
    struct(proposalCodec, [
      { proposalType: 'add', add: { keyPackage: keyPackage! } },
      { proposalType: 'remove', remove: { removed: 1 } },
      { proposalType: 'group_context_extensions', groupContextExtensions: { extensions: group.context.extensions } },
    ]),
    ...(['application', 'proposal', 'commit'] as const).map((contentType) =>
      target(`PrivateMessageContent, ${contentType}`, ['decodeContent'], {
        samples: [contents[contentType]],
        decode: (bytes) => decodeContent(contentType, bytes),
        allows: ours,
      }),
    ),
    target('GroupInfo of a group', ['decodeGroupInfo', 'readGroupInfo'], {
      samples: groupInfoMessages,
      decode: (bytes) => [decodeGroupInfo(suite, bytes), readGroupInfo(suite, bytes)],
      allows: ours,
    }),
    target('ratchet_tree', ['decodeTreeNodes'], {
      samples: [group.tree.encode()],
      decode: (bytes) => decodeTreeNodes(bytes, 1 << 12),
      encode: encodeTreeNodes,
      allows: ours,
    }),
    target('RatchetTree', [], {
      samples: [group.tree.encode()],
      decode: (bytes) => RatchetTree.decode(bytes),
      encode: (tree) => tree.encode(),
      allows: ours,
    }),
    target('AppDataDictionary', ['decodeDictionary'], {
      samples: dictionaries.map(({ extensionData }) => extensionData),
      decode: decodeDictionary,
      encode: encodeDictionary,
      allows: ours,
    }),
    target('ComponentsList', ['decodeComponentIds'], {
      samples: [encodeComponentIds([]), encodeComponentIds([1, 2, 0x8a01])],
      decode: decodeComponentIds,
      encode: encodeComponentIds,
      allows: malformed,
    }),
    target('group’s records', ['decodeGroup'], {
      samples: inRecords(records),
      beside: sizeOf(records),
      decode: (bytes) => decodeGroup(readRecords(records, bytes)),
      allows: ours,
    }),
    target('GroupTransfer', ['decodeGroupTransfer'], {
      samples: [encodeGroupTransfer(group)],
      decode: decodeGroupTransfer,
      allows: ours,
    }),
    decodeRecord('group header', 'decodeHeader', /^header$/, decodeHeader),
    target('stored ratchet tree', ['decodeTree'], { samples: named(/^tree$/), decode: decodeTree, encode: encodeTree, allows: ours }),
    decodeRecord('secret tree’s nodes', 'decodeNodes', /nodes$/, decodeNodes),
    decodeRecord('ratchet', 'decodeRatchet', /ratchet/, decodeRatchet),
    decodeRecord('past epoch', 'decodePast', /^past\/.*header$/, decodePast),
    decodeRecord('leaves of a past epoch', 'decodeLeafChanges', /leaves$/, (bytes) =>
      [...decodeLeafChanges(bytes, newer)].slice(newer.size),
    ),
  ];
}
