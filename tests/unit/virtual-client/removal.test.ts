import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { concat, Secret, toHex, utf8 } from '../../../src/bytes/index.ts';
import { accountKeyContent } from '../../../src/virtual-client/account-proof.ts';
import { decodeResyncMessage, encodeResyncMessage } from '../../../src/virtual-client/emulation-message.ts';
import { decodeRemovalStatement, encodeRemovalStatement, removalContent } from '../../../src/virtual-client/removal-statement.ts';
import { codeOf } from './setup.ts';

const bytes = (length: number): fc.Arbitrary<Uint8Array> => fc.uint8Array({ minLength: length, maxLength: length });

describe('a ResyncMessage', () => {
  it('is its type and the private key', () => {
    const key = Secret.of('signature_private_key', new Uint8Array(32).fill(7));
    expect(toHex(encodeResyncMessage(key))).toBe(`0120${'07'.repeat(32)}`);
    expect(decodeResyncMessage(encodeResyncMessage(key)).reveal()).toEqual(key.reveal());
  });

  it('of another type, with a key of another length, or with trailing bytes is refused', () => {
    const good = encodeResyncMessage(Secret.of('signature_private_key', new Uint8Array(32)));
    expect(codeOf(() => decodeResyncMessage(concat(new Uint8Array([2]), good.slice(1))))).toBe('invalid-value');
    expect(codeOf(() => decodeResyncMessage(concat(good, new Uint8Array(1))))).toBe('trailing-bytes');
    expect(codeOf(() => decodeResyncMessage(concat(new Uint8Array([1, 31]), new Uint8Array(31))))).toBe('invalid-value');
  });

  it('gives a key that outlives the bytes that it came in', () => {
    const message = encodeResyncMessage(Secret.of('signature_private_key', new Uint8Array(32).fill(7)));
    const key = decodeResyncMessage(message);
    message.fill(0);
    expect(key.reveal()).toEqual(new Uint8Array(32).fill(7));
  });
});

describe('a removal statement', () => {
  it('comes back from the wire, and is refused with trailing or missing bytes', () => {
    fc.assert(
      fc.property(bytes(16), bytes(32), bytes(64), (deviceId, signatureKey, signature) => {
        const encoded = encodeRemovalStatement({ deviceId, signatureKey, signature });
        expect(decodeRemovalStatement(encoded)).toEqual({ deviceId, signatureKey, signature });
        expect(codeOf(() => decodeRemovalStatement(concat(encoded, new Uint8Array(1))))).toBe('trailing-bytes');
        expect(codeOf(() => decodeRemovalStatement(encoded.slice(0, -1)))).toBe('truncated');
      }),
    );
  });

  it('signs one device of one emulation group', () => {
    const [group, device] = [utf8('group'), utf8('device number 01')];
    expect(toHex(removalContent(group, device))).toBe(`15${toHex(utf8('Chorus device removal'))}05${toHex(group)}10${toHex(device)}`);
  });
});

it('the proof of an account key names the account, the key before it and the key', () => {
  const [accountId, signatureKey] = [utf8('account number 1'), new Uint8Array(32).fill(3)];
  expect(toHex(accountKeyContent({ accountId, keyVersion: 7, signatureKey }))).toBe(
    `12${toHex(utf8('Chorus account key'))}10${toHex(accountId)}0000000720${'03'.repeat(32)}`,
  );
});
