import { todosOf } from '../../src/engine/todo.ts';
import { living } from './happen.ts';
import type { Device } from './device.ts';
import type { World } from './world.ts';

/** Longer than any retry, lease or pause of the engine's after a fault, ms. */
const LONGEST_UNREST = 30 * 60_000;
/** Looks in a row that find nothing to do. */
const CALM_LOOKS = 4;

/** All faults end, and everybody is there until nobody has anything left to do. */
export async function comeToRest(world: World): Promise<void> {
  world.trace.say(world.scheduler, 'all is well again');
  world.server.start();
  for (const device of world.devices) {
    device.spare();
    device.start();
    device.goOnline();
  }
  const restless = async (): Promise<string | undefined> => {
    if (world.people.some(({ busy }) => busy)) return 'an errand is under way';
    for (const device of world.people.flatMap(living)) {
      const left = await leftToDo(world, device);
      if (left !== undefined) return `${device.name}: ${left}`;
    }
    return undefined;
  };
  // Some looks apart: what one device has just done, another has not heard of.
  let calm = 0;
  const rested = await world.until(async () => {
    for (const device of world.devices) device.start();
    world.server.start();
    calm = (await restless()) === undefined ? calm + 1 : 0;
    return calm > CALM_LOOKS ? true : undefined;
  }, LONGEST_UNREST);
  if (rested === undefined) world.judge.violate('everything comes to rest', (await restless()) ?? 'never for long');
}

async function leftToDo({ scheduler, server }: World, device: Device): Promise<string | undefined> {
  const { state } = device;
  if (device.process === undefined) return 'no worker';
  const now = Math.floor(scheduler.now) + device.clockAhead;
  const todo = todosOf(state, now).find((each) => each.do !== 'wait');
  if (todo !== undefined) return todo.lane;
  if (state.emulation?.pending !== undefined) return 'emulation group';
  for (const [id, { awaitingEcho, state: standing }] of state.conversations) {
    if (standing === 'out-of-step') return `out of step in ${id.slice(0, 6)}`;
    if (awaitingEcho.length > 0) return 'echo';
  }
  if (state.account === undefined || state.device === undefined) return undefined;
  const rest = await server.sequenceOf({ accountId: state.account.accountId, deviceId: state.device.deviceId }, state.cursor.sequence);
  if (rest === undefined) return 'does not know that it is removed';
  return rest.entries.length > 0 ? 'sequence' : undefined;
}
