import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import Database from 'better-sqlite3';
import { createDeliveryClient, followEvents, fromJson, sequenceEntryFrame, stockFrame } from '../../src/delivery/index.ts';
import type { Secret } from '../../src/bytes/index.ts';
import type { DeliveryCall, DeliveryCalls, Fence, StorePort } from '../../src/engine/ports.ts';
import { decodeGroupRecords, decodeState, groupPrefix } from '../../src/engine/records.ts';
import { createRuntime, type EngineRuntime } from '../../src/engine/runtime.ts';
import type { ConversationView, MessageView, StateView } from '../../src/engine/view.ts';
import type { GroupState } from '../../src/mls/index.ts';
import { createMemoryStore } from '../../src/store/memory-store.ts';
import { makeBackup, restoreBackup } from '../../server/backup.ts';
import { startServer, type RunningServer } from '../../server/start.ts';
import type { Consistency } from '../../server/store/store.ts';
import { PATIENCE } from './eventually.ts';

/** The real engine, the real delivery client and the real server over a socket; the store is in memory. */
export class EngineWorld {
  readonly #dataDir = mkdtempSync(join(tmpdir(), 'chorus-engine-'));
  readonly #devices: TestDevice[] = [];
  readonly #consistency: Consistency;
  #server: RunningServer | undefined;

  constructor(consistency: Consistency = 'strong') {
    this.#consistency = consistency;
  }

