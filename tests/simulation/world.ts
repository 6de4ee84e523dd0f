import type { Consistency } from '../../server/store/store.ts';
import type { StateView } from '../../src/engine/view.ts';
import { Device, Died, type Process } from './device.ts';
import { Dice } from './dice.ts';
import type { Disk, Stored } from './disk.ts';
import { FalseAnswers } from './false-answers.ts';
import { noFaults, type Fault } from './faults.ts';
import { installGlobals } from './globals.ts';
import { Judge } from './judge.ts';
import { Mortal } from './mortal.ts';
import { Network } from './network.ts';
import { Scheduler } from './scheduler.ts';
import { SimServer } from './sim-server.ts';
import { Trace } from './trace.ts';

/** 2026-01-01, ms since 1970. */
const BEGINNING = Date.UTC(2026, 0, 1);
/** A schedule of half an hour has some thousands: more than these are a device that never stops asking. */
const MOST_EVENTS = 100_000;
/** How often an errand looks whether it can go on, ms. */
const LOOK = 250;
/** An errand that waits longer has failed, ms. */
export const PATIENCE = 120_000;

export interface Person {
  readonly username: string;
  readonly devices: Device[];
  /** Of the account's confirmed recovery phrase. */
  entropy: Uint8Array | undefined;
  /** Someone is linking, removing or recovering: one at a time per person. */
  busy: boolean;
}

/** Several people, their devices, one server, one virtual time. */
export class World {
  /** Profiles that have been copied: each copy has its own name, and randomness. */
  copies = 0;
  readonly begun = BEGINNING;
  /** What has befallen it so far. */
  readonly faults = noFaults();
  readonly scheduler = new Scheduler(BEGINNING);
  readonly trace = new Trace();
  readonly judge: Judge;
  readonly server: SimServer;
  /** It, and its other stories. */
  readonly servers: SimServer[] = [];
  readonly network: Network;
  readonly people: Person[] = [];
  /** Usernames by hex account ID. */
  readonly accountNames = new Map<string, string>();
  /** Does what no device and no server does: never dies. */
  readonly fate: Mortal;
  readonly service: Consistency;
  /** Of a server that lies in its answers. */
  readonly falseAnswers: FalseAnswers | undefined;
  readonly #seed: string;
  readonly #restore: () => void;

  /** @param forks Whether the server may tell different stories; `lies`: whether it may lie in its answers */
  constructor(seed: string, service: Consistency, forks = false, lies = false) {
    this.#seed = seed;
    this.service = service;
    this.fate = new Mortal('fate', new Dice(`${seed}/fate`), () => {});
    this.judge = new Judge(this);
    this.#restore = installGlobals(this.scheduler, this.judge.ledger);
    this.network = new Network(this.scheduler, seed, (fault) => this.befell(fault));
    const notes = {
      died: (server: SimServer) => this.network.cutAll(server),
      fenced: (...given: Parameters<Judge['fenced']>) => this.judge.fenced(...given),
    };
    this.server = new SimServer(this.scheduler, seed, service, notes, forks);
    this.servers.push(this.server);
    if (lies) {
      const now = (): number => Math.floor(this.scheduler.now);
      this.falseAnswers = new FalseAnswers(new Dice(`${seed}/answers`), now, (kind) => this.befell(kind));
    }
  }

  get devices(): Device[] {
    return this.people.flatMap(({ devices }) => devices);
  }

  async close(): Promise<void> {
    for (const device of this.devices) device.stop();
    this.network.close();
    this.scheduler.clear();
    this.#restore();
    for (const server of this.servers) await server.close();
  }

  befell(fault: Fault): void {
    this.faults[fault] += 1;
  }

  ownerOf(device: Device): Person {
    return this.people.find(({ devices }) => devices.includes(device))!;
  }

  /** A new browser, empty or with a copy of another's profile. */
  device(name: string, copied?: { readonly knownAs: string; readonly disk: Disk }): Device {
    return new Device(
      name,
      this.#seed,
      {
        scheduler: this.scheduler,
        network: this.network,
        server: this.server,
        stored: (device, what) => this.#stored(device, what),
        misread: (device, path) => this.judge.violate('what is read is what was written', `${device.name}: ${path}`),
        sweepFailed: (device, error) =>
          this.judge.violate(
            'a sweep only fails where the disk is full',
            `${device.name}: ${error instanceof Error ? error.message : 'failed'}`,
          ),
        started: (device) => this.judge.secrets.checkPunctures(device),
        befell: (fault) => this.befell(fault),
        stepBegins: (device, process) => this.judge.ledger.stepBegins(process, device.name),
        answer: (device, server, request) => {
          const truth = (): Promise<Response> => server.handle(request);
          return this.falseAnswers?.answer(this.ownerOf(device).username, device.name, request, truth) ?? truth();
        },
        sent: (device, path, body) => {
          this.trace.note(`${device.name} ${path} ${body.length}`);
          this.judge.sent(device, path, body);
        },
      },
      copied,
    );
  }

  #stored(device: Device, what: Stored): void {
    this.trace.note(`${device.name} stores ${what.changes.puts.size} ${what.changes.deletes.length}`);
    this.judge.stored(device, what);
  }

  /** Lets `work` run to its end while time passes, and whatever else is due meanwhile. @throws what `work` throws */
  async run<Result>(work: () => Promise<Result>): Promise<Result> {
    let outcome: { readonly value: Result } | { readonly error: unknown } | undefined;
    this.scheduler.at(0, this.fate, () => {
      work().then(
        (value) => (outcome = { value }),
        (error: unknown) => (outcome = { error }),
      );
    });
    for (;;) {
      await this.scheduler.step();
      this.trace.step(this.scheduler);
      if (this.scheduler.count > MOST_EVENTS) this.judge.violate('everything comes to rest', `${MOST_EVENTS} events`);
      this.judge.throwIfViolated();
      // Assigned inside the event.
      const now = outcome as { readonly value: Result } | { readonly error: unknown } | undefined;
      if (now === undefined) continue;
      if ('error' in now) throw now.error;
      return now.value;
    }
  }

  pause(ms: number): Promise<void> {
    return new Promise((resolve) => this.scheduler.at(ms, this.fate, resolve));
  }

  /** What `look` finds, as soon as it is there; undefined when it does not come. */
  async until<Found>(look: () => Found | undefined | Promise<Found | undefined>, patience = PATIENCE): Promise<Found | undefined> {
    const deadline = this.scheduler.now + patience;
    while (this.scheduler.now < deadline) {
      const found = await look();
      if (found !== undefined) return found;
      await this.pause(LOOK);
    }
    return undefined;
  }

  /** What `look` finds in a device's view, through its worker's deaths. */
  untilView<Found>(device: Device, look: (view: StateView) => Found | undefined): Promise<Found | undefined> {
    return this.until(async () => {
      const view = await this.view(device);
      return view && look(view);
    });
  }

  /** undefined while the worker is down. */
  async view(device: Device): Promise<StateView | undefined> {
    try {
      return await device.ask(({ runtime }) => runtime.state());
    } catch (error) {
      if (error instanceof Died) return undefined;
      throw error;
    }
  }

  /** @returns whether it was taken; undefined when nobody knows */
  async command(device: Device, command: Parameters<Process['runtime']['command']>[0], process?: Process): Promise<boolean | undefined> {
    try {
      return (await device.ask(({ runtime }) => runtime.command(command), process)).ok;
    } catch (error) {
      // A full disk refuses by a throw, and the tab says so.
      if (error instanceof Died || (error instanceof Error && error.name === 'StoreError')) return undefined;
      throw error;
    }
  }
}
