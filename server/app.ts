import { type Context, Hono } from 'hono';
import { Refusal, problemResponse } from './problems.ts';
import { accountRoutes } from './routes/accounts.ts';
import { blobRoutes } from './routes/blobs.ts';
import { deviceRoutes } from './routes/devices.ts';
import { groupRoutes } from './routes/groups.ts';
import { keyPackageRoutes } from './routes/key-packages.ts';
import { linkRoutes } from './routes/links.ts';
import { recoveryRoutes } from './routes/recovery.ts';
import { sequenceRoutes } from './routes/sequence.ts';
import { Service, type ServiceParts } from './service.ts';
import { SECURITY_HEADERS, type StaticFiles } from './static.ts';

/** After a fault of the server's own, ms. */
const RETRY_AFTER_FAULT = 2000;

export interface App {
  /** Answers one request; without a socket too. */
  readonly fetch: Hono['fetch'];
  /** Ends event streams and waiting requests. */
  close(): void;
}

/** The delivery service's routes under /v1 and the app's files everywhere else. */
export function createApp(parts: ServiceParts, files: StaticFiles): App {
  const service = new Service(parts);
  const app = new Hono();

  app.use(async (context, next) => {
    await next();
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) context.header(name, value);
  });
  app.use('/v1/*', async (context: Context, next) => {
    service.rates.address.take(service.addressOf(context));
    await next();
  });
  for (const routes of [
    accountRoutes,
    deviceRoutes,
    recoveryRoutes,
    groupRoutes,
    keyPackageRoutes,
    sequenceRoutes,
    blobRoutes,
    linkRoutes,
  ]) {
    app.route('/v1', routes(service));
  }
  app.all('/v1/*', () => {
    throw new Refusal('malformed');
  });
  app.get('*', (context) => files(new URL(context.req.url).pathname, context.req.raw.headers));

  app.onError((error) => {
    if (error instanceof Refusal) return problemResponse(error);
    console.error(error);
    return problemResponse(new Refusal('internal', { retryAfter: RETRY_AFTER_FAULT }));
  });
  return { fetch: app.fetch, close: () => service.close() };
}
