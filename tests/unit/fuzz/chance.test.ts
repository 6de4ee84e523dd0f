import { createHash } from 'node:crypto';
import { expect, it } from 'vitest';
import { playedScene, type PlayedScene } from '../../fuzz/scene.ts';

/** Of all that came from the server, keys, signatures and sealed messages in it. */
function fingerprint({ came, cast }: PlayedScene): string {
  const hash = createHash('sha256');
  for (const { call, status, body } of came) hash.update(`${call} ${status} `).update(body);
  for (const [name, record] of cast.records) hash.update(name).update(record);
  return hash.digest('hex');
}

it('a seed brings back the scene of a failing case, down to the last key', async () => {
  const first = await playedScene();
  const again = await playedScene();
  expect(again.came.map(({ call }) => call)).toEqual(first.came.map(({ call }) => call));
  expect(fingerprint(again)).toBe(fingerprint(first));
});
