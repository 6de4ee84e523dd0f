import Database from 'better-sqlite3';
import { toBase64Url, utf8 } from '../../src/bytes/index.ts';
import { LINK_TOKEN_HEADER, shapeOf } from '../../src/delivery/calls.ts';
import { authorize } from '../../src/delivery/device-proof.ts';
import { fromJson, PROBLEM_STATUS, problemFrame } from '../../src/delivery/frames.ts';
import { openWorld } from '../support/delivery-world.ts';
import { drawFor } from './chance.ts';
import { Confidential } from './confidential.ts';
import { type Dice, mutate } from './mutate.ts';
import { mutateJson } from './mutate-json.ts';
import type { Case } from './play.ts';
import { BASE, requestMaker, type ValidRequest } from './server-requests.ts';

/** The real server under requests of somebody with an account, and of somebody on the way: valid ones, mutated. */

/** Between two requests, ms: buckets fill again, and mailboxes do not expire at once. */
const PAUSE = 5_000;
/** The server waits this long for a link's other side, as far as a case does. ms */
const POLL = 5;

export interface AttackedServer {
  /** One case. @returns the answer's problem type or status. @throws Error when the server does what it must not */
  attack(one: Case): Promise<string>;
  close(): Promise<void>;
}

export async function attackedServer(): Promise<AttackedServer> {
  drawFor('server');
  const world = await openWorld();
  const next = await requestMaker(world);
  const looking = new Database(world.databasePath, { readonly: true });
  /** Another number after each transaction of the server's that wrote. */
  const version = (): unknown => looking.pragma('data_version', { simple: true });
  return {
    async attack(one) {
      const { dice } = one;
      world.clock += PAUSE;
      const valid = await next(dice);
      const { method, target, headers, body } = await mutated(valid, world.clock, dice);
      one.input = { method, target, headers, body };
      const before = version();
      const init = { method, headers, ...(body !== undefined && { body: new Uint8Array(body) }), signal: AbortSignal.timeout(POLL) };
      const response = await world.fetch(BASE + target, init);
      const { answer, wrong } = await judge(response, new Confidential([valid.proof.deviceKeySeed], []));
      const changed = wrong === undefined && !response.ok && version() !== before ? `${answer} after a change to the store` : wrong;
      if (changed !== undefined) throw new Error(`${changed} to ${method} ${target}`);
      return answer;
    },
    async close() {
      looking.close();
      await world.close();
    },
  };
}

/** Every answer is of a documented status, every refusal a problem document. */
async function judge(
  response: Response,
  confidential: Confidential,
): Promise<{ readonly answer: string; readonly wrong: string | undefined }> {
  const type = response.headers.get('Content-Type') ?? '';
  if (type === 'text/event-stream') {
    await response.body?.cancel();
    return { answer: 'stream', wrong: undefined };
  }
  const text = await response.text();
  if (response.status === 200) return { answer: '200', wrong: undefined };
  if (response.status === 404 && type.startsWith('text/plain')) return { answer: 'no page', wrong: undefined }; // outside of the API
  if (confidential.givenAwayBy(text) !== undefined) return { answer: text, wrong: 'gave a key away' };
  const problem = fromJson(problemFrame, text);
  if (problem === undefined || type !== 'application/problem+json')
    return { answer: text, wrong: `${response.status} without a problem document` };
  const documented = problem.type !== 'internal' && problem.status === response.status && PROBLEM_STATUS[problem.type] === response.status;
  return { answer: problem.type, wrong: documented ? undefined : `${problem.type} with status ${response.status}` };
}

interface HttpRequest {
  readonly method: string;
  readonly target: string;
  readonly headers: Record<string, string>;
  readonly body: Uint8Array | undefined;
}

const METHODS = ['GET', 'POST', 'PUT', 'DELETE', 'PATCH', 'OPTIONS'];
/** What a path may have in it that somebody's code takes for something else. */
const SEGMENTS = ['', '.', '..', '%2e%2e', '%00', '%', '%E0%A4%A', 'A'.repeat(3000), '__proto__', 'constructor', '🎵', ':groupId', '*'];
const QUERIES = [
  '',
  '?',
  '?after=-1',
  '?after=1e3',
  '?after=9007199254740993&limit=1',
  '?limit=0',
  '?have=x',
  '?have=,',
  '?epoch=',
  '?epoch=01',
  '?a=%',
];

/** One change: by somebody with the device's key before it signs, or by somebody on the way. */
async function mutated({ call, request, proof }: ValidRequest, time: number, dice: Dice): Promise<HttpRequest> {
  const shape = shapeOf(call, request as never);
  const signed = dice.below(4) > 0;
  const valid: HttpRequest = {
    method: shape.method,
    target: shape.target,
    headers: {
      ...(shape.body !== undefined && { 'Content-Type': shape.body.type }),
      ...(shape.linkToken !== undefined && { [LINK_TOKEN_HEADER]: toBase64Url(shape.linkToken) }),
    },
    body: shape.body?.bytes,
  };
  const sign = async (what: HttpRequest): Promise<HttpRequest> => {
    const { pathname, search } = new URL(BASE + what.target);
    const content = { method: what.method, target: pathname + search, body: what.body ?? new Uint8Array() };
    return { ...what, headers: { ...what.headers, Authorization: await authorize(content, proof, time) } };
  };
  return signed ? sign(changed(valid, dice)) : changed(await sign(valid), dice);
}

function changed(valid: HttpRequest, dice: Dice): HttpRequest {
  const { target, headers, body } = valid;
  switch (dice.below(valid.body === undefined ? 5 : 12)) {
    case 0:
      return { ...valid, method: dice.of(METHODS), body: undefined };
    case 1: {
      const [path = '', query] = target.split('?');
      const parts = path.split('/');
      parts[2 + dice.below(parts.length - 1)] = dice.of(SEGMENTS);
      return { ...valid, target: parts.join('/') + (query === undefined ? '' : `?${query}`) };
    }
    case 2:
      return { ...valid, target: target.split('?')[0] + dice.of(QUERIES) };
    case 3:
    case 4: {
      const names = Object.keys(headers);
      if (names.length === 0)
        return { ...valid, headers: { Authorization: 'Chorus-Device', [LINK_TOKEN_HEADER]: 'AA', 'Content-Length': '5' } };
      const name = dice.of(names);
      return { ...valid, headers: { ...headers, [name]: headerText(mutate([utf8(headers[name]!)], dice)) } };
    }
    default:
      return { ...valid, body: isJson(body!) ? mutateJson(body!, dice, [body!]) : mutate([body!], dice) };
  }
}

/** What a header can hold at all. */
function headerText(bytes: Uint8Array): string {
  return String.fromCharCode(...bytes.filter((byte) => byte >= 0x20 && byte !== 0x7f)).trim();
}

function isJson(body: Uint8Array): boolean {
  return body[0] === '{'.charCodeAt(0);
}
