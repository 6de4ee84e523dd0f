import { Secret, utf8 } from '../../src/bytes/index.ts';
import { decodeAccountBinding, encodeAccountBinding } from '../../src/virtual-client/account-binding.ts';
import { decodeAction, decodeActionAad, encodeAction, encodeActionAad } from '../../src/virtual-client/actions.ts';
import { decodeDerivationInfo, sealDerivationInfo } from '../../src/virtual-client/derivation-info.ts';
import { decodeEpochRecords, epochRecords } from '../../src/virtual-client/emulation-epoch-codec.ts';
import {
  decodeForgetMessage,
  decodeResyncMessage,
  encodeForgetMessage,
  encodeResyncMessage,
} from '../../src/virtual-client/emulation-message.ts';
import type { StateTransfer } from '../../src/virtual-client/group-transfer.ts';
import { sealStateBlob } from '../../src/virtual-client/group-transfer.ts';
import { decodeLiveLeaf, encodeLiveLeaf } from '../../src/virtual-client/live-leaf.ts';
import { decodeNewEmulatorClientState, encodeNewEmulatorClientState } from '../../src/virtual-client/onboarding.ts';
import { activate } from '../../src/virtual-client/operation-keys.ts';
import { allocateOperation, decodeRetainedOperation, encodeRetainedOperation } from '../../src/virtual-client/operation-secrets.ts';
import { decodePprfState, encodePprfState } from '../../src/virtual-client/pprf-codec.ts';
import { decodeRemovalStatement, encodeRemovalStatement } from '../../src/virtual-client/removal-statement.ts';
import { decodeGuardKey, encodeGuardKey, guardKey } from '../../src/virtual-client/reuse-guard.ts';
import { decodeSafeAad, encodeSafeAad } from '../../src/virtual-client/safe-aad.ts';
import { VirtualClientError } from '../../src/virtual-client/errors.ts';
import { DecodeError } from '../../src/wire/index.ts';
import { epochOf, protocol, randomFrom, suite } from '../unit/virtual-client/setup.ts';
import { inRecords, readRecords, sizeOf } from './records.ts';
import { target, type Target } from './target.ts';

const random = randomFrom('fuzz');
const malformed = (error: unknown): boolean => error instanceof DecodeError;

