import { pendingItems } from '../../src/engine/sending.ts';
import type { Device } from './device.ts';
import * as errands from './errands.ts';
import type { Fate } from './network.ts';
import { conspire } from './conspiracy.ts';
import { Dice } from './dice.ts';
import { Liar } from './liar.ts';
import { dieAfterNext } from './last-words.ts';
import type { SequenceEntry } from '../../src/engine/ports.ts';
import type { AnswerLie, ForkEnd, Happening, LastWords, SequenceLie, Shape } from './schedule.ts';
import type { SimServer } from './sim-server.ts';
import type { Person, World } from './world.ts';

const DAY = 24 * 60 * 60 * 1000;
/** The newest conversations are crowded enough. */
const MOST_LINKED = 8;

/** Carries one happening of a schedule out; what takes time goes on by itself. */
export async function happen(world: World, shape: Shape, happening: Happening): Promise<void> {
  switch (happening.do) {
    case 'update':
      return sleep(world, happening.days);
    case 'crash-server': {
      const server = pick(world.servers, happening.which ?? 0)!;
      server.actor?.dieAfter(happening.points, () => world.befell('crash-server'));
      world.trace.say(world.scheduler, 'the server is about to crash');
      world.scheduler.at(happening.down, world.fate, () => server.start());
      return;
    }
    case 'recover': {
      const person = pick(world.people, happening.who);
      return busy(world, person, () => errands.recover(world, person!, (device) => mayDie(device, happening, 'external-commit')));
    }
    default:
  }
  const device = pick(
    world.devices.filter(({ isAtWork }) => isAtWork),
    happening.who,
  );
  if (device === undefined) return;
  const person = world.ownerOf(device);
  switch (happening.do) {
    case 'send':
      return go(world, errands.write(world, device, happening.where));
    case 'create':
      if (conversationsOf(world) >= shape.conversations) return;
      mayDie(device, happening, 'creation');
      return go(world, errands.create(world, device, happening.whom));
    case 'add':
      return go(world, errands.add(world, device, happening.where, happening.whom));
    case 'remove':
      return go(world, errands.remove(world, device, happening.where, happening.whom));
    case 'renew':
      mayDie(device, happening, 'emulation-commit');
      return go(world, errands.renew(world, device));
    case 'link':
      if (device.online && living(person).length < shape.devices && person.devices.length < MOST_LINKED)
        return busy(world, person, () => errands.link(world, device));
      return;
    case 'remove-device':
      if (living(person).length <= 1) return;
      mayDie(device, happening, 'key-binding');
      return busy(world, person, () => errands.removeDevice(world, device, happening.which));
    case 'phrase':
      return busy(world, person, () => errands.makePhrase(world, device));
    case 'offline':
      world.trace.say(world.scheduler, `${device.name} goes offline`);
      return device.goOffline();
    case 'online':
      world.trace.say(world.scheduler, `${device.name} comes back`);
      return device.goOnline();
    case 'cut-connections':
      world.trace.say(world.scheduler, `connections of ${device.name} are cut`);
      if (world.network.isConnected(device)) world.befell('cut-connections');
      return device.cutConnections();
    case 'crash':
      world.trace.say(world.scheduler, `${device.name} is about to crash`);
      device.process?.mortal.dieAfter(happening.points, () => world.befell('crash'));
      world.scheduler.at(happening.down, world.fate, () => device.start());
      return;
    case 'crash-sweep':
      world.trace.say(world.scheduler, `${device.name} is to crash in its next sweep`);
      return device.crashInSweep(happening.points, (inSweep) => {
        world.befell(inSweep ? 'crash-sweep' : 'crash');
        world.scheduler.at(happening.down, world.fate, () => device.start());
      });
    case 'die-after-accepted':
      world.trace.say(world.scheduler, `${device.name} will die after its next ${happening.what}`);
      return dieAfterNext(device, happening.what);
    case 'clock':
      world.trace.say(world.scheduler, `the clock of ${device.name} jumps by ${happening.ms} ms`);
      world.befell('clock');
      device.clockAhead += happening.ms;
      return;
    case 'full-disk':
      world.trace.say(world.scheduler, `the disk of ${device.name} is full`);
      device.disk.full = true;
      world.scheduler.at(happening.ms, world.fate, () => (device.disk.full = false));
      return;
    case 'two-tabs':
      return twoTabs(world, device, happening.where, happening.ms);
    case 'clone':
      return clone(world, device, happening.wait);
    case 'restore':
      return restore(world, device, happening.wait);
    case 'conspire':
      return go(world, conspire(world, person, happening.where).catch(errands.unlessDead));
    case 'lie-fork':
      return fork(world, happening.alone === true ? [device] : person.devices, happening);
    case 'lie-replay':
    case 'lie-withhold':
    case 'lie-reorder':
    case 'lie-corrupt':
      return go(world, lie(world, device, happening.do, happening.ms));
    case 'lie-answer-replay':
    case 'lie-answer-other':
    case 'lie-answer-corrupt':
    case 'lie-refused':
    case 'lie-accepted':
      return answerFalsely(world, person, happening.do, happening.ms);
    case 'drop':
    case 'duplicate':
    case 'cut-after-request':
    case 'cut-before-answer':
      return befall(world, device, happening.skip, { fault: happening.do });
    case 'delay':
    case 'reorder':
      return befall(world, device, happening.skip, { fault: happening.do, ms: happening.ms });
  }
}

