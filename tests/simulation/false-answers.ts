import { fromBase64Url, toBase64Url } from '../../src/bytes/index.ts';
import { PROBLEM_STATUS, toJson } from '../../src/delivery/frames.ts';
import type { ProblemType } from '../../src/engine/ports.ts';
import { problemResponse, Refusal } from '../../server/problems.ts';
import type { Dice } from './dice.ts';
import type { AnswerLie } from './schedule.ts';

/** Of 100 answers to whom it lies to, those that are none. */
const LIES = 40;
/** Of 100 spells of refusing, those for one reason. */
const INSISTS = 50;
/** Of each call, what was answered last. */
const MOST_KEPT = 60;
const PROBLEMS = Object.keys(PROBLEM_STATUS) as ProblemType[];
const YEAR = 365 * 24 * 3_600_000;
/** ms; the last is one that no timer takes. */
const PAUSES = [1_000, 60_000, 3_600_000, 2 ** 40];
const CLOCKS = [-20 * YEAR, -3_600_000, 3_600_000, 20 * YEAR];
/** What is there instead of a problem document. */
const UNREADABLE = ['', '{', '<html>', 'null', '{"type":"urn:chorus:problem:no-such-problem","status":409}'];
const UNREADABLE_STATUSES = [200, 400, 404, 500, 503];
/** What the server says to have done: nothing more is in these answers. */
const DONE: ReadonlySet<string> = new Set(['POST /v1/devices/:/removal', 'PUT /v1/blobs/:', 'PUT /v1/links/:/:', 'DELETE /v1/links/:']);

interface Given {
  readonly device: string;
  readonly body: Buffer<ArrayBuffer>;
}

/** For a while. A server that `insists` refuses one call, or all of them, for one reason and each time. */
interface Spell {
  readonly kind: AnswerLie;
  readonly insists: { readonly type: ProblemType; readonly call: string | undefined } | undefined;
}

/** What a server says that lies in its answers to requests, be they of any call. Event streams are left to the liar of the sequence. */
export class FalseAnswers {
  readonly #dice: Dice;
  readonly #now: () => number;
  readonly #onLie: (kind: AnswerLie) => void;
  /** By call: true answers of status 200. */
  readonly #given = new Map<string, Given[]>();
  /** By person. */
  readonly #lies = new Map<string, Spell>();

  /** @param onLie Called for each answer that is not the truth */
  constructor(dice: Dice, now: () => number, onLie: (kind: AnswerLie) => void) {
    this.#dice = dice;
    this.#now = now;
    this.#onLie = onLie;
  }

