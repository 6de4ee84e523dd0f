import { storageProblemOf } from '../engine/command.ts';
import { claimsToBeCall, readCall } from './calls.ts';
import type { AnswerMessage, CallMessage } from './envelope.ts';
import type { BridgeCall, BridgeCalls } from './protocol.ts';

/** What answers calls: the engine's runtime. */
export interface BridgeRuntime {
  call<Call extends BridgeCall>(call: Call, request: BridgeCalls[Call]['request'], callId: string): Promise<BridgeCalls[Call]['answer']>;
}

/** The MessagePort that came with a call. */
export interface AnswerPort {
  postMessage(message: AnswerMessage<BridgeCall>): void;
}

export interface BridgeServer {
  /**
   * Takes a message from a tab. Undefined when it is no call; else a promise for `waitUntil`, which
   * resolves once the answer is posted and never rejects.
   */
  receive(data: unknown, port: AnswerPort | undefined): Promise<void> | undefined;
}

/**
 * Calls that only look, or whose answer is good for one use: a repeated one is carried out again.
 * A recovery phrase is among them, so that no answer with one is remembered. Everything else has an effect and is carried out once per `callId`.
 */
const REPEATABLE: ReadonlySet<BridgeCall> = new Set([
  'state',
  'messages',
  'makePhrase',
  'sweepStatus',
  'lockStatus',
  'streamRequest',
  'ping',
]);

/**
 * Remembered calls. A tab repeats a call within seconds, so that it must not be forgotten is only as
 * long ago as all tabs' calls of that time; a person makes a few of them, a stream's backlog hundreds.
 */
const MAX_REMEMBERED = 1024;

/**
 * The worker's end of the bridge: checks each message, hands it to the runtime, answers once. A call
 * with an effect that comes again while this worker lives gets the answer of the first time. A tab
 * learns of a failure only that there was one, and the store's word for it: errors' texts stay in the worker.
 */
export function createBridgeServer(runtime: BridgeRuntime): BridgeServer {
  const remembered = new Map<string, Promise<AnswerMessage<BridgeCall>>>();

  async function carryOut({ call, request, callId }: CallMessage): Promise<AnswerMessage<BridgeCall>> {
    try {
      return { ok: true, answer: await runtime.call(call, request, callId) };
    } catch (error) {
      return { ok: false, problem: storageProblemOf(error) ?? 'internal' };
    }
  }

  function once(message: CallMessage): Promise<AnswerMessage<BridgeCall>> {
    if (REPEATABLE.has(message.call)) return carryOut(message);
    // The call's name is part of it: an ID used for two calls must not hide the second.
    const id = `${message.call} ${message.callId}`;
    const known = remembered.get(id);
    if (known !== undefined) return known;
    const answer = carryOut(message);
    remembered.set(id, answer);
    const oldest = remembered.keys().next();
    if (remembered.size > MAX_REMEMBERED && oldest.done !== true) remembered.delete(oldest.value);
    return answer;
  }

  return {
    receive(data, port) {
      if (!claimsToBeCall(data)) return undefined;
      if (port === undefined) return Promise.resolve(); // nobody would hear the answer
      const message = readCall(data);
      const answer: Promise<AnswerMessage<BridgeCall>> =
        message === undefined ? Promise.resolve({ ok: false, problem: 'malformed' }) : once(message);
      return answer.then((settled) => post(port, settled));
    },
  };
}

function post(port: AnswerPort, answer: AnswerMessage<BridgeCall>): void {
  try {
    port.postMessage(answer);
  } catch {
    port.postMessage({ ok: false, problem: 'internal' }); // a Secret in the answer: it refuses to be cloned
  }
}
