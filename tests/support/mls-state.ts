import { Secret, utf8 } from '../../src/bytes/index.ts';
import type { MlsSuite } from '../../src/mls/crypto-suite.ts';
import type { GroupState } from '../../src/mls/group-state.ts';
import { startEpoch } from '../../src/mls/key-schedule.ts';
import type { ProtectOptions } from '../../src/mls/private-message.ts';
import { decodeExact, mlsMessageCodec, type PrivateMessage } from '../../src/mls/ts-mls.ts';
import { makeContext, makeGroup, type Member } from './mls-tree.ts';

export const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));

/** The states of `size` members in one epoch, and with them their keys. */
export async function makeStates(suite: MlsSuite, size: number): Promise<{ states: GroupState[]; members: Member[] }> {
  const { tree, members } = await makeGroup(suite, size);
  const context = makeContext(suite, { treeHash: tree.hash(suite) });
  const epochSecret = random(suite.nh);
  const states = members.map((member): GroupState => {
    const secret = Secret.of('epoch_secret', epochSecret.slice());
    return {
      suite: suite.id,
      context,
      tree,
      ownLeaf: member.leafIndex,
      keys: { encryptionPrivateKey: member.encryptionPrivateKey, pathPrivateKeys: new Map() },
      ...startEpoch(suite, secret, { leafCount: tree.leafCount, useSafeExporter: false }),
      confirmationTag: utf8('tag'),
      interimTranscriptHash: utf8('interim'),
      proposals: [],
      pastEpochs: [],
    };
  });
  return { states, members };
}

/** A later epoch's state that keeps the epoch of `state` as its only past one. */
export function nextEpoch(suite: MlsSuite, state: GroupState): GroupState {
  const { context, tree, schedule, secretTree, ownLeaf } = state;
  const { senderDataSecret, resumptionPsk } = schedule;
  const secret = Secret.of('epoch_secret', random(suite.nh));
  return {
    ...state,
    context: { ...context, epoch: context.epoch + 1n },
    ...startEpoch(suite, secret, { leafCount: tree.leafCount, useSafeExporter: false }),
    pastEpochs: [{ context, senderDataSecret, resumptionPsk, secretTree, leaves: new Map(tree.leaves()), ownLeaf }],
  };
}

/** Options of a client that is no virtual one: random guard, no padding. */
export function plainOptions(member: Member, rest: Partial<ProtectOptions> = {}): ProtectOptions {
  return { signer: member.signer.privateKey, authenticatedData: new Uint8Array(0), padding: () => 0, guard: () => random(4), ...rest };
}

export function privateMessageOf(message: Uint8Array): PrivateMessage {
  const decoded = decodeExact(mlsMessageCodec, message);
  if (decoded.wireformat !== 'mls_private_message') throw new Error('no PrivateMessage');
  return decoded.privateMessage;
}
