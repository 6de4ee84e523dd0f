import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type App, createApp } from '../../server/app.ts';
import { authenticationKeyOf } from '../../server/authentication-key.ts';
import { ed25519PublicKey, signEd25519 } from '../../server/ed25519.ts';
import { staticFiles } from '../../server/static.ts';
import { openSqliteStore } from '../../server/store/sqlite.ts';
import type { Consistency, DeliveryStore } from '../../server/store/store.ts';
import { createDeliveryClient, type DeliveryClient } from '../../src/delivery/index.ts';
import type { DeliveryAnswer, DeliveryCall, DeliveryCalls, DeviceProof, ProblemType } from '../../src/engine/ports.ts';
import { accountProofContent } from '../../src/virtual-client/account-proof.ts';
import { groupInfo } from './mls-headers.ts';
import { randomBytes } from './submissions.ts';

/** The real client against the real routes and a real SQLite file, without a socket and with a clock of the test's own. */
export interface DeliveryWorld {
  readonly app: App;
  readonly store: DeliveryStore;
  readonly databasePath: string;
  readonly fetch: (input: string, init?: RequestInit) => Promise<Response>;
  /** Server's clock, ms; tests move it. */
  clock: number;
  close(): Promise<void>;
}

export async function openWorld(consistency: Consistency = 'strong'): Promise<DeliveryWorld> {
  const folder = mkdtempSync(join(tmpdir(), 'chorus-delivery-'));
  const databasePath = join(folder, 'chorus.sqlite');
  const store = openSqliteStore(databasePath, consistency);
  const world = { clock: 1_800_000_000_000 };
  const app = createApp(
    {
      store,
      authenticationKey: authenticationKeyOf(randomBytes(32)),
      now: () => world.clock,
      random: randomBytes,
      consistency,
      addressOf: () => '192.0.2.1',
    },
    staticFiles(join(folder, 'no-app')),
  );
  return Object.assign(world, {
    app,
    store,
    databasePath,
    fetch: async (input: string, init?: RequestInit) => app.fetch(new Request(input, init)),
    async close() {
      app.close();
      await store.close();
      rmSync(folder, { recursive: true });
    },
  });
}

export type Person = Awaited<ReturnType<typeof register>>;

/** One device's client. `ask` gives the answer's value or the problem's type. */
export class TestDevice {
  readonly client: DeliveryClient;
  readonly proof: DeviceProof;

  constructor(client: DeliveryClient, proof: DeviceProof) {
    this.client = client;
    this.proof = proof;
  }

  send<Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request']): Promise<DeliveryAnswer<Call>> {
    return this.client.send(call, request, this.proof, new AbortController().signal);
  }

  async done<Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request']): Promise<DeliveryCalls[Call]['answer']> {
    const answer = await this.send(call, request);
    if (answer.outcome === 'done') return answer.value;
    throw new Error(`${call}: ${answer.outcome === 'refused' ? answer.problem.type : answer.outcome}`);
  }

  async refused<Call extends DeliveryCall>(
    call: Call,
    request: DeliveryCalls[Call]['request'],
  ): Promise<ProblemType | 'done' | 'unreachable'> {
    const answer = await this.send(call, request);
    return answer.outcome === 'refused' ? answer.problem.type : answer.outcome;
  }
}

export function newDevice(baseUrl: string, fetch: DeliveryWorld['fetch'], now: () => number): TestDevice {
  const proof = { deviceId: randomBytes(16), deviceKeySeed: randomBytes(32) };
  return new TestDevice(createDeliveryClient({ baseUrl, fetch, now }), proof);
}

/** A request that creates an account for `device`. */
export function accountRequest(device: TestDevice, username: string): DeliveryCalls['create-account']['request'] {
  const accountSeed = randomBytes(32);
  const emulationGroupId = randomBytes(32);
  const { deviceId, deviceKeySeed } = device.proof;
  const fields = { username, deviceId, deviceKey: ed25519PublicKey(deviceKeySeed), emulationGroupId };
  return {
    ...fields,
    signatureKey: ed25519PublicKey(accountSeed),
    proof: signEd25519(accountSeed, accountProofContent(fields)),
    emulationGroupInfo: groupInfo(emulationGroupId, 0),
  };
}

/** An account with its first device. */
export async function register(device: TestDevice, username: string) {
  const request = accountRequest(device, username);
  const { accountId, binding, keyVersion } = await device.done('create-account', request);
  return { device, accountId, binding, keyVersion, emulationGroupId: request.emulationGroupId, signatureKey: request.signatureKey };
}
