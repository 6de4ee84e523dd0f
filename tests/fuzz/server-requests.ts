import { createHash } from 'node:crypto';
import { ed25519PublicKey, signEd25519 } from '../../server/ed25519.ts';
import type { DeliveryCall, DeliveryCalls, DeviceProof } from '../../src/engine/ports.ts';
import { accountKeyContent, invitationRequestContent, recoveryProofContent } from '../../src/virtual-client/account-proof.ts';
import { encodeRemovalStatement } from '../../src/virtual-client/removal-statement.ts';
import { accountRequest, newDevice, register, type DeliveryWorld, type Person, type TestDevice } from '../support/delivery-world.ts';
import { groupInfo, privateMessage, publicCommit, welcome } from '../support/mls-headers.ts';
import { application, commit, creation, emulationCommit, linking, proposal, randomBytes } from '../support/submissions.ts';
import type { Dice } from './mutate.ts';

export const BASE = 'https://chorus.test';

/** Requests that are taken after all move the state on, until most others are stale: then it begins anew. */
const STAGE_LIFE = 20;

/** A request that the server carries out if it comes as it is. */
export interface ValidRequest {
  readonly call: DeliveryCall;
  readonly request: object;
  readonly proof: DeviceProof;
}

/** Valid requests of every kind, each made for the state that the server is in now. */
export async function requestMaker(world: DeliveryWorld): Promise<(dice: Dice) => Promise<ValidRequest>> {
  const device = (): TestDevice => newDevice(BASE, world.fetch, () => world.clock);
  const seeds = { recovery: randomBytes(32), invitation: randomBytes(32) };
  let made = 0;

  /** Two people, a group of theirs with a link to it, a phrase, a mailbox: new ones now and then, for mutated requests that were taken use up the old. */
  async function stage() {
    const name = `n${++made}`;
    const [ada, bob] = [await register(device(), `ada-${name}`), await register(device(), `bob-${name}`)];
    const groupId = randomBytes(32);
    await ada.device.done('submit', creation(groupId));
    await ada.device.done('submit', commit(groupId, 0, { invitation: { key: ed25519PublicKey(seeds.invitation) } }));
    const [ref, bobs] = [randomBytes(32), randomBytes(32)];
    const recoveryKey = ed25519PublicKey(seeds.recovery);
    await ada.device.done('submit', emulationCommit(ada.emulationGroupId, 0, { announces: [ref], recoveryKey }));
    await bob.device.done('submit', emulationCommit(bob.emulationGroupId, 0, { announces: [bobs] }));
    await bob.device.done('upload-key-packages', { keyPackages: [{ keyPackageRef: bobs, keyPackage: randomBytes(80) }] });
    const mailbox = { linkId: randomBytes(16), token: randomBytes(32) };
    await ada.device.done('put-link-slot', { ...mailbox, slot: 'request', payload: randomBytes(20) });
    return { ada, bob, groupId, ref, bobs, mailbox, name };
  }
  let now = await stage();

  const epochOf = async ({ device: asking }: Person, groupId: Uint8Array): Promise<number> =>
    (await asking.done('fetch-group', { groupId, epoch: undefined })).epoch;
  const fence = async () => ({ emulationEpoch: await epochOf(now.ada, now.ada.emulationGroupId), keyVersion: now.ada.keyVersion });

  async function claimOf(newcomer: TestDevice) {
    const { deviceId, deviceKeySeed } = newcomer.proof;
    const claim = { username: `ada-${now.name}`, deviceId, deviceKey: ed25519PublicKey(deviceKeySeed) };
    return { ...claim, proof: signEd25519(seeds.recovery, recoveryProofContent(claim)) };
  }

  async function submission(dice: Dice): Promise<object> {
    const { ada, bob, groupId, bobs, mailbox } = now;
    const emulationEpoch = await epochOf(ada, ada.emulationGroupId);
    const epoch = await epochOf(ada, groupId);
    const current = await fence();
    switch (dice.below(8)) {
      case 0:
        return creation(randomBytes(32), { fence: current });
      case 1:
        return proposal(groupId, epoch, { fence: current });
      case 2:
        return commit(groupId, epoch, { invitation: { key: undefined } }, { fence: current });
      case 3: {
        await ada.device.done('claim-key-packages', { claimId: randomBytes(16), accountIds: [bob.accountId] }).catch(() => undefined);
        const uses = [{ accountId: bob.accountId, keyPackageRef: bobs }];
        return commit(groupId, epoch, { adds: [bob.accountId], welcome: { message: welcome(), uses } }, { fence: current });
      }
      case 4: {
        const { deviceId, deviceKeySeed } = device().proof;
        const position = (await ada.device.done('fetch-group', { groupId: ada.emulationGroupId, epoch: undefined })).position;
        const newDevice = { deviceId, deviceKey: ed25519PublicKey(deviceKeySeed), linkId: mailbox.linkId, coversPosition: position };
        return linking(ada.emulationGroupId, emulationEpoch, newDevice);
      }
      case 5:
        return emulationCommit(ada.emulationGroupId, emulationEpoch, {
          announces: [randomBytes(32)],
          devices: [ada.device.proof.deviceId],
        });
      case 6: {
        const invited = signEd25519(seeds.invitation, invitationRequestContent({ groupId, accountId: ada.accountId }));
        const message = publicCommit(groupId, epoch, 4);
        return commit(groupId, epoch, { invited }, { message, generation: undefined, fence: current });
      }
      default:
        return application(groupId, epoch);
    }
  }

  async function requestOf(call: DeliveryCall, dice: Dice, newcomer: TestDevice): Promise<object> {
    const { ada, bob, groupId, ref, mailbox } = now;
    switch (call) {
      case 'describe-server':
      case 'list-groups':
        return {};
      case 'create-account':
        return accountRequest(newcomer, `new-${made}-${dice.below(1_000_000)}`);
      case 'find-account':
        return { username: `bob-${now.name}` };
      case 'describe-accounts':
        return { accountIds: [ada.accountId, bob.accountId] };
      case 'submit':
        return submission(dice);
      case 'upload-key-packages':
        return { keyPackages: [{ keyPackageRef: ref, keyPackage: randomBytes(80) }] };
      case 'claim-key-packages':
        return { claimId: randomBytes(16), accountIds: [bob.accountId] };
      case 'fetch-sequence':
        return { after: dice.below(4), limit: 10 };
      case 'begin-removal': {
        const deviceId = dice.below(2) === 0 ? randomBytes(16) : ada.device.proof.deviceId;
        return { deviceId, statement: encodeRemovalStatement({ deviceId, signatureKey: randomBytes(32), signature: randomBytes(64) }) };
      }
      case 'bind-account-key': {
        const seed = randomBytes(32);
        const fields = { accountId: ada.accountId, keyVersion: ada.keyVersion, signatureKey: ed25519PublicKey(seed) };
        return { keyVersion: fields.keyVersion, signatureKey: fields.signatureKey, proof: signEd25519(seed, accountKeyContent(fields)) };
      }
      case 'fetch-group':
        return { groupId, epoch: dice.below(2) === 0 ? undefined : 0 };
      case 'open-invitation':
        return { groupId, proof: signEd25519(seeds.invitation, invitationRequestContent({ groupId, accountId: ada.accountId })) };
      case 'open-recovery':
        return claimOf(newcomer);
      case 'recover': {
        const epoch = await epochOf(ada, ada.emulationGroupId);
        const seed = randomBytes(32);
        const key = { keyVersion: ada.keyVersion, signatureKey: ed25519PublicKey(seed) };
        const id = ada.emulationGroupId;
        return {
          ...(await claimOf(newcomer)),
          ...key,
          keyProof: signEd25519(seed, accountKeyContent({ accountId: ada.accountId, ...key })),
          epoch,
          commit: { messageId: randomBytes(16), message: publicCommit(id, epoch, 4), groupInfo: groupInfo(id, epoch + 1) },
          resync: { messageId: randomBytes(16), message: privateMessage(id, epoch + 1, 'application') },
        };
      }
      case 'put-blob': {
        const bytes = randomBytes(40);
        return { hash: new Uint8Array(createHash('sha256').update(bytes).digest()), bytes };
      }
      case 'fetch-blob':
        return { hash: randomBytes(32) };
      case 'put-link-slot':
        return { ...mailbox, slot: dice.of(['request', 'answer', 'reveal', 'confirmed', 'cancelled']), payload: randomBytes(20) };
      case 'fetch-link':
        return { ...mailbox, have: dice.of([[], ['request'], ['request', 'answer']]) } satisfies DeliveryCalls['fetch-link']['request'];
      case 'delete-link':
        return mailbox;
    }
  }

  const CALLS: readonly DeliveryCall[] = [
    'describe-server',
    'create-account',
    'find-account',
    'describe-accounts',
    ...Array.from({ length: 8 }, () => 'submit' as const), // of eight kinds
    'upload-key-packages',
    'claim-key-packages',
    'fetch-sequence',
    'begin-removal',
    'bind-account-key',
    'fetch-group',
    'open-invitation',
    'list-groups',
    'open-recovery',
    'recover',
    'put-blob',
    'fetch-blob',
    'put-link-slot',
    'fetch-link',
    'delete-link',
  ];

  let left = STAGE_LIFE;
  return async (dice) => {
    if (left-- === 0) [now, left] = [await stage(), STAGE_LIFE];
    const newcomer = device();
    const call = dice.of(CALLS);
    let request: object;
    try {
      request = await requestOf(call, dice, newcomer);
    } catch {
      now = await stage(); // an earlier request was taken after all: the device is gone, or no member any more
      request = await requestOf(call, dice, newcomer);
    }
    const asNewcomer = call === 'create-account' || call === 'open-recovery' || call === 'recover';
    return { call, request, proof: asNewcomer ? newcomer.proof : now.ada.device.proof };
  };
}
