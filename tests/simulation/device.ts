import { createDeliveryClient, followEvents, fromJson, sequenceEntryFrame, stockFrame } from '../../src/delivery/index.ts';
import { decodeRecord } from '../../src/engine/record-codec.ts';
import { decodeState } from '../../src/engine/records.ts';
import { createRuntime, type EngineRuntime } from '../../src/engine/runtime.ts';
import type { EngineState } from '../../src/engine/state.ts';
import type { SequenceEntry } from '../../src/engine/ports.ts';
import { StoreError, type Exclusive } from '../../src/store/index.ts';
import { Sweeper } from '../../sw/sweeper.ts';
import { Dice } from './dice.ts';
import { Disk, type Stored } from './disk.ts';
import type { Fault } from './faults.ts';
import { Lock } from './lock.ts';
import { Mortal } from './mortal.ts';
import type { Fate, Line, Network } from './network.ts';
import type { Liar } from './liar.ts';
import type { Scheduler } from './scheduler.ts';
import type { SimServer } from './sim-server.ts';

export const SERVER = 'https://chorus.test';
/** Of 100 browsers, those that have Storage Buckets; of 100 others, those that have a file system for the origin. */
const WITH_BUCKETS = 60;
const WITH_FILES = 75;
/** Between two tries of the leading tab to connect, ms. */
const RECONNECT = 2_000;

/** The process died before it had answered. */
export class Died extends Error {}

/** One worker of a browser: a runtime over the profile's disk. */
export interface Process {
  readonly mortal: Mortal;
  readonly runtime: EngineRuntime;
  readonly sweeper: Sweeper;
}

export interface DeviceParts {
  readonly scheduler: Scheduler;
  readonly network: Network;
  readonly server: SimServer;
  /** Called at the complete event of every transaction. */
  readonly stored: (device: Device, what: Stored) => void;
  /** Called when a record is not what was written. */
  readonly misread: (device: Device, path: string) => void;
  /** Called when a sweep was cut off by something else than a full disk. */
  readonly sweepFailed: (device: Device, error: unknown) => void;
  /** Called when its worker starts. */
  readonly started: (device: Device) => void;
  /** Called when a step begins. */
  readonly stepBegins: (device: Device, process: Mortal) => void;
  /** Called when something that was to befall it has. */
  readonly befell: (fault: Fault) => void;
  /** What the server that it is connected to says. */
  readonly answer: (device: Device, server: SimServer, request: Request) => Promise<Response>;
  /** Sees every request that leaves. */
  readonly sent: (device: Device, path: string, body: Uint8Array) => void;
}

/** A browser profile: its disk outlives the workers that run on it. */
export class Device implements Line {
  readonly name: string;
  readonly disk: Disk;
  /** By how much its clock is wrong, ms. */
  clockAhead = 0;
  /** Copies of its profile run as well. */
  cloned = false;
  /** As its siblings know it: that of the device that it is a copy of. */
  readonly knownAs: string;
  /** What becomes of its next requests, with how many go well before. */
  #fates: { skip: number; readonly fate: Fate; readonly fits: ((path: string, body: string) => boolean) | undefined }[] = [];
  #sweepCrash: { readonly points: number; readonly onCrash: (inSweep: boolean) => void } | undefined;
  #online = true;
  #retired = false;
  #cut = new AbortController();
  readonly #parts: DeviceParts;
  readonly #dice: Dice;
  readonly #lock: Lock;
  readonly #processes: Process[] = [];
  readonly #mourners = new Map<Mortal, Set<() => void>>();
  #starts = 0;
  #decoded: { readonly version: number; readonly state: EngineState } | undefined;
  #server: SimServer;
  /** The server lies to this device. */
  liar: Liar | undefined;
  /** The server says of every mark of this device's that it is the right one. */
  marksPass = false;
  /** What it has not been told, and will not be: its server has told it another story. */
  unheard: readonly SequenceEntry[] = [];

  constructor(name: string, seed: string, parts: DeviceParts, copied?: { readonly knownAs: string; readonly disk: Disk }) {
    this.name = name;
    this.knownAs = copied?.knownAs ?? name;
    this.cloned = copied !== undefined;
    this.#parts = parts;
    this.#server = parts.server;
    this.#dice = new Dice(`${seed}/${name}`);
    const hasBuckets = new Dice(`${seed}/${name}/browser`).chance(WITH_BUCKETS);
    const hasFiles = new Dice(`${seed}/${name}/files`).chance(WITH_FILES);
    const bestHome = hasBuckets ? 'bucket' : hasFiles ? 'opfs' : 'database';
    this.disk = new Disk(parts.scheduler, bestHome, () => parts.befell('full-disk'), copied?.disk);
    this.#lock = new Lock(parts.scheduler);
  }

  get server(): SimServer {
    return this.#server;
  }