  /** From now on, until it is told to end. @returns what ends it */
  begin(person: string, kind: AnswerLie): () => void {
    const insists = kind === 'lie-refused' && this.#dice.chance(INSISTS);
    const call = this.#dice.pick([undefined, ...this.#given.keys()]);
    const lie: Spell = { kind, insists: insists ? { type: this.#dice.pick(PROBLEMS), call } : undefined };
    this.#lies.set(person, lie);
    return () => {
      if (this.#lies.get(person) === lie) this.#lies.delete(person);
    };
  }

  end(): void {
    this.#lies.clear();
  }

  /** @param ask What the server does, and says, in truth */
  async answer(person: string, device: string, request: Request, ask: () => Promise<Response>): Promise<Response> {
    const call = callOf(request);
    if (call === 'GET /v1/events') return ask();
    const lie = this.#lies.get(person);
    const isOne = lie !== undefined && (lie.insists === undefined ? this.#dice.chance(LIES) : (lie.insists.call ?? call) === call);
    if (isOne && lie.kind === 'lie-accepted') {
      const accepted = this.#accepted(call, device);
      if (accepted !== undefined) return this.#told(lie.kind, accepted);
    }
    const truth = await ask();
    const body = Buffer.from(await truth.arrayBuffer());
    const told = isOne ? this.#instead(lie, call, device, { status: truth.status, body }) : undefined;
    if (truth.status === 200) this.#keep(call, { device, body });
    if (isOne && told !== undefined) return this.#told(lie.kind, told);
    return new Response(body, { status: truth.status, headers: truth.headers });
  }

  #told(kind: AnswerLie, told: Response): Response {
    this.#onLie(kind);
    return told;
  }

  #keep(call: string, given: Given): void {
    const all = this.#given.get(call) ?? [];
    this.#given.set(call, all);
    all.push(given);
    if (all.length > MOST_KEPT) all.shift();
  }

  #instead(
    { kind, insists }: Spell,
    call: string,
    device: string,
    truth: { readonly status: number; readonly body: Buffer<ArrayBuffer> },
  ): Response | undefined {
    switch (kind) {
      case 'lie-answer-replay':
        return this.#earlier(call, truth.body, (given) => given.device === device);
      case 'lie-answer-other':
        return this.#earlier(call, truth.body, (given) => given.device !== device);
      case 'lie-answer-corrupt':
        return truth.status === 200 && truth.body.length > 2 ? ok(this.#corrupt(truth.body)) : undefined;
      case 'lie-refused':
        return insists === undefined ? this.#refusal() : problemResponse(new Refusal(insists.type));
      case 'lie-accepted':
        return undefined;
    }
  }

  #earlier(call: string, truth: Buffer, suits: (given: Given) => boolean): Response | undefined {
    const others = (this.#given.get(call) ?? []).filter((given) => suits(given) && !given.body.equals(truth));
    return others.length === 0 ? undefined : ok(this.#dice.pick(others).body);
  }

  /** One byte is another: of a field's value, so that the answer can still be read, or of the text as it stands. */
  #corrupt(body: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> {
    const text = body.toString();
    const fields = text.startsWith('{') ? [...text.matchAll(/(?<=[:[,]"?)[\w-]+(?=["\],}])/g)] : [];
    if (fields.length > 0 && this.#dice.chance(60)) {
      const { 0: value, index } = this.#dice.pick(fields);
      return Buffer.from(text.slice(0, index) + this.#other(value) + text.slice(index + value.length));
    }
    const corrupted = Buffer.from(body);
    corrupted[this.#dice.roll(corrupted.length)]! ^= 1 + this.#dice.roll(255);
    return corrupted;
  }

  #other(value: string): string {
    if (/^\d+$/.test(value)) return String(Number(value) + this.#dice.pick([-1, 1, 1000]));
    let bytes: Uint8Array;
    try {
      bytes = fromBase64Url(value);
    } catch {
      const at = this.#dice.roll(value.length); // a username
      return value.slice(0, at) + this.#dice.pick(['x', 'y']) + value.slice(at + 1);
    }
    bytes[this.#dice.roll(bytes.length)]! ^= 1 + this.#dice.roll(255);
    return toBase64Url(bytes);
  }

  /** Of whatever kind, with the status of that kind or another one, or in a form that is none. */
  #refusal(): Response {
    const type = this.#dice.pick(PROBLEMS);
    const how = this.#dice.roll(10);
    if (how === 0) {
      const headers = { 'Content-Type': 'application/problem+json' };
      return new Response(this.#dice.pick(UNREADABLE), { status: this.#dice.pick(UNREADABLE_STATUSES), headers });
    }
    const problem = problemResponse(
      new Refusal(type, {
        ...(this.#dice.chance(30) && { accountId: this.#dice.bytes(16) }),
        ...(this.#dice.chance(20) && { retryAfter: this.#dice.pick(PAUSES) }),
        ...(this.#dice.chance(50) && { time: this.#now() + this.#dice.pick(CLOCKS) }),
      }),
    );
    if (how > 1) return problem;
    return new Response(problem.body, { status: 400 + this.#dice.roll(200), headers: problem.headers });
  }

  /** Said of what the server has not even looked at; undefined for calls whose answers only the truth can make up. */
  #accepted(call: string, device: string): Response | undefined {
    if (DONE.has(call)) return ok(Buffer.from(toJson({})));
    if (call === 'POST /v1/key-packages') return ok(Buffer.from(toJson({ stock: 100 })));
    if (call !== 'POST /v1/groups/:/messages') return undefined;
    const last = this.#given.get(call)?.findLast((given) => given.device === device);
    if (last === undefined) return undefined;
    const { position, sequence } = JSON.parse(last.body.toString()) as { position: number; sequence: number };
    const further = 1 + this.#dice.roll(3);
    return ok(Buffer.from(toJson({ position: position + further, sequence: sequence + further, checked: this.#dice.chance(75) })));
  }
}

function ok(body: Buffer<ArrayBuffer>): Response {
  return new Response(body, { headers: { 'Content-Type': 'application/json' } });
}

/** Method and path, with a colon for each name in it. */
function callOf({ method, url }: Request): string {
  const [, version, what, ...names] = new URL(url).pathname.split('/');
  const isNamed = what === 'groups' || what === 'devices' || what === 'blobs' || what === 'links';
  const path = names.map((name, index) => (isNamed && (index === 0 || what === 'links') ? ':' : name));
  return `${method} /${[version, what, ...path].join('/')}`;
}
