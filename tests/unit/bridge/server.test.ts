import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret } from '../../../src/bytes/index.ts';
import type { AnswerMessage } from '../../../src/bridge/envelope.ts';
import type { BridgeCall } from '../../../src/bridge/protocol.ts';
import { createBridgeServer, type BridgeRuntime } from '../../../src/bridge/server.ts';

const CALL_ID = '00112233445566778899aabbccddeeff';
const OTHER_ID = 'ffeeddccbbaa99887766554433221100';
const CONVERSATION = 'ab'.repeat(32);
const ACCOUNT = 'cd'.repeat(16);

/** A good request of every call there is. */
const PASSKEY = { kind: 'passkey', credentialId: 'ab', salt: 'cd'.repeat(32), secret: 'ef'.repeat(32) };
const REQUESTS: Record<BridgeCall, object> = {
  state: {},
  messages: { conversationId: CONVERSATION, before: undefined, limit: 50 },
  createAccount: { username: 'anna', deviceName: 'Laptop' },
  makePhrase: {},
  makeInvitation: { conversationId: 'aa' },
  withdrawInvitation: { conversationId: 'aa' },
  invitationCode: { conversationId: 'aa' },
  openInvitation: { code: 'x' },
  joinByInvitation: { code: 'x' },
  confirmPhrase: { phraseId: 'ab'.repeat(16) },
  recover: { username: 'anna', deviceName: 'Phone', entropy: 'ab'.repeat(32) },
  joinAgain: { conversationId: CONVERSATION },
  decideRejoin: { conversationId: CONVERSATION, join: true },
  startLink: { deviceName: 'Phone' },
  acceptLinkCode: { code: 'CHORUS1-abc' },
  confirmLink: { yes: true },
  closeLink: {},
  startConversation: { usernames: ['bert', 'cleo'], title: '' },
  addMember: { conversationId: CONVERSATION, username: 'cleo' },
  removeMember: { conversationId: CONVERSATION, accountId: ACCOUNT },
  send: { conversationId: CONVERSATION, text: 'Hello' },
  retry: { conversationId: CONVERSATION, messageKey: 'm1' },
  discard: { conversationId: CONVERSATION, messageKey: 'm1' },
  forget: { conversationId: CONVERSATION, messages: [{ messageKey: 'at-3', position: 3 }] },
  logOut: {},
  deleteData: {},
  saveDraft: { conversationId: CONVERSATION, text: '' },
  markRead: { conversationId: CONVERSATION, position: 7 },
  notifyWords: { on: true },
  dismissNotice: { noticeId: 'n1' },
  streamRequest: {},
  streamEvent: { event: 'entry', data: '{}' },
  renewKeys: {},
  startAnew: {},
  sweepStatus: {},
  sweep: {},
  lockStatus: {},
  setLock: { key: { kind: 'passphrase', passphrase: 'ten letters' } },
  unlock: { key: PASSKEY },
  lock: {},
  removeDevice: { deviceId: 'ab'.repeat(16) },
  ping: {},
};
const CALLS = Object.keys(REQUESTS) as BridgeCall[];

interface Made {
  readonly call: BridgeCall;
  readonly request: unknown;
  readonly callId: string;
}

/** A runtime that notes what it was asked. */
function recorder(answer: (made: Made) => unknown = () => ({ ok: true })): BridgeRuntime & { readonly made: Made[] } {
  const made: Made[] = [];
  const call = async (name: BridgeCall, request: unknown, callId: string): Promise<unknown> => {
    const one = { call: name, request, callId };
    made.push(one);
    return answer(one);
  };
  return { made, call: call as BridgeRuntime['call'] };
}

/** A port that clones as a real one does. */
class Port {
  readonly posted: AnswerMessage<BridgeCall>[] = [];
  postMessage(message: AnswerMessage<BridgeCall>): void {
    this.posted.push(structuredClone(message));
  }
}

const message = (call: BridgeCall, request: unknown = REQUESTS[call], callId: string = CALL_ID): unknown => ({
  type: 'chorus-call',
  callId,
  call,
  request,
});

async function ask(server: ReturnType<typeof createBridgeServer>, data: unknown): Promise<unknown> {
  const port = new Port();
  await server.receive(data, port);
  expect(port.posted).toHaveLength(1);
  return port.posted[0];
}

