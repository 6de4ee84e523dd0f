import { setTimeout } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { rounds } from '../../support/rounds.ts';
import { ServerLoad } from '../../support/server-load.ts';
import { ServerProcess } from '../../support/server-process.ts';

const ROUNDS = rounds({ test: 3, soak: 20 });
/** The longest that a round's load goes on once it is under way, ms. */
const LONGEST_LOAD = 600;

describe('a server killed at random moments under load', () => {
  let server: ServerProcess;

  beforeAll(async () => {
    server = await ServerProcess.build();
  });
  afterAll(() => server.dispose());

  it(
    'has what it acknowledged once and in order, one commit per epoch, no KeyPackage given twice, and answers a retry as before',
    async () => {
      const load = new ServerLoad(await server.run());
      await load.begin();
      for (let round = 0; round < ROUNDS; round++) {
        let begun: () => void = () => {};
        const loaded = new Promise<void>((resolve) => {
          begun = resolve;
        });
        const killed = loaded.then(() => setTimeout(Math.random() * LONGEST_LOAD)).then(() => server.end('SIGKILL'));
        await Promise.all([load.run(begun), killed]);
        load.movedTo(await server.run());
        await load.check();
      }
      expect(load.acknowledged).toBeGreaterThan(ROUNDS * 20);
    },
    ROUNDS * 30_000,
  );
});
