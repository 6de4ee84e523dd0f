import type { DeliveryAnswer, DeliveryCall, DeliveryCalls, DeliveryPort, DeviceProof } from '../engine/ports.ts';
import { toBase64Url } from '../bytes/index.ts';
import { type CallShape, LINK_TOKEN_HEADER, markQuery, readAnswer, shapeOf } from './calls.ts';
import { authorize } from './device-proof.ts';
import type { PreparedEventStream } from './event-stream.ts';
import { fromJson, problemFrame, type ProblemDocument } from './frames.ts';

/** A request without an answer for this long counts as unreachable, ms: a commit of 8 MiB passes at 1.5 Mbit/s; a link is waited for 25 s. */
const REQUEST_TIMEOUT = 60_000;

/** Calls that the mailbox's token or nothing proves, not the device. */
const UNSIGNED: ReadonlySet<DeliveryCall> = new Set(['describe-server', 'put-link-slot', 'fetch-link', 'delete-link']);

export interface DeliveryClientParts {
  /** Origin and path in front of `/v1`, without a slash at the end. */
  readonly baseUrl: string;
  readonly fetch: (input: string, init: RequestInit) => Promise<Response>;
  /** The device's clock, ms since 1970. */
  readonly now: () => number;
}

export interface DeliveryClient extends DeliveryPort {
  /**
   * Address and signed headers for `followEvents`, good for one use within five minutes. Made where the key is,
   * used by the leader tab. After a `clock-skew` there, make any signed call first: it learns the server's clock.
   */
  prepareEventStream(after: number, proof: DeviceProof, mark?: Uint8Array): Promise<PreparedEventStream>;
  /** The device's clock, put right by what the server has told of its own; ms since 1970. */
  now(): number;
}

/**
 * DeliveryPort over fetch, for a service worker and for Node. Signed calls (all but describe-server and
 * those of links) need `proof`; for create-account it is the new device's own. Without it the server
 * refuses with `bad-signature`. A repeated `send` is signed anew, so it is no replay.
 */
export function createDeliveryClient(parts: DeliveryClientParts): DeliveryClient {
  let clockOffset = 0; // server's clock minus ours, learnt from a clock-skew

  const sign = (method: string, target: string, body: Uint8Array, proof: DeviceProof): Promise<string> =>
    authorize({ method, target, body }, proof, parts.now() + clockOffset);

  async function attempt(shape: CallShape, proof: DeviceProof | undefined, signal: AbortSignal): Promise<Response> {
    const headers: Record<string, string> = {};
    if (shape.body !== undefined) headers['Content-Type'] = shape.body.type;
    if (shape.linkToken !== undefined) headers[LINK_TOKEN_HEADER] = toBase64Url(shape.linkToken);
    if (proof !== undefined)
      headers['Authorization'] = await sign(shape.method, shape.target, shape.body?.bytes ?? new Uint8Array(), proof);
    const init: RequestInit = { method: shape.method, headers, signal, cache: 'no-store', credentials: 'omit', redirect: 'error' };
    if (shape.body !== undefined) init.body = new Uint8Array(shape.body.bytes);
    return parts.fetch(parts.baseUrl + shape.target, init);
  }

  async function send<Call extends DeliveryCall>(
    call: Call,
    request: DeliveryCalls[Call]['request'],
    proof: DeviceProof | undefined,
    signal: AbortSignal,
  ): Promise<DeliveryAnswer<Call>> {
    const shape = shapeOf(call, request);
    const signer = UNSIGNED.has(call) ? undefined : proof;
    const limited = AbortSignal.any([signal, AbortSignal.timeout(REQUEST_TIMEOUT)]);
    try {
      let response = await attempt(shape, signer, limited);
      let problem = await readProblem(response);
      if (problem?.type === 'clock-skew' && problem.time !== undefined && signer !== undefined) {
        clockOffset = problem.time - parts.now();
        response = await attempt(shape, signer, limited);
        problem = await readProblem(response);
      }
      if (problem !== undefined) {
        const { type, status, retryAfter, accountId } = problem;
        return { outcome: 'refused', problem: { type, status, retryAfter, accountId } };
      }
      const value = response.status === 200 ? await readAnswer(call, response) : undefined;
      return value === undefined ? { outcome: 'unreachable' } : { outcome: 'done', value };
    } catch {
      return { outcome: 'unreachable' }; // network, timeout, abort: it may or may not have been carried out
    }
  }

  async function prepareEventStream(after: number, proof: DeviceProof, mark?: Uint8Array): Promise<PreparedEventStream> {
    const target = `/v1/events?after=${after}${markQuery(mark)}`;
    return { url: parts.baseUrl + target, headers: { Authorization: await sign('GET', target, new Uint8Array(), proof) } };
  }

  return { send, prepareEventStream, now: () => parts.now() + clockOffset };
}

/** The problem document of a response, or undefined when it holds none of this server's. */
async function readProblem(response: Response): Promise<ProblemDocument | undefined> {
  const type = response.headers.get('Content-Type')?.split(';')[0];
  if (response.ok || type !== 'application/problem+json') return undefined;
  return fromJson(problemFrame, await response.text());
}
