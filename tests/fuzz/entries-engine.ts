import { concat, toHex, utf8 } from '../../src/bytes/index.ts';
import { createDeliveryClient, fromJson, sequenceEntryFrame, stockFrame } from '../../src/delivery/index.ts';
import { EventParser, EventStreamError } from '../../src/delivery/event-stream.ts';
import { answerFrames, PROBLEM_STATUS, PROBLEM_URN } from '../../src/delivery/frames.ts';
import type { AnswerInput, Input } from '../../src/engine/input.ts';
import type { DeliveryAnswer, DeliveryCall, DeliveryCalls, SequenceEntry } from '../../src/engine/ports.ts';
import { changesBetween } from '../../src/engine/records.ts';
import { EMPTY_STATE, type EngineState } from '../../src/engine/state.ts';
import { step, type StepResult } from '../../src/engine/step.ts';
import { todosOf } from '../../src/engine/todo.ts';
import { viewOf } from '../../src/engine/view-builder.ts';
import { random, stateOf } from '../support/engine-snapshot.ts';
import type { Dice } from './mutate.ts';
import { mutateJson } from './mutate-json.ts';
import type { Case } from './play.ts';
import { expectNothingSaid } from './refused.ts';
import { proofOf, type Came } from './stepped-device.ts';

/** A device's engine against a server that answers with anything: what came once, mutated. */

/** Calls whose answers are no step: entries-asked.ts has them. */
const NO_STEP: ReadonlySet<DeliveryCall> = new Set(['find-account', 'open-recovery', 'fetch-sequence']);

/** One case: something that came, changed. @throws Error when the engine does what it must not */
export async function answerOf(came: readonly Came[], played: Case): Promise<string> {
  const { dice } = played;
  const one = dice.of(dice.of([...byCall(came).values()]));
  const { call, request, before } = one;
  const { body, init } = mutatedResponse(one, came, dice);
  played.input = { call, request, body, init };
  const response = new Response(new Uint8Array(body), init);
  const client = createDeliveryClient({ baseUrl: 'https://chorus.test', fetch: () => Promise.resolve(response), now: () => one.now });
  const answer = await client.send(call, request, proofOf(before), new AbortController().signal);
  if (answer.outcome === 'unreachable') return 'no answer of ours';
  if (call === 'fetch-sequence') {
    if (answer.outcome === 'refused') return 'refused';
    const { entries, last } = answer.value as DeliveryCalls['fetch-sequence']['answer'];
    return followed(came, one, entries, last);
  }
  if (NO_STEP.has(call)) return answer.outcome;
  const input = { type: 'answer', call, request, answer, conversationId: one.conversationId } as AnswerInput;
  const result = await taken(one, input);
  expectSound(one.before, result);
  return result.state === before ? 'nothing changed' : (answer as DeliveryAnswer<DeliveryCall>).outcome;
}

/** The same as an event of the stream, cut somewhere. */
export async function eventOf(came: readonly Came[], played: Case): Promise<string> {
  const { dice } = played;
  const one = dice.of(byCall(came).get('fetch-sequence')!);
  const { entries } = JSON.parse(textOf(one.body)) as { entries: { sequence: number }[] };
  const entry = mutateJson(utf8(JSON.stringify(entries[0])), dice, [dice.of(byCall(came).get('fetch-sequence')!).body]);
  const [event, sequence] = [
    dice.of(['entry', 'entry', 'entry', 'entry', 'entry', 'entry', 'stock', 'gone', 'other']),
    entries[0]!.sequence + dice.below(2),
  ];
  const framed = concat(utf8(`id: ${sequence}\nevent: ${event}\ndata: `), entry, utf8('\n\n'));
  const cut = dice.below(framed.length);
  played.input = { framed, cut };
  const parser = new EventParser();
  try {
    for (const { event: kind, ...rest } of [...parser.push(framed.slice(0, cut)), ...parser.push(framed.slice(cut))]) {
      const data = 'data' in rest ? rest.data : '';
      if (kind === 'stock') {
        const stock = fromJson(stockFrame, data)?.stock;
        if (stock !== undefined) expectSound(one.before, await taken(one, { type: 'stock', stock }));
      } else if (kind === 'gone') expectSound(one.before, await taken(one, { type: 'unlinked' }));
      else if (kind === 'entry') {
        const read = fromJson(sequenceEntryFrame, data);
        return read === undefined ? 'no entry' : await followed(came, one, [read], read.sequence);
      }
    }
    return 'no entry';
  } catch (error) {
    if (error instanceof EventStreamError) return 'no event';
    throw error;
  }
}