describe('the worker’s end of the bridge', () => {
  it.each(CALLS)('hands %s to the runtime as it came and posts its answer once', async (call) => {
    const runtime = recorder(() => ({ from: call }));
    expect(await ask(createBridgeServer(runtime), message(call))).toEqual({ ok: true, answer: { from: call } });
    expect(runtime.made).toEqual([{ call, request: REQUESTS[call], callId: CALL_ID }]);
  });

  it('takes both kinds of stream events', async () => {
    const runtime = recorder();
    const server = createBridgeServer(runtime);
    for (const request of [{ event: 'gone', data: '' }, { event: 'stock', data: '{}' }, { event: 'opened' }]) {
      expect(await ask(server, message('streamEvent', request, randomId()))).toMatchObject({ ok: true });
    }
    expect(runtime.made).toHaveLength(3);
  });

  it('forgets a recovery phrase when it has answered: a repeated call makes another one', async () => {
    let made = 0;
    const server = createBridgeServer(recorder(() => ({ entropy: `phrase ${++made}` })));
    expect(await ask(server, message('makePhrase'))).toEqual({ ok: true, answer: { entropy: 'phrase 1' } });
    expect(await ask(server, message('makePhrase'))).toEqual({ ok: true, answer: { entropy: 'phrase 2' } });
  });

  it('leaves messages alone that are no calls', () => {
    const runtime = recorder();
    const server = createBridgeServer(runtime);
    for (const data of [undefined, null, 'chorus-call', 7, [], {}, { type: 'SKIP_WAITING' }]) {
      expect(server.receive(data, new Port())).toBeUndefined();
    }
    expect(runtime.made).toEqual([]);
  });

  it('carries out nothing for a caller without a port', async () => {
    const runtime = recorder();
    await createBridgeServer(runtime).receive(message('send'), undefined);
    expect(runtime.made).toEqual([]);
  });
});

const MALFORMED: [string, unknown][] = [
  ['an unknown call', { type: 'chorus-call', callId: CALL_ID, call: 'destroy', request: {} }],
  ['a call named like a method of every object', { type: 'chorus-call', callId: CALL_ID, call: 'constructor', request: {} }],
  ['no call ID', { type: 'chorus-call', call: 'ping', request: {} }],
  ['a short call ID', message('ping', {}, 'abc')],
  ['one field too many in the envelope', { ...(message('ping') as object), extra: 1 }],
  ['one field too many in the request', message('send', { ...REQUESTS.send, extra: 1 })],
  ['a field in a request that has none', message('state', { extra: 1 })],
  ['no request', { type: 'chorus-call', callId: CALL_ID, call: 'ping' }],
  ['a field too few', message('send', { conversationId: CONVERSATION })],
  ['a conversation ID that is no hex', message('send', { conversationId: '../account', text: 'x' })],
  ['a conversation ID of half a byte', message('send', { conversationId: 'abc', text: 'x' })],
  ['a conversation ID of 65 bytes', message('send', { conversationId: 'ab'.repeat(65), text: 'x' })],
  ['an account ID of another length', message('removeMember', { conversationId: CONVERSATION, accountId: 'cd' })],
  ['a text over a mebi-character', message('send', { conversationId: CONVERSATION, text: 'x'.repeat(1024 * 1024 + 1) })],
  ['a text that is none', message('send', { conversationId: CONVERSATION, text: { toString: 'x' } })],
  ['an endless device name', message('startLink', { deviceName: 'x'.repeat(1025) })],
  ['too many usernames', message('startConversation', { usernames: Array.from({ length: 129 }, () => 'x'), title: '' })],
  ['a page without end', message('messages', { conversationId: CONVERSATION, before: undefined, limit: 201 })],
  ['a page of nothing', message('messages', { conversationId: CONVERSATION, before: undefined, limit: 0 })],
  ['a position below zero', message('markRead', { conversationId: CONVERSATION, position: -1 })],
  ['a position between two', message('markRead', { conversationId: CONVERSATION, position: 0.5 })],
  ['a position that is not a number', message('markRead', { conversationId: CONVERSATION, position: NaN })],
  ['a position that is not exact', message('markRead', { conversationId: CONVERSATION, position: 2 ** 53 })],
  ['a new passphrase that is too short', message('setLock', { key: { kind: 'passphrase', passphrase: 'nine char' } })],
  ['a passkey’s ID of 1024 bytes', message('unlock', { key: { ...PASSKEY, credentialId: 'ab'.repeat(1024) } })],
  ['a passkey’s value of another length', message('unlock', { key: { ...PASSKEY, secret: 'ab'.repeat(31) } })],
  ['a passkey without a salt', message('setLock', { key: { ...PASSKEY, salt: undefined } })],
  ['a key of both kinds', message('unlock', { key: { ...PASSKEY, passphrase: 'x' } })],
  ['a stream event of an unknown kind', message('streamEvent', { event: 'other', data: '' })],
  ['a stream event over its bound', message('streamEvent', { event: 'entry', data: 'x'.repeat(12 * 1024 * 1024 + 1) })],
  ['a stream’s opening with data', message('streamEvent', { event: 'opened', data: '' })],
];

