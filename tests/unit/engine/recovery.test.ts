import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/bytes/index.ts';
import { EMULATION_PROTOCOL } from '../../../src/engine/protocol.ts';
import { deriveRecoveryKey } from '../../../src/virtual-client/index.ts';
import { settle } from '../../support/engine-snapshot.ts';
import { confirmNewPhrase, isBack, recovered, tryRecovery } from '../../support/engine-recovery.ts';
import { EngineWorld, type TestDevice } from '../../support/engine-world.ts';

let world: EngineWorld;

beforeEach(async () => {
  world = new EngineWorld();
  await world.start();
});

afterEach(() => world.close());

/** anna's laptop, talking to ben in two conversations, with a phrase. */
async function scene(): Promise<{ laptop: TestDevice; ben: TestDevice; ids: string[]; entropy: Uint8Array }> {
  const laptop = await world.person('anna', 'laptop');
  const ben = await world.person('ben');
  const ids = [await laptop.startConversation(['ben']), await laptop.startConversation(['ben'], 'trip')];
  for (const id of ids) {
    await laptop.send(id, 'before');
    await ben.texts(id, 1);
  }
  const entropy = await confirmNewPhrase(laptop);
  await settle(laptop, ben);
  return { laptop, ben, ids, entropy };
}

describe('a new device with the recovery phrase', () => {
  it('is in all conversations, alone, when every other device is gone', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    laptop.stop();
    const fresh = await recovered(world, 'anna', entropy);
    for (const id of ids) {
      await fresh.conversation(id, ({ state }) => state === 'ready');
      await fresh.send(id, 'I am back');
      await ben.send(id, 'welcome');
      expect((await ben.texts(id, 3)).toSorted()).toEqual(['I am back', 'before', 'welcome']);
      expect((await fresh.texts(id, 2)).toSorted()).toEqual(['I am back', 'welcome']);
    }
    // The devices that it found there may be lost, stolen, or made up: the person is told to look at them.
    const { notices } = await fresh.runtime.state();
    expect(notices.find(({ kind }) => kind === 'devices-found')?.text).toContain('1 other device');
    // Others can add the account again, through new KeyPackages.
    const added = await ben.startConversation(['anna'], 'new one');
    await ben.send(added, 'hello');
    expect(await fresh.texts(added, 1)).toEqual(['hello']);
  });

  it('is followed by devices that come back later, which lose nothing that they had', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    laptop.goOffline();
    for (const id of ids) await ben.send(id, 'while away');
    const fresh = await recovered(world, 'anna', entropy);
    for (const id of ids) {
      await fresh.send(id, 'from the new one');
      await ben.texts(id, 3);
    }
    laptop.goOnline();
    for (const id of ids) {
      expect(await laptop.texts(id, 3)).toEqual(['before', 'while away', 'from the new one']);
      await laptop.send(id, 'from the old one');
      expect(await fresh.texts(id, 2)).toEqual(['from the new one', 'from the old one']);
      expect(await ben.texts(id, 4)).toEqual(['before', 'while away', 'from the new one', 'from the old one']);
    }
    const [old, now] = [await laptop.hands(), await fresh.hands()];
    expect((await old.fence()).keyVersion).toBe(2);
    expect(await old.fence()).toEqual(await now.fence());
    await laptop.until(({ devices }) => devices.some(({ name }) => name === 'new laptop') || undefined);
    await fresh.until(({ devices }) => devices.some(({ name }) => name === 'laptop') || undefined);
  });

  it('is refused with a wrong phrase, and another account can be made there', async () => {
    const { laptop, entropy } = await scene();
    const device = world.device();
    const wrong = entropy.map((byte, i) => (i === 0 ? byte ^ 1 : byte));
    expect(await tryRecovery(device, 'anna', wrong)).toBe('recovery-refused');
    expect(await tryRecovery(device, 'ben', entropy)).toBe('recovery-refused');
    expect(await tryRecovery(device, 'nobody', entropy)).toBe('recovery-refused');
    await device.do({ command: 'createAccount', username: 'cora', deviceName: 'c' });
    expect((await laptop.runtime.state()).devices).toHaveLength(1);
  });

  it('is refused with the phrase before the newest', async () => {
    const { laptop, entropy } = await scene();
    const newer = await confirmNewPhrase(laptop);
    const device = world.device();
    expect(await tryRecovery(device, 'anna', entropy)).toBe('recovery-refused');
    expect(await tryRecovery(device, 'anna', newer)).toBe('joined');
  });
});

