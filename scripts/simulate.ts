import { drawSchedule } from '../tests/simulation/schedule.ts';
import { play } from '../tests/simulation/run.ts';
const seed = Number(process.argv[2] ?? 1),
  count = Number(process.argv[3] ?? 1);
const started = Date.now();
for (let i = 0; i < count; i++) {
  const t = Date.now();
  const outcome = await play(drawSchedule(String(seed + i), { people: 3, devices: 3, conversations: 3, minutes: 10 }));
  console.log(
    seed + i,
    Date.now() - t,
    'ms',
    outcome.digest.slice(0, 8),
    JSON.stringify(outcome.figures),
    outcome.violation?.message ?? '',
  );
  if (process.argv[4]) console.log(outcome.lines.join('\n'));
}
console.log((Date.now() - started) / count, 'ms each');
