import { spawn } from 'node:child_process';
import { ensureBuilt } from './build/build.ts';
import { SERVER_ENTRY } from './build/layout.ts';

// `npm start`: the production build, made first where it is missing or older than the sources.
const started = Date.now();
if (await ensureBuilt()) console.log(`Built in ${((Date.now() - started) / 1000).toFixed(1)} s.`);

const server = spawn(process.execPath, [SERVER_ENTRY], { stdio: 'inherit', env: { ...process.env, NODE_ENV: 'production' } });
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => server.kill(signal));
server.on('exit', (code, signal) => process.exit(code ?? (signal === null ? 1 : 0)));
