/** What `npm run soak` plays, the long things last. A test holds that it is all that has long rounds. */

export interface SoakPart {
  readonly name: string;
  readonly runner: 'vitest' | 'playwright' | 'tsx';
  /** Files and folders for the runner. */
  readonly paths: readonly string[];
}

const e2e = (name: string, spec: string): SoakPart => ({ name, runner: 'playwright', paths: [`tests/e2e/${spec}.spec.ts`] });
const unit = (name: string, ...paths: readonly string[]): SoakPart => ({
  name,
  runner: 'vitest',
  paths: paths.map((path) => `tests/unit/${path}`),
});

export const SOAK_PARTS: readonly SoakPart[] = [
  e2e('a browser that lacks or refuses a part', 'no-storage'),
  e2e('a full disk and deleted data', 'storage'),
  e2e('leading tabs that vanish', 'tabs'),
  e2e('updates while messages are sent', 'update'),
  e2e('stopped workers', 'stopped-worker'),
  e2e('copies of a profile after deletions', 'forget'),
  e2e('kills during a sweep', 'sweep'),
  e2e('kills during a sweep, without Storage Buckets', 'no-buckets'),
  unit('kills of the server', 'server/kill-rounds.test.ts'),
  unit('long lives', 'engine/long-life.test.ts'),
  unit('many conversations', 'engine/many-conversations.test.ts'),
  unit('fuzzing', 'fuzz'),
  { name: 'the simulation', runner: 'tsx', paths: ['scripts/soak-simulation.ts'] },
];
