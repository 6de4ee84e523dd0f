import { describe, expect, it, vi } from 'vitest';
import { BROKEN } from '../../simulation/broken/substitute.ts';
import { simulate } from '../../simulation/processes.ts';

// What the simulation is worth: robbed of any one of these rules, the product does not pass.

vi.setConfig({ testTimeout: 900_000 });

const SCHEDULES = 300;

describe('a build that is broken on purpose', () => {
  it.each(BROKEN)(`is caught within ${SCHEDULES} schedules: without %s`, async (rule) => {
    const { figures } = await simulate(1, SCHEDULES, '--break', rule);
    expect(figures.failed).not.toBeNull();
  });
});
