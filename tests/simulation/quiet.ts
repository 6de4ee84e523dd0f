import { todosOf } from '../../src/engine/todo.ts';
import { answerQuestions } from './errands.ts';
import { living } from './happen.ts';
import type { Device } from './device.ts';
import type { World } from './world.ts';

/** Longer than any retry, lease or pause of the engine's after a fault, ms. */
const LONGEST_UNREST = 30 * 60_000;
/** With a lying server nothing is promised but what is false, ms. */
const REST_AMONG_LIES = 120_000;
/** Looks in a row that find nothing to do. */
const CALM_LOOKS = 4;
/** What falls due within so long is not rest: it would come about between the looks and what is asked after them, ms. */
const SOON = 5_000;

/** All faults end, and everybody is there until nobody has anything left to do. */
export async function comeToRest(world: World): Promise<void> {
  world.trace.say(world.scheduler, 'all is well again');
  world.falseAnswers?.end();
  for (const server of world.servers) server.start();
  for (const device of world.devices) {
    device.spare();
    device.disk.full = false;
    device.start();
    device.goOnline();
  }
  // Whoever exists twice may wait for ever for what the other one has done.
  const single = world.people.filter(({ devices }) => !devices.some(({ cloned }) => cloned));
  const restless = async (): Promise<string | undefined> => {
    if (single.some(({ busy }) => busy)) return 'an errand is under way';
    for (const device of single.flatMap(living)) {
      const left = await leftToDo(world, device);
      if (left !== undefined) return `${device.name}: ${left}`;
    }
    return undefined;
  };
  // Some looks apart: what one device has just done, another has not heard of.
  let calm = 0;
  const rested = await world.until(
    async () => {
      for (const device of world.devices) device.start();
      for (const server of world.servers) server.start();
      for (const device of world.devices) await answerQuestions(world, device);
      calm = (await restless()) === undefined ? calm + 1 : 0;
      return calm > CALM_LOOKS ? true : undefined;
    },
    world.judge.lying ? REST_AMONG_LIES : LONGEST_UNREST,
  );
  // Who is lied to may wait for ever for what will not come.
  if (rested === undefined && !world.judge.lying) world.judge.violate('everything comes to rest', (await restless()) ?? 'never for long');
}

async function leftToDo({ scheduler }: World, device: Device): Promise<string | undefined> {
  const { state } = device;
  if (device.process === undefined) return 'no worker';
  // Its clock may be wrong or put right by the server: what is due is due by both, and what is soon is soon by either.
  const clocks = [0, device.clockAhead].map((ahead) => Math.floor(scheduler.now) + ahead);
  const todo = todosOf(state, Math.min(...clocks)).find((each) => each.do !== 'wait');
  if (todo !== undefined) return todo.lane;
  for (const now of clocks)
    for (const each of todosOf(state, now)) if (each.do === 'wait' && each.until < now + SOON) return `${each.lane}, soon`;
  if (state.rejoining !== undefined) return 'conversations to bring back';
  if ([...state.externalJoins.keys()].some((id) => !state.conversations.has(id))) return 'a conversation to join';
  if (state.emulation?.pending !== undefined) return 'emulation group';
  for (const [id, { awaitingEcho, state: standing }] of state.conversations) {
    if (standing === 'out-of-step') return `out of step in ${id.slice(0, 6)}`;
    if (awaitingEcho.length > 0) return 'echo';
  }
  if (state.account === undefined || state.device === undefined) return undefined;
  const rest = await device.server.sequenceOf(
    { accountId: state.account.accountId, deviceId: state.device.deviceId },
    state.cursor.sequence,
  );
  if (rest === undefined) return 'does not know that it is removed';
  return rest.entries.length > 0 ? 'sequence' : undefined;
}
