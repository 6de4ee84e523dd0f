import type { Page } from '@playwright/test';
import type { CallMessage } from '../../../src/bridge/envelope.ts';
import type { BridgeCall, BridgeCalls } from '../../../src/bridge/protocol.ts';
import type { MessageView } from '../../../src/bridge/view.ts';

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
  // `request` belongs to `call`, which TypeScript cannot follow through the union.
  const message = { type: 'chorus-call', callId, call, request } as CallMessage;
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

/** How long a device may take to meet in the log what it has sent, which others may have met before, ms. */
const ECHO_LIMIT = 20_000;

/** All texts of a conversation in the log's order, as soon as none waits. @throws Error when one still does after ECHO_LIMIT */
export async function textsOf(page: Page, conversationId: string): Promise<MessageView[]> {
  for (const limit = Date.now() + ECHO_LIMIT; ;) {
    const read = await readTexts(page, conversationId);
    if (!('waits' in read)) return read;
    if (Date.now() > limit) throw new Error(`"${read.waits}" still waits`);
    await page.waitForTimeout(100);
  }
}

/** Page by page. @returns the text of one that still waits, if one does */
async function readTexts(page: Page, conversationId: string): Promise<MessageView[] | { readonly waits: string }> {
  const newestFirst: MessageView[] = [];
  for (let before: number | undefined; ;) {
    const { messages, more } = await callWorker(page, 'messages', { conversationId, before, limit: 100 });
    const waiting = messages.find(({ position }) => position === undefined);
    if (waiting !== undefined) return { waits: waiting.text };
    newestFirst.push(...messages);
    before = messages.at(-1)?.position;
    if (!more || before === undefined) return newestFirst.filter(({ kind }) => kind === 'text').reverse();
  }
}
