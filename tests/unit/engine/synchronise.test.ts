import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { DeliveryAnswer, DeliveryCall, DeliveryCalls, DeliveryPort } from '../../../src/engine/ports.ts';
import { createRuntime, type EngineRuntime } from '../../../src/engine/runtime.ts';
import { createMemoryStore } from '../../../src/store/memory-store.ts';
import { playScene, random, stateOf, type Scene } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

// A network that is cut without anybody having said so: the browser fires every background sync at once.

const world = new EngineWorld();
let scene: Scene;

beforeAll(async () => {
  scene = await playScene(world);
});
afterAll(() => world.close());

/** A browser that believes to be online, with a clock of the test's own. */
class Browser {
  readonly runtime: EngineRuntime;
  readonly requests: DeliveryCall[] = [];
  /** How often a sync was fired, and how often one was asked for. */
  fired = 0;
  asked = 0;
  connected = false;
  #clock = Date.now();
  #sleepers: { readonly until: number; readonly signal: AbortSignal; readonly wake: () => void }[] = [];
  #sync: 'idle' | 'firing' | 'firing-again' = 'idle';

  constructor(store: ReturnType<typeof createMemoryStore>) {
    const delivery: DeliveryPort = { send: (call) => this.#answer(call) };
    this.runtime = createRuntime({
      store,
      delivery,
      random,
      now: () => this.#clock,
      exclusive: (task) => task(),
      changed: () => undefined,
      notify: () => undefined,
      withdraw: () => undefined,
      deleted: () => undefined,
      cleared: () => undefined,
      requestSync: () => this.#register(),
      sleep: (ms, signal) => new Promise((wake) => this.#sleepers.push({ until: this.#clock + ms, signal, wake })),
      prepareEventStream: () => Promise.reject(new Error('no tab')),
      readEntry: () => undefined,
      readStock: () => undefined,
    });
  }

  static async of({ laptop }: Scene): Promise<Browser> {
    const store = createMemoryStore();
    await store.write({ puts: laptop, deletes: [] });
    return new Browser(store);
  }

  count(wanted: DeliveryCall): number {
    return this.requests.filter((call) => call === wanted).length;
  }

  /** Lets `ms` pass, waking what sleeps, in order. */
  async pass(ms: number): Promise<void> {
    const end = this.#clock + ms;
    for (;;) {
      await settled();
      this.#sleepers = this.#sleepers.filter(({ signal }) => !signal.aborted);
      const [next] = this.#sleepers.toSorted((a, b) => a.until - b.until);
      if (next === undefined || next.until > end) break;
      this.#clock = Math.max(this.#clock, next.until);
      this.#sleepers = this.#sleepers.filter((sleeper) => sleeper !== next);
      next.wake();
    }
    this.#clock = end;
  }

  /** Fires now; asked for again meanwhile, it fires again, and otherwise not before the browser's own pause of minutes is over. */
  #register(): void {
    this.asked++;
    if (this.#sync === 'idle') this.#fire();
    else this.#sync = 'firing-again';
  }

  #fire(): void {
    this.#sync = 'firing';
    this.fired++;
    setImmediate(() => {
      const over = (): void => {
        const again = this.#sync === 'firing-again';
        this.#sync = 'idle';
        if (again) this.#fire();
      };
      this.runtime.synchronise().then(over, over);
    });
  }

  async #answer<Call extends DeliveryCall>(call: Call): Promise<DeliveryAnswer<Call>> {
    this.requests.push(call);
    if (!this.connected) return { outcome: 'unreachable' };
    const { sequence } = stateOf(scene.laptop).cursor;
    const answers: { readonly [Each in DeliveryCall]?: DeliveryCalls[Each]['answer'] } = {
      submit: { position: 100, sequence: sequence + 1, checked: true },
      'fetch-sequence': { entries: [], last: sequence, stock: 20 },
    };
    const value = answers[call];
    if (value === undefined) throw new Error(`not expected: ${call}`);
    return { outcome: 'done', value };
  }
}

/** Whatever can go on without the clock has gone on. */
async function settled(): Promise<void> {
  for (let i = 0; i < 30; i++) await new Promise((resolve) => setImmediate(resolve));
}

const send = (browser: Browser): Promise<unknown> =>
  browser.runtime.command({ command: 'send', conversationId: scene.id, messageId: random(16), text: 'from a tunnel' });

describe('a network that is cut and that the browser takes for sound', () => {
  it('is asked a few times a minute, however often a sync is fired', async () => {
    const browser = await Browser.of(scene);
    await send(browser);
    await eventually(() => expect(browser.count('submit')).toBeGreaterThan(0));
    await browser.pass(60_000);
    // After 1, 2, 4, ... seconds, each of these followed by one sync at most.
    expect(browser.count('submit')).toBeGreaterThan(3);
    expect(browser.count('submit')).toBeLessThanOrEqual(14);
    expect(browser.count('fetch-sequence')).toBeLessThanOrEqual(14);
    expect(browser.fired).toBeLessThanOrEqual(8);
    const before = browser.requests.length;
    await browser.pass(10 * 60_000);
    // Once a minute by itself; by then a sync follows on each.
    expect(browser.requests.length - before).toBeLessThanOrEqual(10 * 2 * 2);
  });

  it('is asked once by each sync, which fails and asks for no other', async () => {
    const browser = await Browser.of(scene);
    await send(browser);
    await eventually(() => expect(browser.count('submit')).toBeGreaterThan(0));
    await browser.pass(300_000);
    const [submitted, asked] = [browser.count('submit'), browser.asked];
    const failed = expect(browser.runtime.synchronise()).rejects.toThrow('still waiting');
    await browser.pass(1_000);
    await failed;
    expect(browser.count('submit')).toBe(submitted + 1);
    expect(browser.asked).toBe(asked);
  });

  it('is asked no more often than once a second when syncs are fired without end', async () => {
    const browser = await Browser.of(scene);
    await send(browser);
    await eventually(() => expect(browser.count('submit')).toBeGreaterThan(0));
    await browser.pass(300_000);
    const before = browser.count('submit');
    let firing = true;
    const storm = async (): Promise<void> => {
      while (firing) {
        await browser.runtime.synchronise().catch(() => undefined);
        await new Promise((resolve) => setImmediate(resolve));
      }
    };
    const over = storm();
    await browser.pass(10_000);
    firing = false;
    await browser.pass(2_000);
    await over;
    expect(browser.count('submit') - before).toBeLessThanOrEqual(14);
  });
});

it('a sync sends at once when the network is back, however long the pause had become', async () => {
  const browser = await Browser.of(scene);
  await send(browser);
  await eventually(() => expect(browser.count('submit')).toBeGreaterThan(0));
  await browser.pass(600_000);
  const before = browser.count('submit');
  browser.connected = true;
  const synchronised = browser.runtime.synchronise();
  await browser.pass(1_000);
  await synchronised;
  expect(browser.count('submit')).toBe(before + 1);
  const { messages } = await browser.runtime.messages(scene.id, undefined, 1);
  expect(messages[0]).toMatchObject({ text: 'from a tunnel', status: 'sent' });
});
