import { copyFileSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createApp, type App } from '../../server/app.ts';
import { authenticationKeyOf } from '../../server/authentication-key.ts';
import { openSqliteStore } from '../../server/store/sqlite.ts';
import { Refusal } from '../../server/problems.ts';
import type { Caller, Consistency, DeliveryStore, SequencePage } from '../../server/store/store.ts';
import type { Submission } from '../../src/engine/ports.ts';
import { Dice } from './dice.ts';
import { Mortal } from './mortal.ts';
import type { Scheduler } from './scheduler.ts';

/** A submission that the server has taken, by its place in a group's log. */
export interface Accepted {
  readonly submission: Submission;
  readonly position: number;
}

/** What a server's world learns of it. */
export interface Notes {
  /** What runs has died. */
  died(server: SimServer): void;
  /** It has taken a message with a leaf of the account's emulation epoch `named`, when that had come to `current`. */
  fenced(named: number, current: number, submission: Submission): void;
}

/** A file system without a disk, where there is one. */
const IN_MEMORY = '/dev/shm';

const NO_FILES = (): Response => new Response(null, { status: 404 });

/** The real server without a socket. Its database keeps what is committed; whatever else it knows goes with a crash. */
export class SimServer {
  readonly #scheduler: Scheduler;
  readonly #dice: Dice;
  readonly #store: DeliveryStore;
  /** Where its database lies if another can be made of it. */
  readonly #folder: string | undefined;
  readonly #seed: Uint8Array;
  readonly #name: string;
  readonly #consistency: Consistency;
  readonly #notes: Notes;
  #running: { readonly mortal: Mortal; readonly app: App } | undefined;
  #starts = 0;
  /** Everything in the logs, by group and position. */
  readonly log = new Map<string, Map<number, Accepted>>();
  /** By account, once its devices have committed. */
  readonly #emulationEpochs = new Map<string, number>();

  constructor(scheduler: Scheduler, seed: string, consistency: Consistency, notes: Notes, forks: boolean, origin?: SimServer) {
    this.#scheduler = scheduler;
    this.#name = seed;
    this.#consistency = consistency;
    this.#notes = notes;
    this.#dice = new Dice(`${seed}/server`);
    this.#seed = origin === undefined ? this.#dice.bytes(32) : origin.#seed;
    this.#folder = forks ? mkdtempSync(join(existsSync(IN_MEMORY) ? IN_MEMORY : tmpdir(), 'chorus-simulation-')) : undefined;
    if (origin !== undefined && origin.#folder !== undefined && this.#folder !== undefined) {
      for (const file of readdirSync(origin.#folder)) copyFileSync(join(origin.#folder, file), join(this.#folder, file));
      for (const [id, log] of origin.log) this.log.set(id, new Map(log));
      for (const [account, epoch] of origin.#emulationEpochs) this.#emulationEpochs.set(account, epoch);
    }
    this.#store = openSqliteStore(this.#folder === undefined ? ':memory:' : join(this.#folder, 'chorus.sqlite'), consistency);
    this.start();
  }

  /** A server with the same past and the same key, and a future of its own. */
  fork(count: number): SimServer {
    return new SimServer(this.#scheduler, `${this.#name}/fork ${count}`, this.#consistency, this.#notes, true, this);
  }

  /** Whoever answers at the moment. */
  get actor(): Mortal | undefined {
    return this.#running?.mortal;
  }

  start(): void {
    if (this.#running !== undefined) return;
    const mortal = new Mortal(`server ${(this.#starts += 1)}`, this.#dice, () => {
      this.#running = undefined;
      this.#notes.died(this);
    });
    const app = createApp(
      {
        store: this.#storeOf(mortal),
        authenticationKey: authenticationKeyOf(this.#seed.slice()),
        now: () => Math.floor(this.#scheduler.now),
        random: (length) => mortal.bytes(length),
        consistency: this.#consistency,
        addressOf: () => 'everywhere',
      },
      NO_FILES,
    );
    this.#running = { mortal, app };
  }

  async handle(request: Request): Promise<Response> {
    if (this.#running === undefined) throw new Error('the server is down');
    return this.#running.app.fetch(request);
  }

  /** The account's whole sequence, as the store has it for one of its devices; undefined for a device that it does not know. */
  async sequenceOf(
    device: { readonly accountId: Uint8Array; readonly deviceId: Uint8Array },
    after = 0,
  ): Promise<SequencePage | undefined> {
    try {
      return await this.#store.readSequence(device, after, 100_000, Infinity, Math.floor(this.#scheduler.now));
    } catch (error) {
      if (error instanceof Refusal) return undefined;
      throw error;
    }
  }

  async sweep(): Promise<void> {
    await this.#store.sweep(Math.floor(this.#scheduler.now));
  }

  async close(): Promise<void> {
    this.actor?.die();
    await this.#store.close();
    if (this.#folder !== undefined) rmSync(this.#folder, { recursive: true });
  }

  /** Each call may be the last thing that a server does, with its transaction committed or not. */
  #storeOf(mortal: Mortal): DeliveryStore {
    const calls = Object.entries(this.#store) as [string, (...given: unknown[]) => Promise<unknown>][];
    const wrapped = calls.map(([name, call]) => [
      name,
      async (...given: unknown[]): Promise<unknown> => {
        await mortal.point();
        const result = await call(...given);
        if (name === 'submit') this.#note(given[0] as Caller, given[1] as Submission, result as { position: number });
        await mortal.point();
        return result;
      },
    ]);
    return Object.fromEntries(wrapped) as DeliveryStore;
  }

  #note({ accountId }: Caller, submission: Submission, { position }: { readonly position: number }): void {
    const id = Buffer.from(submission.groupId).toString('hex');
    const log = this.log.get(id) ?? new Map<number, Accepted>();
    this.log.set(id, log);
    if (log.has(position)) return;
    log.set(position, { submission, position });
    const account = Buffer.from(accountId).toString('hex');
    const { epoch, fence, commit } = submission;
    // A commit of an emulation group names the account's devices, no other does.
    if (commit?.devices !== undefined) this.#emulationEpochs.set(account, epoch + 1);
    const current = this.#emulationEpochs.get(account);
    if (fence !== undefined && current !== undefined) this.#notes.fenced(fence.emulationEpoch, current, submission);
  }
}
