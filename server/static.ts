import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname, join, relative, sep } from 'node:path';
import { gzipSync } from 'node:zlib';

/** Serves the built app. All of it is read at the start, so a path can name nothing else on the disk. */

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.webmanifest': 'application/manifest+json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};
const COMPRESSIBLE = new Set(['.html', '.js', '.css', '.json', '.webmanifest', '.svg', '.txt']);

/**
 * Nothing inline, nothing from elsewhere, nobody's frame; and no text that becomes markup or a script's address but by one
 * of two policies: Svelte's, which makes templates of the app's own markup, and the one that lets `/sw.js` alone be a worker.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "font-src 'self'",
  "connect-src 'self'",
  "manifest-src 'self'",
  "worker-src 'self'",
  "media-src 'self' blob:",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  'trusted-types svelte-trusted-html chorus-worker',
].join('; ');

/** Headers of every response, the API's included. The camera is for scanning link codes. */
export const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'Content-Security-Policy': CONTENT_SECURITY_POLICY,
  'X-Content-Type-Options': 'nosniff',
  'Referrer-Policy': 'no-referrer',
  'Permissions-Policy': 'camera=(self), microphone=(), geolocation=(), payment=(), usb=(), browsing-topics=()',
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

interface StaticFile {
  readonly type: string;
  readonly cache: string;
  readonly etag: string;
  readonly bytes: Uint8Array<ArrayBuffer>;
  readonly gzip: Uint8Array<ArrayBuffer> | undefined;
}

/** Vite's names carry a hash of the content: `assets/index-Bx3f9a1c.js`. */
const HASHED = /^\/assets\/.+-[\w-]{8,}\.\w+$/;

function load(path: string, name: string): StaticFile {
  const bytes = new Uint8Array(readFileSync(path));
  const extension = extname(path);
  const packed = COMPRESSIBLE.has(extension) ? new Uint8Array(gzipSync(bytes)) : undefined;
  return {
    type: TYPES[extension] ?? 'application/octet-stream',
    cache: HASHED.test(name) ? 'public, max-age=31536000, immutable' : 'no-cache', // index.html, sw.js and the like are asked for anew
    etag: `"${createHash('sha256').update(bytes).digest('base64url')}"`,
    bytes,
    gzip: packed !== undefined && packed.length < bytes.length ? packed : undefined,
  };
}

/** Answers a GET for a file of the app; a path without an extension is a place within the app and gets index.html. */
export type StaticFiles = (pathname: string, headers: Headers) => Response;

/** Reads `folder`; it may be missing, then every path is unknown. */
export function staticFiles(folder: string): StaticFiles {
  const files = new Map<string, StaticFile>();
  const entries = existsSync(folder) ? readdirSync(folder, { recursive: true, withFileTypes: true }) : [];
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const name = `/${relative(folder, path).split(sep).join('/')}`;
    files.set(name, load(path, name));
  }
  return (pathname, headers) => {
    const file = files.get(pathname) ?? (extname(pathname) === '' ? files.get('/index.html') : undefined);
    if (file === undefined) return new Response('Not found\n', { status: 404, headers: { 'Content-Type': 'text/plain; charset=utf-8' } });
    const common = { 'Content-Type': file.type, 'Cache-Control': file.cache, ETag: file.etag, Vary: 'Accept-Encoding' };
    if (headers.get('If-None-Match') === file.etag) return new Response(null, { status: 304, headers: common });
    const takesGzip = /\bgzip\b/.test(headers.get('Accept-Encoding') ?? '');
    return file.gzip !== undefined && takesGzip
      ? new Response(file.gzip, { headers: { ...common, 'Content-Encoding': 'gzip' } })
      : new Response(file.bytes, { headers: common });
  };
}
