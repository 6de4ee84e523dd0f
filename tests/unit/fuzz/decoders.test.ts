import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { ROOT } from '../../../scripts/build/layout.ts';
import { ONLY_CASE, SEED } from '../../fuzz/chance.ts';
import type { Confidential } from '../../fuzz/confidential.ts';
import { play } from '../../fuzz/play.ts';
import { decoded, judge } from '../../fuzz/run.ts';
import { confidentialIn, playedScene } from '../../fuzz/scene.ts';
import type { Target } from '../../fuzz/target.ts';
import { allTargets, NO_TARGET } from '../../fuzz/targets.ts';
import { rounds } from '../../support/rounds.ts';
import { sourceFiles } from '../../support/source-imports.ts';

/** Cases over all targets, at least, and the time that they share, ms. */
const CASES = rounds({ test: 40_000, soak: 1_000_000 });
const TIME = rounds({ test: 25_000, soak: 0 });

let targets: readonly Target[];
let confidential: Confidential;

beforeAll(async () => {
  const scene = await playedScene();
  targets = await allTargets(scene);
  confidential = confidentialIn(scene);
});

describe('every decoder of outside bytes', () => {
  it('takes what the real code has made', () => {
    for (const target of targets) {
      for (const sample of target.samples) expect(judge(target, sample, confidential), target.name).toBe('taken');
    }
  });

  it(
    'gives a valid value or an error of ours within bounded time and memory, and takes only the canonical form',
    async () => {
      const each = { least: Math.ceil(CASES / targets.length), time: TIME / targets.length };
      let [cases, taken] = [0, 0];
      const wrong: string[] = [];
      for (const target of targets) {
        const played = await play(target.name, each, (one) => decoded(target, one, confidential));
        cases += played.cases;
        taken += played.outcomes.get('taken') ?? 0;
        wrong.push(...played.wrong);
      }
      expect(wrong).toEqual([]);
      if (ONLY_CASE !== undefined) return;
      expect(cases).toBeGreaterThanOrEqual(CASES);
      expect(taken).toBeLessThan(cases / 2); // else the mutations would change nothing that counts
      console.info(`${cases} mutated inputs of ${targets.length} decoders from seed ${SEED}, ${taken} of them valid`);
    },
    rounds({ test: 120_000, soak: 3_600_000 }),
  );

  it('is a target, or has a reason not to be one', () => {
    const covered = new Set(targets.flatMap(({ covers }) => covers));
    const known = new Set([...covered, ...Object.keys(NO_TARGET)]);
    const found = [...sourceFiles('src'), ...sourceFiles('server')].flatMap((file) =>
      [
        ...readFileSync(join(ROOT, file), 'utf8').matchAll(/^export (?:async )?(?:function|const) ((?:decode|parse|read|markRead)\w*)/gm),
      ].map(([, name]) => name!),
    );
    expect(found.length).toBeGreaterThan(50);
    expect(found.filter((name) => !known.has(name))).toEqual([]);
    expect([...known].filter((name) => !found.includes(name))).toEqual([]);
  });
});
