import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { RATES } from '../../../server/limits.ts';
import { ed25519PublicKey, signEd25519 } from '../../../server/ed25519.ts';
import { CLOCK_WINDOW } from '../../../src/delivery/device-proof.ts';
import { PROBLEM_STATUS } from '../../../src/delivery/frames.ts';
import type { DeliveryCalls, ProblemType } from '../../../src/engine/ports.ts';
import { accountProofContent } from '../../../src/virtual-client/account-proof.ts';
import { encodeRemovalStatement } from '../../../src/virtual-client/removal-statement.ts';
import {
  accountRequest,
  type DeliveryWorld,
  newDevice,
  openWorld,
  type Person,
  register,
  TestDevice,
} from '../../support/delivery-world.ts';
import { privateMessage, welcome } from '../../support/mls-headers.ts';
import { application, commit, creation, emulationCommit, linking, randomBytes } from '../../support/submissions.ts';

const BASE = 'https://chorus.test';

/** The server keeps the signature for the siblings, and cannot judge it. */
function removalOf({ proof: { deviceId } }: TestDevice): DeliveryCalls['begin-removal']['request'] {
  return { deviceId, statement: encodeRemovalStatement({ deviceId, signatureKey: randomBytes(32), signature: randomBytes(64) }) };
}

/** Each case provokes its problem through the real client; the record's type makes a new problem need a case. */
const cases: Readonly<Record<Exclude<ProblemType, 'clock-skew'>, (a: Person, b: Person, world: DeliveryWorld) => Promise<string>>> = {
  'generation-taken': async (a) => {
    const groupId = randomBytes(32);
    await a.device.done('submit', creation(groupId));
    const first = application(groupId, 0);
    await a.device.done('submit', first);
    return a.device.refused('submit', application(groupId, 0, { generation: first.generation }));
  },
  'stale-epoch': async (a) => {
    const groupId = randomBytes(32);
    await a.device.done('submit', creation(groupId));
    await a.device.done('submit', commit(groupId, 0));
    return a.device.refused('submit', commit(groupId, 0));
  },
  'stale-emulation-epoch': async (a) => {
    await a.device.done('submit', emulationCommit(a.emulationGroupId, 0));
    return a.device.refused('submit', creation(randomBytes(32)));
  },
  'stale-key-version': (a) => a.device.refused('submit', creation(randomBytes(32), { fence: { emulationEpoch: 0, keyVersion: 2 } })),
  'invitation-refused': (a) => a.device.refused('open-invitation', { groupId: randomBytes(32), proof: randomBytes(64) }),
  'recovery-refused': (a) => {
    const { deviceId, deviceKeySeed } = a.device.proof;
    const claim = { username: 'ada', deviceId, deviceKey: ed25519PublicKey(deviceKeySeed), proof: randomBytes(64) };
    return a.device.refused('open-recovery', claim);
  },
  'stale-log': async (a) => {
    const [linkId, token] = [randomBytes(16), randomBytes(32)];
    await a.device.done('put-link-slot', { linkId, token, slot: 'request', payload: randomBytes(8) });
    const device = { deviceId: randomBytes(16), deviceKey: randomBytes(32), linkId, coversPosition: 1 };
    return a.device.refused('submit', linking(a.emulationGroupId, 0, device));
  },
  'log-changed': (a) => a.device.refused('fetch-sequence', { after: 9, limit: 1, mark: randomBytes(16) }),
  'group-exists': async (a, b) => {
    const groupId = randomBytes(32);
    await a.device.done('submit', creation(groupId));
    return b.device.refused('submit', creation(groupId));
  },
  'unknown-group': (a) => a.device.refused('fetch-group', { groupId: randomBytes(32), epoch: undefined }),
  'not-a-member': (a, b) => a.device.refused('fetch-group', { groupId: b.emulationGroupId, epoch: undefined }),
  'username-taken': (_a, _b, world) => {
    const other = newDevice(BASE, world.fetch, () => world.clock);
    return other.refused('create-account', accountRequest(other, 'ada'));
  },
  'unknown-account': (a) => a.device.refused('find-account', { username: 'nobody' }),
  'no-key-package': (a, b) => a.device.refused('claim-key-packages', { claimId: randomBytes(16), accountIds: [b.accountId] }),
  'spent-key-package': async (a, b) => {
    const groupId = randomBytes(32);
    await a.device.done('submit', creation(groupId));
    const uses = [{ accountId: b.accountId, keyPackageRef: randomBytes(32) }];
    return a.device.refused('submit', commit(groupId, 0, { adds: [b.accountId], welcome: { message: welcome(), uses } }));
  },
  'unannounced-key-package': (a) =>
    a.device.refused('upload-key-packages', { keyPackages: [{ keyPackageRef: randomBytes(32), keyPackage: randomBytes(50) }] }),
  'unknown-device': (_a, _b, world) => newDevice(BASE, world.fetch, () => world.clock).refused('fetch-sequence', { after: 0, limit: 1 }),
  'no-such-device': (a, b) => a.device.refused('begin-removal', removalOf(b.device)),
  'last-device': (a) => a.device.refused('begin-removal', removalOf(a.device)),
  'bad-signature': (a) =>
    new TestDevice(a.device.client, { ...a.device.proof, deviceKeySeed: randomBytes(32) }).refused('fetch-sequence', {
      after: 0,
      limit: 1,
    }),
  'unknown-link': (a) => a.device.refused('fetch-link', { linkId: randomBytes(16), token: randomBytes(32), have: [] }),
  'link-slot-taken': async (a) => {
    const link = { linkId: randomBytes(16), token: randomBytes(32), slot: 'request' } as const;
    await a.device.done('put-link-slot', { ...link, payload: randomBytes(8) });
    return a.device.refused('put-link-slot', { ...link, payload: randomBytes(8) });
  },
  'unknown-blob': (a) => a.device.refused('fetch-blob', { hash: randomBytes(32) }),
  malformed: (a) => a.device.refused('submit', application(randomBytes(32), 0, { epoch: 1 })),
  'too-large': (a) => {
    const groupId = randomBytes(32);
    return a.device.refused(
      'submit',
      application(groupId, 0, { message: privateMessage(groupId, 0, 'application', 'x'.repeat(300 * 1024)) }),
    );
  },
  'too-many': async (a) => {
    for (let epoch = 0; epoch < 3; epoch++) {
      const announces = Array.from({ length: 128 }, () => randomBytes(32));
      await a.device.done('submit', emulationCommit(a.emulationGroupId, epoch, { announces }));
    }
    const announces = Array.from({ length: 128 }, () => randomBytes(32));
    return a.device.refused('submit', emulationCommit(a.emulationGroupId, 3, { announces }));
  },
  'rate-limited': async (a) => {
    const slot = { token: randomBytes(32), slot: 'request', payload: randomBytes(8) } as const;
    for (let i = 0; i < RATES.openLink.burst; i++) await a.device.done('put-link-slot', { linkId: randomBytes(16), ...slot });
    return a.device.refused('put-link-slot', { linkId: randomBytes(16), ...slot });
  },
  internal: async (a, _b, world) => {
    const report = vi.spyOn(console, 'error').mockReturnValue();
    vi.spyOn(world.store, 'readGroup').mockRejectedValue(new Error('disk on fire'));
    const type = await a.device.refused('fetch-group', { groupId: a.emulationGroupId, epoch: undefined });
    expect(report).toHaveBeenCalledOnce();
    return type;
  },
};

