import { toHex, utf8 } from '../../src/bytes/index.ts';
import {
  createBridgeRuntime,
  type BridgeEngine,
  type BridgeLock,
  type BridgeLockKey,
  type BridgeSweeper,
} from '../../src/bridge/dispatch.ts';
import type { AnswerMessage } from '../../src/bridge/envelope.ts';
import type { BridgeCall, BridgeCalls } from '../../src/bridge/protocol.ts';
import { createBridgeServer, type BridgeServer } from '../../src/bridge/server.ts';
import { followEvents, type StreamEvent } from '../../src/delivery/index.ts';
import { openFromNotification } from '../../sw/notifications.ts';
import { random } from '../support/engine-snapshot.ts';
import type { TestDevice } from '../support/engine-world.ts';
import { mutate } from './mutate.ts';
import { mutateJson } from './mutate-json.ts';
import type { Case } from './play.ts';

/** What a page posts to the worker, what a notification brings back to it, and what a leader tab reads from the stream. */

/** The worker's end of the bridge over a real engine, which does not take itself away: it is needed for the next case. */
export function bridgeOf({ runtime }: TestDevice): BridgeServer {
  const engine: BridgeEngine = {
    ...runtime,
    command: (command) => (command.command === 'logOut' ? Promise.resolve({ ok: true }) : runtime.command(command)),
    deleteData: () => Promise.resolve(),
  };
  const sweeper: BridgeSweeper = { status: () => Promise.resolve({ at: 0, due: false }), sweep: () => Promise.resolve() };
  return createBridgeServer(createBridgeRuntime(engine, sweeper, lockInMemory()));
}

function lockInMemory(): BridgeLock {
  let key: BridgeLockKey | undefined;
  return {
    terms: () => Promise.resolve(key && { salt: new Uint8Array(16), ...(key.kind === 'passkey' && key) }),
    set: async (next) => {
      key = next;
    },
    unlock: (other) => Promise.resolve(key?.kind === other.kind),
    lock: () => Promise.resolve(),
  };
}

type Requests = { readonly [Call in BridgeCall]: readonly BridgeCalls[Call]['request'][] };

/** What a tab of this version asks: every call there is, or it would not have the type. */
export function validCalls(conversationId: string, linkCode: string, invitationCode: string): readonly Uint8Array[] {
  const passkey = { kind: 'passkey', credentialId: 'ab'.repeat(20), salt: 'cd'.repeat(32), secret: 'ef'.repeat(32) } as const;
  const passphrase = { kind: 'passphrase', passphrase: 'correct horse battery' } as const;
  const requests: Requests = {
    state: [{}],
    messages: [{ conversationId, before: 3, limit: 20 }],
    createAccount: [{ username: 'anna', deviceName: 'laptop' }],
    makePhrase: [{}],
    confirmPhrase: [{ phraseId: 'ab'.repeat(16) }],
    recover: [{ username: 'anna', deviceName: 'laptop', entropy: 'ab'.repeat(32) }],
    joinAgain: [{ conversationId }],
    decideRejoin: [{ conversationId, join: true }],
    startLink: [{ deviceName: 'phone' }],
    acceptLinkCode: [{ code: linkCode }],
    confirmLink: [{ yes: true }],
    closeLink: [{}],
    renewKeys: [{}],
    removeDevice: [{ deviceId: 'ab'.repeat(16) }],
    notifyWords: [{ on: true }],
    logOut: [{}],
    deleteData: [{}],
    startConversation: [{ usernames: ['ben', 'cleo'], title: 'Choir' }],
    addMember: [{ conversationId, username: 'cleo' }],
    removeMember: [{ conversationId, accountId: 'cd'.repeat(16) }],
    makeInvitation: [{ conversationId }],
    withdrawInvitation: [{ conversationId }],
    invitationCode: [{ conversationId }],
    openInvitation: [{ code: invitationCode }],
    joinByInvitation: [{ code: invitationCode }],
    send: [{ conversationId, text: 'hello' }],
    retry: [{ conversationId, messageKey: 'at-3' }],
    discard: [{ conversationId, messageKey: 'at-3' }],
    forget: [{ conversationId, messages: [{ messageKey: 'at-3', position: 3 }] }],
    saveDraft: [{ conversationId, text: 'hel' }],
    markRead: [{ conversationId, position: 3 }],
    dismissNotice: [{ noticeId: 'n1' }],
    startAnew: [{}],
    sweepStatus: [{}],
    sweep: [{}],
    lockStatus: [{}],
    setLock: [{ key: passphrase }, { key: passkey }],
    unlock: [{ key: passphrase }, { key: passkey }],
    lock: [{}],
    streamRequest: [{}],
    streamEvent: [{ event: 'entry', data: '{"sequence":1}' }, { event: 'stock', data: '{"stock":3}' }, { event: 'opened' }],
    ping: [{}],
  };
  return Object.entries(requests).flatMap(([call, each]) =>
    each.map((request) => utf8(JSON.stringify({ type: 'chorus-call', callId: '00'.repeat(16), call, request }))),
  );
}

