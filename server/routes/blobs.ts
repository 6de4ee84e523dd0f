import { createHash } from 'node:crypto';
import { Hono } from 'hono';
import { equal } from '../../src/bytes/index.ts';
import { hash as hashSchema } from '../../src/delivery/frames.ts';
import { MAX_BODY } from '../limits.ts';
import { Refusal } from '../problems.ts';
import { answer, readText, type Service } from '../service.ts';

export function blobRoutes(service: Service): Hono {
  const routes = new Hono();

  routes.put('/blobs/:hash', async (context) => {
    const { caller, body } = await service.authenticate(context, MAX_BODY.blob);
    const hash = readText(hashSchema, context.req.param('hash'));
    if (!equal(createHash('sha256').update(body).digest(), hash)) throw new Refusal('malformed');
    await service.store.putBlob(caller, hash, body, service.now());
    return answer({});
  });

  routes.get('/blobs/:hash', async (context) => {
    const { caller } = await service.authenticate(context, 0);
    const bytes = await service.store.readBlob(caller, readText(hashSchema, context.req.param('hash')), service.now());
    return new Response(new Uint8Array(bytes), { headers: { 'Content-Type': 'application/octet-stream', 'Cache-Control': 'no-store' } });
  });

  return routes;
}
