import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { StoreErrorCode } from '../../../src/engine/ports.ts';
import { StoreError } from '../../../src/store/index.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

// A machine that does many other things takes its time.

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

/** Two people in one conversation, both at rest. */
async function pair(): Promise<{ anna: TestDevice; ben: TestDevice; id: string }> {
  const anna = await world.person('anna');
  const ben = await world.person('ben');
  const id = await anna.startConversation(['ben']);
  await anna.send(id, 'first');
  await Promise.all([ben.texts(id, 1), anna.texts(id, 1)]);
  return { anna, ben, id };
}

/** Every read or write of a device's store fails from now on. Returns what mends it. */
function fail(device: TestDevice, what: 'get' | 'write', code: StoreErrorCode): () => void {
  const { store } = device;
  const before = store[what];
  Object.assign(store, { [what]: () => Promise.reject(new StoreError(code)) });
  return () => Object.assign(store, { [what]: before });
}

describe('when the disk is full', () => {
  it('a message is refused, one that comes in waits at the server, the view says why, and with room each is there once', async () => {
    const { anna, ben, id } = await pair();
    const makeRoom = fail(anna, 'write', 'quota-exceeded');
    await expect(anna.send(id, 'refused')).rejects.toMatchObject({ code: 'quota-exceeded' });
    await anna.until(({ storage }) => storage === 'storage-quota-exceeded' || undefined);
    await ben.send(id, 'from ben');
    expect(await ben.texts(id, 2)).toEqual(['first', 'from ben']);
    expect(await anna.texts(id, 1)).toEqual(['first']);

    makeRoom();
    expect(await anna.texts(id, 2)).toEqual(['first', 'from ben']);
    await anna.until(({ storage }) => storage === undefined || undefined);
    await anna.send(id, 'once more');
    for (const device of [anna, ben]) expect(await device.texts(id, 3)).toEqual(['first', 'from ben', 'once more']);
  });

  it('what was written before goes out when there is room, after a restart too', async () => {
    const { anna, ben, id } = await pair();
    anna.goOffline();
    await anna.send(id, 'waits');
    const makeRoom = fail(anna, 'write', 'quota-exceeded');
    anna.goOnline();
    await anna.runtime.wake();
    anna.restart();
    makeRoom();
    await anna.runtime.wake();
    for (const device of [ben, anna]) expect(await device.texts(id, 2)).toEqual(['first', 'waits']);
  });
});

describe('when the browser deletes the store', () => {
  it('a worker that lives on finds out at the next beat, and shows no device any more', async () => {
    const { anna } = await pair();
    await anna.store.destroy();
    await anna.runtime.wake();
    expect(await anna.runtime.state()).toMatchObject({ phase: 'new', conversations: [], devices: [] });
  });

  it('what comes in for the device that was is no trouble', async () => {
    const { anna, ben, id } = await pair();
    await anna.store.destroy();
    await ben.send(id, 'nobody reads this here');
    await anna.until(({ phase }) => phase === 'new' || undefined);
    expect((await anna.runtime.state()).conversations).toEqual([]);
  });

  it('a store that cannot be read hides what was shown before, and the device is there again with the store', async () => {
    const anna = await world.person('anna');
    for (const code of ['root-missing', 'newer-version', 'unavailable'] as const) {
      const mend = fail(anna, 'get', code);
      await expect(anna.runtime.wake()).rejects.toMatchObject({ code });
      await expect(anna.runtime.state()).rejects.toMatchObject({ code });
      mend();
      await anna.runtime.wake();
      expect(await anna.runtime.state()).toMatchObject({ phase: 'ready' });
    }
  });
});

describe('starting anew', () => {
  it('deletes what is left when nothing of it can be read, and the browser can become a device again', async () => {
    const anna = await world.person('anna');
    for (const [nth, code] of (['root-missing', 'sealed-record-unreadable'] as const).entries()) {
      const mend = fail(anna, 'get', code);
      anna.restart();
      expect(await anna.runtime.startAnew()).toEqual({ ok: true });
      mend();
      expect((await anna.store.load('')).size).toBe(0);
      expect(await anna.runtime.state()).toMatchObject({ phase: 'new' });
      await anna.do({ command: 'createAccount', username: `anna${nth}`, deviceName: 'Laptop' });
      expect(await anna.runtime.state()).toMatchObject({ phase: 'ready' });
    }
  });

  it('deletes nothing of a device that can be read, or that may be whole', async () => {
    const anna = await world.person('anna');
    expect(await anna.runtime.startAnew()).toEqual({ ok: true });
    for (const code of ['newer-version', 'unavailable', 'blocked', 'locked'] as const) {
      const mend = fail(anna, 'get', code);
      anna.restart();
      expect(await anna.runtime.startAnew()).toEqual({ ok: false, problem: `storage-${code}` });
      mend();
    }
    expect(await anna.runtime.state()).toMatchObject({ phase: 'ready' });
  });
});
