import { ed25519 } from '@noble/curves/ed25519.js';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/bytes/index.ts';
import { createDeliveryClient } from '../../../src/delivery/index.ts';
import type { CommitRouting, DeliveryAnswer, DeliveryCall, DeliveryCalls, Recovery } from '../../../src/engine/ports.ts';
import { EMULATION_PROTOCOL } from '../../../src/engine/protocol.ts';
import { recoveryClaim } from '../../../src/engine/recovery.ts';
import { EMPTY_STATE } from '../../../src/engine/state.ts';
import { accountKeyContent } from '../../../src/virtual-client/account-proof.ts';
import { encodeRemovalStatement } from '../../../src/virtual-client/removal-statement.ts';
import { deriveRecoveryKey, type RecoveryKey } from '../../../src/virtual-client/index.ts';
import { confirmNewPhrase, recovered } from '../../support/engine-recovery.ts';
import { random, settle, stateOf, take, taken } from '../../support/engine-snapshot.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';
import { twoDevicesAndBen, type TwoDevices } from '../../support/two-devices.ts';

// Who has the phrase and a client of their own can have the server take a recovery that the account's devices refuse.

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

const recoveryKeyOf = (entropy: Uint8Array): RecoveryKey =>
  deriveRecoveryKey(EMULATION_PROTOCOL, Secret.of('phrase_entropy', entropy.slice()));

interface Stranger {
  readonly request: Recovery;
  ask<Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request']): Promise<DeliveryAnswer<Call>>;
}

/** A new device with the phrase of `username`, before it sends its request. */
async function stranger(username: string, entropy: Uint8Array): Promise<Stranger> {
  const begun = await taken(EMPTY_STATE, { type: 'command', command: { command: 'beginRecovery', username, deviceName: 'x' } });
  const { deviceId, deviceKeySeed } = begun.device!;
  const proof = { deviceId, deviceKeySeed: deviceKeySeed.reveal() };
  const client = createDeliveryClient({ baseUrl: world.url, now: Date.now, fetch });
  const ask: Stranger['ask'] = (call, request) => client.send(call, request, proof, new AbortController().signal);
  const key = recoveryKeyOf(entropy);
  const claim = recoveryClaim(begun.device!, username, key);
  const [server, opened] = [await ask('describe-server', {}), await ask('open-recovery', claim)];
  if (server.outcome !== 'done' || opened.outcome !== 'done')
    throw new Error(opened.outcome === 'refused' ? opened.problem.type : 'not opened');
  const material = { opened: opened.value, claim, key, authenticationKey: server.value.authenticationKey };
  const { state } = await take(begun, { type: 'command', command: { command: 'joinByRecovery', material } });
  const pending = state.recovering?.pending;
  if (pending === undefined) throw new Error('another group');
  return { request: pending.request, ask };
}

/** anna's laptop and phone, talking to ben, with a phrase. */
async function scene(): Promise<TwoDevices & { readonly entropy: Uint8Array }> {
  const { laptop, phone, ben, id } = await twoDevicesAndBen(world);
  const entropy = await confirmNewPhrase(laptop);
  await settle(laptop, phone, ben);
  return { laptop, phone, ben, id, entropy };
}

const changed = (bytes: Uint8Array): Uint8Array => bytes.map((byte, i) => (i === bytes.length - 1 ? byte ^ 1 : byte));

/** The request binds another key than its ResyncMessage tells. */
async function withAnotherKey(request: Recovery, owner: TestDevice): Promise<Recovery> {
  const seed = random(32);
  const { account } = await owner.runtime.state();
  const accountId = new Uint8Array(Buffer.from(account!.accountId, 'hex'));
  const fields = { keyVersion: request.keyVersion, signatureKey: ed25519.getPublicKey(seed) };
  return { ...request, ...fields, keyProof: ed25519.sign(accountKeyContent({ accountId, ...fields }), seed) };
}

/** A commit of the phone's that says the truth to its siblings, and to the server what `routing` says. */
async function plant(phone: TestDevice, routing: Partial<CommitRouting>): Promise<void> {
  phone.stop();
  const state = await taken(stateOf(await phone.store.load('')), { type: 'command', command: { command: 'renewKeys' } });
  const { submission } = (await taken(state, { type: 'prepare', what: { kind: 'renew-keys' } })).emulation!.pending!;
  await (await phone.hands()).ask('submit', { ...submission, commit: { ...submission.commit!, ...routing } });
}

