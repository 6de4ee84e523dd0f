import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { EngineWorld } from '../../support/engine-world.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

describe('the words of a notification', () => {
  it('are wanted only after the person has said so, on that device and in its later lives, until they say no', async () => {
    const [anna, ben] = [await world.person('anna'), await world.person('ben')];
    const id = await ben.startConversation(['anna']);
    const told = async (text: string): Promise<boolean | undefined> => {
      await ben.send(id, text);
      await anna.messages(id, (all) => all.some((message) => message.text === text));
      return anna.notifications.find(({ body }) => body === text)?.withWords;
    };
    expect((await anna.runtime.state()).notifiesWords).toBe(false);
    expect(await told('one')).toBe(false);
    await anna.do({ command: 'notifyWords', on: true });
    expect(await told('two')).toBe(true);
    anna.restart();
    expect((await anna.runtime.state()).notifiesWords).toBe(true);
    expect(await told('three')).toBe(true);
    expect(anna.withdrawn).toEqual([]);
    await anna.do({ command: 'notifyWords', on: false });
    expect(await told('four')).toBe(false);
    // Those that are still on the screen may show words.
    expect(anna.withdrawn).toEqual([undefined]);
  });
});
