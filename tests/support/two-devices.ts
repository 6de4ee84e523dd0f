import type { EngineWorld, TestDevice } from './engine-world.ts';

export interface TwoDevices {
  readonly laptop: TestDevice;
  readonly phone: TestDevice;
  readonly ben: TestDevice;
  /** Their conversation. */
  readonly id: string;
}

/** anna's laptop, which has said "before" to ben, and her phone, linked after it. */
export async function twoDevicesAndBen(world: EngineWorld): Promise<TwoDevices> {
  const laptop = await world.person('anna', 'laptop');
  const ben = await world.person('ben');
  const id = await laptop.startConversation(['ben']);
  await laptop.send(id, 'before');
  await ben.texts(id, 1);
  const phone = await world.link(laptop, 'phone');
  await phone.conversation(id, ({ state }) => state === 'ready');
  return { laptop, phone, ben, id };
}