describe('what a device has told the server alone', () => {
  it('does not keep it in the emulation group: who is unknown to the server can be removed all the same', async () => {
    const { laptop, phone, ben, id } = await scene();
    const idOf = (name: string): Promise<string> => laptop.until(({ devices }) => devices.find((each) => each.name === name)?.deviceId);
    const [own, other] = [await idOf('laptop'), await idOf('phone')];
    await plant(phone, { devices: [new Uint8Array(Buffer.from(own, 'hex'))] });
    await settle(laptop, ben);
    await laptop.do({ command: 'removeDevice', deviceId: other });
    await laptop.until(({ devices, removal }) => (devices.length === 1 && removal === undefined) || undefined);
    await laptop.send(id, 'alone');
    expect(await ben.texts(id, 2)).toEqual(['before', 'alone']);
  });

  it('of a removal that nobody follows does not stand in the way of a real one', async () => {
    const { laptop, phone, ben, id } = await scene();
    const tablet = await world.link(laptop, 'tablet');
    await settle(laptop, phone, tablet, ben);
    const deviceId = await laptop.until(({ devices }) => devices.find(({ name }) => name === 'phone')?.deviceId);
    const target = new Uint8Array(Buffer.from(deviceId, 'hex'));
    const statement = encodeRemovalStatement({ deviceId: target, signatureKey: random(32), signature: random(64) });
    await (await tablet.hands()).ask('begin-removal', { deviceId: target, statement });
    await phone.until(({ phase }) => phase === 'unlinked' || undefined);
    await laptop.until(({ notices }) => notices.some(({ kind }) => kind === 'refused-message') || undefined);
    await settle(laptop, tablet, ben);
    const stillReached = await ben.startConversation(['anna'], 'in between');
    await ben.send(stillReached, 'hello');
    expect(await laptop.texts(stillReached, 1)).toEqual(['hello']);
    await laptop.do({ command: 'removeDevice', deviceId });
    await laptop.until(({ devices, removal }) => (devices.length === 2 && removal === undefined) || undefined);
    await laptop.send(id, 'without the phone');
    expect(await ben.texts(id, 2)).toEqual(['before', 'without the phone']);
    await settle(laptop, tablet, ben);
    const added = await ben.startConversation(['anna'], 'new one');
    await ben.send(added, 'hello');
    expect(await laptop.texts(added, 1)).toEqual(['hello']);
  });

  it('of R is no way back for it once it is removed: what its siblings commit states the right one again', async () => {
    const { laptop, phone, ben, id, entropy } = await scene();
    const own = random(32);
    await plant(phone, { recoveryKey: recoveryKeyOf(own).publicKey });
    await expect(stranger('anna', own)).rejects.toThrow('another group');
    await settle(laptop, ben);
    const deviceId = await laptop.until(({ devices }) => devices.find(({ name }) => name === 'phone')?.deviceId);
    await laptop.do({ command: 'removeDevice', deviceId });
    await laptop.until(({ devices, removal }) => (devices.length === 1 && removal === undefined) || undefined);
    await expect(stranger('anna', own)).rejects.toThrow('recovery-refused');
    await laptop.send(id, 'alone');
    expect(await ben.texts(id, 2)).toEqual(['before', 'alone']);
    await recovered(world, 'anna', entropy);
  });
});

describe('a recovery that the account’s devices refuse', () => {
  it.each<[string, (request: Recovery, owner: TestDevice) => Recovery | Promise<Recovery>]>([
    ['for its external commit', (request) => ({ ...request, commit: { ...request.commit, message: changed(request.commit.message) } })],
    ['for its ResyncMessage', (request) => ({ ...request, resync: { ...request.resync, message: changed(request.resync.message) } })],
    ['for the key that it binds', withAnotherKey],
  ])('%s locks nobody out: they bind a key of their own over it and go on', async (_what, spoil) => {
    const { laptop, phone, ben, id, entropy } = await scene();
    const { request, ask } = await stranger('anna', entropy);
    expect((await ask('recover', await spoil(request, laptop))).outcome).toBe('done');
    for (const device of [laptop, phone]) {
      await device.until(({ notices }) => notices.some(({ kind }) => kind === 'foreign-key') || undefined);
      device.clockAhead = 45_000;
      await device.runtime.wake();
    }
    await laptop.send(id, 'from the laptop');
    await phone.send(id, 'from the phone');
    expect((await ben.texts(id, 3)).toSorted()).toEqual(['before', 'from the laptop', 'from the phone']);
    await settle(laptop, phone, ben);
    const fences = await Promise.all([laptop, phone].map(async (device) => (await device.hands()).fence()));
    expect(fences[0]).toEqual(fences[1]);
    expect(fences[0]!.keyVersion).toBe(3);
    const added = await ben.startConversation(['anna'], 'new one');
    await ben.send(added, 'hello');
    expect(await phone.texts(added, 1)).toEqual(['hello']);
  });

  it('leaves no device at the server when its external commit was refused, and the phrase goes on to work', async () => {
    const { laptop, phone, id, entropy } = await scene();
    const { request, ask } = await stranger('anna', entropy);
    const broken = { ...request, commit: { ...request.commit, message: changed(request.commit.message) } };
    expect((await ask('recover', broken)).outcome).toBe('done');
    expect((await ask('fetch-sequence', { after: 0, limit: 1 })).outcome).toBe('done');
    await eventually(async () => {
      const problem = { outcome: 'refused', problem: { type: 'unknown-device' } };
      expect(await ask('fetch-sequence', { after: 0, limit: 1 })).toMatchObject(problem);
    });
    await settle(laptop, phone);
    const fresh = await recovered(world, 'anna', entropy);
    await fresh.send(id, 'here');
    expect((await laptop.texts(id, 2)).at(-1)).toBe('here');
    await phone.until(({ devices }) => devices.length === 3 || undefined);
  });
});
