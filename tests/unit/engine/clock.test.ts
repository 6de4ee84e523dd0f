import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Device } from '../../simulation/device.ts';
import * as errands from '../../simulation/errands.ts';
import { World } from '../../simulation/world.ts';

// In virtual time: what a clock that is set back or forth does to a device.

const HOUR = 3_600_000;

let world: World;

beforeEach(() => {
  world = new World('clock', 'strong');
});

afterEach(() => world.close());

async function pair(): Promise<[Device, Device]> {
  const anna = (await errands.signUp(world, 'anna')).devices[0]!;
  const ben = (await errands.signUp(world, 'ben')).devices[0]!;
  await world.pause(2_000);
  await errands.create(world, anna, 1);
  await world.pause(5_000);
  return [anna, ben];
}

const lines = (device: Device): number => [...device.disk.records.keys()].filter((key) => key.startsWith('message/')).length;

describe('a clock', () => {
  it('that is set back during a pause between two tries does not make the pause longer', () =>
    world.run(async () => {
      const [anna, ben] = await pair();
      const before = lines(ben);
      anna.befall(0, { fault: 'drop' }, (path) => path.endsWith('/messages'));
      await errands.write(world, anna, 0);
      await world.pause(500);
      anna.clockAhead = -HOUR;
      anna.cutConnections();
      await world.pause(70_000);
      expect(lines(ben)).toBe(before + 1);
    }));

  it.each([-HOUR, HOUR])('that is wrong by %s ms does not keep a device with nothing to say from hearing', (ahead) =>
    world.run(async () => {
      const [anna, ben] = await pair();
      const before = lines(ben);
      ben.clockAhead = ahead;
      ben.cutConnections();
      await world.pause(1_000);
      await errands.write(world, anna, 0);
      await world.pause(70_000);
      expect(lines(ben)).toBe(before + 1);
    }),
  );
});
