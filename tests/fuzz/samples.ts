import { toHex } from '../../src/bytes/index.ts';
import { answerFrames, fromJson } from '../../src/delivery/frames.ts';
import type { DeliveryCall, SequenceEntry } from '../../src/engine/ports.ts';
import { decodeExact, mlsMessageCodec } from '../../src/mls/index.ts';
import type { Records } from '../support/engine-snapshot.ts';
import type { PlayedScene } from './scene.ts';

/** What real devices and a real server had stored and sent. */
export interface Samples {
  readonly conversationId: string;
  /** The store of a device that was linked to another one. */
  readonly records: Records;
  readonly entries: readonly SequenceEntry[];
  /** MLSMessages of all kinds that Chorus sends. */
  readonly messages: readonly Uint8Array[];
  readonly keyPackages: readonly Uint8Array[];
  readonly invitationCode: string;
}

export function samplesOf({ came, cast }: PlayedScene): Samples {
  const { conversationId, records, invitationCode } = cast;
  const answers = (call: DeliveryCall): readonly string[] =>
    came.filter((one) => one.call === call && one.status === 200).map(({ body }) => new TextDecoder().decode(body));
  const entries = answers('fetch-sequence').flatMap((text) => fromJson(answerFrames['fetch-sequence'], text)!.entries);
  const claimed = answers('claim-key-packages').flatMap((text) => fromJson(answerFrames['claim-key-packages'], text)!.keyPackages);
  const keyPackages = claimed.map(({ keyPackage }) => keyPackage);
  const messages = [...new Map(entries.filter(isMls).map(({ message }) => [toHex(message), message])).values()];
  return { conversationId, records, entries, messages, keyPackages, invitationCode };
}

/** Not what the server itself puts into a log. */
function isMls({ kind, message }: SequenceEntry): boolean {
  if (kind === 'begin-removal' || kind === 'account-key') return false;
  decodeExact(mlsMessageCodec, message);
  return true;
}