describe('every problem type', () => {
  let world: DeliveryWorld;
  let ada: Person;
  let bob: Person;

  beforeEach(async () => {
    world = await openWorld();
    const device = () => newDevice(BASE, world.fetch, () => world.clock);
    ada = await register(device(), 'ada');
    bob = await register(device(), 'bob');
  });
  afterEach(async () => {
    vi.restoreAllMocks();
    await world.close();
  });

  for (const [type, provoke] of Object.entries(cases)) {
    it(`${type} is what the client gets`, async () => {
      expect(await provoke(ada, bob, world)).toBe(type);
    });
  }

  it('comes as a problem document with its status, and echoes nothing', async () => {
    const response = await world.fetch(`${BASE}/v1/links/${'A'.repeat(21)}Q?have=%3Cscript%3E`, {
      headers: { 'Chorus-Link-Token': 'A'.repeat(43) },
    });
    expect(response.headers.get('Content-Type')).toBe('application/problem+json');
    expect(response.status).toBe(PROBLEM_STATUS.malformed);
    expect(await response.json()).toEqual({ type: 'urn:chorus:problem:malformed', title: 'The request is malformed', status: 400 });
  });

  it('unknown paths below /v1 are malformed requests, not pages', async () => {
    const response = await world.fetch(`${BASE}/v1/nothing`);
    expect(response.status).toBe(400);
    expect(response.headers.get('X-Content-Type-Options')).toBe('nosniff');
  });

  it('names whose KeyPackages are lacking', async () => {
    const answer = await ada.device.send('claim-key-packages', { claimId: randomBytes(16), accountIds: [bob.accountId] });
    if (answer.outcome !== 'refused') throw new Error(answer.outcome);
    expect(Buffer.from(answer.problem.accountId ?? []).equals(bob.accountId)).toBe(true);
  });

  it('a rate limit says how long to wait, and afterwards lets through', async () => {
    const slot = { token: randomBytes(32), slot: 'request', payload: randomBytes(8) } as const;
    for (let i = 0; i < RATES.openLink.burst; i++) await ada.device.done('put-link-slot', { linkId: randomBytes(16), ...slot });
    const answer = await ada.device.send('put-link-slot', { linkId: randomBytes(16), ...slot });
    if (answer.outcome !== 'refused') throw new Error(answer.outcome);
    expect(answer.problem.retryAfter).toBe(1000 / RATES.openLink.perSecond);
    world.clock += answer.problem.retryAfter ?? 0;
    expect(await ada.device.refused('put-link-slot', { linkId: randomBytes(16), ...slot })).toBe('done');
  });
});

