import { Secret, toHex } from '../bytes/index.ts';
import { asStoreError } from './errors.ts';

/**
 * Where the root lies: the one key above all others of the store. It has a place of its own that can
 * be deleted as a whole, since a record deleted from a database stays in its files for a long time.
 * Any number of roots may lie there: the one that counts is the one that the main database names,
 * every other one is a leftover of a first start or an advance that was cut off.
 */
export interface RootKeyStore {
  readonly home: RootHome;
  /** Makes a random root; resolves when it is written. Returns its name. @throws StoreError */
  create(): Promise<string>;
  /** The root, for the caller to wipe; undefined when there is none of that name, or no root in its place. @throws StoreError */
  load(name: string): Promise<Secret<'store-root'> | undefined>;
  /** Deletes every root but this one. One that cannot be deleted now stays for the next time. */
  retainOnly(name: string | undefined): Promise<void>;
}

export type RootHome = 'bucket' | 'opfs' | 'database';

/** What a home does with roots by their names. Anything may fail, by the browser's errors. */
export interface RootShelf {
  /** All that lies there; what else is there is told by its name. */
  names(): Promise<readonly string[]>;
  /** Under a name that was never there before; resolves when it would be read by the next start. */
  write(name: string, root: Uint8Array<ArrayBuffer>): Promise<void>;
  /** Whatever lies in the place of a root. */
  read(name: string): Promise<unknown>;
  remove(name: string): Promise<void>;
}

export const ROOT_LENGTH = 32; // bytes
/** Random: two contexts at their first start must not share one, and a new root never takes an old one's place. */
const NAME_LENGTH = 8; // bytes
const PREFIX = 'chorus-root-';
const NAME = /^chorus-root-[0-9a-f]{16}$/;

/** @param isLeftover Names what may lie on the shelf beside roots, and is to go with the old ones. */
export function rootKeyStore(home: RootHome, shelf: RootShelf, isLeftover: (name: string) => boolean = () => false): RootKeyStore {
  async function create(): Promise<string> {
    const name = PREFIX + toHex(crypto.getRandomValues(new Uint8Array(NAME_LENGTH)));
    const root = crypto.getRandomValues(new Uint8Array(ROOT_LENGTH));
    try {
      await shelf.write(name, root);
      return name;
    } catch (error) {
      await shelf.remove(name).catch(() => undefined); // if it cannot go now: nobody names it
      throw asStoreError(error, 'unavailable');
    } finally {
      root.fill(0);
    }
  }

  async function load(name: string): Promise<Secret<'store-root'> | undefined> {
    try {
      if (!NAME.test(name) || !(await shelf.names()).includes(name)) return undefined; // opening would make an empty one
      const root = await shelf.read(name);
      return root instanceof Uint8Array && root.length === ROOT_LENGTH ? Secret.of('store-root', root) : undefined;
    } catch (error) {
      throw asStoreError(error, 'unavailable');
    }
  }

  async function retainOnly(name: string | undefined): Promise<void> {
    const names = await shelf.names().catch(() => []);
    const others = names.filter((other) => other !== name && (NAME.test(other) || isLeftover(other)));
    await Promise.allSettled(others.map((other) => shelf.remove(other)));
  }

  return { home, create, load, retainOnly };
}
