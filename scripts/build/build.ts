import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { createBuilder } from 'vite';
import { DIST, ROOT } from './layout.ts';

/** Everything that a build's outcome depends on. */
const SOURCES = ['index.html', 'package-lock.json', 'public', 'scripts/build', 'server', 'src', 'sw', 'tsconfig.json', 'vite.config.ts'];

const STAMP = join(DIST, 'built-from');

/** Builds app, worker and server into `dist/`. */
export async function build(): Promise<void> {
  const from = sourceHash();
  rmSync(DIST, { recursive: true, force: true });
  process.env['NODE_ENV'] = 'production';
  const builder = await createBuilder({ root: ROOT, logLevel: 'warn', mode: 'production' });
  await builder.buildApp();
  writeFileSync(STAMP, from);
}

/** Builds unless `dist/` was made from exactly these sources. Returns whether it built. */
export async function ensureBuilt(): Promise<boolean> {
  if (existsSync(STAMP) && readFileSync(STAMP, 'utf8') === sourceHash()) return false;
  await build();
  return true;
}

/** A hash over paths and contents: modification times say nothing after a checkout. */
function sourceHash(): string {
  const hash = createHash('sha256');
  for (const source of SOURCES) {
    for (const file of filesOf(source)) {
      const content = readFileSync(join(ROOT, file));
      hash.update(`${file}\0${content.length}\0`).update(content);
    }
  }
  return hash.digest('hex');
}

function filesOf(source: string): string[] {
  const path = join(ROOT, source);
  if (!existsSync(path)) return [];
  if (!statSync(path).isDirectory()) return [source];
  return readdirSync(path)
    .sort()
    .flatMap((name) => filesOf(join(source, name)));
}
