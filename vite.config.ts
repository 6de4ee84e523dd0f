import { join } from 'node:path';
import { svelte } from '@sveltejs/vite-plugin-svelte';
import { build, defineConfig, type EnvironmentOptions, type Plugin } from 'vite';
import { APP, DIST, moduleReportFile, ROOT } from './scripts/build/layout.ts';
import { moduleReport } from './scripts/build/module-report.ts';
import { precache, precacheEntries } from './scripts/build/precache.ts';

/** Chromium is what Chorus is tested in; nothing older is promised. */
const TARGET = 'es2023';

/** The worker is one classic script: `import()` is barred in a service worker, and one file is updated as a whole. */
const worker: EnvironmentOptions = {
  consumer: 'client',
  build: {
    target: TARGET,
    outDir: APP,
    emptyOutDir: false,
    copyPublicDir: false,
    modulePreload: false,
    rolldownOptions: {
      input: join(ROOT, 'sw/worker.ts'),
      output: { format: 'iife', codeSplitting: false, entryFileNames: 'sw.js' },
    },
  },
};

const server: EnvironmentOptions = {
  consumer: 'server',
  resolve: { noExternal: [], external: true },
  build: {
    target: 'node20',
    outDir: join(DIST, 'server'),
    copyPublicDir: false,
    ssr: true,
    minify: false,
    rolldownOptions: { input: join(ROOT, 'server/main.ts'), output: { format: 'es', entryFileNames: '[name].js' } },
  },
};

/** The plugins for one of the three builds alone. */
const only = (environment: string, plugins: readonly Plugin[]): Plugin[] =>
  plugins.map((plugin) => ({ ...plugin, applyToEnvironment: ({ name }) => name === environment }));

/** In development `/sw.js` is bundled afresh for every request, without a precache list: pages come from the server. */
const workerInDevelopment: Plugin = {
  name: 'chorus:worker-in-development',
  apply: 'serve',
  configureServer(dev) {
    dev.middlewares.use('/sw.js', (_request, response, next) => {
      build({
        configFile: false,
        root: ROOT,
        logLevel: 'warn',
        plugins: [precache(() => [])],
        build: { ...worker.build, write: false, minify: false, sourcemap: 'inline' },
      })
        .then((result) => {
          const outputs = Array.isArray(result) ? result : 'output' in result ? [result] : [];
          const script = outputs.flatMap(({ output }) => output).find((output) => output.type === 'chunk');
          response.setHeader('Content-Type', 'text/javascript');
          response.setHeader('Cache-Control', 'no-store');
          response.end(script?.code);
        })
        .catch(next);
    });
  },
};

export default defineConfig({
  root: ROOT,
  plugins: [
    svelte({ configFile: false }),
    only('client', [moduleReport(ROOT, moduleReportFile('app'))]),
    only('worker', [moduleReport(ROOT, moduleReportFile('worker')), precache(() => precacheEntries(APP))]),
    only('server', [moduleReport(ROOT, moduleReportFile('server'))]),
    workerInDevelopment,
  ],
  environments: {
    client: {
      build: {
        target: TARGET,
        outDir: APP,
        // No inline script and no inlined file: the server's Content-Security-Policy allows neither.
        modulePreload: { polyfill: false },
        assetsInlineLimit: 0,
        rolldownOptions: { input: join(ROOT, 'index.html') },
      },
    },
    worker,
    server,
  },
  builder: {
    // In this order: the worker's precache list is made of the built app.
    async buildApp(builder) {
      for (const name of ['client', 'worker', 'server']) {
        const environment = builder.environments[name];
        if (environment === undefined) throw new Error(`no build named ${name}`);
        await builder.build(environment);
      }
    },
  },
});
