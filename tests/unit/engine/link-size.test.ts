import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type * as StateTransferModule from '../../../src/engine/state-transfer.ts';
import { withReferences, wholeGroup } from '../../../src/engine/state-transfer.ts';
import type { LinkView, StateView } from '../../../src/engine/view.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';
import { eventually } from '../../support/eventually.ts';

// Every conversation is too large for the Welcome.
vi.mock('../../../src/engine/state-transfer.ts', async (original) => ({
  ...(await original<typeof StateTransferModule>()),
  INLINE_BUDGET: 0,
}));

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => {
  vi.unstubAllGlobals();
  return world.close();
});

/** Anna's laptop in three conversations with ben. */
async function busy(): Promise<{ laptop: TestDevice; ben: TestDevice; ids: string[] }> {
  const laptop = await world.person('anna');
  const ben = await world.person('ben');
  const ids: string[] = [];
  for (const title of ['one', 'two', 'three']) {
    const id = await laptop.startConversation(['ben'], title);
    await laptop.send(id, `about ${title}`);
    await ben.texts(id, 1);
    ids.push(id);
  }
  return { laptop, ben, ids };
}

describe('a device that is linked to more than a Welcome holds', () => {
  it('is in every conversation, and both sides see how far it is', async () => {
    const { laptop, ben, ids } = await busy();
    const puts: string[] = [];
    vi.stubGlobal('fetch', watchedFetch(puts));
    const phone = world.device();
    const progressOf = ({ link }: StateView): LinkView['progress'] => link?.progress;
    const seen = Promise.all([laptop.until(progressOf), phone.until(progressOf)]);
    expect((await linkUntilEnd(laptop, phone)).step).toBe('done');
    for (const progress of await seen) expect(progress).toEqual({ done: expect.any(Number) as number, total: 3 });
    expect(puts.filter((line) => line.startsWith('PUT'))).toHaveLength(3);
    expect(puts.filter((line) => line.startsWith('GET'))).toHaveLength(3);
    for (const id of ids) {
      await phone.conversation(id, ({ state }) => state === 'ready');
      await phone.send(id, 'from the phone');
      expect((await ben.texts(id, 2)).at(-1)).toBe('from the phone');
      expect((await laptop.texts(id, 2)).at(-1)).toBe('from the phone');
    }
    for (const device of [laptop, phone]) expect([...(await device.store.load('link-blob/')).keys()]).toEqual([]);
  });

  it('ends by name with nothing left behind when a blob was changed', async () => {
    const { laptop } = await busy();
    vi.stubGlobal(
      'fetch',
      watchedFetch([], (bytes) => bytes.fill(1, 20, 21)),
    );
    const phone = world.device();
    const ended = await linkUntilEnd(laptop, phone);
    expect(ended.problem).toBe('code-tampered');
    expect([...(await phone.store.load('link-blob/')).keys()]).toEqual([]);
    await phone.do({ command: 'closeLink' });
    await phone.until(({ phase }) => (phase === 'new' ? true : undefined));
    await eventually(async () =>
      expect([...(await phone.store.load('')).keys()].filter((key) => key === 'link' || key === 'account')).toEqual([]),
    );
  });
});

describe('what goes into the Welcome', () => {
  const group = (value: number, length: number): Parameters<typeof withReferences>[0][number] => ({
    groupId: new Uint8Array(32).fill(value),
    type: 'state_transfer',
    logPosition: 1n,
    groupState: new Uint8Array(length).fill(value),
    leaf: { epochId: new Uint8Array(32), generation: 0, randomness: new Uint8Array(32) } as never,
    pendingOperations: [],
  });

  it('is the smallest groups up to the budget', () => {
    const { groups, blobs } = withReferences([group(1, 60), group(2, 30)], 100, () => new Uint8Array(16));
    expect(groups.map(({ type }) => type)).toEqual(['state_transfer', 'state_transfer']);
    expect(blobs.size).toBe(0);
  });

  it('may not leave out the state of a group', () => {
    const stateless = { groupId: new Uint8Array(32), type: 'external_commit' as const };
    expect(() => wholeGroup(stateless, new Map())).toThrow('bad-onboarding-state');
  });
});

async function linkUntilEnd(adder: TestDevice, device: TestDevice): Promise<LinkView> {
  await device.do({ command: 'startLink', deviceName: 'phone' });
  await adder.do({ command: 'acceptLinkCode', code: await device.until(({ link }) => link?.code) });
  for (const side of [device, adder]) {
    await side.until(({ link }) => (link?.step === 'compare' ? true : undefined));
    await side.do({ command: 'confirmLink', yes: true });
  }
  return device.until(({ link }) => (link?.step === 'ended' || link?.step === 'done' ? link : undefined));
}

/** Notes requests for blobs; `change` is done to what is fetched. */
function watchedFetch(lines: string[], change?: (bytes: Uint8Array) => void): typeof fetch {
  const real = fetch;
  return async (input, init) => {
    const response = await real(input, init);
    const url = String(input instanceof Request ? input.url : input);
    if (!url.includes('/v1/blobs/')) return response;
    await new Promise((resolve) => setTimeout(resolve, 100)); // long enough on its way to be seen on its way
    const method = init?.method ?? 'GET';
    lines.push(`${method} ${url}`);
    if (method !== 'GET' || change === undefined) return response;
    const bytes = new Uint8Array(await response.arrayBuffer());
    change(bytes);
    return new Response(bytes, { status: response.status, headers: response.headers });
  };
}
