import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { addFaults, allFaults, FAULTS, noFaults, type Fault } from '../tests/simulation/faults.ts';
import { inParallel, simulate, type Figures } from '../tests/simulation/processes.ts';

// The simulation's part of `npm run soak`: 20,000 schedules that nobody has seen, in as many processes as there are
// processors. Failures go to standard output, figures to docs/soak.json and from there, with those of all runs before, to
// docs/soak.md.

const SCHEDULES = 20_000;
/** Schedules per process: its start costs as much as two of them. */
const BATCH = 100;
const docs = (name: string): string => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));

const COUNTED = ['schedules', 'events', 'checks', 'sealed', 'hours', 'sweeps'] as const;

/** What one run has come to; it may have been cut off. */
type Run = Record<Exclude<(typeof COUNTED)[number], 'sweeps'>, number> & {
  /** Of stores; the first runs have not counted them. */
  sweeps?: number;
  readonly date: string;
  readonly commit: string;
  readonly seed: number;
  /** Of real time. */
  minutes: number;
  /** Of faults that there were then. */
  readonly faults: Partial<Record<Fault, number>>;
  readonly failed: number[];
};

const earlier = JSON.parse(readFileSync(docs('soak.json'), 'utf8')) as Run[];
const seed = Number(process.env['CHORUS_SEED'] ?? Date.now() % 1_000_000_000);
const wanted = Number(process.env['CHORUS_SCHEDULES'] ?? SCHEDULES);
const started = Date.now();
const nothing = { schedules: 0, events: 0, checks: 0, sealed: 0, sweeps: 0, hours: 0, minutes: 0 };
const commit = execFileSync('git', ['describe', '--always', '--dirty'], { encoding: 'utf8' }).trim();
const run: Run = { date: new Date(started).toISOString().slice(0, 10), commit, seed, ...nothing, faults: noFaults(), failed: [] };

/** A batch ends at its first failure: what is behind it is played by another. */
async function play(first: number, schedules: number): Promise<void> {
  const { figures, output } = await simulate(first, schedules);
  count(figures);
  if (figures.failed !== null) {
    run.failed.push(figures.failed);
    console.log(output);
  }
  console.log(`${run.schedules} schedules, ${run.failed.length} failed`);
  // Hours of play are not lost when they are cut off.
  keep();
  const done = figures.failed === null ? schedules : figures.failed - first + 1;
  if (done < schedules) await play(first + done, schedules - done);
}

function count(figures: Figures): void {
  addFaults(run.faults as Record<Fault, number>, figures.faults);
  for (const name of COUNTED) run[name] = (run[name] ?? 0) + figures[name];
  run.minutes = (Date.now() - started) / 60_000;
}

function keep(): void {
  const runs = [...earlier, run];
  const whole = runs.map(({ hours, minutes, ...rest }) => ({ ...rest, hours: Math.round(hours), minutes: Math.round(minutes) }));
  writeFileSync(docs('soak.json'), `${JSON.stringify(whole, undefined, 2)}\n`);
  writeFileSync(docs('soak.md'), withFigures(readFileSync(docs('soak.md'), 'utf8'), runs));
}

function withFigures(page: string, runs: readonly Run[]): string {
  const said = (value: number): string => Math.round(value).toLocaleString('en');
  const sum = (of: (each: Run) => number): number => runs.reduce((total, each) => total + of(each), 0);
  const faults = noFaults();
  for (const each of runs) addFaults(faults, { ...noFaults(), ...each.faults });
  const failed = sum((each) => each.failed.length);
  const totals = table(
    ['', ''],
    [
      ['Schedules', said(sum(({ schedules }) => schedules))],
      ['Faults that took effect', said(allFaults(faults))],
      ['Events', said(sum(({ events }) => events))],
      ['Invariants checked', said(sum(({ checks }) => checks))],
      ['AEAD uses in the ledger', said(sum(({ sealed }) => sealed))],
      ['Sweeps of stores, in runs that count them', said(sum(({ sweeps }) => sweeps ?? 0))],
      ['Virtual time, days', said(sum(({ hours }) => hours) / 24)],
      ['Real time, minutes', `${said(sum(({ minutes }) => minutes))} on ${availableParallelism()} processors`],
      ['Failed', failed === 0 ? 'none' : said(failed)],
    ],
  );
  const each = table(
    ['run', 'of commit', 'first seed', 'schedules', 'failed'],
    runs.map((one) => [one.date, `\`${one.commit}\``, `${one.seed}`, said(one.schedules), one.failed.join(', ') || 'none']),
  );
  const perFault = table(
    ['fault', 'took effect'],
    FAULTS.map((fault) => [`\`${fault}\``, said(faults[fault])]),
  );
  return page
    .replace(/(<!-- figures -->\n)[^]*?(\n<!-- end -->)/, `$1\n${totals}\n\n${each}\n$2`)
    .replace(/(<!-- faults -->\n)[^]*?(\n<!-- end -->)/, `$1\n${perFault}\n$2`);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const batches = Array.from({ length: Math.ceil(wanted / BATCH) }, (_, index) => index * BATCH);
await inParallel(batches, (from) => play(seed + from, Math.min(BATCH, wanted - from)));
if (run.failed.length > 0) process.exitCode = 1;
