import { toHex } from '../../src/bytes/index.ts';
import { invitationCode } from '../../src/engine/invitation.ts';
import type { EngineState } from '../../src/engine/state.ts';
import type { LineReader } from '../../src/engine/turn.ts';
import { openWorld } from '../support/delivery-world.ts';
import { random, type Records } from '../support/engine-snapshot.ts';
import { drawFor } from './chance.ts';
import { Confidential, keysIn } from './confidential.ts';
import { SteppedDevice, type Came } from './stepped-device.ts';

/** All that a server has told the devices of four people, from their accounts' beginning to a removal and a recovery. */
export interface PlayedScene {
  readonly came: readonly Came[];
  readonly cast: Cast;
}

/** Who is in the middle of it, at rest: two devices of anna's and one of ben's in one conversation. */
export interface Cast {
  readonly conversationId: string;
  readonly laptop: EngineState;
  readonly phone: EngineState;
  readonly ben: EngineState;
  readonly now: number;
  readonly lines: LineReader;
  /** All that the phone has stored. */
  readonly records: Records;
  readonly invitationCode: string;
  /** Of the phrase that the account was recovered with later. */
  readonly entropy: Uint8Array;
  /** The adder about to add its sibling, and the sibling about to get its Welcome. */
  readonly linking: { readonly adder: EngineState; readonly newcomer: Came };
}

/** All that the cast has of keys, and what they call themselves and have written. */
export function confidentialIn({ cast }: PlayedScene): Confidential {
  return new Confidential([...keysIn(cast), cast.entropy], ['hello', 'Choir', 'anna', 'cara', 'dora', 'tablet']);
}

/** The same for the same seed, down to the last key. */
export async function playedScene(): Promise<PlayedScene> {
  drawFor('scene');
  const world = await openWorld();
  try {
    const device = (): SteppedDevice => new SteppedDevice(world);
    const [laptop, phone, ben, cara, dora, tablet] = [device(), device(), device(), device(), device(), device()];
    const all = [laptop, phone, ben, cara, dora];
    const rest = async (...devices: readonly SteppedDevice[]): Promise<void> => {
      for (let round = 0; round < 3; round++) for (const each of devices) await each.rest();
    };
    for (const [first, username] of [
      [laptop, 'anna'],
      [ben, 'ben'],
      [cara, 'cara'],
      [dora, 'dora'],
    ] as const) {
      await first.do({ command: 'createAccount', username, deviceName: `${username}'s first` });
      await first.rest();
    }
    const members = [await laptop.find('ben')];
    const conversationId = await laptop.do({ command: 'startConversation', groupId: random(16), members, title: 'Choir' });
    await rest(...all);
    await link(laptop, phone);
    for (const each of [laptop, ben, phone]) {
      await each.do({ command: 'send', conversationId, messageId: random(16), text: 'hello' });
      await rest(...all);
    }
    await ben.do({ command: 'addMember', conversationId, messageId: random(16), member: await ben.find('cara') });
    await rest(...all);
    await laptop.do({ command: 'makeInvitation', conversationId, messageId: random(16) });
    await rest(...all);
    const code = invitationCode(laptop.state.conversations.get(conversationId)!)!;
    await dora.openInvitation(code);
    await dora.do({ command: 'joinByInvitation', code });
    await rest(...all);
    const { last } = phone.state.conversations.get(conversationId)!;
    await phone.do({ command: 'forget', conversationId, messages: [{ messageKey: last!.messageKey, position: last!.position }] });
    await laptop.do({ command: 'renewKeys' });
    await rest(...all);
    const linking = {
      adder: adding(laptop.came),
      newcomer: phone.came.find(({ call, body }) => call === 'fetch-link' && hasWelcome(body))!,
    };
    const cast = {
      conversationId,
      laptop: laptop.state,
      phone: phone.state,
      ben: ben.state,
      now: world.clock,
      lines: laptop.lines,
      records: phone.records,
      invitationCode: code,
      linking,
    };
    const entropy = await laptop.makePhrase();
    await rest(...all);
    const { deviceId } = phone.state.device!;
    await laptop.do({ command: 'removeDevice', deviceId: toHex(deviceId) });
    await rest(laptop, ben, cara, dora);
    await tablet.recover('anna', 'tablet', entropy.slice());
    await rest(tablet, laptop, ben, cara, dora);
    await laptop.do({ command: 'send', conversationId, messageId: random(16), text: 'bye' });
    await ben.do({ command: 'removeMember', conversationId, accountId: toHex(cara.state.account!.accountId) });
    await rest(tablet, laptop, ben, cara, dora);
    return { came: [...all, tablet].flatMap(({ came }) => came), cast: { ...cast, entropy } };
  } finally {
    await world.close();
  }
}

async function link(adder: SteppedDevice, device: SteppedDevice): Promise<void> {
  await device.do({ command: 'startLink', deviceName: 'phone' });
  await device.rest();
  await adder.do({ command: 'acceptLinkCode', code: device.linkCode });
  for (let round = 0; round < 3; round++) for (const each of [adder, device]) await each.rest();
  for (const each of [device, adder]) await each.do({ command: 'confirmLink', yes: true });
  for (let round = 0; round < 4; round++) for (const each of [adder, device]) await each.rest();
}

/** As it was before it made the commit that adds the other device: what came while nothing of it was made yet. */
function adding(came: readonly Came[]): EngineState {
  const isAdding = ({ link, emulation }: EngineState): boolean =>
    link?.request !== undefined && link.step !== 'done' && emulation?.pending === undefined;
  const at = came.map(({ before }) => before).findLast(isAdding);
  if (at === undefined) throw new Error('nobody was linked');
  return at;
}

function hasWelcome(body: Uint8Array): boolean {
  return /"welcome":"/.test(new TextDecoder().decode(body));
}
