import { describe, expect, it } from 'vitest';
import { BridgeError } from '../../../src/bridge/client.ts';
import type { StoreErrorCode } from '../../../src/engine/ports.ts';
import { deviceText, troubleOf, troubleText } from '../../../src/ui/words.ts';

/** All of them: TypeScript misses none. */
const CODES = Object.keys({
  'quota-exceeded': 0,
  blocked: 0,
  'newer-version': 0,
  unavailable: 0,
  locked: 0,
  'root-missing': 0,
  'sealed-record-unreadable': 0,
  'invalid-path': 0,
  'write-failed': 0,
} satisfies Record<StoreErrorCode, 0>) as StoreErrorCode[];

/** What a person can do. */
const STEP = /\b(Delete|Close|Open|Allow|Reload|Link|Try)\b|, (then )?(try|reload|open|link|restart)\b/;

describe('what is said of trouble with the store', () => {
  it.each(CODES)('%s has words of its own, a next step, and no code in them', (code) => {
    const text = troubleText(`storage-${code}`);
    expect(text).toMatch(/^[A-Z].{40,}\.$/);
    expect(text).toMatch(STEP);
    expect(text).not.toContain(code);
  });

  it('a full disk, a newer version and lost data are told apart', () => {
    const told = (['quota-exceeded', 'newer-version', 'root-missing', 'unavailable', 'blocked'] as const).map((code) =>
      troubleText(`storage-${code}`),
    );
    expect(new Set(told).size).toBe(told.length);
  });
});

describe('what a failed call comes to', () => {
  it.each(['no-worker', 'no-answer', 'malformed', 'internal'] as const)('%s is the bridge’s, with a next step', (code) => {
    expect(troubleOf(new BridgeError(code, 'state'))).toBe(`bridge-${code}`);
    expect(troubleText(`bridge-${code}`)).toMatch(/[Rr]eload/);
  });

  it.each(CODES)('the store’s %s stays what it is', (code) => {
    expect(troubleOf(new BridgeError(`storage-${code}`, 'state'))).toBe(`storage-${code}`);
  });

  it('anything else is no answer', () => {
    expect(troubleOf(new TypeError('x'))).toBe('bridge-no-answer');
  });
});

describe('the device of a message', () => {
  it('is never left blank, and one whose name has not come yet is not taken for a stranger’s', () => {
    expect(deviceText({ name: 'phone', known: true, own: false })).toBe('phone');
    expect(deviceText({ name: '', known: true, own: false })).toBe('A new device of yours');
    expect(deviceText({ name: '', known: false, own: false })).toBe('Unknown device');
  });
});
