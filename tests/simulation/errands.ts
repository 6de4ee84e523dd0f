import type { ConversationView } from '../../src/engine/view.ts';
import type { Device } from './device.ts';
import { Died } from './device.ts';
import { ask, MARK, shownName } from './texts.ts';
import type { Person, World } from './world.ts';

/** What people do with their devices, each to its end or until it fails; nobody else waits for it. */

/** A device with an account of its own. */
export async function signUp(world: World, username: string): Promise<Person> {
  const device = world.device(`${username} 1`);
  const person: Person = { username, devices: [device], entropy: undefined, busy: false };
  world.people.push(person);
  device.start();
  await world.command(device, { command: 'createAccount', username, deviceName: shownName(device.name) });
  const account = await world.untilView(device, (view) => view.account);
  if (account === undefined) throw new Error(`${username} has no account`);
  world.accountNames.set(account.accountId, username);
  return person;
}

/** @returns whether the worker says that it is kept */
export async function write(world: World, device: Device, pick: number, process = device.process): Promise<boolean> {
  const conversation = await conversationAt(world, device, pick, ({ state }) => state !== 'left');
  if (conversation === undefined) return false;
  const { conversationId } = conversation;
  const messageId = world.fate.bytes(16);
  const { username } = world.ownerOf(device);
  const text = `${MARK}${username} ${world.judge.texts.byText.size} by ${device.name}`;
  const written = { text, username, device: device.knownAs, conversationId, messageId: hex(messageId), kept: false };
  world.judge.texts.write(written);
  world.trace.say(world.scheduler, `${device.name} writes "${text}" in ${conversationId.slice(0, 6)}`);
  written.kept = (await world.command(device, { command: 'send', conversationId, messageId, text }, process)) === true;
  return written.kept;
}

export async function create(world: World, device: Device, whom: number): Promise<string | undefined> {
  const others = world.people.filter((person) => !person.devices.includes(device));
  const usernames = others
    .filter((_, index) => ((whom >> index) & 1) === 1 || index === whom % others.length)
    .map(({ username }) => username);
  const groupId = world.fate.bytes(16);
  world.trace.say(world.scheduler, `${device.name} begins ${hex(groupId).slice(0, 6)} with ${usernames.join(', ')}`);
  const members = await find(device, usernames);
  if (members === undefined) return undefined;
  const title = `${MARK}${device.name}: a club`;
  world.judge.texts.titles.set(hex(groupId), title);
  ask(world.judge.texts.invited, hex(groupId), usernames);
  await world.command(device, { command: 'startConversation', groupId, members, title });
  return hex(groupId);
}

export async function add(world: World, device: Device, where: number, whom: number): Promise<void> {
  const conversation = await conversationAt(world, device, where, isReady);
  if (conversation === undefined) return;
  const there = new Set(conversation.members.map(({ accountId }) => world.accountNames.get(accountId)));
  const away = world.people.filter(({ username }) => !there.has(username));
  const person = away[whom % away.length];
  if (person === undefined) return;
  world.trace.say(world.scheduler, `${device.name} adds ${person.username} to ${conversation.conversationId.slice(0, 6)}`);
  const [member] = (await find(device, [person.username])) ?? [];
  if (member === undefined) return;
  const { conversationId } = conversation;
  ask(world.judge.texts.invited, conversationId, [person.username]);
  await world.command(device, { command: 'addMember', conversationId, messageId: world.fate.bytes(16), member });
}

export async function remove(world: World, device: Device, where: number, whom: number): Promise<void> {
  const conversation = await conversationAt(world, device, where, isReady);
  const others = conversation?.members.filter(({ own }) => !own) ?? [];
  const member = others[whom % others.length];
  if (conversation === undefined || member === undefined) return;
  const { conversationId } = conversation;
  const username = world.accountNames.get(member.accountId)!; // as others know it: a server that lies may have told another name
  world.trace.say(world.scheduler, `${device.name} removes ${username} from ${conversationId.slice(0, 6)}`);
  ask(world.judge.texts.expelled, conversationId, [username]);
  await world.command(device, { command: 'removeMember', conversationId, accountId: member.accountId });
}

export async function renew(world: World, device: Device): Promise<void> {
  world.trace.say(world.scheduler, `${device.name} renews its keys`);
  await world.command(device, { command: 'renewKeys' });
}

