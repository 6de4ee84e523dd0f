import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes/index.ts';
import { decodeLinkAnswer, decodeLinkRequest, encodeLinkAnswer, encodeLinkRequest, sealSlot } from '../../../src/engine/link-code.ts';
import { decodeRecord, encodeRecord } from '../../../src/engine/record-codec.ts';
import { Refusal } from '../../../server/problems.ts';
import { checkSubmission } from '../../../server/submission.ts';
import { mailboxOf } from '../../../src/engine/linking.ts';
import { readApplicationData, readGroupTransfer, readPlace, type ApplicationData } from '../../../src/engine/onboarding-records.ts';
import { EMULATION_SUITE } from '../../../src/engine/protocol.ts';
import { EMPTY_STATE } from '../../../src/engine/state.ts';
import { step } from '../../../src/engine/step.ts';
import { random } from '../../support/engine-snapshot.ts';
import { commit } from '../../support/submissions.ts';
import { codeOf } from '../virtual-client/setup.ts';

// What mutated inputs have found: each is refused by name and throws nothing that the engine takes for a fault of its own.

const NAME = 'a name';
const filled = (length: number): Uint8Array => new Uint8Array(length).fill(1);

/** `bytes` with the name in them made something that is no UTF-8. */
function garbled(bytes: Uint8Array): Uint8Array {
  const place = Buffer.from(bytes).indexOf(utf8(NAME));
  expect(place).toBeGreaterThan(0);
  return bytes.slice().fill(0xff, place, place + 1);
}

describe('text that is no UTF-8 is malformed', () => {
  it('in a link request', () => {
    const request = { deviceId: filled(16), deviceKey: filled(32), deviceName: NAME, keyPackage: filled(9), commitment: filled(32) };
    expect(codeOf(() => decodeLinkRequest(garbled(encodeLinkRequest(request))))).toBe('invalid-value');
  });

  it('in a link answer', () => {
    const [accountId, emulationGroupId, authenticationKey, nonce] = [filled(16), filled(16), filled(32), filled(32)];
    const answer = { accountId, username: 'anna', deviceName: NAME, emulationGroupId, authenticationKey, nonce };
    expect(codeOf(() => decodeLinkAnswer(garbled(encodeLinkAnswer(answer))))).toBe('invalid-value');
    expect(codeOf(() => decodeLinkAnswer(garbled(encodeLinkAnswer({ ...answer, username: NAME, deviceName: '' }))))).toBe('invalid-value');
  });

  it('in a stored record, as value and as key', () => {
    for (const value of [{ text: NAME }, { [NAME]: 1 }])
      expect(codeOf(() => decodeRecord(garbled(encodeRecord(value))))).toBe('invalid-value');
  });
});

describe('a Welcome that links a device', () => {
  const whole: ApplicationData = {
    accountId: filled(16),
    username: NAME,
    binding: filled(9),
    authenticationKey: filled(32),
    emulationPosition: 1,
    floorEpoch: 0n,
    renewalEpoch: 0n,
    phrase: 'none',
    deviceNames: new Map([['ab', NAME]]),
    contacts: new Map([['cd', 'ben']]),
    announcedAt: new Map([['ef', 5]]),
  };

  it('brings no record of another form, with which the new device could not go on', () => {
    expect(readApplicationData(encodeRecord(whole))).toEqual(whole);
    for (const strange of [
      { contacts: 'ben' },
      { contacts: [] },
      { deviceNames: new Map([['ab', 5]]) },
      { emulationPosition: NaN },
      { phrase: 'x' },
    ]) {
      expect(() => readApplicationData(encodeRecord({ ...whole, ...strange }))).toThrow('bad-onboarding-state');
    }
    const group = { group: filled(9), title: NAME, startedAt: 1, pastLeaves: [], endedEpochs: [{ groupEpoch: 1n, endedAt: 2 }] };
    expect(readGroupTransfer(encodeRecord(group))).toEqual(group);
    for (const strange of [{ endedEpochs: null }, { endedEpochs: [undefined] }, { pastLeaves: 'none' }, { title: filled(3) }]) {
      expect(() => readGroupTransfer(encodeRecord({ ...group, ...strange }))).toThrow('bad-onboarding-state');
    }
  });

  it('names no place that is past counting', () => {
    expect(readPlace(7n)).toBe(7);
    expect(() => readPlace(2n ** 53n)).toThrow('bad-onboarding-state');
  });
});

describe('the server', () => {
  it('refuses a commit whose Welcome is none, instead of failing', () => {
    const groupId = filled(16);
    for (const message of [
      [3, 157, 140, 74, 202],
      [0, 1, 0, 1, 9],
      [0, 1, 0],
    ]) {
      const welcome = { message: Uint8Array.from(message), uses: [] };
      expect(() => checkSubmission(commit(groupId, 0, { welcome }))).toThrow(Refusal);
    }
  });
});

describe('whoever knows a link code', () => {
  it('ends the exchange by whatever it puts into the slot that says so', async () => {
    const device = EMPTY_STATE;
    const options = { random, now: 0 };
    const { state } = await step(device, { type: 'command', command: { command: 'startLink', deviceName: NAME } }, options);
    const { secret } = state.link!;
    const cancelled = sealSlot(EMULATION_SUITE, secret, 'cancelled', Uint8Array.of(0xff, 0xfe), random);
    const request = { ...mailboxOf(state.link!), have: [] };
    const answer = { outcome: 'done', value: { slots: { cancelled } } } as const;
    const result = await step(state, { type: 'answer', call: 'fetch-link', request, answer, conversationId: undefined }, options);
    expect(result.state.link?.problem).toBe('refused-there');
  });
});