describe('bridge messages are outside bytes', () => {
  it.each(MALFORMED)('refuses %s by name and asks the runtime nothing', async (_what, data) => {
    const runtime = recorder();
    expect(await ask(createBridgeServer(runtime), data)).toEqual({ ok: false, problem: 'malformed' });
    expect(runtime.made).toEqual([]);
  });

  it('gives exactly one answer to whatever claims to be a call, and lets through only what has the form of its call', async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...CALLS),
        fc.oneof(
          fc.anything(),
          fc.dictionary(fc.constantFrom('conversationId', 'text', 'event', 'data', 'position', 'yes', '__proto__'), fc.anything()),
        ),
        async (call, request) => {
          const runtime = recorder();
          const answer = await ask(createBridgeServer(runtime), message(call, request));
          if (runtime.made.length === 0) expect(answer).toEqual({ ok: false, problem: 'malformed' });
          else expect(Object.keys(runtime.made[0]!.request as object).sort()).toEqual(Object.keys(REQUESTS[call]).sort());
        },
      ),
      { numRuns: 500 },
    );
  });
});

describe('failures', () => {
  it('tell a tab that there was one and nothing of what it was', async () => {
    const server = createBridgeServer(
      recorder(() => {
        throw new Error('secret 42');
      }),
    );
    const answer = await ask(server, message('send'));
    expect(answer).toEqual({ ok: false, problem: 'internal' });
    expect(JSON.stringify(answer)).not.toContain('42');
  });

  it('keep a secret in an answer from reaching the tab', async () => {
    const server = createBridgeServer(recorder(() => ({ ok: true, key: Secret.of('device_key_seed', new Uint8Array(32)) })));
    expect(await ask(server, message('state'))).toEqual({ ok: false, problem: 'internal' });
  });
});

describe('a call that comes again', () => {
  it('is carried out once when it has an effect, and answered each time', async () => {
    let count = 0;
    const runtime = recorder(() => ({ ok: true, messageKey: `m${++count}` }));
    const server = createBridgeServer(runtime);
    const answers = [await ask(server, message('send')), await ask(server, message('send'))];
    expect(answers).toEqual([
      { ok: true, answer: { ok: true, messageKey: 'm1' } },
      { ok: true, answer: { ok: true, messageKey: 'm1' } },
    ]);
    expect(runtime.made).toHaveLength(1);
  });

  it('while the first is still being carried out waits for the same answer', async () => {
    let finish: (answer: unknown) => void = () => {};
    const runtime = recorder(() => new Promise((resolve) => (finish = resolve)));
    const server = createBridgeServer(runtime);
    const both = Promise.all([ask(server, message('send')), ask(server, message('send'))]);
    finish({ ok: true });
    expect(await both).toEqual([
      { ok: true, answer: { ok: true } },
      { ok: true, answer: { ok: true } },
    ]);
    expect(runtime.made).toHaveLength(1);
  });

  it('with another ID is another call', async () => {
    const runtime = recorder();
    const server = createBridgeServer(runtime);
    await ask(server, message('send'));
    await ask(server, message('send', REQUESTS.send, OTHER_ID));
    expect(runtime.made).toHaveLength(2);
  });

  it('under the ID of a call of another name is carried out', async () => {
    const runtime = recorder();
    const server = createBridgeServer(runtime);
    await ask(server, message('send'));
    await ask(server, message('saveDraft'));
    expect(runtime.made.map(({ call }) => call)).toEqual(['send', 'saveDraft']);
  });

  it.each(['state', 'messages', 'streamRequest', 'ping'] as const)(
    'is carried out again for %s, whose answer must be fresh',
    async (call) => {
      const runtime = recorder();
      const server = createBridgeServer(runtime);
      await ask(server, message(call));
      await ask(server, message(call));
      expect(runtime.made).toHaveLength(2);
    },
  );

  it('is remembered among a thousand others, and memory is bounded', async () => {
    const runtime = recorder();
    const server = createBridgeServer(runtime);
    await ask(server, message('send'));
    const others = (count: number): Promise<unknown> =>
      Promise.all(Array.from({ length: count }, () => ask(server, message('send', REQUESTS.send, randomId()))));
    await others(1000);
    await ask(server, message('send'));
    expect(runtime.made).toHaveLength(1001);
    await others(1024);
    await ask(server, message('send'));
    expect(runtime.made).toHaveLength(1001 + 1024 + 1);
  });
});

function randomId(): string {
  return Buffer.from(crypto.getRandomValues(new Uint8Array(16))).toString('hex');
}