/** Lets the worker die at its next request to a path, before it is sent or after the server took it. */
function dieAt(device: TestDevice, path: RegExp, when: 'before' | 'after'): Promise<void> {
  return new Promise((resolve) => {
    device.intercept = async (asked, _body, carryOut) => {
      if (!path.test(asked)) return carryOut();
      device.intercept = (_path, _content, carry) => carry();
      if (when === 'after') await carryOut();
      device.stop();
      resolve();
      return new Promise(() => {});
    };
  });
}

const deviceCount = async (device: TestDevice): Promise<number> => (await device.runtime.state()).devices.length;

describe('a worker that dies in the middle of a recovery', () => {
  const LATER = [/\/v1\/recovery$/, /\/v1\/groups$/, /\/messages$/, /\/key-packages$/, /\/v1\/groups\/[^/]+$/, /\/v1\/sequence$/];

  it.each(['before', 'after'] as const)('goes on by itself when it was stopped %s any request that comes of it', async (when) => {
    const { laptop, ben, ids, entropy } = await scene();
    laptop.stop();
    for (const path of LATER) {
      const device = world.device();
      const dead = dieAt(device, path, when);
      void tryRecovery(device, 'anna', entropy, String(path)).catch(() => undefined);
      await dead;
      device.restart();
      await isBack(device);
      for (const id of ids) {
        const text = `${String(path)} in ${id}`;
        await device.conversation(id, ({ state }) => state === 'ready');
        await device.send(id, text);
        await ben.messages(id, (lines) => lines.some((line) => line.text === text));
      }
      device.stop();
    }
  });

  it('needs the phrase again when nothing was sent, or the account has moved on', async () => {
    const { laptop, ids, entropy } = await scene();
    const device = world.device();
    for (const path of [/\/v1\/server$/, /\/v1\/recovery\/open$/]) {
      const dead = dieAt(device, path, 'after');
      void tryRecovery(device, 'anna', entropy).catch(() => undefined);
      await dead;
      device.restart();
      expect((await device.runtime.state()).phraseNeededFor).toBe('anna');
    }
    const dead = dieAt(device, /\/v1\/recovery$/, 'before');
    void tryRecovery(device, 'anna', entropy).catch(() => undefined);
    await dead;
    const phone = await world.link(laptop, 'phone');
    device.restart();
    await device.until(({ phase, phraseNeededFor }) => (phase === 'new' && phraseNeededFor === 'anna') || undefined);
    expect(await tryRecovery(device, 'anna', entropy)).toBe('joined');
    await isBack(device);
    for (const id of ids) await device.conversation(id, ({ state }) => state === 'ready');
    await phone.until(({ devices }) => devices.length === 3 || undefined);
  });

  it('has neither the phrase nor what is derived from it in its store', async () => {
    const { entropy } = await scene();
    const device = world.device();
    const seed = deriveRecoveryKey(EMULATION_PROTOCOL, Secret.of('phrase_entropy', entropy.slice())).seed.reveal();
    const dead = dieAt(device, /\/v1\/recovery$/, 'before');
    void tryRecovery(device, 'anna', entropy).catch(() => undefined);
    await dead;
    const stored = [...(await device.store.load('')).values()];
    expect(stored.length).toBeGreaterThan(5);
    for (const record of stored)
      for (const secret of [entropy, seed]) expect(Buffer.from(record).includes(Buffer.from(secret))).toBe(false);
  });
});

/** The server's answers to requests for `path`, as the test wants them. */
function answering(device: TestDevice, path: RegExp, answer: (real: () => Promise<Response>) => Promise<Response>): void {
  device.intercept = (asked, _body, carryOut) => (path.test(asked) ? answer(carryOut) : carryOut());
}

function problem(type: string, status: number, more: object = {}): Promise<Response> {
  const headers = { 'content-type': 'application/problem+json' };
  return Promise.resolve(Response.json({ type: `urn:chorus:problem:${type}`, title: '', status, ...more }, { status, headers }));
}

