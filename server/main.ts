import { readTrustProxy } from './client-address.ts';
import { DataProblem } from './data-problem.ts';
import { startServer } from './start.ts';

/** `npm start`: the settings come from the environment alone. */
const host = process.env['HOST'];
const consistency = process.env['DELIVERY'] ?? 'strong';
if (consistency !== 'strong' && consistency !== 'eventual') throw new Error("DELIVERY is 'strong' or 'eventual'");
const server = await startServer({
  port: Number(process.env['PORT'] ?? 8787),
  ...(host === undefined ? {} : { host }),
  trustedProxies: readTrustProxy(process.env['TRUST_PROXY']),
  dataDir: process.env['DATA_DIR'] ?? './data',
  appDir: process.env['APP_DIR'] ?? 'dist/app',
  consistency,
}).catch((error: unknown) => {
  if (!(error instanceof DataProblem)) throw error;
  console.error(`Chorus does not start. ${error.message} Nothing has been changed.`);
  process.exit(1);
});
console.log(`Chorus is running at ${server.url}`);

let stopping = false;
for (const signal of ['SIGTERM', 'SIGINT'] as const) {
  process.on(signal, () => {
    if (stopping) return;
    stopping = true;
    void server.close().then(() => process.exit(0));
  });
}