  /** What it is never told. */
  get withheld(): readonly SequenceEntry[] {
    return [...(this.liar?.withheld ?? []), ...this.unheard];
  }

  get online(): boolean {
    return this.#online;
  }

  /** The worker that has been there longest. */
  get process(): Process | undefined {
    return this.#processes[0];
  }

  /** What is on the disk, as the engine would read it; the MLS states of conversations are left out. */
  get state(): EngineState {
    const { version } = this.disk;
    if (this.#decoded?.version !== version) this.#decoded = { version, state: decodeState(this.disk.records) };
    return this.#decoded.state;
  }

  /** It belongs to an account, as far as it knows. */
  get isAtWork(): boolean {
    const { records } = this.disk;
    return records.has('account') && !this.isUnlinked;
  }

  get isUnlinked(): boolean {
    const bytes = this.disk.records.get('unlinked');
    return bytes !== undefined && decodeRecord<boolean>(bytes);
  }

  /** After `skip` requests that go well, of those that fit. */
  befall(skip: number, fate: Fate, fits?: (path: string, body: string) => boolean): void {
    this.#fates.push({ skip, fate, fits });
  }

  /** From now on requests go well, and sweeps. */
  spare(): void {
    this.#fates = [];
    this.#sweepCrash = undefined;
  }

  nextFate(path: string, body: Uint8Array | undefined): Fate | undefined {
    const fitting = this.#fates.filter(({ fits }) => fits === undefined || fits(path, Buffer.from(body ?? []).toString('latin1')));
    const due = fitting.find(({ skip }) => skip === 0);
    this.#fates = this.#fates.filter((other) => other !== due);
    for (const other of fitting) other.skip = Math.max(0, other.skip - 1);
    return due?.fate;
  }

  async tamper(url: URL, body: Uint8Array<ArrayBuffer>): Promise<Uint8Array<ArrayBuffer>> {
    if (this.liar === undefined || url.pathname !== '/v1/sequence') return body;
    const [after, limit] = ['after', 'limit'].map((name) => Number(url.searchParams.get(name)));
    return new Uint8Array(Buffer.from(await this.liar.page(after!, limit!, Buffer.from(body).toString())));
  }

  tamperStream(chunk: Uint8Array): Uint8Array {
    if (this.liar === undefined) return chunk;
    const cursor = this.disk.records.get('cursor');
    const { sequence } = cursor === undefined ? { sequence: 0 } : decodeRecord<EngineState['cursor']>(cursor);
    return new Uint8Array(Buffer.from(this.liar.stream(Buffer.from(chunk).toString(), sequence)));
  }

  sent(path: string, body: Uint8Array): void {
    this.#parts.sent(this, path, body);
  }

  answer(server: SimServer, request: Request): Promise<Response> {
    return this.#parts.answer(this, server, request);
  }

  /** From now on it is connected to another server. */
  moveTo(server: SimServer): void {
    this.liar?.moveTo(server);
    this.#server = server;
    this.cutConnections();
  }

  goOffline(): void {
    this.#online = false;
    this.cutConnections();
  }

  goOnline(): void {
    if (this.#online) return;
    this.#online = true;
    this.ask(({ runtime }) => runtime.synchronise()).catch(() => undefined);
  }

  /** Cuts what is connected; it may connect anew at once. */
  cutConnections(): void {
    const cut = this.#cut;
    this.#cut = new AbortController();
    const { process } = this;
    if (process !== undefined) this.#parts.scheduler.at(0, process.mortal, () => cut.abort());
  }

  /** Starts the worker unless there is one. */
  start(): void {
    if (this.#retired || this.#processes.length > 0) return;
    const process = this.#launch();
    this.#parts.started(this);
    this.#parts.scheduler.at(0, process.mortal, () => {
      void this.#follow(process);
    });
  }

  /** A second worker over the same store, as when a new version takes over. */
  startSecond(): Process {
    return this.#launch();
  }

  /** Its worker dies at wait number `points` after its next sweep has made a second root: mostly before that sweep ends. */
  crashInSweep(points: number, onCrash: (inSweep: boolean) => void): void {
    this.#sweepCrash = { points, onCrash };
  }

  /** It is never started again. */
  retire(): void {
    this.#retired = true;
    this.stop();
  }

  stop(): void {
    for (const { mortal } of [...this.#processes]) mortal.die();
  }

  /** What `work` gives in a worker of this device, the oldest if none is named. @throws Died */
  ask<Result>(work: (process: Process) => Promise<Result>, process = this.process): Promise<Result> {
    if (process === undefined) return Promise.reject(new Died());
    const { mortal } = process;
    return new Promise((resolve, reject) => {
      const died = (): void => reject(new Died());
      const mourners = this.#mourners.get(mortal) ?? new Set();
      this.#mourners.set(mortal, mourners.add(died));
      const over = (): void => void mourners.delete(died);
      this.#parts.scheduler.at(0, mortal, () => {
        work(process).finally(over).then(resolve, reject);
      });
    });
  }

  /** A server that tells a device a sequence of its own says of every mark that it is the right one. */
  get #marksCount(): boolean {
    return this.liar === undefined && !this.marksPass;
  }

