import { parseArgs } from 'node:util';
import { substitute, BROKEN, type Broken } from '../tests/simulation/broken/substitute.ts';
import { addFaults, allFaults, noFaults } from '../tests/simulation/faults.ts';
import type { Outcome } from '../tests/simulation/run.ts';
import type { Schedule } from '../tests/simulation/schedule.ts';

/**
 * `npm run simulate -- --seed N --schedules K`: K schedules, of the seeds N to N + K - 1, or K from each of several seeds.
 * The first that breaks an invariant ends the run, with the shortest schedule found that breaks the same one, unless
 * `--no-shrink`; that one is played again with `--schedule`. After `--seconds` no other is begun. With `--break` the program
 * is built wrongly on purpose; with `--figures` the last line is JSON for a program.
 */
const DEFAULTS = { schedules: 100, devices: 3, people: 3, conversations: 3, minutes: 10 } as const;
const MOST = { schedules: 1_000_000, devices: 8, people: 8, conversations: 32, minutes: 600, seconds: 1_000_000 } as const;

const USAGE = `usage: npm run simulate -- --seed N[,N...] --schedules K [--devices D] [--people P] [--conversations C] [--minutes M]
                          [--seconds S] [--break ${BROKEN.join('|')}] [--no-shrink] [--trace] [--figures]
       npm run simulate -- --schedule JSON [--schedule JSON...]`;

function number(name: string, text: string | undefined, least: number, most: number, otherwise?: number): number {
  const value = text === undefined ? otherwise : /^\d{1,12}$/.test(text) ? Number(text) : undefined;
  if (value === undefined || value < least || value > most) throw new RangeError(`--${name} takes a whole number from ${least} to ${most}`);
  return value;
}

function readOptions() {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  const { values } = parseArgs({
    options: {
      seed: text,
      schedules: text,
      devices: text,
      people: text,
      conversations: text,
      minutes: text,
      seconds: text,
      break: text,
      schedule: { ...text, multiple: true },
      'no-shrink': flag,
      trace: flag,
      figures: flag,
    },
  });
  const broken = BROKEN.find((name) => name === values.break);
  if (values.break !== undefined && broken === undefined) throw new RangeError(`--break takes one of ${BROKEN.join(', ')}`);
  const given = values.schedule?.map((schedule) => JSON.parse(schedule) as Schedule);
  return {
    given,
    seeds: given !== undefined ? [] : (values.seed ?? '').split(',').map((seed) => number('seed', seed, 0, 1e12 - 1)),
    schedules: number('schedules', values.schedules, 1, MOST.schedules, DEFAULTS.schedules),
    shape: {
      people: number('people', values.people, 2, MOST.people, DEFAULTS.people),
      devices: number('devices', values.devices, 1, MOST.devices, DEFAULTS.devices),
      conversations: number('conversations', values.conversations, 1, MOST.conversations, DEFAULTS.conversations),
      minutes: number('minutes', values.minutes, 1, MOST.minutes, DEFAULTS.minutes),
    },
    seconds: number('seconds', values.seconds, 1, MOST.seconds, MOST.seconds),
    broken,
    shrinks: !values['no-shrink'],
    trace: values.trace,
    figures: values.figures,
  };
}

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** The product is loaded only when it is decided which build of it. */
async function load(broken: Broken | undefined) {
  if (broken !== undefined) substitute(broken);
  const { drawSchedule } = await import('../tests/simulation/schedule.ts');
  const { play } = await import('../tests/simulation/run.ts');
  const { shrink } = await import('../tests/simulation/shrink.ts');
  return { drawSchedule, play, shrink };
}

function describe({ schedule, outcome }: { readonly schedule: Schedule; readonly outcome: Outcome }): string {
  const happenings = schedule.happenings.map((happening) => `  ${JSON.stringify(happening)}`);
  return [
    `shortest schedule (${happenings.length}):`,
    ...happenings,
    'what happens:',
    ...outcome.lines,
    `again: npm run simulate -- --schedule '${JSON.stringify(schedule)}'`,
  ].join('\n');
}

async function main(): Promise<void> {
  const { given, seeds, schedules, shape, seconds: most, broken, shrinks, trace, figures } = readOptions();
  const { drawSchedule, play, shrink } = await load(broken);
  const total = { schedules: 0, events: 0, faults: noFaults(), checks: 0, sealed: 0, texts: 0, sweeps: 0, hours: 0 };
  const started = performance.now();
  let failed: number | undefined;
  const elapsed = (): number => (performance.now() - started) / 1000;
  const draw = (index: number): Schedule => drawSchedule(String(seeds[Math.floor(index / schedules)]! + (index % schedules)), shape);
  const count = given?.length ?? seeds.length * schedules;
  for (let index = 0; index < count && failed === undefined && elapsed() < most; index += 1) {
    const schedule = given?.[index] ?? draw(index);
    const seed = Number(schedule.seed);
    const outcome = await play(schedule);
    total.schedules += 1;
    addFaults(total.faults, outcome.figures.faults);
    for (const name of ['events', 'checks', 'sealed', 'texts', 'sweeps'] as const) total[name] += outcome.figures[name];
    total.hours += outcome.figures.time / 3_600_000;
    if (trace) say([`seed ${seed}, trace ${outcome.digest}`, ...outcome.lines].join('\n'));
    if (outcome.violation === undefined) continue;
    failed = seed;
    say(`seed ${failed}: ${outcome.violation.message}`);
    say(shrinks ? describe(await shrink(schedule, outcome, play)) : outcome.lines.join('\n'));
  }
  const seconds = elapsed();
  const rate = (total.schedules / seconds).toFixed(2);
  const { events, faults, checks, sealed } = total;
  say(
    `${total.schedules} schedules in ${seconds.toFixed(1)} s (${rate} a second): ${events} events, ${allFaults(faults)} faults, ${checks} checks, ${sealed} AEAD uses`,
  );
  if (figures) say(JSON.stringify({ ...total, seconds, failed: failed ?? null }));
  if (failed !== undefined) process.exitCode = 1;
}

try {
  await main();
} catch (error) {
  if (!(error instanceof RangeError || error instanceof SyntaxError || (error instanceof TypeError && 'code' in error))) throw error;
  process.stderr.write(`simulate: ${error.message}\n${USAGE}\n`);
  process.exitCode = 2;
}
