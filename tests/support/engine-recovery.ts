import type { EngineWorld, TestDevice } from './engine-world.ts';

/** Phrases as their 32 bytes: the words are the page's part. */

/** Makes a phrase on `device` and confirms it; resolves when the account's R is that of the phrase. */
export async function confirmNewPhrase(device: TestDevice): Promise<Uint8Array> {
  const made = await device.runtime.makePhrase();
  if (!made.ok) throw new Error(made.problem);
  const entropy = made.entropy.slice();
  await device.do({ command: 'confirmPhrase', phraseId: made.phraseId });
  await device.until(({ phrase }) => phrase === 'set' || undefined);
  return entropy;
}

/** What becomes of a recovery with these 32 bytes on a new device. */
export async function tryRecovery(device: TestDevice, username: string, entropy: Uint8Array, deviceName = 'new laptop'): Promise<string> {
  const result = await device.runtime.recover({ username, deviceName, entropy: entropy.slice() });
  return result.ok ? 'joined' : result.problem;
}

/** A new device that has joined the account and all its conversations. */
export async function recovered(world: EngineWorld, username: string, entropy: Uint8Array, deviceName = 'new laptop'): Promise<TestDevice> {
  const device = world.device();
  const outcome = await tryRecovery(device, username, entropy, deviceName);
  if (outcome !== 'joined') throw new Error(outcome);
  await isBack(device);
  return device;
}

/** Nothing of the recovery is left to do. */
export async function isBack(device: TestDevice): Promise<void> {
  await device.until(({ phase, rejoining }) => (phase === 'ready' && rejoining === undefined) || undefined);
}
