import type { Page } from '@playwright/test';
import type { CallMessage } from '../../../src/bridge/envelope.ts';
import type { BridgeCall, BridgeCalls } from '../../../src/bridge/protocol.ts';

/**
 * Calls the worker as the app's own pages do, from any page of the origin: for what a test must know
 * exactly and a screen shows only in part.
 * @throws Error when the worker refuses the call or does not answer
 */
export async function callWorker<Call extends BridgeCall>(
  page: Page,
  call: Call,
  request: BridgeCalls[Call]['request'],
): Promise<BridgeCalls[Call]['answer']> {
  const callId = crypto.randomUUID().replaceAll('-', '');
  const message: CallMessage = { type: 'chorus-call', callId, call, request };
  const answer = await page.evaluate(async (posted) => {
    const { active } = await navigator.serviceWorker.ready;
    const { port1, port2 } = new MessageChannel();
    return new Promise<{ ok: boolean; answer?: unknown; problem?: string }>((resolve) => {
      setTimeout(() => resolve({ ok: false, problem: 'no-answer' }), 30_000);
      port1.onmessage = ({ data }: MessageEvent<{ ok: boolean }>) => resolve(data);
      active?.postMessage(posted, [port2]);
    });
  }, message);
  if (!answer.ok) throw new Error(`${call}: ${answer.problem ?? 'refused'}`);
  return answer.answer as BridgeCalls[Call]['answer'];
}