describe('a recovery that fails', () => {
  it('says why, and can be tried again', async () => {
    const { entropy } = await scene();
    const device = world.device();
    expect(await tryRecovery(device, 'anna smith', entropy)).toBe('username-invalid');
    expect(await tryRecovery(device, 'anna', entropy, '')).toBe('device-name-invalid');
    answering(device, /\/v1\/recovery$/, () => problem('too-many', 409));
    expect(await tryRecovery(device, 'anna', entropy)).toBe('too-many-devices');
    answering(device, /\/v1\/recovery\/open$/, () => problem('rate-limited', 429, { retryAfter: 1000 }));
    expect(await tryRecovery(device, 'anna', entropy)).toBe('recovery-later');
    answering(device, /\/v1\/recovery\/open$/, () => problem('malformed', 400));
    expect(await tryRecovery(device, 'anna', entropy)).toBe('internal');
    answering(device, /\/v1\/recovery\/open$/, () => Promise.reject(new Error('no network')));
    expect(await tryRecovery(device, 'anna', entropy)).toBe('offline');
    expect((await device.runtime.state()).notices).toEqual([]);
    answering(device, /^$/, (real) => real());
    expect(await tryRecovery(device, 'anna', entropy)).toBe('joined');
  });

  it('says why when nobody waits for it any more, until it is tried again', async () => {
    const { laptop, entropy } = await scene();
    const device = world.device();
    const dead = dieAt(device, /\/v1\/recovery$/, 'before');
    void tryRecovery(device, 'anna', entropy).catch(() => undefined);
    await dead;
    const newer = await confirmNewPhrase(laptop);
    device.restart();
    const { notices } = await device.until((view) => (view.phase === 'new' && view.notices.length > 0 ? view : undefined));
    expect(notices.map(({ kind }) => kind)).toEqual(['recovery-failed']);
    expect(await tryRecovery(device, 'anna', newer)).toBe('joined');
    await isBack(device);
    expect((await device.runtime.state()).notices.map(({ kind }) => kind)).not.toContain('recovery-failed');
  });

  it('does not stand in the way of itself when it is asked for twice', async () => {
    const { ids, entropy } = await scene();
    const device = world.device();
    const outcomes = await Promise.all([tryRecovery(device, 'anna', entropy), tryRecovery(device, 'anna', entropy)]);
    expect(outcomes).toEqual(['joined', 'recovery-under-way']);
    await isBack(device);
    await device.send(ids[0]!, 'here');
  });

  it('is no account when the server vouches for another key than the device’s', async () => {
    const { entropy } = await scene();
    const device = world.device();
    answering(device, /\/v1\/recovery$/, async (real) => {
      const answer = (await (await real()).json()) as { binding: string };
      const binding = Buffer.from(answer.binding, 'base64url');
      binding[binding.length - 1]! ^= 1;
      return Response.json({ ...answer, binding: binding.toString('base64url') });
    });
    expect(await tryRecovery(device, 'anna', entropy)).toBe('recovery-tampered');
    expect((await device.runtime.state()).phase).toBe('new');
  });
});

