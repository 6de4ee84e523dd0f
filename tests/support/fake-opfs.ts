import type { RootDirectory } from '../../src/store/opfs-roots.ts';

type RootFile = Awaited<ReturnType<RootDirectory['getFileHandle']>>;

/** An origin private file system in memory, with the swap files and the locks that Chromium has. */
export class FakeDirectory implements RootDirectory {
  readonly files: Map<string, Uint8Array>;
  /** Names that do not open and cannot be deleted, as after a crash of the browser. */
  readonly damaged = new Set<string>();
  /** Called before anything is done; what it throws is thrown instead. */
  before: () => void | Promise<void> = () => undefined;
  /** Swap files that somebody writes into. */
  readonly #open = new Set<string>();
  /** What `close` makes of the bytes written. */
  stored: (bytes: Uint8Array) => Uint8Array = (bytes) => bytes;

  /** Empty, or as another is now. */
  constructor(copied?: FakeDirectory) {
    this.files = new Map(copied?.files);
  }

  async *keys(): AsyncGenerator<string> {
    await this.before();
    for (const name of [...this.files.keys()]) yield await Promise.resolve(name);
  }

  async getFileHandle(name: string, options: { readonly create: boolean } = { create: false }): Promise<RootFile> {
    await this.#ask(name);
    if (!this.files.has(name)) {
      if (!options.create) throw new DOMException('none', 'NotFoundError');
      this.files.set(name, new Uint8Array());
    }
    return {
      getFile: async () => {
        await this.#ask(name);
        const content = this.#content(name);
        return { size: content.length, arrayBuffer: () => Promise.resolve(content.buffer) };
      },
      createWritable: () => this.createWritable(name),
    };
  }

  async removeEntry(name: string): Promise<void> {
    await this.#ask(name);
    this.#content(name);
    if ([...this.#open].some((swap) => swap === name || swap.startsWith(`${name}.`)))
      throw new DOMException('locked', 'NoModificationAllowedError');
    this.files.delete(name);
  }

  async createWritable(name: string): ReturnType<RootFile['createWritable']> {
    await this.#ask(name);
    let swap = `${name}.crswap`;
    for (let i = 1; this.files.has(swap); i++) swap = `${name}.${i}.crswap`;
    this.files.set(swap, new Uint8Array());
    this.#open.add(swap);
    return {
      write: async (bytes) => {
        await this.#ask(name);
        this.files.set(swap, new Uint8Array([...this.#content(swap), ...bytes]));
      },
      close: async () => {
        await this.#ask(name);
        this.files.set(name, this.stored(this.#content(swap)));
        this.#forget(swap);
      },
      abort: async () => {
        await this.#ask(name);
        this.#forget(swap);
      },
    };
  }

  /** The browser is started anew after it was killed: what was open is left as it was. */
  restart(): void {
    this.before = () => undefined;
    this.unlock();
  }

  /** Whoever was writing is gone. */
  unlock(): void {
    this.#open.clear();
  }

  async #ask(name: string): Promise<void> {
    await this.before();
    if (this.damaged.has(name)) throw new DOMException('damaged', 'NotReadableError');
  }

  #content(name: string): Uint8Array<ArrayBuffer> {
    const content = this.files.get(name);
    if (content === undefined) throw new DOMException('none', 'NotFoundError');
    return content.slice();
  }

  #forget(swap: string): void {
    this.files.delete(swap);
    this.#open.delete(swap);
  }
}