describe('proving a device', () => {
  let world: DeliveryWorld;
  /** What went over the wire, for sending it again. */
  let sent: { input: string; init: RequestInit }[];
  let deviceClock: number;
  let ada: Person;

  beforeEach(async () => {
    world = await openWorld();
    sent = [];
    deviceClock = world.clock;
    const recording = (input: string, init: RequestInit = {}) => {
      sent.push({ input, init });
      return world.fetch(input, init);
    };
    ada = await register(
      newDevice(BASE, recording, () => deviceClock),
      'ada',
    );
    sent = [];
  });
  afterEach(() => world.close());

  const problemOf = async (response: Response): Promise<unknown> => ((await response.json()) as { type: unknown }).type;

  it('a request sent a second time is refused', async () => {
    await ada.device.done('fetch-sequence', { after: 0, limit: 1 });
    const { input, init } = sent[0]!;
    const { signal: _signal, ...rest } = init;
    expect(await problemOf(await world.fetch(input, rest))).toBe('urn:chorus:problem:bad-signature');
  });

  it('a signature holds for one method, path, query and body', async () => {
    await ada.device.done('put-blob', {
      hash: new Uint8Array(await crypto.subtle.digest('SHA-256', new Uint8Array(3))),
      bytes: new Uint8Array(3),
    });
    const { input, init } = sent[0]!;
    const { signal: _signal, ...rest } = init;
    const others: [string, RequestInit][] = [
      [input, { ...rest, body: new Uint8Array(4) }],
      [`${input}?x=1`, rest],
      [input.replace('/blobs/', '/links/'), rest],
      [input, { method: 'GET', headers: rest.headers! }],
    ];
    for (const [url, altered] of others) expect((await world.fetch(url, altered)).status).toBeGreaterThanOrEqual(400);
    expect(await problemOf(await world.fetch(input, { ...rest, body: new Uint8Array(4) }))).toBe('urn:chorus:problem:bad-signature');
  });

  it('without the header, or with another one, nothing is answered', async () => {
    for (const Authorization of ['', 'Bearer abc', 'Chorus-Device id=AA, time=1, nonce=AA, signature=AA']) {
      const response = await world.fetch(`${BASE}/v1/sequence?after=0&limit=1`, { headers: { Authorization } });
      expect(await problemOf(response)).toBe('urn:chorus:problem:bad-signature');
    }
  });

  it('a device whose clock is wrong learns the right time and gets through by itself', async () => {
    for (const error of [-2 * CLOCK_WINDOW, 2 * CLOCK_WINDOW]) {
      deviceClock = world.clock + error;
      sent = [];
      await ada.device.done('fetch-sequence', { after: 0, limit: 1 });
      expect(sent.length).toBe(2);
      await ada.device.done('fetch-sequence', { after: 0, limit: 1 });
      expect(sent.length).toBe(3); // it remembers
    }
  });

  it('clock-skew is told when the second attempt fails too', async () => {
    const late = newDevice(
      BASE,
      async (input, init) => {
        world.clock += 2 * CLOCK_WINDOW; // the way there takes too long
        return world.fetch(input, init);
      },
      () => deviceClock,
    );
    const proof = ada.device.proof;
    expect(await new TestDevice(late.client, proof).refused('fetch-sequence', { after: 0, limit: 1 })).toBe('clock-skew');
  });

  it("another account's device proves nothing for this account's log", async () => {
    const bob = await register(
      newDevice(BASE, world.fetch, () => world.clock),
      'bob',
    );
    expect(await bob.device.refused('fetch-group', { groupId: ada.emulationGroupId, epoch: undefined })).toBe('not-a-member');
    expect(await bob.device.refused('submit', emulationCommit(ada.emulationGroupId, 0))).toBe('not-a-member');
  });

  it('an account needs the proof of its key, for this name and device', async () => {
    const device = newDevice(BASE, world.fetch, () => world.clock);
    const request = accountRequest(device, 'cleo');
    const stolen = signEd25519(randomBytes(32), accountProofContent(request));
    expect(await device.refused('create-account', { ...request, proof: stolen })).toBe('bad-signature');
    expect(await device.refused('create-account', { ...request, username: 'cleopatra' })).toBe('bad-signature');
    const other = newDevice(BASE, world.fetch, () => world.clock);
    expect(await other.refused('create-account', request)).toBe('bad-signature');
    expect(await device.refused('create-account', request)).toBe('done');
    expect(await device.refused('create-account', request)).toBe('done');
  });
});