  get url(): string {
    if (this.#server === undefined) throw new Error('the server is not running');
    return this.#server.url;
  }

  async start(): Promise<void> {
    const port = this.#server === undefined ? 0 : Number(new URL(this.#server.url).port);
    this.#server = await startServer({ port, dataDir: this.#dataDir, appDir: this.#dataDir, consistency: this.#consistency });
  }

  async stopServer(): Promise<void> {
    await this.#server?.close();
  }

  /** A backup of the running server. @returns its file */
  backUp(): string {
    const file = join(this.#dataDir, `backup-${randomBytes(4).toString('hex')}.sqlite`);
    makeBackup(this.#dataDir, file, Date.now());
    return file;
  }

  /** Puts the server back to what it was at the backup. */
  async restore(file: string): Promise<void> {
    await this.stopServer();
    restoreBackup(this.#dataDir, file, true, Date.now());
    await this.start();
  }

  /** The epoch that the message at each place of a group's log was sent in. */
  epochs(groupId: string): Map<number, number> {
    const database = new Database(join(this.#dataDir, 'chorus.sqlite'), { readonly: true });
    try {
      const rows = database.prepare('SELECT position, epoch FROM log WHERE group_id = ?').raw().all(Buffer.from(groupId, 'hex'));
      return new Map(rows as [number, number][]);
    } finally {
      database.close();
    }
  }

  device(): TestDevice {
    const device = new TestDevice(this.url, createMemoryStore());
    this.#devices.push(device);
    return device;
  }

  /** A browser on what another one's store held (`store.load('')`): a copy of it, or itself as it was. */
  async onProfile(profile: ReadonlyMap<string, Uint8Array>): Promise<TestDevice> {
    const store = createMemoryStore();
    await store.write({ puts: profile, deletes: [] });
    const device = new TestDevice(this.url, store);
    this.#devices.push(device);
    return device;
  }

  /** A device with an account of its own. */
  async person(username: string, deviceName = `${username}'s laptop`): Promise<TestDevice> {
    const device = this.device();
    await device.do({ command: 'createAccount', username, deviceName });
    return device;
  }

  /** Links a new device to the account of `adder`, both people saying yes. */
  async link(adder: TestDevice, deviceName: string): Promise<TestDevice> {
    const device = this.device();
    await device.do({ command: 'startLink', deviceName });
    const code = await device.until(({ link }) => link?.code);
    await adder.do({ command: 'acceptLinkCode', code });
    const [here, there] = await Promise.all([
      device.until(({ link }) => (link?.step === 'compare' ? link.shortNumber : undefined)),
      adder.until(({ link }) => (link?.step === 'compare' ? link.shortNumber : undefined)),
    ]);
    if (here !== there) throw new Error('the numbers differ');
    await device.do({ command: 'confirmLink', yes: true });
    await adder.do({ command: 'confirmLink', yes: true });
    await device.until(({ phase }) => phase === 'ready' || undefined);
    await adder.until(({ link }) => link?.step === 'done' || undefined);
    await adder.do({ command: 'closeLink' });
    return device;
  }

  async close(): Promise<void> {
    for (const device of this.#devices) device.stop();
    await this.#server?.close();
    rmSync(this.#dataDir, { recursive: true, force: true });
  }
}

export interface Hands {
  readonly signer: Secret<'signature_private_key'>;
  /** What a commit of the account has to state now. */
  fence(): Promise<Fence>;
  group(conversationId: string): Promise<GroupState>;
  /** @throws Error with the problem's type when the server refuses */
  ask<Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request']): Promise<DeliveryCalls[Call]['answer']>;
}

/** One browser without a browser: its store outlives the engine that runs on it. */
export class TestDevice {
  readonly store: StorePort;
  readonly #url: string;
  #cut = new AbortController();
  #gate: { readonly part: string; readonly reach: () => void; readonly opened: Promise<void> } | undefined;
  #lost: string | undefined;
  #running: { readonly runtime: EngineRuntime; readonly stop: AbortController };
  readonly #watchers = new Set<() => void>();
  readonly notifications: { readonly title: string; readonly body: string; readonly withWords: boolean }[] = [];
  /** Tags of notifications taken back; undefined for all of them. */
  readonly withdrawn: (string | undefined)[] = [];
  /** How often the store was to be swept soon. */
  deleted = 0;
  /** How often everything was deleted. */
  cleared = 0;
  /** How often the server has refused what, by problem type. */
  readonly refusals = new Map<string, number>();
  /** What all this has cost: requests by call, bytes of their bodies, transactions of the store and bytes put. */
  readonly cost = { requests: new Map<string, number>(), sent: 0, transactions: 0, written: 0 };
  /** Stands between the device and the network; `body` as it leaves the device. */
  intercept: (path: string, body: string, carryOut: () => Promise<Response>) => Promise<Response> = (_path, _body, carryOut) => carryOut();
  #online = true;
  /** By how much this device's clock is ahead, ms: for what waits longer than a test can. */
  clockAhead = 0;

  constructor(url: string, store: StorePort) {
    this.#url = url;
    this.store = store;
    this.#running = this.#start();
  }

  get runtime(): EngineRuntime {
    return this.#running.runtime;
  }

  /** What somebody with this device's whole store can do besides what Chorus does: its keys, its groups, its requests. */
  async hands(): Promise<Hands> {
    const state = decodeState(await this.store.load(''));
    const { device, account } = state;
    if (device === undefined || account === undefined) throw new Error('no account here');
    const delivery = createDeliveryClient({ baseUrl: this.#url, fetch: (input, init) => fetch(input, init), now: Date.now });
    const proof = { deviceId: device.deviceId, deviceKeySeed: device.deviceKeySeed.reveal() };
    return {
      signer: account.signer,
      fence: async () => {
        const { emulation } = decodeState(await this.store.load(''));
        return { emulationEpoch: Number(emulation?.group.context.epoch), keyVersion: account.keyVersion };
      },
      group: async (conversationId) => {
        const group = decodeGroupRecords(conversationId, await this.store.load(groupPrefix(conversationId)));
        if (group === undefined) throw new Error('not in that group');
        return group;
      },
      ask: async (call, request) => {
        const answer = await delivery.send(call, request, proof, new AbortController().signal);
        if (answer.outcome !== 'done') throw new Error(answer.outcome === 'refused' ? answer.problem.type : answer.outcome);
        return answer.value;
      },
    };
  }

  /** Cuts the network, the event stream included. */
  goOffline(): void {
    this.#online = false;
    this.#cut.abort();
  }

  goOnline(): void {
    this.#online = true;
    this.#cut = new AbortController();
  }

  /** Holds back the next request whose body has `part` in it. */
  holdBack(part: string): { readonly reached: Promise<void>; open(): void } {
    let reach = (): void => {};
    let open = (): void => {};
    const reached = new Promise<void>((resolve) => (reach = resolve));
    const opened = new Promise<void>((resolve) => (open = resolve));
    this.#gate = { part, reach, opened };
    return { reached, open };
  }

  /** The server carries out requests to this path, and their answers do not arrive. */
  loseAnswers(path: string | undefined): void {
    this.#lost = path;
  }

  /** As a browser that stops the worker: memory is gone, the store stays. */
  restart(): void {
    this.stop();
    this.#running = this.#start();
  }

  stop(): void {
    this.#running.stop.abort();
  }

  async do(command: Parameters<EngineRuntime['command']>[0]): Promise<string> {
    const result = await this.runtime.command(command);
    if (!result.ok) throw new Error(result.problem);
    return result.made ?? '';
  }

  async startConversation(usernames: readonly string[], title = ''): Promise<string> {
    const members = await this.runtime.findAccounts(usernames);
    if (typeof members === 'string') throw new Error(members);
    return this.do({ command: 'startConversation', groupId: new Uint8Array(randomBytes(16)), members, title });
  }

  async addMember(conversationId: string, username: string): Promise<void> {
    const members = await this.runtime.findAccounts([username]);
    if (typeof members === 'string') throw new Error(members);
    await this.do({ command: 'addMember', conversationId, messageId: new Uint8Array(randomBytes(16)), member: members[0]! });
  }

  async send(conversationId: string, text: string): Promise<void> {
    await this.do({ command: 'send', conversationId, messageId: new Uint8Array(randomBytes(16)), text });
  }

  /** What `look` finds in the view, as soon as it is there. @throws Error after PATIENCE */
  until<Found>(look: (view: StateView) => Found | undefined): Promise<Found> {
    return this.#waitFor(async () => look(await this.runtime.state()));
  }

  conversation(conversationId: string, isThere: (conversation: ConversationView) => boolean): Promise<ConversationView> {
    return this.until(({ conversations }) =>
      conversations.find((conversation) => conversation.conversationId === conversationId && isThere(conversation)),
    );
  }

  /** Lines of a conversation, oldest first, as soon as `isThere` holds of them. */
  messages(conversationId: string, isThere: (messages: MessageView[]) => boolean): Promise<MessageView[]> {
    return this.#waitFor(async () => {
      const messages = await this.#lines(conversationId);
      return isThere(messages) ? messages.reverse() : undefined;
    });
  }

  /** All that there are, page by page, newest first. */
  async #lines(conversationId: string): Promise<MessageView[]> {
    const lines: MessageView[] = [];
    for (;;) {
      const { messages, more } = await this.runtime.messages(conversationId, lines.at(-1)?.position, 1000);
      lines.push(...messages);
      if (!more) return lines;
    }
  }

  async texts(conversationId: string, count: number): Promise<string[]> {
    const isText = ({ kind, status, position }: MessageView): boolean => kind === 'text' && status === 'sent' && position !== undefined;
    const messages = await this.messages(conversationId, (all) => all.filter(isText).length >= count);
    return messages.filter(isText).map(({ text }) => text);
  }

  async #request(input: string, init: RequestInit): Promise<Response> {
    const gate = this.#gate;
    if (gate !== undefined && init.body instanceof Uint8Array && Buffer.from(init.body).includes(gate.part)) {
      this.#gate = undefined;
      gate.reach();
      await gate.opened;
    }
    const body = init.body instanceof Uint8Array ? Buffer.from(init.body).toString('latin1') : '';
    const call = callOf(init.method ?? '', input);
    this.cost.requests.set(call, (this.cost.requests.get(call) ?? 0) + 1);
    this.cost.sent += body.length;
    const response = await this.intercept(new URL(input).pathname, body, () => fetch(input, init));
    if (init.signal?.aborted === true) throw new Error('stopped');
    if (this.#lost !== undefined && new URL(input).pathname === this.#lost) throw new Error('the answer is lost');
    if (response.ok) return response;
    const problem = (await response.clone().json()) as { type?: string };
    const type = (problem.type ?? '').split(':').at(-1) ?? '';
    this.refusals.set(type, (this.refusals.get(type) ?? 0) + 1);
    return response;
  }

  async #waitFor<Found>(look: () => Promise<Found | undefined>): Promise<Found> {
    const deadline = Date.now() + PATIENCE;
    for (;;) {
      const changed = new Promise<void>((resolve) => {
        this.#watchers.add(resolve);
        setTimeout(resolve, 200);
      });
      const found = await look();
      if (found !== undefined) return found;
      if (Date.now() > deadline) throw new Error(`not there in time: ${JSON.stringify(await this.runtime.state())}`);
      await changed;
    }
  }

  #start(): { runtime: EngineRuntime; stop: AbortController } {
    const stop = new AbortController();
    let queue: Promise<unknown> = Promise.resolve();
    const delivery = createDeliveryClient({
      baseUrl: this.#url,
      now: Date.now,
      fetch: (input, init) => {
        if (!this.#online || stop.signal.aborted) return Promise.reject(new Error('offline'));
        const signals = [stop.signal, this.#cut.signal, ...(init.signal ? [init.signal] : [])];
        return this.#request(input, { ...init, signal: AbortSignal.any(signals) });
      },
    });
    const runtime = createRuntime({
      store: this.#storeUntil(stop.signal),
      delivery,
      prepareEventStream: (after, proof, mark) => delivery.prepareEventStream(after, proof, mark),
      readEntry: (data) => fromJson(sequenceEntryFrame, data),
      readStock: (data) => fromJson(stockFrame, data)?.stock,
      random: (length) => new Uint8Array(randomBytes(length)),
      now: () => Date.now() + this.clockAhead,
      exclusive: (task) => {
        const run = queue.then(task);
        queue = run.catch(() => undefined);
        return run;
      },
      changed: () => {
        for (const wake of this.#watchers) wake();
        this.#watchers.clear();
      },
      notify: (notification) => this.notifications.push(notification),
      withdraw: (tag) => this.withdrawn.push(tag),
      deleted: () => (this.deleted += 1),
      cleared: () => (this.cleared += 1),
      requestSync: () => undefined,
      sleep: (ms, signal) => sleep(ms, AbortSignal.any([signal, stop.signal])),
    });
    void this.#follow(runtime, stop.signal);
    return { runtime, stop };
  }

  /** A stopped worker writes nothing any more, whatever it was about to do. */
  #storeUntil(stopped: AbortSignal): StorePort {
    return {
      load: (prefix) => this.store.load(prefix),
      get: (key) => this.store.get(key),
      page: (from, to, limit) => this.store.page(from, to, limit),
      write: (changes) => {
        if (stopped.aborted) return new Promise(() => {});
        this.cost.transactions += 1;
        for (const value of changes.puts.values()) this.cost.written += value.length;
        return this.store.write(changes);
      },
      destroy: () => this.store.destroy(),
    };
  }

  /** The leader tab's part: one event stream, each event handed on in order. */
  async #follow(runtime: EngineRuntime, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const prepared = this.#online ? await runtime.streamRequest().catch(() => undefined) : undefined;
      if (prepared !== undefined) {
        // As the leader does: an event that the worker did not take comes again with the next stream.
        const end = await followEvents(prepared, fetch, AbortSignal.any([signal, this.#cut.signal]), async (event) => {
          if (event.event === 'open') await runtime.streamEvent({ event: 'opened' });
          else await runtime.streamEvent({ data: '', ...event });
        }).catch(() => undefined);
        if (end === 'refused' && !signal.aborted) await runtime.streamEvent({ event: 'closed' }).catch(() => undefined);
      }
      await sleep(100, signal);
    }
  }
}

/** Method and path of a request, the IDs in it left out. */
function callOf(method: string, input: string): string {
  return `${method} ${new URL(input).pathname.replace(/\/[\w-]{20,}/g, '/…')}`;
}

function sleep(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const wake = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', wake);
      resolve();
    };
    const timer = setTimeout(wake, ms);
    timer.unref();
    signal.addEventListener('abort', wake);
  });
}
