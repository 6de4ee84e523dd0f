import { createDeliveryClient, type DeliveryClient } from '../../src/delivery/index.ts';
import type { Command } from '../../src/engine/command.ts';
import { encodeLinkCode } from '../../src/engine/link-code.ts';
import { EMULATION_SUITE } from '../../src/engine/protocol.ts';
import type { AnswerInput, EngineCall, Input } from '../../src/engine/input.ts';
import type { AccountDescription, DeliveryCall, DeliveryCalls, DeviceProof } from '../../src/engine/ports.ts';
import { changesBetween, decodeMessage, messageRecordKey } from '../../src/engine/records.ts';
import { openInvitation } from '../../src/engine/invitation-driver.ts';
import { makePhrase, recover, type RecoveryHands } from '../../src/engine/recovery-driver.ts';
import { EMPTY_STATE, type EngineState } from '../../src/engine/state.ts';
import { step, type StepResult } from '../../src/engine/step.ts';
import { todosOf } from '../../src/engine/todo.ts';
import type { LineReader } from '../../src/engine/turn.ts';
import type { DeliveryWorld } from '../support/delivery-world.ts';
import { random, type Records } from '../support/engine-snapshot.ts';

/** Where there is nobody else to wait for, the server's long poll is given up. ms */
const POLL = 20;
/** Rounds of requests until a device must have come to rest. */
const MOST_ROUNDS = 200;

/** What came from the server, as it came, and the state that met it. */
export interface Came {
  readonly before: EngineState;
  readonly lines: LineReader;
  readonly now: number;
  readonly call: DeliveryCall;
  readonly request: object;
  readonly conversationId: string | undefined;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

/** The engine without its runtime: one step at a time against the real server, with all that came in kept. */
export class SteppedDevice {
  state: EngineState = EMPTY_STATE;
  readonly came: Came[] = [];
  readonly #world: DeliveryWorld;
  readonly #lines = new Map<string, Uint8Array>();

  constructor(world: DeliveryWorld) {
    this.#world = world;
  }

