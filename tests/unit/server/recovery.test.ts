import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ed25519PublicKey, signEd25519 } from '../../../server/ed25519.ts';
import type { Recovery, RecoveryClaim } from '../../../src/engine/ports.ts';
import { accountKeyContent, recoveryProofContent } from '../../../src/virtual-client/account-proof.ts';
import { decodeAccountBinding } from '../../../src/virtual-client/account-binding.ts';
import { type DeliveryWorld, newDevice, openWorld, type Person, register, type TestDevice } from '../../support/delivery-world.ts';
import { publicCommit, groupInfo, privateMessage } from '../../support/mls-headers.ts';
import { emulationCommit, randomBytes } from '../../support/submissions.ts';

const seed = randomBytes(32);
let world: DeliveryWorld;
let ada: Person;
let fresh: TestDevice;

const anyDevice = (): TestDevice => newDevice('https://chorus.test', world.fetch, () => world.clock);

beforeEach(async () => {
  world = await openWorld();
  ada = await register(anyDevice(), 'ada');
  await ada.device.done('submit', emulationCommit(ada.emulationGroupId, 0, { recoveryKey: ed25519PublicKey(seed) }));
  fresh = anyDevice();
});
afterEach(() => world.close());

function claim({ proof: { deviceId, deviceKeySeed } }: TestDevice, username = 'ada', signer = seed): RecoveryClaim {
  const fields = { username, deviceId, deviceKey: ed25519PublicKey(deviceKeySeed) };
  return { ...fields, proof: signEd25519(signer, recoveryProofContent(fields)) };
}

function recovery(keySeed = randomBytes(32), prover = keySeed): Recovery {
  const [groupId, accountId] = [ada.emulationGroupId, ada.accountId];
  const fields = { keyVersion: 1, signatureKey: ed25519PublicKey(keySeed) };
  return {
    ...claim(fresh),
    ...fields,
    keyProof: signEd25519(prover, accountKeyContent({ accountId, ...fields })),
    epoch: 1,
    commit: { messageId: randomBytes(16), message: publicCommit(groupId, 1, 4), groupInfo: groupInfo(groupId, 2) },
    resync: { messageId: randomBytes(16), message: privateMessage(groupId, 2, 'application') },
  };
}

describe('a device that only the recovery key vouches for', () => {
  it('sees the emulation group’s GroupInfo, joins, and is a device of the account from then on', async () => {
    const opened = await fresh.done('open-recovery', claim(fresh));
    expect(opened).toMatchObject({ accountId: ada.accountId, keyVersion: 1, epoch: 1, position: 1, removals: [] });
    expect(await fresh.refused('fetch-sequence', { after: 0, limit: 1 })).toBe('unknown-device');
    const asked = recovery();
    const answer = await fresh.done('recover', asked);
    expect(decodeAccountBinding(answer.binding)).toMatchObject({ keyVersion: 2, signatureKey: asked.signatureKey });
    expect(await fresh.done('recover', asked)).toEqual(answer);
    const { entries } = await fresh.done('fetch-sequence', { after: 0, limit: 10 });
    expect(entries.map(({ kind }) => kind)).toEqual(['commit', 'commit', 'application', 'account-key']);
    expect((await fresh.done('list-groups', {})).groups).toEqual([]);
  });

  it('is told again that it is in when R has changed since, and no other device is told so', async () => {
    const asked = recovery();
    const answer = await fresh.done('recover', asked);
    const newer = emulationCommit(ada.emulationGroupId, 2, { recoveryKey: randomBytes(32) });
    await ada.device.done('submit', newer);
    expect(await fresh.done('recover', asked)).toEqual(answer);
    expect(await fresh.refused('open-recovery', claim(fresh))).toBe('recovery-refused');
    expect(await fresh.refused('recover', { ...asked, commit: { ...asked.commit, messageId: randomBytes(16) } })).toBe('malformed');
    const { deviceKey } = claim(anyDevice());
    expect(await fresh.refused('recover', { ...asked, deviceKey })).toBe('bad-signature');
  });

  it('is refused alike without an account, without a phrase, with another one and with a proof for another device', async () => {
    await register(anyDevice(), 'bob');
    for (const wrong of [claim(fresh, 'nobody'), claim(fresh, 'bob'), claim(fresh, 'ada', randomBytes(32))]) {
      expect(await fresh.refused('open-recovery', wrong)).toBe('recovery-refused');
      expect(await fresh.refused('recover', { ...recovery(), ...wrong })).toBe('recovery-refused');
    }
    const { proof } = claim(anyDevice());
    expect(await fresh.refused('open-recovery', { ...claim(fresh), proof })).toBe('recovery-refused');
  });

  it('cannot use what another device has signed, nor bind a key that it does not have', async () => {
    const stranger = anyDevice();
    expect(await stranger.refused('open-recovery', claim(fresh))).toBe('bad-signature');
    expect(await stranger.refused('recover', recovery())).toBe('bad-signature');
    expect(await fresh.refused('recover', recovery(randomBytes(32), randomBytes(32)))).toBe('bad-signature');
  });

  it('comes in only in the group’s newest epoch, with an external commit', async () => {
    const asked = recovery();
    await ada.device.done('submit', emulationCommit(ada.emulationGroupId, 1));
    expect(await fresh.refused('recover', asked)).toBe('stale-epoch');
    const groupId = ada.emulationGroupId;
    const member = { ...asked.commit, message: privateMessage(groupId, 1, 'commit') };
    expect(await fresh.refused('recover', { ...asked, commit: member })).toBe('malformed');
  });
});

describe('a recovery key', () => {
  it('is set by a commit of the emulation group alone', async () => {
    const outside = emulationCommit(randomBytes(32), 0, { recoveryKey: randomBytes(32) });
    expect(await ada.device.refused('submit', outside)).toBe('unknown-group');
  });
});