const calls = new WeakMap<readonly Came[], Map<DeliveryCall, readonly Came[]>>();

/** A call is chosen before one of its answers: most answers are pages of the sequence. Pages without an entry are left out. */
function byCall(came: readonly Came[]): Map<DeliveryCall, readonly Came[]> {
  const known = calls.get(came);
  if (known !== undefined) return known;
  const sorted = new Map<DeliveryCall, Came[]>();
  for (const one of came.filter(({ call, body }) => call !== 'fetch-sequence' || entriesIn(body).length > 0)) {
    sorted.set(one.call, [...(sorted.get(one.call) ?? []), one]);
  }
  calls.set(came, sorted);
  return sorted;
}

function entriesIn(body: Uint8Array): readonly SequenceEntry[] {
  return fromJson(answerFrames['fetch-sequence'], textOf(body))!.entries;
}

const messages = new WeakMap<readonly Came[], ReadonlySet<string>>();

/** What somebody did send, wherever it stood. */
function genuineMessages(came: readonly Came[]): ReadonlySet<string> {
  const known = messages.get(came);
  if (known !== undefined) return known;
  const pages = byCall(came).get('fetch-sequence')!;
  const all = new Set(pages.flatMap(({ body }) => entriesIn(body).map(({ message }) => toHex(message))));
  messages.set(came, all);
  return all;
}

export interface MutatedResponse {
  readonly body: Uint8Array;
  readonly init: { readonly status: number; readonly headers: Record<string, string> };
}

/** The answer, or a refusal in its place, changed. */
export function mutatedResponse(one: Came, came: readonly Came[], dice: Dice): MutatedResponse {
  const isProblem = dice.below(5) === 0;
  const type = dice.of(Object.keys(PROBLEM_STATUS)) as keyof typeof PROBLEM_STATUS;
  const problem = { type: PROBLEM_URN + type, title: 'x', status: PROBLEM_STATUS[type], ...(dice.below(2) === 0 && { retryAfter: 5 }) };
  const valid = isProblem ? utf8(JSON.stringify(problem)) : one.body;
  const unchanged = isProblem && dice.below(2) === 0;
  const body = unchanged ? valid : mutateJson(valid, dice, [dice.of(byCall(came).get(one.call)!).body]);
  const status = dice.below(12) === 0 ? dice.of([200, 201, 302, 400, 418, 500]) : isProblem ? problem.status : one.status;
  const contentType = isProblem ? 'application/problem+json' : 'application/json';
  const headers = { 'Content-Type': dice.below(12) === 0 ? 'text/html' : contentType };
  return { body, init: { status, headers } };
}

const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

async function followed(came: readonly Came[], one: Came, entries: readonly SequenceEntry[], last: number): Promise<string> {
  const result = await taken(one, { type: 'entries', entries, last });
  const genuine = genuineMessages(came);
  const forged = entries.filter(({ message }) => !genuine.has(toHex(message)));
  expectSound(one.before, result);
  if (forged.length === entries.length) expectNothingSaid(one.before, result);
  return result.refused.length > 0 ? 'entry refused' : forged.length > 0 ? 'entry passed over' : 'entry taken';
}

/** Whatever came: the step gives a state. */
async function taken({ before, lines, now }: Came, input: Input): Promise<StepResult> {
  return step(before, input, { random, now, lines });
}

/** The state can be stored and read again, shown, and gone on from. */
export function expectSound(before: EngineState, { state, lines, dropped }: StepResult): void {
  if (state === before) return;
  changesBetween(before, state, lines, dropped);
  const { puts } = changesBetween(EMPTY_STATE, state, lines);
  const again = stateOf(puts);
  for (const each of [state, again]) {
    todosOf(each, 0);
    viewOf(each, { status: 'online', waiting: 0, catchingUp: undefined }, undefined);
  }
}
