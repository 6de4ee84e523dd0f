import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { toBase64Url } from '../../../src/bytes/index.ts';
import { MAX_APPLICATION_MESSAGE, MAX_KEY_PACKAGE_BATCH } from '../../../src/delivery/bounds.ts';
import {
  answerFrames,
  bytes,
  createAccountFrame,
  fromJson,
  PROBLEM_STATUS,
  PROBLEM_URN,
  problemFrame,
  sequenceEntryFrame,
  submissionFrame,
  toJson,
  uploadFrame,
} from '../../../src/delivery/frames.ts';
import { application, commit, linking, randomBytes } from '../../support/submissions.ts';

const blob = (min: number, max: number) => fc.uint8Array({ minLength: min, maxLength: max }).map((value) => new Uint8Array(value));
const exactly = (length: number) => blob(length, length);
const number = fc.maxSafeNat();
const optional = <Value>(value: fc.Arbitrary<Value>) => fc.option(value, { nil: undefined });

const submission = fc.record({
  messageId: exactly(16),
  kind: fc.constantFrom('creation', 'application', 'proposal', 'commit'),
  epoch: number,
  message: blob(1, 100),
  generation: optional(fc.record({ ratchetType: fc.constantFrom('application', 'handshake'), generationId: exactly(32) })),
  fence: optional(fc.record({ emulationEpoch: number, keyVersion: number })),
  commit: optional(
    fc.record({
      adds: fc.array(exactly(16), { maxLength: 3 }),
      removes: fc.array(exactly(16), { maxLength: 3 }),
      welcome: optional(
        fc.record({
          message: blob(1, 100),
          uses: fc.array(fc.record({ accountId: exactly(16), keyPackageRef: exactly(32) }), { maxLength: 3 }),
        }),
      ),
      groupInfo: blob(1, 100),
      announces: fc.array(exactly(32), { maxLength: 3 }),
      newDevice: optional(fc.record({ deviceId: exactly(16), deviceKey: exactly(32), linkId: exactly(16), coversPosition: number })),
      recoveryKey: optional(exactly(32)),
      invitation: optional(fc.record({ key: optional(exactly(32)) })),
      invited: optional(exactly(64)),
      devices: optional(fc.array(exactly(16), { minLength: 1, maxLength: 3 })),
      refuses: optional(number),
    }),
  ),
});