  #launch(): Process {
    const { scheduler, network } = this.#parts;
    const name = `${this.name} ${(this.#starts += 1)}`;
    const mortal: Mortal = new Mortal(name, this.#dice, () => {
      const index = this.#processes.findIndex((process) => process.mortal === mortal);
      if (index >= 0) this.#processes.splice(index, 1);
      this.#lock.died(mortal);
      this.disk.died(mortal, this.#processes.length === 0);
      for (const died of this.#mourners.get(mortal) ?? []) died();
      this.#mourners.delete(mortal);
    });
    mortal.indexedDB = this.disk.indexedDB;
    const now = (): number => Math.floor(scheduler.now) + this.clockAhead;
    const delivery = createDeliveryClient({ baseUrl: SERVER, now, fetch: network.fetchOf(mortal, this, () => this.#cut.signal) });
    const store = this.disk.open(mortal, now, {
      stored: (what) => this.#parts.stored(this, what),
      misread: (path) => this.#parts.misread(this, path),
    });
    const exclusive: Exclusive = (task) =>
      this.#lock.exclusive(mortal, () => {
        this.#parts.stepBegins(this, mortal);
        return task();
      });
    const sweep: typeof store.sweep = (each) => {
      const crash = this.#sweepCrash;
      this.#sweepCrash = undefined;
      let isSweeping = true;
      if (crash !== undefined) this.disk.onRoot = () => mortal.dieAfter(crash.points, () => crash.onCrash(isSweeping));
      return store.sweep(each).finally(() => {
        isSweeping = false;
        this.disk.onRoot = () => undefined;
      });
    };
    const sweeper = new Sweeper({
      store: { ...store, sweep },
      exclusive,
      now,
      pause: (ms) => sleep(scheduler, mortal, ms, new AbortController().signal),
    });
    const runtime = createRuntime({
      store,
      delivery: {
        send: (call, request, proof, signal) =>
          delivery.send(call, this.#marksCount || !('mark' in request) ? request : { ...request, mark: undefined }, proof, signal),
      },
      prepareEventStream: (after, proof, mark) => delivery.prepareEventStream(after, proof, this.#marksCount ? mark : undefined),
      readEntry: (data) => fromJson(sequenceEntryFrame, data),
      readStock: (data) => fromJson(stockFrame, data)?.stock,
      random: (length) => mortal.bytes(length),
      now: () => delivery.now(),
      exclusive,
      changed: () => undefined,
      notify: () => undefined,
      withdraw: () => undefined,
      deleted: () => undefined,
      cleared: () => undefined,
      requestSync: () => undefined,
      sleep: (ms, signal) => sleep(scheduler, mortal, ms, signal),
    });
    const process = { mortal, runtime, sweeper };
    this.#processes.push(process);
    return process;
  }

  /** The leading tab's part (src/bridge/leader.ts): one event stream, each event handed on in order. */
  async #follow({ mortal, runtime, sweeper }: Process): Promise<void> {
    const fetch = this.#parts.network.fetchOf(mortal, this, () => this.#cut.signal);
    await runtime.wake().catch(() => undefined);
    while (mortal.alive) {
      if (this.#online) await this.#followOnce(runtime, sweeper, fetch).catch(() => undefined); // an event that was not taken comes again
      await this.#sweepIfDue(sweeper);
      await sleep(this.#parts.scheduler, mortal, RECONNECT, new AbortController().signal);
    }
  }

  /** What the worker does after each event. A sweep on a full disk, or that another worker has got in the way of, is tried again. */
  async #sweepIfDue(sweeper: Sweeper): Promise<void> {
    try {
      await sweeper.whenDue();
    } catch (error) {
      const passes = error instanceof StoreError && (error.code === 'quota-exceeded' || error.code === 'blocked');
      if (!passes) this.#parts.sweepFailed(this, error);
    }
  }

  async #followOnce(runtime: EngineRuntime, sweeper: Sweeper, fetch: ReturnType<Network['fetchOf']>): Promise<void> {
    const prepared = await runtime.streamRequest();
    if (prepared === undefined) return;
    const end = await followEvents(prepared, fetch, this.#cut.signal, async (event) => {
      if (event.event === 'open') await runtime.streamEvent({ event: 'opened' });
      else await runtime.streamEvent({ data: '', ...event });
      await this.#sweepIfDue(sweeper);
    });
    await runtime.streamEvent({ event: 'closed' });
    if (end === 'refused') await runtime.wake();
  }
}

function sleep(scheduler: Scheduler, mortal: Mortal, ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const cancel = scheduler.at(ms, mortal, resolve);
    signal.addEventListener('abort', () => {
      cancel();
      resolve();
    });
  });
}
