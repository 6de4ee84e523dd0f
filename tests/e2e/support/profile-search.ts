import { createDecipheriv, hkdfSync } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { Page } from '@playwright/test';
import { utf8 } from '../../../src/bytes/index.ts';
import { encode } from '../../../src/wire/index.ts';
import { rounds } from '../../support/rounds.ts';
import type { Device } from './device.ts';

/** What somebody finds who has a copy of a browser's profile folder, and knows all that the store's database ever held. */

/** A sealed value of the database `chorus`, and where it lay (`src/store/sealing.ts`). */
export interface Sealed {
  readonly store: 'records' | 'keys';
  /** A record's path, or a key's `scope@number`. */
  readonly path: string;
  readonly rootGeneration: number;
  readonly nonce: Buffer;
  readonly ciphertext: Buffer;
}

/** Every sealed value of the device's store as it is now. */
export async function sealedIn(page: Page): Promise<Sealed[]> {
  const found = await page.evaluate(async () => {
    const done = <Value>(request: IDBRequest<Value>): Promise<Value> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(new Error(String(request.error)));
      });
    const database = await done(indexedDB.open('chorus'));
    const all: { store: 'records' | 'keys'; path: string; rootGeneration: number; nonce: number[]; ciphertext: number[] }[] = [];
    // Asked in one transaction: the device goes on working.
    const transaction = database.transaction(['records', 'keys']);
    for (const store of ['records', 'keys'] as const) {
      const place = transaction.objectStore(store);
      const [names, values] = await Promise.all([done(place.getAllKeys()), done(place.getAll())]);
      names.forEach((name, index) => {
        const { rootGeneration, nonce, ciphertext } = values[index] as {
          rootGeneration: number;
          nonce: Uint8Array;
          ciphertext: Uint8Array;
        };
        const path = Array.isArray(name) ? (name as string[]).join('@') : (name as string);
        all.push({ store, path, rootGeneration, nonce: [...nonce], ciphertext: [...ciphertext] });
      });
    }
    database.close();
    return all;
  });
  return found.map(({ nonce, ciphertext, ...place }) => ({ ...place, nonce: Buffer.from(nonce), ciphertext: Buffer.from(ciphertext) }));
}

/** The plaintext under this key; undefined when it is not the right one. */
export function openWith(key: Uint8Array, { store, path, rootGeneration, nonce, ciphertext }: Sealed): Buffer | undefined {
  const decipher = createDecipheriv('aes-256-gcm', key, nonce);
  decipher.setAAD(
    encode((writer) => {
      for (const text of ['Chorus sealed value 1', 'chorus', store, path]) writer.opaque(utf8(text));
      writer.uint32(rootGeneration);
    }),
  );
  decipher.setAuthTag(ciphertext.subarray(-16));
  try {
    return Buffer.concat([decipher.update(ciphertext.subarray(0, -16)), decipher.final()]);
  } catch {
    return undefined;
  }
}

/** The key that a root, with the app lock's factor if it is on, seals scopes' keys under. */
export function wrappingKeyOf(root: Uint8Array, factor: Uint8Array = new Uint8Array()): Buffer {
  return Buffer.from(hkdfSync('sha256', root, factor, 'Chorus store wrapping key 1', 32));
}

/** A copy of a profile folder as it lies on the disk while the browser runs. */
export async function copyOf({ profile }: Pick<Device, 'profile'>): Promise<string> {
  const copy = await mkdtemp(join(tmpdir(), 'chorus-copy-'));
  await cp(profile, copy, { recursive: true, filter: (path) => !path.includes('Singleton') });
  return copy;
}

/** Long rounds look at every file; a test leaves out what the browser keeps of the network: the app's own files. */
export const LEFT_OUT = rounds({ test: 0, soak: 1 }) === 1 ? undefined : /ScriptCache|CacheStorage|Cache_Data/;

export interface Search {
  readonly files: number;
  readonly bytes: number;
  readonly windows: number;
}

