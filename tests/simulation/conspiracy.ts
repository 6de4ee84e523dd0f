import { equal, toHex } from '../../src/bytes/index.ts';
import { createDeliveryClient } from '../../src/delivery/index.ts';
import { encodeText } from '../../src/engine/content.ts';
import { accountOf } from '../../src/engine/leaf-check.ts';
import { COMPONENTS, EMULATION_PROTOCOL, GROUP_SUITE } from '../../src/engine/protocol.ts';
import { decodeGroupRecords, groupPrefix } from '../../src/engine/records.ts';
import type { EngineState } from '../../src/engine/state.ts';
import { findLeaf, getComponent, leafAt, protectApplication, type LeafNode } from '../../src/mls/index.ts';
import {
  decodeDerivationInfo,
  deriveEncryptionKeyPair,
  evaluateOperation,
  openDerivationInfo,
  VirtualClientError,
} from '../../src/virtual-client/index.ts';
import { SERVER, type Device } from './device.ts';
import type { Person, World } from './world.ts';

/**
 * A removed device of somebody gives what it has on its disk to a member of a conversation, who has the group's
 * secrets, and the two write a text in that person's name. Nobody may show it: no device of the world has written it.
 * Before the person's leaf has a new key, nobody could tell; so the two wait for that. From then on the removed device
 * cannot read either, whatever it is given of the group: that leaf's keys come from an emulation epoch that it does not know.
 */
export async function conspire(world: World, member: Person, where: number): Promise<void> {
  const accomplice = member.devices.find(({ isAtWork, process }) => isAtWork && process !== undefined);
  const victims = world.people.filter((person) => person !== member);
  const removed = victims.flatMap(({ devices }) => devices).find((device) => device.isUnlinked && device.state.account !== undefined);
  if (accomplice === undefined || removed === undefined) return;
  const ids = [...accomplice.state.conversations].filter(([, { state }]) => state === 'member').map(([id]) => id);
  const id = ids.sort()[where % ids.length];
  if (id === undefined) return;
  const group = decodeGroupRecords(id, recordsUnder(accomplice, groupPrefix(id)));
  const { account } = removed.state;
  if (group === undefined || account === undefined || group.proposals.length > 0) return; // no text goes before the commit of those
  const ownLeaf = findLeaf(group, (leaf) => equal(accountOf(leaf), account.accountId));
  if (ownLeaf === undefined) return;
  const leaf = leafAt(group, ownLeaf);
  if ([account, ...account.formerKeys].some(({ signatureKey }) => equal(leaf.signaturePublicKey, signatureKey))) return;
  // Of a fork the removed device may be no removed one in the other story.
  if (!world.judge.lying && canDerive(removed.state, leaf))
    world.judge.violate('a removed device cannot read on', `${removed.name} in ${id.slice(0, 6)}`);
  world.trace.say(world.scheduler, `${accomplice.name} and the removed ${removed.name} forge a text in ${id.slice(0, 6)}`);
  await accomplice.ask(async ({ mortal }) => {
    const { value } = await protectApplication(GROUP_SUITE, { ...group, ownLeaf }, encodeText(`forged with ${removed.name}`), {
      signer: account.signer,
      authenticatedData: new Uint8Array(),
      padding: 0,
      guard: () => mortal.bytes(4),
    });
    await submit(world, accomplice, id, Number(group.context.epoch), value.message);
  });
}

/** Whether what the device has on its disk gives it the private key of its person's leaf. */
export function canDerive(state: EngineState, leaf: LeafNode): boolean {
  const info = decodeDerivationInfo(EMULATION_PROTOCOL, getComponent(leaf.extensions, COMPONENTS.derivationInfo)!);
  for (const epoch of state.emulation?.epochs.values() ?? []) {
    try {
      const { emulatorLeaf, random } = openDerivationInfo(EMULATION_PROTOCOL, epoch, info, leaf.hpkePublicKey);
      const { value } = evaluateOperation(EMULATION_PROTOCOL, epoch, emulatorLeaf, random);
      if (equal(deriveEncryptionKeyPair(EMULATION_PROTOCOL, value, GROUP_SUITE).publicKey, leaf.hpkePublicKey)) return true;
    } catch (error) {
      if (!(error instanceof VirtualClientError)) throw error;
    }
  }
  return false;
}

/** By the member's account, as the server takes nothing from the removed device. */
async function submit(world: World, device: Device, id: string, epoch: number, message: Uint8Array): Promise<void> {
  const { process, state } = device;
  if (process === undefined || state.device === undefined) return;
  const { mortal } = process;
  const fetch = world.network.fetchOf(mortal, device, () => new AbortController().signal);
  const delivery = createDeliveryClient({ baseUrl: SERVER, now: () => Math.floor(world.scheduler.now), fetch });
  const proof = { deviceId: state.device.deviceId, deviceKeySeed: state.device.deviceKeySeed.reveal() };
  const generation = { ratchetType: 'application' as const, generationId: mortal.bytes(32) };
  const submission = {
    groupId: new Uint8Array(Buffer.from(id, 'hex')),
    messageId: mortal.bytes(16),
    kind: 'application' as const,
    epoch,
    message,
    generation,
    fence: undefined,
    commit: undefined,
  };
  world.judge.forgeries.add(toHex(submission.messageId));
  const answer = await delivery.send('submit', submission, proof, new AbortController().signal);
  if (answer.outcome === 'done') world.befell('conspire');
}

function recordsUnder(device: Device, prefix: string): Map<string, Uint8Array> {
  return new Map([...device.disk.records].filter(([key]) => key.startsWith(prefix)));
}