/** The draft's own structs. */
export function virtualClientTargets(): Target[] {
  const first = allocateOperation(protocol, epochOf({ own: 1 }), random);
  const second = allocateOperation(protocol, first.next, random);
  const third = allocateOperation(protocol, second.next, random);
  const epoch = third.next;
  const leaf = activate(protocol, third.value, suite).next;
  const transfer: StateTransfer = { logPosition: 12n, groupState: utf8('group state'), leaf, pendingOperations: [second.value] };
  const { reference } = sealStateBlob(protocol, utf8('group C'), transfer, random);
  const signingKey = (name: string) => Secret.of('signature_private_key', suite.hash(utf8(name)));
  const upload = {
    type: 'key_package_upload',
    epochId: epoch.epochId,
    keyPackages: [1, 2, 3].map(() => ({ keyPackageRef: random(32), random: random(32) })),
  } as const;
  const join = { type: 'external_join', groupId: random(16) } as const;
  const records = [...epochRecords(epoch)];
  return [
    target('VirtualClientAction', ['decodeAction'], {
      samples: [encodeAction(upload), encodeAction(join)],
      decode: (bytes) => decodeAction(protocol, bytes),
      encode: encodeAction,
      allows: malformed,
    }),
    target('SafeAAD with an action', ['decodeActionAad'], {
      samples: [upload, join].map((action) => encodeActionAad(protocol, action)),
      decode: (bytes) => decodeActionAad(protocol, bytes),
      allows: malformed,
    }),
    target('SafeAAD', ['decodeSafeAad'], {
      samples: [encodeSafeAad([]), encodeSafeAad([1, 2, 0x8a02].map((componentId) => ({ componentId, data: random(20) })))],
      decode: decodeSafeAad,
      encode: encodeSafeAad,
      allows: malformed,
    }),
    target('NewEmulatorClientState', ['decodeNewEmulatorClientState', 'readEmulationEpochState', 'readHigherLevelGroupState'], {
      samples: [
        encodeNewEmulatorClientState({
          sequence: 99n,
          signingKeys: [
            { keyVersion: 0, signaturePrivateKey: signingKey('old') },
            { keyVersion: 1, signaturePrivateKey: signingKey('new') },
          ],
          activeKeyPackages: [{ keyPackageRef: random(32), operation: first.value }],
          pastEmulationEpochs: [epoch],
          higherLevelGroups: [
            { groupId: utf8('group A'), type: 'state_transfer', ...transfer },
            { groupId: utf8('group B'), type: 'external_commit' },
            { groupId: utf8('group C'), type: 'state_reference', ...reference },
          ],
          applicationData: utf8('names'),
        }),
      ],
      decode: (bytes) => decodeNewEmulatorClientState(protocol, bytes),
      encode: encodeNewEmulatorClientState,
      allows: malformed,
    }),
    target('PprfState', ['decodePprfState', 'readPprfState'], {
      samples: [encodePprfState(epoch.pprf), encodePprfState(epochOf().pprf)],
      decode: (bytes) => decodePprfState(suite, 32, bytes),
      encode: encodePprfState,
      allows: malformed,
    }),
    target('emulation epoch’s records', ['decodeEpochRecords', 'decodePprfRecords'], {
      samples: inRecords(records),
      beside: sizeOf(records),
      decode: (bytes) => decodeEpochRecords(protocol, readRecords(records, bytes)),
      allows: malformed,
    }),
    target('DerivationInfo', ['decodeDerivationInfo', 'readEpochId'], {
      samples: [sealDerivationInfo(protocol, epoch, third.value, random(32))],
      decode: (bytes) => decodeDerivationInfo(protocol, bytes),
      encode: protocol.revision.encodeDerivationInfo,
      allows: (error) => malformed(error) || error instanceof VirtualClientError,
    }),
    target('EpochInfoTBE', [], {
      samples: [protocol.revision.encodeEpochInfo(third.value)],
      decode: (bytes) => protocol.revision.decodeEpochInfo(suite, bytes),
      encode: protocol.revision.encodeEpochInfo,
      allows: malformed,
    }),
    target('ResyncMessage', ['decodeResyncMessage'], {
      samples: [encodeResyncMessage(signingKey('resync'))],
      decode: decodeResyncMessage,
      encode: encodeResyncMessage,
      allows: malformed,
    }),
    target('ForgetMessage', ['decodeForgetMessage'], {
      samples: [[3], [1, 2, 0xffff_ffff]].map((positions) => encodeForgetMessage({ groupId: random(16), positions })),
      decode: decodeForgetMessage,
      encode: encodeForgetMessage,
      allows: malformed,
    }),
    target('RetainedOperation', ['decodeRetainedOperation', 'readRetainedOperation'], {
      samples: [first, second].map(({ value }) => encodeRetainedOperation(value)),
      decode: (bytes) => decodeRetainedOperation(protocol, bytes),
      encode: encodeRetainedOperation,
      allows: malformed,
    }),
    target('LiveLeaf', ['decodeLiveLeaf', 'readLiveLeaf'], {
      samples: [encodeLiveLeaf(leaf)],
      decode: (bytes) => decodeLiveLeaf(protocol, bytes),
      encode: encodeLiveLeaf,
      allows: malformed,
    }),
    target('GuardKey', ['decodeGuardKey'], {
      samples: [encodeGuardKey(guardKey(epoch, leaf))],
      decode: (bytes) => decodeGuardKey(protocol, bytes),
      encode: encodeGuardKey,
      allows: malformed,
    }),
    target('AccountBinding', ['decodeAccountBinding'], {
      samples: [encodeAccountBinding({ accountId: random(16), keyVersion: 3, signatureKey: random(32), signature: random(64) })],
      decode: decodeAccountBinding,
      encode: encodeAccountBinding,
      allows: malformed,
    }),
    target('RemovalStatement', ['decodeRemovalStatement'], {
      samples: [encodeRemovalStatement({ deviceId: random(16), signatureKey: random(32), signature: random(64) })],
      decode: decodeRemovalStatement,
      encode: encodeRemovalStatement,
      allows: malformed,
    }),
  ];
}