  get lines(): LineReader {
    const stored = new Map(this.#lines);
    return (id, before, limit) => {
      const end = messageRecordKey(id, before ?? Number.MAX_SAFE_INTEGER);
      const keys = [...stored.keys()].filter((key) => key.startsWith(`message/${id}/`) && key < end).sort();
      return Promise.resolve(
        keys
          .reverse()
          .slice(0, limit)
          .map((key) => decodeMessage(stored.get(key)!)),
      );
    };
  }

  /** All that this device would have stored. */
  get records(): Records {
    return new Map([...changesBetween(EMPTY_STATE, this.state, []).puts, ...this.#lines]);
  }

  async do(command: Command): Promise<string> {
    const { problem, made } = await this.#step({ type: 'command', command });
    if (problem !== undefined) throw new Error(problem);
    return made ?? '';
  }

  get linkCode(): string {
    return encodeLinkCode(EMULATION_SUITE, this.state.link!.secret);
  }

  async find(username: string): Promise<AccountDescription> {
    return (await this.#ask('find-account', { username })) as AccountDescription;
  }

  /** @returns the phrase's entropy, once the account has it */
  async makePhrase(): Promise<Uint8Array> {
    const made = await makePhrase(this.#hands);
    if (!made.ok) throw new Error(made.problem);
    await this.do({ command: 'confirmPhrase', phraseId: made.phraseId });
    await this.rest();
    return made.entropy;
  }

  async recover(username: string, deviceName: string, entropy: Uint8Array): Promise<void> {
    const result = await recover(this.#hands, { username, deviceName, entropy });
    if (!result.ok) throw new Error(result.problem);
  }

  async openInvitation(code: string): Promise<void> {
    const opened = await openInvitation({ state: this.#hands.state, ask: (call, request) => this.#send(call, request) }, code);
    if (!opened.ok) throw new Error(opened.problem);
  }

  get #hands(): RecoveryHands {
    return {
      random,
      state: () => Promise.resolve(this.state),
      step: async (command) => (await this.#step({ type: 'command', command })).problem,
      ask: (call, request) => this.#send(call, request),
      settle: async (make) => {
        const problem = await make();
        await this.rest();
        return problem;
      },
    };
  }

  /** Does what is to be done and reads what there is to read, until nothing is left of either. */
  async rest(): Promise<void> {
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const before = this.state;
      for (const todo of todosOf(this.state, this.#world.clock)) {
        if (todo.do === 'prepare') await this.#step({ type: 'prepare', what: todo.what });
        if (todo.do === 'send') await this.#answered(todo.call, todo.request, todo.conversationId);
        if (todo.do !== 'wait' && this.state !== before) break; // the rest is read off the state anew
      }
      await this.#read();
      if (this.state === before) return;
    }
    throw new Error('never at rest');
  }

  async #read(): Promise<void> {
    const { account, cursor, unlinked } = this.state;
    if (account === undefined || unlinked) return;
    // One at a time: what is between two entries is a state of its own.
    for (let { sequence } = cursor; ; sequence = this.state.cursor.sequence) {
      const request = { after: sequence, limit: 1 };
      const before = this.state;
      const { entries, last } = (await this.#ask('fetch-sequence', request)) as DeliveryCalls['fetch-sequence']['answer'];
      if (entries.length > 0) await this.#step({ type: 'entries', entries, last });
      if (this.state === before || this.state.cursor.sequence === sequence) return;
    }
  }

  async #ask<Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request'], conversationId?: string): Promise<unknown> {
    const answer = await this.#send(call, request, conversationId);
    if (answer.outcome !== 'done') throw new Error(`${call}: ${answer.outcome === 'refused' ? answer.problem.type : answer.outcome}`);
    return answer.value;
  }

  async #answered(call: EngineCall, request: object, conversationId: string | undefined): Promise<void> {
    const answer = await this.#send(call, request, conversationId);
    if (answer.outcome !== 'unreachable') await this.#step({ type: 'answer', call, request, answer, conversationId } as AnswerInput);
  }

  async #send<Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request'], conversationId?: string) {
    const before = this.state;
    const { lines } = this;
    const signal = call === 'fetch-link' ? AbortSignal.timeout(POLL) : new AbortController().signal;
    let heard: Response | undefined;
    const client = clientOver(this.#world, async (input, init) => {
      const response = await this.#world.fetch(input, init);
      heard = response.clone();
      return response;
    });
    const answer = await client.send(call, request, proofOf(before), signal);
    if (heard !== undefined && answer.outcome !== 'unreachable') {
      const { status, headers } = heard;
      const body = new Uint8Array(await heard.arrayBuffer());
      const response = { status, headers: Object.fromEntries(headers), body };
      this.came.push({ before, lines, now: this.#world.clock, call, request, conversationId, ...response });
    }
    return answer;
  }

  async #step(input: Input): Promise<StepResult> {
    const result = await step(this.state, input, { random, now: this.#world.clock, lines: this.lines });
    const { puts, deletes } = changesBetween(this.state, result.state, result.lines, result.dropped);
    for (const [key, bytes] of puts) if (key.startsWith('message/')) this.#lines.set(key, bytes);
    for (const key of deletes) this.#lines.delete(key);
    if (result.refused.length > 0) throw new Error(`refused: ${result.refused[0]!.code}`);
    this.state = result.state;
    return result;
  }
}

export function proofOf({ device }: EngineState): DeviceProof | undefined {
  return device && { deviceId: device.deviceId, deviceKeySeed: device.deviceKeySeed.reveal() };
}

function clientOver(world: DeliveryWorld, fetch: (input: string, init: RequestInit) => Promise<Response>): DeliveryClient {
  return createDeliveryClient({ baseUrl: 'https://chorus.test', fetch, now: () => world.clock });
}
