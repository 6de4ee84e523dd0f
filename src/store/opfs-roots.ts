import { equal } from '../bytes/index.ts';
import { StoreError } from './errors.ts';
import { ROOT_LENGTH, rootKeyStore, type RootKeyStore, type RootShelf } from './root-key-store.ts';

/** The parts of the origin private file system in use (`navigator.storage.getDirectory`). */
export interface RootDirectory {
  keys(): AsyncIterable<string>;
  /** @throws DOMException 'NotFoundError' unless it is there, or to be made */
  getFileHandle(name: string, options?: { readonly create: boolean }): Promise<RootFile>;
  removeEntry(name: string): Promise<void>;
}

interface RootFile {
  getFile(): Promise<Pick<Blob, 'size' | 'arrayBuffer'>>;
  createWritable(): Promise<RootWritable>;
}

interface RootWritable {
  write(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Only now the file has the bytes, and all of them. */
  close(): Promise<void>;
  abort(): Promise<void>;
}

/** What Chromium writes into until `close`. A browser that is killed meanwhile leaves it, with all that was written in it. */
const SWAP_FILE = /\.crswap$/;
const HALF = /-[12]$/;

/**
 * Two files per root, whose XOR it is: deleting them deletes it from the disk, however full of other databases the origin
 * is. Two, because Chromium strikes a file from its directory before it deletes it, and a browser that is killed between
 * leaves bytes that no page can name any more. One half says nothing about the root; both stay behind only if
 * two kills in a row meet that moment, for the same root.
 *
 * A root has a new name each time and its files are written once, so that old and new lie side by side until
 * the database names the new one. `close` puts the whole file in its place or nothing; cut off before, what is
 * there is an empty file and a swap file, neither of which counts. What another context is writing just
 * now cannot be deleted: the browser holds it locked.
 *
 * Browsers do not promise that a closed file has reached the disk. A killed browser loses nothing; a machine
 * whose power fails within seconds after a sweep may lose the root, as if the browser had deleted it.
 */
export function opfsRootKeyStore(directory: () => Promise<RootDirectory>): RootKeyStore {
  async function filesNow(): Promise<string[]> {
    const names: string[] = [];
    for await (const name of (await directory()).keys()) names.push(name);
    return names;
  }

  const shelf: RootShelf = {
    names: async () => [...new Set((await filesNow()).map((name) => name.replace(HALF, '')))],
    write: async (name, root) => {
      const first = crypto.getRandomValues(new Uint8Array(ROOT_LENGTH));
      const second = xor(root, first);
      const place = await directory();
      try {
        await writeFile(place, `${name}-1`, first);
        await writeFile(place, `${name}-2`, second);
      } finally {
        first.fill(0);
        second.fill(0);
      }
    },
    read: async (name) => {
      const place = await directory();
      const there = await filesNow();
      const [first, second] = await Promise.all(
        [`${name}-1`, `${name}-2`].map(async (half) => (there.includes(half) ? contentOf(await place.getFileHandle(half)) : undefined)),
      );
      const root = first !== undefined && second !== undefined ? xor(first, second) : undefined;
      first?.fill(0);
      second?.fill(0);
      return root;
    },
    remove: async (name) => {
      const place = await directory();
      const files = (await filesNow()).filter((file) => file.replace(HALF, '') === name);
      // One after the other: a kill is in the middle of one at most. The second half first: while it is being written both stay.
      for (const file of files.sort().reverse()) await place.removeEntry(file);
    },
  };
  return rootKeyStore('opfs', shelf, (name) => SWAP_FILE.test(name));
}

async function writeFile(place: RootDirectory, name: string, bytes: Uint8Array<ArrayBuffer>): Promise<void> {
  const file = await place.getFileHandle(name, { create: true });
  const writable = await file.createWritable();
  try {
    await writable.write(bytes);
    await writable.close();
  } catch (error) {
    await writable.abort().catch(() => undefined); // and with it the swap file
    throw error;
  }
  const written = await contentOf(file);
  const same = written !== undefined && equal(written, bytes);
  written?.fill(0);
  if (!same) throw new StoreError('unavailable');
}

/** Undefined when the file is not as long as a root: it is no half of one then. */
async function contentOf(handle: RootFile): Promise<Uint8Array | undefined> {
  const file = await handle.getFile();
  return file.size === ROOT_LENGTH ? new Uint8Array(await file.arrayBuffer()) : undefined;
}

function xor(a: Uint8Array, b: Uint8Array): Uint8Array<ArrayBuffer> {
  return new Uint8Array(ROOT_LENGTH).map((_, index) => a[index]! ^ b[index]!);
}
