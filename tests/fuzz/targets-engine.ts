import { fromUtf8, Secret, utf8 } from '../../src/bytes/index.ts';
import {
  decodeDeviceProfile,
  decodeText,
  encodeConversationProfile,
  encodeDeviceProfile,
  encodeText,
  readConversationProfile,
} from '../../src/engine/content.ts';
import { checkInvitedJoin, decodeInvitationCode, decodeInvitationMessage, encodeInvitationCode } from '../../src/engine/invitation-link.ts';
import { encodeInvitationMessage, invitationKeyOf, signInvitedJoin } from '../../src/engine/invitation-link.ts';
import { decodeKeyPackage, encodeKeyPackage } from '../../src/engine/key-package-messages.ts';
import {
  decodeLinkAnswer,
  decodeLinkCode,
  decodeLinkRequest,
  encodeLinkAnswer,
  encodeLinkCode,
  encodeLinkRequest,
  openSlot,
  sealSlot,
} from '../../src/engine/link-code.ts';
import { EngineError } from '../../src/engine/errors.ts';
import { decodeRecord, encodeRecord } from '../../src/engine/record-codec.ts';
import { decodeGroupRecords, decodeMessage } from '../../src/engine/records.ts';
import {
  readApplicationData,
  readGroupTransfer,
  readPlace,
  type ApplicationData,
  type GroupTransfer,
} from '../../src/engine/onboarding-records.ts';
import { MlsError } from '../../src/mls/errors.ts';
import { getSuite } from '../../src/mls/suite.ts';
import { readPhrase, wordsOf } from '../../src/ui/phrase.ts';
import { decode, DecodeError, encode } from '../../src/wire/index.ts';
import { random } from '../support/engine-snapshot.ts';
import { inRecords, readRecords, sizeOf } from './records.ts';
import type { Samples } from './samples.ts';
import { target, type Target } from './target.ts';

const malformed = (error: unknown): boolean => error instanceof DecodeError;
const never = (): boolean => false;

