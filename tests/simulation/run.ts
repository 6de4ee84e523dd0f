import { checkAfterwards, checkRoots } from './afterwards.ts';
import * as errands from './errands.ts';
import type { Faults } from './faults.ts';
import { happen } from './happen.ts';
import { Violation } from './judge.ts';
import { comeToRest } from './quiet.ts';
import { isAnswerLie, type Schedule } from './schedule.ts';
import { World } from './world.ts';

export interface Outcome {
  readonly violation: Violation | undefined;
  /** Of everything that happened. */
  readonly digest: string;
  readonly lines: readonly string[];
  readonly figures: {
    readonly events: number;
    /** That took effect. */
    readonly faults: Faults;
    readonly checks: number;
    readonly sealed: number;
    readonly texts: number;
    /** Of stores, with a new root. */
    readonly sweeps: number;
    /** Virtual ms. */
    readonly time: number;
  };
}

const USERNAMES = ['anna', 'ben', 'cara', 'dora', 'emil', 'fred', 'gina', 'hans'];

/** Plays one schedule to its end. The same schedule has the same outcome on every machine. */
export async function play(schedule: Schedule): Promise<Outcome> {
  const world = new World(
    schedule.seed,
    schedule.service ?? 'strong',
    schedule.happenings.some((happening) => happening.do === 'lie-fork'),
    schedule.happenings.some((happening) => isAnswerLie(happening.do)),
  );
  let violation: Violation | undefined;
  try {
    await world.run(() => live(world, schedule));
  } catch (error) {
    if (!(error instanceof Violation)) throw error;
    violation = error;
  } finally {
    await world.close();
  }
  const { scheduler, trace, judge } = world;
  return {
    violation,
    digest: trace.digest,
    lines: trace.lines,
    figures: {
      events: scheduler.count,
      faults: world.faults,
      checks: judge.checks,
      sealed: judge.ledger.count,
      texts: judge.texts.byText.size,
      sweeps: world.devices.reduce((sum, { disk }) => sum + Math.max(0, disk.sweeps), 0),
      time: scheduler.now - world.begun,
    },
  };
}

async function live(world: World, schedule: Schedule): Promise<void> {
  for (const username of USERNAMES.slice(0, schedule.people)) await errands.signUp(world, username);
  const [anna] = world.people;
  const first = anna!.devices[0]!;
  await world.pause(2_000);
  await errands.create(world, first, 2 ** schedule.people - 1);
  for (const { devices } of world.people.slice(0, 2)) if (schedule.devices > 1) await errands.link(world, devices[0]!);
  for (const happening of schedule.happenings) {
    await world.pause(happening.after);
    await happen(world, schedule, happening);
  }
  await comeToRest(world);
  await world.pause(1_000);
  await checkAfterwards(world);
  await checkRoots(world);
  world.judge.throwIfViolated();
}
