import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { addFaults, allFaults, FAULTS, noFaults } from '../tests/simulation/faults.ts';
import { inParallel, simulate, type Figures } from '../tests/simulation/processes.ts';

// The simulation's part of `npm run soak`: 20,000 schedules that nobody has seen, in as many processes as there are
// processors. Figures go to docs/soak.md, failures to standard output.

const SCHEDULES = 20_000;
/** Schedules per process: its start costs as much as two of them. */
const BATCH = 100;
const PAGE = fileURLToPath(new URL('../docs/soak.md', import.meta.url));

const total = { schedules: 0, events: 0, faults: noFaults(), checks: 0, sealed: 0, sweeps: 0, hours: 0 };
const failed: number[] = [];
const first = Number(process.env['CHORUS_SEED'] ?? Date.now() % 1_000_000_000);
const wanted = Number(process.env['CHORUS_SCHEDULES'] ?? SCHEDULES);
const started = Date.now();

function count(figures: Figures): void {
  addFaults(total.faults, figures.faults);
  for (const name of ['schedules', 'events', 'checks', 'sealed', 'sweeps', 'hours'] as const) total[name] += figures[name];
}

/** A batch ends at its first failure: what is behind it is played by another. */
async function play(seed: number, schedules: number): Promise<void> {
  const { figures, output } = await simulate(seed, schedules);
  count(figures);
  if (figures.failed !== null) {
    failed.push(figures.failed);
    console.log(output);
  }
  console.log(`${total.schedules} schedules, ${failed.length} failed`);
  // Hours of play are not lost when they are cut off.
  writeFileSync(PAGE, withFigures(readFileSync(PAGE, 'utf8')));
  const done = figures.failed === null ? schedules : figures.failed - seed + 1;
  if (done < schedules) await play(seed + done, schedules - done);
}

const seeds = Array.from({ length: Math.ceil(wanted / BATCH) }, (_, index) => index * BATCH);
await inParallel(seeds, (from) => play(first + from, Math.min(BATCH, wanted - from)));
if (failed.length > 0) process.exitCode = 1;

function withFigures(page: string): string {
  const whole = (value: number): string => Math.round(value).toLocaleString('en');
  const rows = [
    ['Schedules', total.schedules < wanted ? `${whole(total.schedules)}, cut off from ${whole(wanted)}` : whole(total.schedules)],
    ['Seeds', `${first} and on`],
    ['Faults that took effect', whole(allFaults(total.faults))],
    ['Events', whole(total.events)],
    ['Invariants checked', whole(total.checks)],
    ['AEAD uses in the ledger', whole(total.sealed)],
    ['Sweeps of stores', whole(total.sweeps)],
    ['Virtual time, days', whole(total.hours / 24)],
    ['Real time, minutes', `${whole((Date.now() - started) / 60_000)} on ${availableParallelism()} processors`],
    ['Failed', failed.length === 0 ? 'none' : failed.join(', ')],
  ];
  const table = ['| | |', '|---|---|', ...rows.map(([name, value]) => `| ${name} | ${value} |`)].join('\n');
  const faults = FAULTS.map((fault) => `| \`${fault}\` | ${whole(total.faults[fault])} |`);
  const perFault = [`| fault | took effect, in ${whole(total.schedules)} schedules |`, '|---|---|', ...faults].join('\n');
  return page
    .replace(/(<!-- figures -->\n)[^]*?(\n<!-- end -->)/, `$1\n${table}\n$2`)
    .replace(/(<!-- faults -->\n)[^]*?(\n<!-- end -->)/, `$1\n${perFault}\n$2`);
}