/** One case. @returns what the tab was told. @throws Error when it is anything but an answer of the protocol's */
export async function post(server: BridgeServer, samples: readonly Uint8Array[], one: Case): Promise<string> {
  const { dice } = one;
  const data = parsed(mutateJson(dice.of(samples), dice, samples));
  // Else most cases would be answered as the first of their name was.
  if (dice.below(4) > 0 && typeof data === 'object' && data !== null && 'callId' in data) data.callId = toHex(random(16));
  one.input = data;
  const posted: AnswerMessage<BridgeCall>[] = [];
  const taken = server.receive(data, { postMessage: (answer) => posted.push(structuredClone(answer)) });
  if (taken === undefined) return 'ignored';
  await taken;
  const [answer] = posted;
  if (answer === undefined || posted.length !== 1) throw new Error(`answered ${posted.length} times`);
  const problem = problemOf(answer) ?? (answer.ok ? problemOf(answer.answer) : undefined);
  if (problem === 'internal') throw new Error(`a fault of the worker's own`);
  // One word, which the page has a sentence for.
  if (problem !== undefined && !/^[a-z-]+$/.test(problem)) throw new Error('a refusal that says more than its name');
  return problem ?? 'done';
}

function problemOf(answer: unknown): string | undefined {
  return typeof answer === 'object' && answer !== null && 'problem' in answer ? String(answer.problem) : undefined;
}

function parsed(text: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(text));
  } catch {
    return new TextDecoder().decode(text);
  }
}

/** A click on a notification of another version. @throws Error when it opens anything but a conversation of this app */
export async function click(one: Case): Promise<string> {
  const { dice } = one;
  const sample = utf8(JSON.stringify({ conversationId: 'ab'.repeat(16) }));
  const data = parsed(mutateJson(sample, dice, [sample]));
  one.input = data;
  const [posted, opened]: [unknown[], string[]] = [[], []];
  const client = { focus: () => Promise.resolve(), postMessage: (message: unknown) => posted.push(message) };
  const clients = {
    matchAll: () => Promise.resolve(dice.below(2) === 0 ? [client] : []),
    openWindow: (url: string) => Promise.resolve(opened.push(url)),
  };
  await openFromNotification({ clients } as unknown as Parameters<typeof openFromNotification>[0], { data, close: () => undefined });
  const foreign = opened.filter((url) => !/^\/(#\/conversation\/[0-9a-f]+)?$/.test(url));
  if (foreign.length > 0) throw new Error(`opened ${foreign.join()}`);
  if (posted.some((message) => !/^\{"type":"open-conversation","conversationId":"[0-9a-f]+"\}$/.test(JSON.stringify(message)))) {
    throw new Error(`posted ${JSON.stringify(posted)}`);
  }
  return posted.length + opened.length > 0 ? 'opened' : 'brought to the front';
}

/** A stream that says anything, in pieces. @throws Error when the reader does */
export async function follow(streams: readonly Uint8Array[], one: Case): Promise<string> {
  const { dice } = one;
  const bytes = mutate(streams, dice);
  const pieces = [0, dice.below(bytes.length + 1), bytes.length].sort((a, b) => a - b);
  one.input = { bytes, pieces };
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      for (const [i, from] of pieces.entries()) controller.enqueue(bytes.slice(from, pieces[i + 1]));
      if (dice.below(2) === 0) controller.close();
      else controller.error(new TypeError('reset'));
    },
  });
  const heard: StreamEvent[] = [];
  const status = dice.below(8) === 0 ? dice.of([401, 429, 500]) : 200;
  const fetch = () => Promise.resolve(new Response(body, { status }));
  const end = await followEvents(
    { url: 'https://chorus.test/v1/events?after=0', headers: {} },
    fetch,
    new AbortController().signal,
    (event) => {
      heard.push(event);
    },
  );
  const wrong = heard.find((event) => event.event === 'entry' && !Number.isSafeInteger(event.sequence));
  if (wrong !== undefined) throw new Error(`handed over ${JSON.stringify(wrong)}`);
  return end;
}
