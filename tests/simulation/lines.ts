import { toHex } from '../../src/bytes/index.ts';
import { decodeRecord } from '../../src/engine/record-codec.ts';
import { decodeMessage } from '../../src/engine/records.ts';
import type { EngineState, StoredMessage } from '../../src/engine/state.ts';
import type { Device } from './device.ts';
import { shownName } from './texts.ts';
import type { World } from './world.ts';

/** A line of a conversation as a device has just stored it: true, by the right person, from the right device. */
export function checkLine(world: World, device: Device, key: string, bytes: Uint8Array): void {
  const { judge } = world;
  const line = decodeMessage(bytes);
  const [, conversationId = ''] = key.split('/');
  const where = `${device.name} in ${conversationId.slice(0, 6)} at ${line.position}`;
  if (line.alarm && !device.cloned)
    judge.violate('siblings attribute each message to the right device', `${where} raises an alarm without cause`);
  if (line.kind !== 'text') return checkEvent(world, conversationId, line, where);
  const written = judge.texts.byText.get(line.text);
  if (written === undefined) return judge.violate('nothing false is shown as true', `${where}: a text that nobody wrote`);
  if (written.conversationId !== conversationId)
    judge.violate('nothing false is shown as true', `${where}: a text of another conversation`);
  const sender = line.sender && world.accountNames.get(toHex(line.sender));
  if (sender !== written.username)
    judge.violate('nothing false is shown as true', `${where}: ${written.username}'s text as ${sender ?? 'nobody'}'s`);
  const own = world.ownerOf(device).username;
  if (own !== written.username) {
    if (line.device !== undefined) judge.violate('nothing false is shown as true', `${where}: names a device of another person`);
    return;
  }
  if (line.device === undefined) return judge.violate('siblings attribute each message to the right device', `${where}: to none`);
  const isOwn = written.device === device.knownAs;
  const isRight =
    line.device.own === isOwn &&
    (isOwn || (line.device.known && (line.device.name === '' || line.device.name === shownName(written.device))));
  if (!isRight && !device.cloned) {
    const shown = line.device.own ? 'itself' : line.device.name;
    judge.violate('siblings attribute each message to the right device', `${where}: ${written.device}'s text to ${shown}`);
  }
}

/** Nobody is told that somebody came or went whom nobody has asked to. */
function checkEvent({ judge, accountNames }: World, conversationId: string, { added, removed }: StoredMessage, where: string): void {
  const { invited, expelled } = judge.texts;
  for (const [accounts, asked, what] of [[added, invited, 'added'] as const, [removed, expelled, 'removed'] as const]) {
    for (const account of accounts) {
      const username = accountNames.get(toHex(account)) ?? 'nobody';
      if (asked.get(conversationId)?.has(username) !== true)
        judge.violate('nothing false is shown as true', `${where}: ${username} was ${what} unasked`);
    }
  }
}

/** Nobody is told of a device that is not there. */
export function checkNotices({ judge, devices }: World, device: Device, bytes: Uint8Array): void {
  if (devices.some(({ cloned }) => cloned)) return;
  for (const { kind } of decodeRecord<EngineState['notices']>(bytes)) {
    if (kind === 'cloned-device' || kind === 'unknown-device')
      judge.violate('nothing false is shown as true', `${device.name}: a notice of a ${kind}`);
  }
}

export function checkTitle({ judge }: World, device: Device, conversationId: string, title: string): void {
  if (title !== '' && title !== judge.texts.titles.get(conversationId))
    judge.violate('nothing false is shown as true', `${device.name} in ${conversationId.slice(0, 6)}: another title`);
}
