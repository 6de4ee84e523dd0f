import { SOAK_PARTS, type SoakPart } from './soak-parts.ts';
import { playSteps, run } from './steps.ts';

// `npm run soak`: at length what the tests play in short. Whatever fails, the rest is played.

const RUNNERS: Readonly<Record<SoakPart['runner'], readonly string[]>> = {
  vitest: ['vitest', 'run'],
  playwright: ['playwright', 'test', '--project=strong'],
  tsx: ['tsx'],
};

const played = await playSteps(
  SOAK_PARTS.map(({ name, runner, paths }) => ({
    name,
    action: () => run('npx', [...RUNNERS[runner], ...paths], { CHORUS_SOAK: '1' }),
  })),
);
if (played.some(({ failed }) => failed)) process.exitCode = 1;