describe('frames', () => {
  it('a submission comes back from JSON as it went in', () => {
    fc.assert(
      fc.property(submission, (value) => {
        expect(fromJson(submissionFrame, toJson(value))).toEqual(value);
      }),
    );
  });

  it('a sequence entry comes back from JSON as it went in', () => {
    const entry = fc.record({
      sequence: number,
      groupId: blob(1, 64),
      position: number,
      kind: fc.constantFrom('creation', 'application', 'proposal', 'commit', 'welcome'),
      epoch: number,
      message: blob(1, 100),
      messageId: optional(exactly(16)),
      keyPackageRef: optional(exactly(32)),
      acceptedAt: number,
    });
    fc.assert(
      fc.property(entry, (value) => {
        expect(fromJson(sequenceEntryFrame, toJson(value))).toEqual(value);
      }),
    );
  });

  it('a Buffer is bytes, not the object that Node makes of it in JSON', () => {
    expect(toJson({ value: Buffer.from([1, 2, 3]) })).toBe('{"value":"AQID"}');
  });

  it('a key too many or too few is refused', () => {
    const { groupId: _groupId, ...right } = application(randomBytes(32), 0);
    const plain = JSON.parse(toJson(right)) as Record<string, unknown>;
    expect(fromJson(submissionFrame, JSON.stringify(plain))).toBeDefined();
    expect(fromJson(submissionFrame, JSON.stringify({ ...plain, device: 1 }))).toBeUndefined();
    for (const key of Object.keys(plain)) {
      const { [key]: _left, ...rest } = plain;
      expect(fromJson(submissionFrame, JSON.stringify(rest))).toBeUndefined();
    }
  });

  it('bytes have one spelling and keep to their lengths', () => {
    const three = bytes(3, 4);
    expect(fromJson(three, '"AQID"')).toEqual(Uint8Array.of(1, 2, 3));
    for (const text of ['"AQI"', '"AQIDBAU"', '"AQIDBB"', '"AQ+D"', '"AQID=="', '"AQI D"', '3', 'null', '{"0":1}']) {
      expect(fromJson(three, text)).toBeUndefined();
    }
  });

  it('numbers are whole, not negative and exact', () => {
    for (const epoch of ['-1', '1.5', '9007199254740992', '"1"', 'null']) {
      const text = toJson(commit(randomBytes(32), 7)).replace('"epoch":7', `"epoch":${epoch}`);
      expect(text).toContain(`"epoch":${epoch}`);
      expect(fromJson(submissionFrame, text)).toBeUndefined();
    }
  });

  it('a key version that has no next one is none to recover with', () => {
    const opened = { accountId: randomBytes(16), groupInfo: randomBytes(90), epoch: 1, position: 2, removals: [] };
    const read = (keyVersion: number) => fromJson(answerFrames['open-recovery'], toJson({ ...opened, keyVersion }));
    expect(read(2 ** 32 - 2)).toBeDefined();
    for (const keyVersion of [2 ** 32 - 1, 2 ** 32, Number.MAX_SAFE_INTEGER]) expect(read(keyVersion)).toBeUndefined();
  });

  it('lists are bounded', () => {
    const one = { keyPackageRef: randomBytes(32), keyPackage: randomBytes(10) };
    const batch = (length: number) => toJson({ keyPackages: Array.from({ length }, () => one) });
    expect(fromJson(uploadFrame, batch(MAX_KEY_PACKAGE_BATCH))).toBeDefined();
    expect(fromJson(uploadFrame, batch(MAX_KEY_PACKAGE_BATCH + 1))).toBeUndefined();
    expect(fromJson(uploadFrame, batch(0))).toBeUndefined();
  });

  it('a linking commit of full size passes', () => {
    const device = { deviceId: randomBytes(16), deviceKey: randomBytes(32), linkId: randomBytes(16), coversPosition: 1 };
    const { groupId: _groupId, ...rest } = linking(randomBytes(32), 0, device);
    expect(fromJson(submissionFrame, toJson({ ...rest, message: new Uint8Array(MAX_APPLICATION_MESSAGE) }))).toBeDefined();
  });

  it('usernames are folded to lower case and refused beyond their alphabet', () => {
    const frame = (username: string) =>
      toJson({
        username,
        deviceId: randomBytes(16),
        deviceKey: randomBytes(32),
        signatureKey: randomBytes(32),
        proof: randomBytes(64),
        emulationGroupId: randomBytes(32),
        emulationGroupInfo: randomBytes(10),
      });
    expect(fromJson(createAccountFrame, frame('Ada.Lovelace'))?.username).toBe('ada.lovelace');
    for (const wrong of ['a', 'ada lovelace', 'ádá', 'x'.repeat(33), '../..'])
      expect(fromJson(createAccountFrame, frame(wrong))).toBeUndefined();
  });

  it('only slots that hold something are in a link answer', () => {
    const slots = { request: null, answer: 'AQI', reveal: null, confirmed: '', cancelled: null, welcome: null };
    const read = fromJson(answerFrames['fetch-link'], JSON.stringify({ slots }));
    expect(read).toEqual({ slots: { answer: Uint8Array.of(1, 2), confirmed: new Uint8Array() } });
  });
});

describe('problem documents', () => {
  it('each type is read, with members that we do not know beside it', () => {
    for (const [type, status] of Object.entries(PROBLEM_STATUS)) {
      const text = JSON.stringify({ type: PROBLEM_URN + type, title: 'x', status, detail: 'y' });
      expect(fromJson(problemFrame, text)).toEqual({ type, status, retryAfter: undefined, accountId: undefined, time: undefined });
    }
  });

  it('a type that we do not know is no problem of ours', () => {
    for (const type of ['about:blank', `${PROBLEM_URN}constructor`, `${PROBLEM_URN}new-thing`]) {
      expect(fromJson(problemFrame, JSON.stringify({ type, status: 400 }))).toBeUndefined();
    }
  });

  it('carries its details', () => {
    const accountId = randomBytes(16);
    const text = JSON.stringify({
      type: `${PROBLEM_URN}no-key-package`,
      status: 409,
      accountId: toBase64Url(accountId),
      retryAfter: 5,
      time: 6,
    });
    expect(fromJson(problemFrame, text)).toMatchObject({ accountId, retryAfter: 5, time: 6 });
  });
});
