import { describe, expect, it } from 'vitest';
import { Refusal } from '../../../server/problems.ts';
import { checkSubmission, readHeader } from '../../../server/submission.ts';
import { DecodeError } from '../../../src/wire/index.ts';
import { MAX_COMMIT_BYTES } from '../../../src/delivery/bounds.ts';
import type { Submission } from '../../../src/engine/ports.ts';
import { concat } from '../../../src/bytes/index.ts';
import { groupInfo, privateMessage, publicCommit, welcome } from '../../support/mls-headers.ts';
import { application, commit, creation, randomBytes } from '../../support/submissions.ts';

const groupId = randomBytes(32);

function verdict(submission: Submission): string {
  try {
    checkSubmission(submission);
    return 'accepted';
  } catch (error) {
    if (error instanceof Refusal) return error.type;
    throw error;
  }
}

describe('what the server sees of a message', () => {
  it('is group, epoch and kind', () => {
    expect(readHeader(privateMessage(groupId, 5, 'proposal'))).toEqual({ form: 'private', groupId, epoch: 5n, kind: 'proposal' });
    expect(readHeader(groupInfo(groupId, 6))).toEqual({ form: 'group-info', groupId, epoch: 6n, kind: 'creation' });
    expect(readHeader(publicCommit(groupId, 7, 4))).toEqual({ form: 'public', groupId, epoch: 7n, kind: 'commit' });
  });

  it("a PublicMessage is a new member's commit or nothing", () => {
    for (const senderType of [0, 1, 2, 3, 5]) expect(() => readHeader(publicCommit(groupId, 7, senderType))).toThrow(DecodeError);
  });

  it('a cut header is refused at every length', () => {
    const header = privateMessage(groupId, 5, 'commit');
    const end = 2 + 2 + 1 + 32 + 8 + 1;
    for (let length = 0; length < end; length++) expect(() => readHeader(header.subarray(0, length))).toThrow(DecodeError);
    expect(() => readHeader(header.subarray(0, end))).not.toThrow();
  });
});

describe('a submission agrees with its message', () => {
  it('in group, epoch and kind', () => {
    expect(verdict(application(groupId, 3))).toBe('accepted');
    expect(verdict(commit(groupId, 3))).toBe('accepted');
    expect(verdict(creation(groupId))).toBe('accepted');
    const wrong = [
      application(groupId, 3, { message: privateMessage(randomBytes(32), 3, 'application') }),
      application(groupId, 3, { message: privateMessage(groupId, 4, 'application') }),
      application(groupId, 3, { message: privateMessage(groupId, 3, 'commit') }),
      application(groupId, 3, { message: concat(Uint8Array.of(0, 2), privateMessage(groupId, 3, 'application').subarray(2)) }),
      application(groupId, 3, { message: welcome() }),
      creation(groupId, { epoch: 1, message: groupInfo(groupId, 1) }),
    ];
    for (const submission of wrong) expect(verdict(submission)).toBe('malformed');
  });

  it('in what belongs to a commit', () => {
    const right = commit(groupId, 3);
    expect(verdict({ ...right, commit: undefined })).toBe('malformed');
    expect(verdict(application(groupId, 3, { commit: right.commit }))).toBe('malformed');
    expect(verdict(commit(groupId, 3, { groupInfo: groupInfo(groupId, 3) }))).toBe('malformed');
    expect(verdict(commit(groupId, 3, { groupInfo: groupInfo(randomBytes(32), 4) }))).toBe('malformed');
    expect(verdict(commit(groupId, 3, { groupInfo: welcome() }))).toBe('malformed');
    for (const message of [groupInfo(groupId, 4), Uint8Array.of(0, 1, 0)]) {
      expect(verdict(commit(groupId, 3, { welcome: { message, uses: [] } }))).toBe('malformed');
    }
  });

  it('in the ratchet of its generation', () => {
    const generationId = randomBytes(32);
    expect(verdict(application(groupId, 3, { generation: { ratchetType: 'handshake', generationId } }))).toBe('malformed');
    expect(verdict(commit(groupId, 3, {}, { generation: { ratchetType: 'application', generationId } }))).toBe('malformed');
    expect(verdict(creation(groupId, { generation: { ratchetType: 'handshake', generationId } }))).toBe('malformed');
  });

  it('and is no larger than its kind may be, all parts together', () => {
    const half = concat(welcome(), new Uint8Array(MAX_COMMIT_BYTES / 2));
    expect(verdict(commit(groupId, 3, { welcome: { message: half, uses: [] } }))).toBe('accepted');
    const large = { welcome: { message: half, uses: [] }, groupInfo: concat(groupInfo(groupId, 4), new Uint8Array(MAX_COMMIT_BYTES / 2)) };
    expect(verdict(commit(groupId, 3, large))).toBe('too-large');
    expect(verdict(creation(groupId, { message: concat(groupInfo(groupId, 0), new Uint8Array(64 * 1024)) }))).toBe('too-large');
  });
});
