import { describe, expect, it } from 'vitest';
import { utf8 } from '../../../src/bytes/index.ts';
import { decodeLinkAnswer, decodeLinkRequest, encodeLinkAnswer, encodeLinkRequest } from '../../../src/engine/link-code.ts';
import { decodeRecord, encodeRecord } from '../../../src/engine/record-codec.ts';
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