export function living({ devices }: Person): Device[] {
  return devices.filter(({ isUnlinked }) => !isUnlinked);
}

function conversationsOf(world: World): number {
  return new Set(world.devices.flatMap(({ disk }) => [...disk.records.keys()].filter((key) => key.startsWith('conversation/')))).size;
}

function mayDie(device: Device, { dies }: { readonly dies?: true }, after: LastWords): void {
  if (dies === true) dieAfterNext(device, after);
}

function befall(world: World, device: Device, skip: number, fate: Fate): void {
  world.trace.say(world.scheduler, `${fate.fault} for ${device.name}, after ${skip} requests`);
  device.befall(skip, fate);
}

/** Everybody is away: no worker runs, and nothing is heard. */
async function sleep(world: World, days: number): Promise<void> {
  world.trace.say(world.scheduler, `everybody sleeps for ${days} days`);
  for (const device of world.devices) device.stop();
  world.scheduler.skip(days * DAY);
  for (const server of world.servers) await server.sweep();
  for (const device of world.devices) device.start();
}

/** Two workers over one store, both with something to do. */
function twoTabs(world: World, device: Device, where: number, ms: number): void {
  world.trace.say(world.scheduler, `${device.name} has a second worker`);
  const second = device.startSecond();
  const written = errands.write(world, device, where, second);
  go(
    world,
    written.then((kept) => {
      if (kept) world.befell('two-tabs');
    }),
  );
  go(world, errands.write(world, device, where));
  world.scheduler.at(ms, world.fate, () => second.mortal.die());
}

function copyOf(world: World, device: Device): Device {
  const copy = world.device(`${device.name} copy ${(world.copies += 1)}`, { knownAs: device.knownAs, disk: device.disk });
  world.trace.say(world.scheduler, `the profile of ${device.name} is copied`);
  device.cloned = true;
  for (const conversation of device.state.conversations.values())
    for (const item of pendingItems(conversation)) if (item.kind === 'text') world.judge.texts.doubled.add(item.text);
  return copy;
}

/** What the device has done meanwhile it knows nothing of, and what it had not sent yet is lost. */
function restore(world: World, device: Device, wait: number): void {
  const { devices } = world.ownerOf(device);
  const copy = copyOf(world, device);
  world.scheduler.at(wait, world.fate, () => {
    const index = devices.indexOf(device);
    if (index < 0) return; // another copy has taken its place
    world.trace.say(world.scheduler, `the copy of ${device.name} takes its place`);
    device.retire();
    world.judge.texts.lose(device.knownAs);
    devices[index] = copy;
    copy.start();
    world.befell('restore');
  });
}

