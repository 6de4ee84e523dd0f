import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Plugin } from 'vite';

/** One file of the app that the service worker keeps for offline use; the form workbox-precaching takes. */
export interface PrecacheEntry {
  readonly url: string;
  /** Hash of the content, or null where the file's name already holds one. */
  readonly revision: string | null;
}

/** What `sw/` writes where the list belongs. */
export const PRECACHE_PLACEHOLDER = 'self.__PRECACHE__';

/** Vite puts content-hashed files in `assets/`; every other name can be served with new content. */
const HASHED = /^assets\/.+-[\w-]{8}\.\w+$/;

/** Files of a built app in a stable order: all but the worker itself, whose update the browser checks. */
export function precacheEntries(directory: string): PrecacheEntry[] {
  return readdirSync(directory, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1))
    .filter((file) => file !== 'sw.js')
    .sort()
    .map((file) => ({
      url: `/${file}`,
      revision: HASHED.test(file)
        ? null
        : createHash('sha256')
            .update(readFileSync(join(directory, file)))
            .digest('hex')
            .slice(0, 16),
    }));
}

/** Writes the list of the built app's files into the worker, so that a change of any of them makes a new worker. */
export function precache(entries: () => readonly PrecacheEntry[]): Plugin {
  return {
    name: 'chorus:precache',
    transform: (code) =>
      code.includes(PRECACHE_PLACEHOLDER) ? { code: code.replaceAll(PRECACHE_PLACEHOLDER, JSON.stringify(entries())), map: null } : null,
  };
}
