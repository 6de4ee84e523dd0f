import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import type { Context } from 'hono';
import { LINK_TOKEN_LENGTH } from '../../src/delivery/bounds.ts';
import { LINK_TOKEN_HEADER } from '../../src/delivery/calls.ts';
import { bytes, id, LINK_SLOTS, PUT_SLOTS, putLinkFrame } from '../../src/delivery/frames.ts';
import type { LinkId, LinkSlot } from '../../src/engine/ports.ts';
import { LINK_WAIT, MAX_BODY, MAX_LINK_WAITS } from '../limits.ts';
import { linkTopic } from '../notices.ts';
import { Refusal } from '../problems.ts';
import { answer, readBody, readFrame, readText, type Service } from '../service.ts';

const tokenSchema = bytes(LINK_TOKEN_LENGTH, LINK_TOKEN_LENGTH);

/** A mailbox and the hash of the token that opens it: all that the server keeps of the token. */
function mailboxOf(context: Context): { readonly linkId: LinkId; readonly tokenHash: Uint8Array } {
  const linkId = readText(id, context.req.param('linkId'));
  const token = readText(tokenSchema, context.req.header(LINK_TOKEN_HEADER));
  return { linkId, tokenHash: createHash('sha256').update(token).digest() };
}

function readHave(text: string | undefined): readonly LinkSlot[] {
  if (text === undefined || text === '') return [];
  return text.split(',').map((name) => {
    const slot = LINK_SLOTS.find((known) => known === name);
    if (slot === undefined) throw new Refusal('malformed');
    return slot;
  });
}

export function linkRoutes(service: Service): Hono {
  const routes = new Hono();

  routes.put('/links/:linkId/:slot', async (context) => {
    const { linkId, tokenHash } = mailboxOf(context);
    const slot = PUT_SLOTS.find((name) => name === context.req.param('slot'));
    if (slot === undefined) throw new Refusal('malformed');
    if (slot === 'request') service.rates.openLink.take(service.addressOf(context));
    const { payload } = readFrame(putLinkFrame, await readBody(context, MAX_BODY.linkSlot));
    await service.store.putLinkSlot(linkId, tokenHash, slot, payload, service.now());
    service.notices.publish(linkTopic(linkId));
    return answer({});
  });

  routes.get('/links/:linkId', async (context) => {
    const { linkId, tokenHash } = mailboxOf(context);
    const have = readHave(context.req.query('have'));
    return answer({ slots: await waitForSlots(service, linkId, tokenHash, have, context.req.raw.signal) });
  });

  routes.delete('/links/:linkId', async (context) => {
    const { linkId, tokenHash } = mailboxOf(context);
    await service.store.deleteLink(linkId, tokenHash);
    service.notices.publish(linkTopic(linkId));
    return answer({});
  });

  return routes;
}

/** The slots beyond `have`, as soon as there are any; none after LINK_WAIT. @throws unknown-link, rate-limited */
async function waitForSlots(
  service: Service,
  linkId: LinkId,
  tokenHash: Uint8Array,
  have: readonly LinkSlot[],
  left: AbortSignal,
): Promise<Record<LinkSlot, Uint8Array | undefined>> {
  const over = AbortSignal.any([left, service.closing, AbortSignal.timeout(LINK_WAIT)]);
  const topic = linkTopic(linkId);
  for (;;) {
    let wake: () => void = () => {};
    const noticed = new Promise<void>((resolve) => {
      wake = resolve;
    });
    const unsubscribe = service.notices.subscribe(topic, wake); // before reading, so that no slot falls in between
    try {
      const slots = await service.store.readLink(linkId, tokenHash, service.now());
      const news = LINK_SLOTS.filter((slot) => !have.includes(slot) && slots[slot] !== undefined);
      if (news.length > 0 || over.aborted) return onlyThese(slots, news);
      if (service.notices.listeners(topic) > MAX_LINK_WAITS) throw new Refusal('rate-limited', { retryAfter: LINK_WAIT });
      over.addEventListener('abort', wake);
      await noticed;
    } finally {
      over.removeEventListener('abort', wake);
      unsubscribe();
    }
  }
}

function onlyThese(slots: Partial<Record<LinkSlot, Uint8Array>>, names: readonly LinkSlot[]): Record<LinkSlot, Uint8Array | undefined> {
  const pick = (slot: LinkSlot): Uint8Array | undefined => (names.includes(slot) ? slots[slot] : undefined);
  return {
    request: pick('request'),
    answer: pick('answer'),
    reveal: pick('reveal'),
    confirmed: pick('confirmed'),
    cancelled: pick('cancelled'),
    welcome: pick('welcome'),
  };
}
