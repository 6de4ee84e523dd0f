import { describe, expect, it } from 'vitest';
import { BridgeError, createBridge, newCallId, type CallTarget } from '../../../src/bridge/client.ts';
import type { CallMessage } from '../../../src/bridge/envelope.ts';

type Received = { readonly message: CallMessage; readonly port: MessagePort };

/** A worker that does with each message what `behave` says; `received` keeps them all. */
function worker(behave: (received: Received, nth: number) => void): { target: CallTarget; received: Received[] } {
  const received: Received[] = [];
  const postMessage = (message: CallMessage, transfer: readonly MessagePort[]): void => {
    const one = { message, port: transfer[0]! };
    received.push(one);
    behave(one, received.length);
  };
  return { target: { postMessage: postMessage as CallTarget['postMessage'] }, received };
}

const SHORT = [20, 200];

describe('the tab calls the worker', () => {
  it('gives each call its own ID and the answer of its own port', async () => {
    const { target, received } = worker(({ message, port }) =>
      port.postMessage({ ok: true, answer: { ok: true, messageKey: message.callId } }),
    );
    const bridge = createBridge(async () => target, SHORT);
    const answers = await Promise.all([
      bridge.call('send', { conversationId: 'ab', text: 'one' }),
      bridge.call('send', { conversationId: 'ab', text: 'two' }),
    ]);
    expect(answers.map((answer) => answer.messageKey)).toEqual(received.map(({ message }) => message.callId));
    expect(received[0]!.message.callId).toMatch(/^[0-9a-f]{32}$/);
    expect(received[0]!.message.callId).not.toBe(received[1]!.message.callId);
  });

  it('posts a call a second time under the same ID when the first port stays silent', async () => {
    const { target, received } = worker(({ port }, nth) => nth === 2 && port.postMessage({ ok: true, answer: { ok: true } }));
    await expect(createBridge(async () => target, SHORT).call('send', { conversationId: 'ab', text: 'one' })).resolves.toEqual({
      ok: true,
    });
    expect(received.map(({ message }) => message)).toEqual([received[0]!.message, received[0]!.message]);
    expect(received[0]!.port).not.toBe(received[1]!.port);
  });

  it('asks again for what had no answer, under the ID of the call that had none', async () => {
    const { target, received } = worker(({ port }) => port.postMessage({ ok: true, answer: {} }));
    const callId = newCallId();
    await createBridge(async () => target, SHORT).call('send', { conversationId: 'ab', text: 'one' }, callId);
    expect(received.map(({ message }) => message.callId)).toEqual([callId]);
  });

  it('asks for the active worker anew at each try, for a new version may have taken over', async () => {
    const silent = worker(() => undefined);
    const lively = worker(({ port }) => port.postMessage({ ok: true, answer: {} }));
    const targets = [silent.target, lively.target];
    await expect(createBridge(async () => targets.shift()!, SHORT).call('ping', {})).resolves.toEqual({});
    expect(lively.received).toHaveLength(1);
  });

  it('gives up by name after the last try', async () => {
    const { target, received } = worker(() => undefined);
    const call = createBridge(async () => target, [5, 5]).call('ping', {});
    await expect(call).rejects.toMatchObject({ name: 'BridgeError', code: 'no-answer' });
    expect(received).toHaveLength(2);
  });

  it('a page for which the browser has no worker is told so at once', async () => {
    const refused = (): Promise<CallTarget> => Promise.reject(new DOMException('denied', 'SecurityError'));
    await expect(createBridge(refused, SHORT).call('state', {})).rejects.toMatchObject({ name: 'BridgeError', code: 'no-worker' });
  });

  it.each(['malformed', 'internal', 'storage-root-missing'] as const)(
    'does not repeat a call that the worker answered with %s',
    async (problem) => {
      const { target, received } = worker(({ port }) => port.postMessage({ ok: false, problem }));
      const error: unknown = await createBridge(async () => target, SHORT)
        .call('state', {})
        .catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(BridgeError);
      expect(error).toMatchObject({ code: problem });
      expect(received).toHaveLength(1);
    },
  );
});
