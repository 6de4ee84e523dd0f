import { Hono } from 'hono';
import { fromBase64Url } from '../../src/bytes/index.ts';
import { MAX_SEQUENCE_PAGE } from '../../src/delivery/bounds.ts';
import { MAX_PAGE_BYTES } from '../limits.ts';
import { MARK_LENGTH } from '../../src/virtual-client/sequence-mark.ts';
import { Refusal } from '../problems.ts';
import { answer, readCount, type Service } from '../service.ts';

export function sequenceRoutes(service: Service): Hono {
  const routes = new Hono();

  routes.get('/sequence', async (context) => {
    const { caller } = await service.authenticate(context, 0);
    const after = readCount(context.req.query('after'), Number.MAX_SAFE_INTEGER);
    await service.store.checkMark(caller, after, readMark(context.req.query('mark')));
    await service.store.confirmSequence(caller, after);
    const limit = Math.max(1, readCount(context.req.query('limit'), MAX_SEQUENCE_PAGE));
    return answer(await service.store.readSequence(caller, after, limit, MAX_PAGE_BYTES, service.now()));
  });

  routes.get('/events', async (context) => {
    const { caller } = await service.authenticate(context, 0);
    const after = readCount(context.req.query('after'), Number.MAX_SAFE_INTEGER);
    await service.store.checkMark(caller, after, readMark(context.req.query('mark')));
    await service.store.confirmSequence(caller, after);
    const headers = { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' };
    return new Response(service.streams.open(caller, after), { headers });
  });

  return routes;
}

function readMark(text: string | undefined): Uint8Array | undefined {
  if (text === undefined) return undefined;
  try {
    const mark = fromBase64Url(text);
    if (mark.length === MARK_LENGTH) return mark;
  } catch {
    // refused below
  }
  throw new Refusal('malformed');
}
