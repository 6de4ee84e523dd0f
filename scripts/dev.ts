import { spawn } from 'node:child_process';
import { createServer } from 'vite';
import { ROOT } from './build/layout.ts';

// `npm run dev`: the app from Vite's development server, the API from server/main.ts, restarted when it changes.
const apiPort = process.env['PORT'] ?? '8787';
const api = spawn(process.execPath, ['--import', 'tsx', '--watch', 'server/main.ts'], {
  cwd: ROOT,
  stdio: 'inherit',
  env: { ...process.env, PORT: apiPort },
});
const vite = await createServer({
  root: ROOT,
  server: { port: 5173, strictPort: true, proxy: { '/v1': `http://localhost:${apiPort}` } },
});
await vite.listen();
vite.printUrls();

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.on(signal, () => {
    api.kill(signal);
    void vite.close().finally(() => process.exit(0));
  });
}