/** Names of the buckets that roots lie in; unlike `rootsIn` also while the device sweeps. */
export function rootNamesIn(page: Page): Promise<string[]> {
  return page.evaluate(() => (navigator as Navigator & { storageBuckets: { keys(): Promise<string[]> } }).storageBuckets.keys());
}

/** The roots that lie in the browser's storage, by the buckets' names. */
export async function rootsIn(page: Page): Promise<Map<string, Buffer>> {
  const found = await page.evaluate(async () => {
    const { storageBuckets } = navigator as Navigator & {
      storageBuckets: { keys(): Promise<string[]>; open(name: string): Promise<{ indexedDB: IDBFactory }> };
    };
    const done = <Value>(request: IDBRequest<Value>): Promise<Value> =>
      new Promise((resolve, reject) => {
        request.onsuccess = () => resolve(request.result);
        request.onerror = () => reject(new Error(String(request.error)));
      });
    const roots: [string, number[]][] = [];
    for (const name of await storageBuckets.keys()) {
      const database = await done((await storageBuckets.open(name)).indexedDB.open('root'));
      roots.push([name, [...(await done(database.transaction('root').objectStore('root').get('key') as IDBRequest<Uint8Array>))]]);
      database.close();
    }
    return roots;
  });
  return new Map(found.map(([name, root]) => [name, Buffer.from(root)]));
}

/** All files of the origin private file system, those that are being written included. */
export async function filesInOpfs(page: Page): Promise<Map<string, Buffer>> {
  const found = await page.evaluate(async () => {
    const files: [string, number[]][] = [];
    for await (const [name, handle] of await navigator.storage.getDirectory()) {
      const file = await (handle as FileSystemFileHandle).getFile();
      files.push([name, [...new Uint8Array(await file.arrayBuffer())]]);
    }
    return files;
  });
  return new Map(found.map(([name, content]) => [name, Buffer.from(content)]));
}

/** Every file of a profile, the browser's caches included, in which these bytes lie. */
export function filesWith(folder: string, bytes: Buffer): string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name))
    .filter((path) => contentOf(path)?.includes(bytes) === true)
    .map((path) => relative(folder, path));
}

/** The same of a text, in either of the forms that a browser writes down. */
export function filesWithText(folder: string, text: string): string[] {
  return (['utf8', 'utf16le'] as const).flatMap((form) => filesWith(folder, Buffer.from(text, form)));
}

/**
 * Shows `look` every 32 bytes in a row, at any place of any file, that may be a random key. Left out are rows that a
 * random one is with a chance below 2^-32: fewer than 20 different bytes, or ASCII alone. The rest is each looked at once,
 * until `look` says that it is enough. Files with `leaveOut` in their path are not read.
 */
export function searchProfile(folder: string, leaveOut: RegExp | undefined, look: (window: Buffer, file: string) => boolean): Search {
  Error.stackTraceLimit = 0; // a million keys do not fit, and each says so by an error
  const seen = new Set<string>();
  let [files, bytes] = [0, 0];
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    if (leaveOut?.test(path) === true) continue;
    const content = contentOf(path);
    if (content === undefined) continue;
    files += 1;
    bytes += content.length;
    const counts = new Uint16Array(256);
    let [different, high] = [0, 0];
    for (let i = 0; i < content.length; i++) {
      const byte = content[i]!;
      if (counts[byte]!++ === 0) different += 1;
      if (byte >= 0x80) high += 1;
      if (i >= 32) {
        const out = content[i - 32]!;
        if (--counts[out]! === 0) different -= 1;
        if (out >= 0x80) high -= 1;
      }
      if (i < 31 || different < 20 || high === 0) continue;
      const window = content.subarray(i - 31, i + 1);
      const name = window.toString('latin1');
      if (seen.has(name)) continue;
      seen.add(name);
      if (look(window, relative(folder, path))) return { files, bytes, windows: seen.size };
    }
  }
  return { files, bytes, windows: seen.size };
}

/** Undefined when it is gone: the browser may be running, and deletes files of its own. */
function contentOf(path: string): Buffer | undefined {
  try {
    return readFileSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