describe('a recovery among other things that happen to the account', () => {
  it('is finished though its answer was lost and the phrase has changed since', async () => {
    const { laptop, ids, entropy } = await scene();
    const device = world.device();
    const dead = dieAt(device, /\/v1\/recovery$/, 'after');
    void tryRecovery(device, 'anna', entropy).catch(() => undefined);
    await dead;
    await laptop.until(({ devices }) => devices.length === 2 || undefined);
    await confirmNewPhrase(laptop);
    device.restart();
    await isBack(device);
    await device.send(ids[0]!, 'in all the same');
    expect((await laptop.texts(ids[0]!, 2)).at(-1)).toBe('in all the same');
  });

  it('makes its request anew when a sibling has committed meanwhile', async () => {
    const { laptop, ids, entropy } = await scene();
    const device = world.device();
    const gate = device.holdBack('"resync"');
    const outcome = tryRecovery(device, 'anna', entropy);
    await gate.reached;
    const phone = await world.link(laptop, 'phone');
    gate.open();
    expect(await outcome).toBe('joined');
    expect(device.refusals.get('stale-epoch')).toBe(1);
    await isBack(device);
    await phone.until(({ devices }) => devices.length === 3 || undefined);
    for (const id of ids) {
      await device.send(id, 'here');
      expect((await phone.texts(id, 1)).at(-1)).toBe('here');
    }
  });

  it('does not hinder another one at the same moment', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    laptop.goOffline();
    const devices = await Promise.all(['one', 'two'].map((name) => recovered(world, 'anna', entropy, name)));
    laptop.goOnline();
    await settle(laptop, ben, ...devices);
    for (const device of [laptop, ...devices]) {
      expect(await deviceCount(device)).toBe(3);
      expect((await (await device.hands()).fence()).keyVersion).toBe(3);
      await device.send(ids[0]!, 'from one of three');
    }
    expect((await ben.texts(ids[0]!, 4)).filter((text) => text === 'from one of three')).toHaveLength(3);
  });

  it('finishes a removal whose maker is gone, and the removed device stays outside', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    const phone = await world.link(laptop, 'phone');
    await settle(laptop, phone, ben);
    const deviceId = await laptop.until(({ devices }) => devices.find(({ name }) => name === 'phone')?.deviceId);
    const dead = dieAt(laptop, /\/messages$/, 'before');
    await laptop.do({ command: 'removeDevice', deviceId });
    await dead;
    await phone.until(({ phase }) => phase === 'unlinked' || undefined);
    const fresh = await recovered(world, 'anna', entropy);
    await fresh.until(
      ({ devices, removal }) => (devices.every((device) => device.deviceId !== deviceId) && removal === undefined) || undefined,
    );
    for (const id of ids) {
      await fresh.send(id, 'without the phone');
      await ben.messages(id, (lines) => lines.some(({ text }) => text === 'without the phone'));
    }
    expect((await (await fresh.hands()).fence()).keyVersion).toBe(3);
    expect((await fresh.runtime.state()).phrase).toBe('replace');
  });

  it('goes together with a removal that the person asks for at once', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    laptop.stop();
    const fresh = world.device();
    expect(await tryRecovery(fresh, 'anna', entropy)).toBe('joined');
    const deviceId = await fresh.until(({ devices }) => devices.find(({ own }) => !own)?.deviceId);
    await fresh.do({ command: 'removeDevice', deviceId });
    await isBack(fresh);
    await fresh.until(({ devices, removal }) => (devices.length === 1 && removal === undefined) || undefined);
    for (const id of ids) {
      await fresh.send(id, 'without the laptop');
      expect((await ben.texts(id, 2)).at(-1)).toBe('without the laptop');
    }
    expect((await (await fresh.hands()).fence()).keyVersion).toBe(3);
  });

  it('ends though the account is removed from a conversation in the middle of it', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    laptop.stop();
    const fresh = world.device();
    const gate = fresh.holdBack('"fence":{');
    expect(await tryRecovery(fresh, 'anna', entropy)).toBe('joined');
    await gate.reached;
    const { account } = await fresh.runtime.state();
    await ben.do({ command: 'removeMember', conversationId: ids[1]!, accountId: account!.accountId });
    await ben.conversation(ids[1]!, ({ members }) => members.length === 1);
    gate.open();
    await isBack(fresh);
    await fresh.send(ids[0]!, 'still here');
    expect((await ben.texts(ids[0]!, 2)).at(-1)).toBe('still here');
  });

  it('brings back a conversation that everybody else is out of, and a sibling follows', async () => {
    const { laptop, ben, ids, entropy } = await scene();
    const [id] = ids as [string];
    const { account } = await ben.runtime.state();
    await laptop.do({ command: 'removeMember', conversationId: id, accountId: account!.accountId });
    await laptop.conversation(id, ({ members }) => members.length === 1);
    const fresh = await recovered(world, 'anna', entropy);
    await isBack(fresh);
    await fresh.send(id, 'note to self');
    expect((await laptop.texts(id, 2)).at(-1)).toBe('note to self');
    await laptop.addMember(id, 'ben');
    await ben.conversation(id, ({ state }) => state === 'ready');
    await fresh.send(id, 'welcome back');
    expect((await ben.texts(id, 2)).at(-1)).toBe('welcome back');
  });

  it('and the linking of a device do not hinder each other', async () => {
    const { laptop, ids, entropy } = await scene();
    const phone = world.device();
    await phone.do({ command: 'startLink', deviceName: 'phone' });
    await laptop.do({ command: 'acceptLinkCode', code: await phone.until(({ link }) => link?.code) });
    for (const device of [phone, laptop]) await device.until(({ link }) => link?.step === 'compare' || undefined);
    const gate = laptop.holdBack('"newDevice":{');
    for (const device of [phone, laptop]) await device.do({ command: 'confirmLink', yes: true });
    await gate.reached;
    const fresh = await recovered(world, 'anna', entropy);
    gate.open();
    await phone.until(({ phase }) => phase === 'ready' || undefined);
    for (const device of [laptop, phone, fresh]) await device.until(({ devices }) => devices.length === 3 || undefined);
    await phone.conversation(ids[0]!, ({ state }) => state === 'ready');
    await phone.send(ids[0]!, 'from the phone');
    expect((await fresh.texts(ids[0]!, 1)).at(-1)).toBe('from the phone');
  });

  it('asks before it joins where somebody added the account and nobody has answered', async () => {
    const { laptop, ben, entropy } = await scene();
    laptop.goOffline();
    const [wanted, unwanted] = [await ben.startConversation(['anna'], 'wanted'), await ben.startConversation(['anna'], 'unwanted')];
    for (const id of [wanted, unwanted]) await ben.conversation(id, ({ members }) => members.length === 2);
    const fresh = world.device();
    expect(await tryRecovery(fresh, 'anna', entropy)).toBe('joined');
    const asks = await fresh.until(({ rejoining }) => (rejoining?.asks.length === 2 && rejoining.done === 2 ? rejoining.asks : undefined));
    expect(asks.map(({ members }) => members)).toEqual([['ben'], ['ben']]);
    expect(asks.map(({ conversationId }) => conversationId).toSorted()).toEqual([wanted, unwanted].toSorted());
    await fresh.do({ command: 'decideRejoin', conversationId: wanted, join: true });
    await fresh.do({ command: 'decideRejoin', conversationId: unwanted, join: false });
    await isBack(fresh);
    await fresh.send(wanted, 'thanks for adding me');
    await ben.messages(wanted, (lines) => lines.some(({ text }) => text === 'thanks for adding me'));
    expect((await fresh.runtime.state()).conversations.map(({ conversationId }) => conversationId)).not.toContain(unwanted);
    // The laptop had a KeyPackage for it, and reads the Welcome at its place.
    laptop.goOnline();
    await laptop.conversation(unwanted, ({ members }) => members.length === 2);
    expect(await laptop.texts(wanted, 1)).toEqual(['thanks for adding me']);
  });
});

