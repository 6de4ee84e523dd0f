import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ed25519PublicKey, signEd25519 } from '../../../server/ed25519.ts';
import { accountKeyContent } from '../../../src/virtual-client/account-proof.ts';
import { decodeAccountBinding, verifyAccountBinding } from '../../../src/virtual-client/account-binding.ts';
import { encodeRemovalStatement } from '../../../src/virtual-client/removal-statement.ts';
import { type DeliveryWorld, newDevice, openWorld, type Person, register, TestDevice } from '../../support/delivery-world.ts';
import { linking, randomBytes } from '../../support/submissions.ts';
import { protocol, suite } from '../virtual-client/setup.ts';

const BASE = 'https://chorus.test';
let world: DeliveryWorld;
let ada: Person;

beforeEach(async () => {
  world = await openWorld();
  ada = await register(
    newDevice(BASE, world.fetch, () => world.clock),
    'ada',
  );
});
afterEach(() => world.close());

async function secondDevice(): Promise<TestDevice> {
  const [linkId, token, seed] = [randomBytes(16), randomBytes(32), randomBytes(32)];
  await ada.device.done('put-link-slot', { linkId, token, slot: 'request', payload: randomBytes(8) });
  const device = { deviceId: randomBytes(16), deviceKey: ed25519PublicKey(seed), linkId, coversPosition: 0 };
  await ada.device.done('submit', linking(ada.emulationGroupId, 0, device));
  return new TestDevice(ada.device.client, { deviceId: device.deviceId, deviceKeySeed: seed });
}

const statementFor = (deviceId: Uint8Array): Uint8Array =>
  encodeRemovalStatement({ deviceId, signatureKey: randomBytes(32), signature: randomBytes(64) });

describe('the removal of a device', () => {
  it('ends its event stream with `gone`, and the other learns of it from its own', async () => {
    const phone = await secondDevice();
    const open = async (device: TestDevice): Promise<ReadableStreamDefaultReader<Uint8Array>> => {
      const { url, headers } = await device.client.prepareEventStream(0, device.proof);
      return (await world.fetch(url, { headers })).body!.getReader();
    };
    const [hers, its] = [await open(ada.device), await open(phone)];
    const { deviceId } = phone.proof;
    await ada.device.done('begin-removal', { deviceId, statement: statementFor(deviceId) });
    expect(await readUntil(its, 'event: gone')).toContain('event: gone');
    expect((await its.read()).done).toBe(true);
    expect(await readUntil(hers, 'begin-removal')).toContain('"kind":"begin-removal"');
    await hers.cancel();
  });

  it('is refused when the statement is about another device or is none', async () => {
    const { deviceId } = (await secondDevice()).proof;
    expect(await ada.device.refused('begin-removal', { deviceId, statement: statementFor(randomBytes(16)) })).toBe('malformed');
    expect(await ada.device.refused('begin-removal', { deviceId, statement: randomBytes(100) })).toBe('malformed');
  });
});

describe('a new account key', () => {
  const seed = randomBytes(32);
  const signatureKey = ed25519PublicKey(seed);
  const request = (keyVersion: number) => ({
    keyVersion,
    signatureKey,
    proof: signEd25519(seed, accountKeyContent({ accountId: ada.accountId, keyVersion, signatureKey })),
  });

  it('is bound for who holds it, the same answer at every try', async () => {
    const first = await ada.device.done('bind-account-key', request(1));
    const again = await ada.device.done('bind-account-key', request(1));
    expect(again).toEqual(first);
    expect(first.keyVersion).toBe(2);
    const { authenticationKey } = await ada.device.done('describe-server', {});
    await verifyAccountBinding(protocol, suite, authenticationKey, decodeAccountBinding(first.binding), {
      accountId: ada.accountId,
      signatureKey,
      replacedKeyVersion: 1,
    });
  });

  it('is refused without its own signature, and when another version is current', async () => {
    expect(await ada.device.refused('bind-account-key', { ...request(1), proof: randomBytes(64) })).toBe('bad-signature');
    expect(await ada.device.refused('bind-account-key', { ...request(2), keyVersion: 1 })).toBe('bad-signature');
    expect(await ada.device.refused('bind-account-key', request(2))).toBe('stale-key-version');
  });
});

async function readUntil(reader: ReadableStreamDefaultReader<Uint8Array>, wanted: string): Promise<string> {
  let text = '';
  while (!text.includes(wanted)) {
    const { value, done } = await reader.read();
    if (done) break;
    text += new TextDecoder().decode(value);
  }
  return text;
}
