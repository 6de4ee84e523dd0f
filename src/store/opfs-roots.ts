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

/** What Chromium writes into until `close`. A browser that is killed meanwhile leaves it, with the whole root in it. */
const SWAP_FILE = /\.crswap$/;

/**
 * A file per root: deleting it deletes it from the disk, however full of other databases the origin is. A
 * root has a new name each time and its file is written once, so that old and new lie side by side until
 * the database names the new one. `close` puts the whole file in its place or nothing; cut off before, what is
 * there is an empty file and a swap file, neither of which counts. What another context is writing just
 * now cannot be deleted: the browser holds it locked.
 *
 * Browsers do not promise that a closed file has reached the disk. A killed browser loses nothing; a machine
 * whose power fails within seconds after a sweep may lose the root, as if the browser had deleted it.
 */
export function opfsRootKeyStore(directory: () => Promise<RootDirectory>): RootKeyStore {
  const shelf: RootShelf = {
    names: async () => {
      const names: string[] = [];
      for await (const name of (await directory()).keys()) names.push(name);
      return names;
    },
    write: async (name, root) => {
      const file = await (await directory()).getFileHandle(name, { create: true });
      const writable = await file.createWritable();
      try {
        await writable.write(root);
        await writable.close();
      } catch (error) {
        await writable.abort().catch(() => undefined); // and with it the swap file
        throw error;
      }
      const written = await contentOf(file);
      const same = written !== undefined && equal(written, root);
      written?.fill(0);
      if (!same) throw new StoreError('unavailable');
    },
    read: async (name) => contentOf(await (await directory()).getFileHandle(name)),
    remove: async (name) => (await directory()).removeEntry(name),
  };
  return rootKeyStore('opfs', shelf, (name) => SWAP_FILE.test(name));
}

/** Undefined when the file is not as long as a root: it is none then. */
async function contentOf(handle: RootFile): Promise<Uint8Array | undefined> {
  const file = await handle.getFile();
  return file.size === ROOT_LENGTH ? new Uint8Array(await file.arrayBuffer()) : undefined;
}