describe('a phrase', () => {
  it('is known of on every device, also a linked one, and marked for replacement when a device is removed', async () => {
    const { laptop, entropy } = await scene();
    const phone = await world.link(laptop, 'phone');
    expect((await phone.runtime.state()).phrase).toBe('set');
    const newer = await confirmNewPhrase(phone);
    await laptop.until(({ notices }) => notices.some(({ kind }) => kind === 'phrase-changed') || undefined);
    expect(newer).not.toEqual(entropy);
    const deviceId = await laptop.until(({ devices }) => devices.find(({ name }) => name === 'phone')?.deviceId);
    await laptop.do({ command: 'removeDevice', deviceId });
    const view = await laptop.until((state) => (state.phrase === 'replace' ? state : undefined));
    expect(view.notices.map(({ kind }) => kind)).toContain('phrase-outdated');
    await confirmNewPhrase(laptop);
  });

  it('that was shown and not confirmed, or shown before a newer one, is none', async () => {
    const laptop = await world.person('anna', 'laptop');
    const [first, second] = [await laptop.runtime.makePhrase(), await laptop.runtime.makePhrase()];
    if (!first.ok || !second.ok) throw new Error('no phrase');
    await expect(laptop.do({ command: 'confirmPhrase', phraseId: first.phraseId })).rejects.toThrow('phrase-replaced');
    expect((await laptop.runtime.state()).phrase).toBe('none');
    expect(await tryRecovery(world.device(), 'anna', second.entropy)).toBe('recovery-refused');
  });

  it('that is confirmed offline is set when the server can be reached, after a restart too', async () => {
    const laptop = await world.person('anna', 'laptop');
    await settle(laptop);
    laptop.goOffline();
    const made = await laptop.runtime.makePhrase();
    if (!made.ok) throw new Error(made.problem);
    await laptop.do({ command: 'confirmPhrase', phraseId: made.phraseId });
    expect((await laptop.runtime.state()).phrase).toBe('saving');
    laptop.restart();
    laptop.goOnline();
    await laptop.until(({ phrase }) => phrase === 'set' || undefined);
    expect(await tryRecovery(world.device(), 'anna', made.entropy)).toBe('joined');
  });
});
