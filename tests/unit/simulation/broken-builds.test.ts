import { describe, expect, it, vi } from 'vitest';
import { BROKEN, type Broken } from '../../simulation/broken/substitute.ts';
import { simulate } from '../../simulation/processes.ts';

// What the simulation is worth: robbed of any one of these rules, the product does not pass.

vi.setConfig({ testTimeout: 900_000 });

const SCHEDULES = 300;
/** The fence matters in a race of two devices of one person: from the first seed on it takes 123 schedules to come to one. */
const FIRST_SEED = (rule: Broken): number => (rule === 'emulation-fence' ? 115 : 1);

describe('a build that is broken on purpose', () => {
  it.each(BROKEN)(`is caught within ${SCHEDULES} schedules: without %s`, async (rule) => {
    const { figures } = await simulate(FIRST_SEED(rule), SCHEDULES, '--break', rule);
    expect(figures.failed).not.toBeNull();
  });
});
