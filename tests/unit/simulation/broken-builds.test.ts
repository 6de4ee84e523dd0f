import { describe, expect, it, vi } from 'vitest';
import { BROKEN, type Broken } from '../../simulation/broken/substitute.ts';
import { simulate } from '../../simulation/processes.ts';

// What the simulation is worth: robbed of any one of these rules, the product does not pass.

vi.setConfig({ testTimeout: 900_000, maxConcurrency: 2 });

const SCHEDULES = 300;
/** Most are caught by the first seed that there is; these take a rarer constellation, which a search from seed 1 or 100 on came to. */
const FIRST_SEED: Partial<Record<Broken, number>> = {
  'persist-before-send': 6,
  'epoch-retention': 20,
  'log-order': 96,
  'emulation-fence': 141,
};

describe.concurrent('a build that is broken on purpose', () => {
  it.each(BROKEN)(`is caught within ${SCHEDULES} schedules: without %s`, async (rule) => {
    const { figures } = await simulate(FIRST_SEED[rule] ?? 1, SCHEDULES, '--break', rule);
    console.log(`without ${rule}: caught by schedule ${figures.schedules}`);
    expect(figures.failed).not.toBeNull();
  });
});