/** Text from a mutated input; what is no UTF-8 arrives with replacement characters, as everywhere in browsers. */
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** What people type and paste, what devices say to each other, and what they store. */
export function engineTargets({ records, keyPackages, invitationCode, conversationId }: Samples): Target[] {
  const suite = getSuite(1);
  const linkSecret = (): Secret<'link_secret'> => Secret.of('link_secret', new Uint8Array(32).fill(9));
  const seed = Secret.of('invitation_seed', random(32));
  const join = { groupId: random(16), epoch: 4n, accountId: random(16), signatureKey: random(32) };
  const stored = [...records].filter(([name]) =>
    /^(account|device|cursor|conversation\/|members\/|key-package\/|emulation\/state)/.test(name),
  );
  const group = [...records].filter(([name]) => name.startsWith(`group/${conversationId}/`));
  const lines = [...records].filter(([name]) => name.startsWith('message')).map(([, bytes]) => bytes);
  const applicationData: ApplicationData = {
    accountId: random(16),
    username: 'anna',
    binding: random(130),
    authenticationKey: random(32),
    emulationPosition: 7,
    floorEpoch: 3n,
    renewalEpoch: 2n,
    phrase: 'set',
    deviceNames: new Map([['ab', 'phone']]),
    contacts: new Map([['cd', 'ben']]),
    announcedAt: new Map([['ef', 1_800_000_000_000]]),
  };
  const groupTransfer: GroupTransfer = {
    group: random(60),
    title: 'Choir',
    startedAt: 1_800_000_000_000,
    pastLeaves: [{ groupEpoch: 4n, guardKey: random(40) }],
    endedEpochs: [{ groupEpoch: 4n, endedAt: 1_800_000_000_000 }],
  };
  const typed = (error: unknown): boolean => malformed(error) || error instanceof EngineError;
  const phrase = wordsOf('5a'.repeat(32));
  return [
    target('text of a message', ['decodeText'], {
      samples: ['', 'hello', 'Grüße 🎵'].map(encodeText),
      decode: decodeText,
      encode: encodeText,
      allows: malformed,
    }),
    target('device profile', ['decodeDeviceProfile'], {
      samples: [encodeDeviceProfile({ signatureKey: random(32), name: 'Ännes phone' })],
      decode: decodeDeviceProfile,
      encode: encodeDeviceProfile,
      allows: malformed,
    }),
    target('conversation profile', ['readConversationProfile'], {
      samples: [encodeConversationProfile('Choir'), encodeConversationProfile('')],
      decode: readConversationProfile,
      allows: never,
    }),
    target('invitation link', ['decodeInvitationCode'], {
      samples: [utf8(invitationCode)],
      decode: (bytes) => decodeInvitationCode(textOf(bytes)),
      allows: never,
    }),
    target('invitation link in its canonical form', ['decodeInvitationCode'], {
      samples: [utf8(invitationCode)],
      decode: (bytes) => (isAscii(bytes) ? decodeInvitationCode(textOf(bytes)) : undefined),
      encode: (invitation) => utf8(encodeInvitationCode(invitation)),
      allows: never,
    }),
    target('invitation message', ['decodeInvitationMessage'], {
      samples: [encodeInvitationMessage(decodeInvitationCode(invitationCode)!)],
      decode: decodeInvitationMessage,
      encode: encodeInvitationMessage,
      allows: malformed,
    }),
    target('proof of an invited join', [], {
      samples: [signInvitedJoin(seed, join)],
      decode: (bytes) => {
        checkInvitedJoin(invitationKeyOf(seed), join, bytes);
        return true;
      },
      allows: (error) => malformed(error) || error instanceof EngineError,
    }),
    target('link code', ['decodeLinkCode'], {
      samples: [utf8(encodeLinkCode(suite, linkSecret()))],
      decode: (bytes) => decodeLinkCode(suite, textOf(bytes)),
      allows: never,
    }),
    target('link request', ['decodeLinkRequest'], {
      samples: [
        encodeLinkRequest({
          deviceId: random(16),
          deviceKey: random(32),
          deviceName: 'phone ä',
          keyPackage: keyPackages[0]!,
          commitment: random(32),
        }),
      ],
      decode: decodeLinkRequest,
      encode: encodeLinkRequest,
      allows: malformed,
    }),
    target('link answer', ['decodeLinkAnswer'], {
      samples: [
        encodeLinkAnswer({
          accountId: random(16),
          username: 'anna',
          deviceName: 'laptop ü',
          emulationGroupId: random(16),
          authenticationKey: random(32),
          nonce: random(32),
        }),
      ],
      decode: decodeLinkAnswer,
      encode: encodeLinkAnswer,
      allows: malformed,
    }),
    target('sealed slot of a link mailbox', [], {
      samples: [sealSlot(suite, linkSecret(), 'answer', random(60), random)],
      decode: (bytes) => openSlot(suite, linkSecret(), 'answer', bytes),
      allows: never,
    }),
    target('recovery phrase', ['readPhrase'], {
      samples: [utf8(phrase.join(' ')), utf8(phrase.map((word, i) => `${i + 1}. ${word},`).join('\n'))],
      decode: (bytes) => readPhrase(textOf(bytes)),
      allows: never,
    }),
    target('KeyPackage of another account', ['decodeKeyPackage'], {
      samples: keyPackages,
      decode: decodeKeyPackage,
      encode: encodeKeyPackage,
      allows: malformed,
    }),
    target('record', ['decodeRecord'], {
      samples: [...stored.map(([, bytes]) => bytes), encodeRecord({ a: [1, 'b', new Map([['c', random(9)]])], d: 7n })],
      decode: (bytes) => decodeRecord<unknown>(bytes),
      allows: malformed,
    }),
    target('what a Welcome tells a new device beside the draft’s struct', ['readApplicationData'], {
      samples: [encodeRecord(applicationData)],
      decode: readApplicationData,
      allows: typed,
    }),
    target('conversation in a Welcome', ['readGroupTransfer'], {
      samples: [encodeRecord(groupTransfer)],
      decode: readGroupTransfer,
      allows: typed,
    }),
    target('place in a Welcome', ['readPlace'], {
      samples: [0n, 2n ** 53n - 1n].map((place) => encode((writer) => writer.uint64(place))),
      decode: (bytes) => readPlace(decode(bytes, 'place', (reader) => reader.uint64('place'))),
      encode: (place) => encode((writer) => writer.uint64(BigInt(place))),
      allows: typed,
    }),
    target('line of a conversation', ['decodeMessage'], { samples: lines, decode: decodeMessage, allows: malformed }),
    target('conversation’s group records', ['decodeGroupRecords'], {
      samples: inRecords(group),
      beside: sizeOf(group),
      decode: (bytes) => decodeGroupRecords(conversationId, readRecords(group, bytes)),
      allows: (error) => malformed(error) || error instanceof MlsError,
    }),
  ];
}

function isAscii(bytes: Uint8Array): boolean {
  try {
    return fromUtf8(bytes).length === bytes.length;
  } catch {
    return false;
  }
}