/** A new device of the person's, both sides saying yes. Whatever happens meanwhile may end it. */
export async function link(world: World, adder: Device): Promise<void> {
  const person = world.ownerOf(adder);
  const device = world.device(`${person.username} ${person.devices.length + 1}`);
  device.moveTo(adder.server);
  person.devices.push(device);
  device.start();
  world.trace.say(world.scheduler, `${adder.name} links ${device.name}`);
  await insist(world, device, { command: 'startLink', deviceName: shownName(device.name) });
  const code = await world.untilView(device, (view) => view.link?.code);
  if (code !== undefined) await insist(world, adder, { command: 'acceptLinkCode', code });
  const compares = await Promise.all(
    [device, adder].map((side) => world.untilView(side, ({ link: view }) => (view?.step === 'compare' ? view.shortNumber : undefined))),
  );
  if (compares[0] !== undefined && compares[0] === compares[1]) {
    await insist(world, device, { command: 'confirmLink', yes: true });
    await insist(world, adder, { command: 'confirmLink', yes: true });
    await world.untilView(device, ({ phase, link: view }) =>
      phase === 'ready' || view === undefined || view.step === 'ended' ? true : undefined,
    );
    await world.untilView(adder, ({ link: view }) =>
      view === undefined || view.step === 'done' || view.step === 'ended' ? true : undefined,
    );
  }
  for (const side of [adder, device]) await insist(world, side, { command: 'closeLink' });
}

export async function removeDevice(world: World, device: Device, which: number): Promise<void> {
  const view = await world.view(device);
  const others = view?.devices.filter(({ own, beingRemoved }) => !own && !beingRemoved) ?? [];
  const gone = others[which % others.length];
  if (gone === undefined) return;
  world.trace.say(world.scheduler, `${device.name} removes the device ${gone.name}`);
  await world.command(device, { command: 'removeDevice', deviceId: gone.deviceId });
}

/** A recovery phrase, written down and confirmed. */
export async function makePhrase(world: World, device: Device): Promise<void> {
  const person = world.ownerOf(device);
  world.trace.say(world.scheduler, `${device.name} makes a phrase`);
  const made = await device.ask(({ runtime }) => runtime.makePhrase()).catch(unlessDead);
  if (made?.ok !== true) return;
  const entropy = made.entropy.slice();
  await insist(world, device, { command: 'confirmPhrase', phraseId: made.phraseId });
  person.entropy = entropy;
}

/** A new device joins with the phrase, which is made first if there is none. */
export async function recover(world: World, person: Person, prepare: (device: Device) => void): Promise<void> {
  const other = person.devices.find(({ isAtWork }) => isAtWork);
  if (person.entropy === undefined && other !== undefined) await makePhrase(world, other);
  const { entropy } = person;
  if (entropy === undefined) return;
  const device = world.device(`${person.username} ${person.devices.length + 1}`);
  if (other !== undefined) device.moveTo(other.server);
  person.devices.push(device);
  prepare(device);
  device.start();
  world.trace.say(world.scheduler, `${device.name} joins with the phrase`);
  const asked = { username: person.username, deviceName: shownName(device.name) };
  for (let tries = 0; tries < 5; tries += 1) {
    const outcome = await device.ask(({ runtime }) => runtime.recover({ ...asked, entropy: entropy.slice() })).catch(unlessDead);
    if (outcome?.ok === true) return;
    await world.pause(10_000);
    if ((await world.view(device))?.phase === 'ready') return;
  }
}

/**
 * Whether to go on in a conversation that the server has set back; and after a recovery whether to join where somebody
 * added the person and none of the devices has answered.
 */
export async function answerQuestions(world: World, device: Device): Promise<void> {
  for (const [conversationId, { state, joinsOlder }] of device.state.conversations)
    if (state === 'set-back' && !joinsOlder) await world.command(device, { command: 'joinAgain', conversationId });
  for (const { groupId, wish, members } of device.state.rejoining?.groups ?? []) {
    if (wish === 'ask' && members !== undefined)
      await world.command(device, { command: 'decideRejoin', conversationId: hex(groupId), join: true });
  }
}

/** A command repeated until the worker lives long enough to answer. */
async function insist(world: World, device: Device, command: Parameters<World['command']>[1]): Promise<boolean> {
  return (await world.until(() => world.command(device, command))) === true;
}

async function find(device: Device, usernames: readonly string[]) {
  const found = await device.ask(({ runtime }) => runtime.findAccounts(usernames)).catch(unlessDead);
  return found === undefined || typeof found === 'string' ? undefined : found;
}

export function unlessDead(error: unknown): undefined {
  if (error instanceof Died || (error instanceof Error && error.name === 'StoreError')) return undefined;
  throw error;
}

const isReady = ({ state }: ConversationView): boolean => state === 'ready' || state === 'renewing';

/** In the order of their IDs, so that the choice does not hang on who wrote last. */
async function conversationAt(
  world: World,
  device: Device,
  pick: number,
  suits: (conversation: ConversationView) => boolean,
): Promise<ConversationView | undefined> {
  const view = await world.view(device);
  const conversations = (view?.conversations ?? []).filter(suits).sort((a, b) => (a.conversationId < b.conversationId ? -1 : 1));
  return conversations[pick % conversations.length];
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