/** From now on two devices think that they are this one. */
function clone(world: World, device: Device, wait: number): void {
  const person = world.ownerOf(device);
  const copy = copyOf(world, device);
  world.scheduler.at(wait, world.fate, () => {
    world.trace.say(world.scheduler, `the copy of ${device.name} runs`);
    person.devices.push(copy);
    copy.start();
    world.befell('clone');
  });
}

/** From now on the server tells these devices a story of their own, which may end. */
function fork(world: World, devices: readonly Device[], { ms, ends }: Extract<Happening, { readonly do: 'lie-fork' }>): void {
  world.trace.say(world.scheduler, `${devices.map(({ name }) => name).join(', ')}: another story from now on`);
  world.judge.lying = true;
  const server = devices[0]!.server.fork(world.servers.length);
  world.servers.push(server);
  world.befell('lie-fork');
  for (const device of devices) device.moveTo(server);
  if (ends !== undefined) world.scheduler.at(ms, world.fate, () => go(world, endFork(world, server, ends)));
}

/** Whoever was told the other story is told the first one again, as it has gone on without them. */
async function endFork(world: World, fork: SimServer, how: ForkEnd): Promise<void> {
  for (const device of world.devices.filter(({ server }) => server === fork)) {
    world.trace.say(world.scheduler, `${device.name} ${how} hears the first story again`);
    device.marksPass = how === 'secretly';
    if (how === 'secretly') device.unheard = await unheardOf(device, fork, world.server);
    device.moveTo(world.server);
    world.befell('lie-fork-end');
  }
}

/** What the first server takes for told, where its log goes beyond what the other one has made of it. */
async function unheardOf({ liar, state }: Device, fork: SimServer, first: SimServer): Promise<SequenceEntry[]> {
  const { account, device, cursor } = state;
  if (liar !== undefined || account === undefined || device === undefined) return [];
  const sequence = await first.sequenceOf({ accountId: account.accountId, deviceId: device.deviceId });
  return (sequence?.entries ?? []).filter(({ sequence: number, groupId, position }) => {
    const told = fork.log.get(Buffer.from(groupId).toString('hex'));
    return number <= cursor.sequence && told !== undefined && position > Math.max(...told.keys());
  });
}

/** Whatever this person's devices ask for, the answer may be none of the truth. */
function answerFalsely(world: World, person: Person, kind: AnswerLie, ms: number): void {
  world.trace.say(world.scheduler, `the server lies in its answers to ${person.username}: ${kind}`);
  world.judge.lying = true;
  const end = world.falseAnswers?.begin(person.username, kind);
  if (end !== undefined) world.scheduler.at(ms, world.fate, end);
}

async function lie(world: World, device: Device, kind: SequenceLie, ms: number): Promise<void> {
  world.trace.say(world.scheduler, `the server lies to ${device.name}: ${kind}`);
  world.judge.lying = true;
  if (device.liar === undefined) {
    const liar = new Liar(device.server, device, new Dice(`${device.name}/${kind}/${world.scheduler.now}`), (told) => world.befell(told));
    await liar.begin();
    device.liar = liar;
  }
  const { liar } = device;
  liar.kind = kind;
  world.scheduler.at(ms, world.fate, () => (liar.kind = undefined));
}

/** Linking, removing and recovering: one at a time per person. */
function busy(world: World, person: Person | undefined, work: () => Promise<void>): void {
  if (person === undefined || person.busy) return;
  person.busy = true;
  go(
    world,
    work().finally(() => (person.busy = false)),
  );
}

/** An errand that fails has found something in the simulation itself: it must not be overlooked. */
function go(world: World, errand: Promise<unknown>): void {
  errand.catch((error: unknown) =>
    world.judge.violate('every command is answered', error instanceof Error ? (error.stack ?? error.name) : 'failed'),
  );
}

function pick<Value>(values: readonly Value[], index: number): Value | undefined {
  return values[index % values.length];
}
