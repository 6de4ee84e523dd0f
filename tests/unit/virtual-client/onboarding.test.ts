import { describe, expect, it } from 'vitest';
import { Secret, concat, toHex, utf8 } from '../../../src/bytes/index.ts';
import { openStateBlob, sealStateBlob, type StateTransfer } from '../../../src/virtual-client/group-transfer.ts';
import {
  decodeNewEmulatorClientState,
  encodeNewEmulatorClientState,
  type NewEmulatorClientState,
} from '../../../src/virtual-client/onboarding.ts';
import { activate } from '../../../src/virtual-client/operation-keys.ts';
import { allocateOperation, evaluateOperation } from '../../../src/virtual-client/operation-secrets.ts';
import { codeOf, epochOf, flipBit, protocol, randomFrom, suite } from './setup.ts';

const random = randomFrom('onboarding');
const first = allocateOperation(protocol, epochOf({ own: 1 }), random);
const second = allocateOperation(protocol, first.next, random);
const third = allocateOperation(protocol, second.next, random);
const epoch = third.next;
const leaf = activate(protocol, third.value, suite).next;

const transfer: StateTransfer = { logPosition: 12n, groupState: utf8('group state'), leaf, pendingOperations: [second.value] };
const { reference, blob } = sealStateBlob(protocol, utf8('group C'), transfer, random);
const state: NewEmulatorClientState = {
  sequence: 99n,
  signingKeys: [{ keyVersion: 0, signaturePrivateKey: Secret.of('signature_private_key', suite.hash(utf8('key'))) }],
  activeKeyPackages: [{ keyPackageRef: suite.hash(utf8('ref')), operation: first.value }],
  pastEmulationEpochs: [epoch],
  higherLevelGroups: [
    { groupId: utf8('group A'), type: 'state_transfer', ...transfer },
    { groupId: utf8('group B'), type: 'external_commit' },
    { groupId: utf8('group C'), type: 'state_reference', ...reference },
  ],
  applicationData: utf8('names'),
};
const bytes = encodeNewEmulatorClientState(state);
const decode = (candidate: Uint8Array): NewEmulatorClientState => decodeNewEmulatorClientState(protocol, candidate);

describe('what a linked device is told', () => {
  it('arrives whole', () => {
    const received = decode(bytes);
    expect(toHex(encodeNewEmulatorClientState(received))).toBe(toHex(bytes));
    expect(received.higherLevelGroups.map((group) => group.type)).toEqual(['state_transfer', 'external_commit', 'state_reference']);
    expect(received.sequence).toBe(99n);
  });

  it('holds nothing that the sender has spent: the newcomer cannot redo its operations, but can follow later ones', () => {
    const received = decode(bytes).pastEmulationEpochs[0]!;
    for (const { value } of [first, second, third])
      expect(codeOf(() => evaluateOperation(protocol, received, 1, value.random))).toBe('leaf-punctured');
    const later = allocateOperation(protocol, epoch, random).value;
    expect(toHex(evaluateOperation(protocol, received, 1, later.random).value.operationSecret.reveal())).toBe(
      toHex(later.operationSecret.reveal()),
    );
    expect(toHex(bytes)).not.toContain(toHex(third.value.operationSecret.reveal())); // its leaf is live
  });

  it('is refused cut short anywhere, or with bytes left over', () => {
    expect(codeOf(() => decode(concat(bytes, new Uint8Array(1))))).toBe('trailing-bytes');
    for (let length = 0; length < bytes.length; length += 7) expect(codeOf(() => decode(bytes.slice(0, length)))).toBe('truncated');
  });

  it('is refused when it names anything twice', () => {
    const doubled: readonly Partial<NewEmulatorClientState>[] = [
      { signingKeys: [state.signingKeys[0]!, state.signingKeys[0]!] },
      { activeKeyPackages: [state.activeKeyPackages[0]!, state.activeKeyPackages[0]!] },
      { pastEmulationEpochs: [epoch, epoch] },
      { higherLevelGroups: [state.higherLevelGroups[1]!, state.higherLevelGroups[1]!] },
    ];
    for (const part of doubled) expect(codeOf(() => decode(encodeNewEmulatorClientState({ ...state, ...part })))).toBe('invalid-value');
  });

  it('is refused when a leaf or an operation names an emulation epoch that it does not bring', () => {
    const other = epochOf({ name: 'other' });
    expect(codeOf(() => decode(encodeNewEmulatorClientState({ ...state, pastEmulationEpochs: [other] })))).toBe('invalid-value');
    expect(codeOf(() => decode(encodeNewEmulatorClientState({ ...state, activeKeyPackages: [], pastEmulationEpochs: [other] })))).toBe(
      'invalid-value',
    );
  });

  it('is refused with a group of an unknown state type', () => {
    const groupAt = toHex(bytes).indexOf(toHex(utf8('group B'))) / 2;
    for (const type of [0, 4]) {
      const bad = bytes.slice();
      bad[groupAt + 7] = type;
      expect(codeOf(() => decode(bad))).toBe('invalid-value');
    }
  });
});

describe('a group state that waits at the server', () => {
  it('opens to the transfer that was sealed', () => {
    const opened = openStateBlob(protocol, utf8('group C'), reference, blob);
    expect(opened.logPosition).toBe(12n);
    expect(opened.groupState).toEqual(transfer.groupState);
    expect(toHex(opened.leaf.leafNodeSecret.reveal())).toBe(toHex(leaf.leafNodeSecret.reveal()));
    expect(opened.pendingOperations).toHaveLength(1);
  });

  it('is refused changed, shortened, for another group, or under another key', () => {
    const open = (sealed: Uint8Array, group = 'group C', under = reference): string =>
      codeOf(() => openStateBlob(protocol, utf8(group), under, sealed));
    expect(open(flipBit(blob, 100))).toBe('state-blob-invalid');
    expect(open(blob.slice(0, -1))).toBe('state-blob-invalid');
    expect(open(blob, 'group D')).toBe('state-blob-invalid');
    expect(open(blob, 'group C', { ...reference, blobKey: Secret.of('blob_key', new Uint8Array(16)) })).toBe('state-blob-invalid');
  });

  it('shows none of its secrets', () => {
    expect(toHex(blob)).not.toContain(toHex(leaf.leafNodeSecret.reveal()));
    expect(toHex(blob)).not.toContain(toHex(transfer.groupState));
  });
});
