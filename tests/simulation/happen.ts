import type { Device } from './device.ts';
import * as errands from './errands.ts';
import type { Fate } from './network.ts';
import type { Happening, Shape } from './schedule.ts';
import type { Person, World } from './world.ts';

const DAY = 24 * 60 * 60 * 1000;
/** The newest conversations are crowded enough. */
const MOST_LINKED = 8;

/** Carries one happening of a schedule out; what takes time goes on by itself. */
export async function happen(world: World, shape: Shape, happening: Happening): Promise<void> {
  switch (happening.do) {
    case 'update':
      return sleep(world, happening.days);
    case 'crash-server':
      world.server.actor?.dieAfter(happening.points);
      world.trace.say(world.scheduler, 'the server is about to crash');
      world.scheduler.at(happening.down, world.fate, () => world.server.start());
      return;
    case 'recover': {
      const person = pick(world.people, happening.who);
      return busy(world, person, () => errands.recover(world, person!));
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
      if (conversationsOf(world) < shape.conversations) return go(world, errands.create(world, device, happening.whom));
      return;
    case 'add':
      return go(world, errands.add(world, device, happening.where, happening.whom));
    case 'remove':
      return go(world, errands.remove(world, device, happening.where, happening.whom));
    case 'renew':
      return go(world, errands.renew(world, device));
    case 'link':
      if (device.online && living(person).length < shape.devices && person.devices.length < MOST_LINKED)
        return busy(world, person, () => errands.link(world, device));
      return;
    case 'remove-device':
      if (living(person).length > 1) return busy(world, person, () => errands.removeDevice(world, device, happening.which));
      return;
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
      return device.cutConnections();
    case 'crash':
      world.trace.say(world.scheduler, `${device.name} is about to crash`);
      device.process?.mortal.dieAfter(happening.points);
      world.scheduler.at(happening.down, world.fate, () => device.start());
      return;
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

function befall(world: World, device: Device, skip: number, fate: Fate): void {
  world.trace.say(world.scheduler, `${fate.fault} for ${device.name}, after ${skip} requests`);
  device.befall(skip, fate);
}

/** Everybody is away: no worker runs, and nothing is heard. */
async function sleep(world: World, days: number): Promise<void> {
  world.trace.say(world.scheduler, `everybody sleeps for ${days} days`);
  for (const device of world.devices) device.stop();
  world.scheduler.skip(days * DAY);
  await world.server.sweep();
  for (const device of world.devices) device.start();
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
