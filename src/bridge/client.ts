import type { AnswerMessage } from './envelope.ts';
import type { BridgeCall, BridgeCalls, StorageProblem } from './protocol.ts';

/** Whatever takes a call: the registration's active worker, which the browser starts for each message. */
export type CallTarget = Pick<ServiceWorker, 'postMessage'>;

export interface Bridge {
  /**
   * Carries out one call in the worker, at most once however often it has to be posted. With the `callId` of an earlier
   * call that had no answer it is that call again.
   * @throws BridgeError
   */
  call<Call extends BridgeCall>(call: Call, request: BridgeCalls[Call]['request'], callId?: string): Promise<BridgeCalls[Call]['answer']>;
}

/** Why a call has no answer. Whether it was carried out is not known. */
export class BridgeError extends Error {
  override readonly name = 'BridgeError';
  /** 'no-worker': the browser has none for this page. 'malformed': worker and tab are of different versions. */
  readonly code: 'no-worker' | 'no-answer' | 'malformed' | 'internal' | StorageProblem;

  constructor(code: BridgeError['code'], call: BridgeCall) {
    super(`${call}: ${code}`);
    this.code = code;
  }
}

/**
 * How long the tab waits for each try of a call, ms. Answers take milliseconds, a command that asks the server some
 * hundreds, so after 2 s the worker was probably stopped with the call in hand, and may be so again: stopped every other
 * second, three tries were too few for one message in 800. The last wait is for a worker that is busy with a backlog: a
 * repeated call does no harm.
 */
const WAITS = [2_000, 3_000, 5_000, 5_000, 5_000, 10_000, 30_000] as const;

/**
 * The tab's end of the bridge. Each try of a call is a MessageChannel of its own, posted to the worker
 * that `target` names at that moment: a worker that was stopped starts again, one that was replaced is left.
 */
export function createBridge(target: () => Promise<CallTarget>, waits: readonly number[] = WAITS): Bridge {
  return {
    async call(call, request, callId = newCallId()) {
      const message = { type: 'chorus-call', callId, call, request };
      for (const wait of waits) {
        const worker = await target().catch(() => {
          throw new BridgeError('no-worker', call);
        });
        const answer = await post<typeof call>(worker, message, wait);
        if (answer === undefined) continue;
        if (!answer.ok) throw new BridgeError(answer.problem, call);
        return answer.answer;
      }
      throw new BridgeError('no-answer', call);
    },
  };
}

/** Posts once; undefined when nothing came back within `wait`. */
function post<Call extends BridgeCall>(target: CallTarget, message: object, wait: number): Promise<AnswerMessage<Call> | undefined> {
  const { port1, port2 } = new MessageChannel();
  return new Promise<AnswerMessage<Call> | undefined>((resolve) => {
    const timer = setTimeout(() => resolve(undefined), wait);
    port1.onmessage = ({ data }: MessageEvent<AnswerMessage<Call>>) => {
      clearTimeout(timer);
      resolve(data);
    };
    target.postMessage(message, [port2]);
  }).finally(() => port1.close());
}

/** 128 bits: the worker tells calls of all tabs apart by it. */
export function newCallId(): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
