import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { problemResponse, Refusal } from '../../../server/problems.ts';
import type { Device } from '../../simulation/device.ts';
import * as errands from '../../simulation/errands.ts';
import { World } from '../../simulation/world.ts';

// In virtual time: a server that gives an answer which leaves everything to do, each time that it is asked.

let world: World;

beforeEach(() => {
  world = new World('same answer', 'strong');
});

afterEach(() => world.close());

/** From now on one call of the device's has this answer. @returns what counts how often it was asked for, and what ends it */
function answerAll(device: Device, method: string, path: RegExp, told: () => Response): { asked: number; end: () => void } {
  const lie = { asked: 0, end: () => (device.answer = truly) };
  const truly = device.answer.bind(device);
  device.answer = (server, request) => {
    if (request.method !== method || !path.test(new URL(request.url).pathname)) return truly(server, request);
    lie.asked += 1;
    return Promise.resolve(told());
  };
  return lie;
}

describe('an answer that leaves everything to do', () => {
  it('to what a recovered device asks for is not asked for again at once, and the device goes on when there is another', () =>
    world.run(async () => {
      const anna = await errands.signUp(world, 'anna');
      await errands.signUp(world, 'ben');
      await world.pause(2_000);
      await errands.create(world, anna.devices[0]!, 1);
      await world.pause(5_000);
      let lie: ReturnType<typeof answerAll> | undefined;
      await errands.recover(world, anna, (device) => {
        lie = answerAll(device, 'GET', /^\/v1\/groups$/, () => problemResponse(new Refusal('generation-taken')));
      });
      await world.pause(120_000);
      expect(lie!.asked).toBeGreaterThan(2);
      expect(lie!.asked).toBeLessThan(15);
      lie!.end();
      const back = await world.untilView(anna.devices[1]!, ({ conversations }) => conversations.find(({ state }) => state === 'ready'));
      expect(back).toBeDefined();
    }));

  it('and says to ask again at once is not asked at once', () =>
    world.run(async () => {
      const anna = await errands.signUp(world, 'anna');
      await errands.signUp(world, 'ben');
      await world.pause(2_000);
      const [device] = anna.devices as [Device];
      const lie = answerAll(device, 'POST', /^\/v1\/groups/, () => problemResponse(new Refusal('rate-limited', { retryAfter: 0 })));
      await errands.create(world, device, 1);
      await world.pause(60_000);
      expect(lie.asked).toBeGreaterThan(2);
      expect(lie.asked).toBeLessThan(130); // two lanes
    }));

  it('to what waits for the other device of a link is asked for at the pace of a person', () =>
    world.run(async () => {
      const anna = await errands.signUp(world, 'anna');
      await world.pause(2_000);
      const device = world.device('anna 2');
      anna.devices.push(device);
      const nothing = { request: null, answer: null, reveal: null, confirmed: null, cancelled: null, welcome: null };
      const lie = answerAll(device, 'GET', /^\/v1\/links\//, () => Response.json({ slots: nothing }));
      device.start();
      await world.command(device, { command: 'startLink', deviceName: 'phone' });
      await world.pause(60_000);
      expect(lie.asked).toBeGreaterThan(30);
      expect(lie.asked).toBeLessThan(70);
    }));
});
