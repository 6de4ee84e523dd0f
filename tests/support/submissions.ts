import type { CommitRouting, NewDevice, Submission } from '../../src/engine/ports.ts';
import { groupInfo, privateMessage, welcome } from './mls-headers.ts';

/** Well-formed submissions; a test overrides what it is about. */

export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length));
}

type Overrides = Partial<Submission>;
export const FIRST_FENCE = { emulationEpoch: 0, keyVersion: 1 } as const;

export function creation(groupId: Uint8Array, overrides: Overrides = {}): Submission {
  return {
    groupId,
    messageId: randomBytes(16),
    kind: 'creation',
    epoch: 0,
    message: groupInfo(groupId, 0),
    generation: undefined,
    fence: FIRST_FENCE,
    commit: undefined,
    ...overrides,
  };
}

export function application(groupId: Uint8Array, epoch: number, overrides: Overrides = {}): Submission {
  return {
    groupId,
    messageId: randomBytes(16),
    kind: 'application',
    epoch,
    message: privateMessage(groupId, epoch, 'application'),
    generation: { ratchetType: 'application', generationId: randomBytes(32) },
    fence: undefined,
    commit: undefined,
    ...overrides,
  };
}

export function proposal(groupId: Uint8Array, epoch: number, overrides: Overrides = {}): Submission {
  return application(groupId, epoch, {
    kind: 'proposal',
    message: privateMessage(groupId, epoch, 'proposal'),
    generation: { ratchetType: 'handshake', generationId: randomBytes(32) },
    fence: FIRST_FENCE,
    ...overrides,
  });
}

export function commit(groupId: Uint8Array, epoch: number, routing: Partial<CommitRouting> = {}, overrides: Overrides = {}): Submission {
  return {
    groupId,
    messageId: randomBytes(16),
    kind: 'commit',
    epoch,
    message: privateMessage(groupId, epoch, 'commit'),
    generation: { ratchetType: 'handshake', generationId: randomBytes(32) },
    fence: FIRST_FENCE,
    commit: {
      adds: [],
      removes: [],
      welcome: undefined,
      groupInfo: groupInfo(groupId, epoch + 1),
      announces: [],
      newDevice: undefined,
      recoveryKey: undefined,
      invitation: undefined,
      invited: undefined,
      devices: undefined,
      refuses: undefined,
      ...routing,
    },
    ...overrides,
  };
}

/** A commit of an emulation group has neither fence nor generation. */
export function emulationCommit(groupId: Uint8Array, epoch: number, routing: Partial<CommitRouting> = {}): Submission {
  return commit(groupId, epoch, routing, { fence: undefined, generation: undefined });
}

export function linking(groupId: Uint8Array, epoch: number, newDevice: NewDevice): Submission {
  return emulationCommit(groupId, epoch, { newDevice, welcome: { message: welcome(), uses: [] } });
}
