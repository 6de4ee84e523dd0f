import { cloned, copyOf, KeyRange, sortKey, View, type Data, type Key, type Query, type Row, type Rows, type Written } from './idb-data.ts';
import type { Actor, Scheduler } from './scheduler.ts';

/**
 * IndexedDB and Storage Buckets as far as the store uses them, over virtual time. What a transaction writes is nowhere
 * until it commits, and then all of it is there: whoever dies in the middle has written nothing, whoever dies between the
 * commit and the complete event has written all of it and does not know. Every request and every commit is a moment to die.
 */

type Listener = (event: VirtualEvent) => void;

interface VirtualEvent {
  readonly type: string;
  readonly target: unknown;
  readonly oldVersion: number;
  readonly newVersion: number | null;
}

class Target {
  readonly #listeners = new Map<string, Set<Listener>>();

  addEventListener(type: string, listener: Listener): void {
    this.#listeners.set(type, (this.#listeners.get(type) ?? new Set()).add(listener));
  }

  removeEventListener(type: string, listener: Listener): void {
    this.#listeners.get(type)?.delete(listener);
  }

  fire(type: string, oldVersion = 0, newVersion: number | null = null): void {
    for (const listener of [...(this.#listeners.get(type) ?? [])]) listener({ type, target: this, oldVersion, newVersion });
  }
}

class Request extends Target {
  result: unknown = undefined;
  error: DOMException | null = null;
  readonly transaction = null;

  succeed(result: unknown): void {
    this.result = result;
    this.fire('success');
  }

  fail(name: string): void {
    this.error = new DOMException('', name);
    this.fire('error');
  }
}

/** A transaction that has just written. */
export interface Commit {
  readonly actor: Actor;
  readonly database: string;
  /** Those written to. */
  readonly stores: readonly string[];
  /** Takes it back, if nothing was committed since. */
  readonly undo: () => void;
}

/** What a database needs to know of whom it belongs to. */
export interface Home {
  readonly scheduler: Scheduler;
  readonly isFull: () => boolean;
  /** What was to be written was too much. */
  readonly refused: () => void;
  readonly committed: (commit: Commit) => void;
}

/** A database of a profile, and everything that is open to it. */
class Database {
  readonly name: string;
  readonly home: Home;
  readonly data: Data;
  readonly connections = new Set<Connection>();
  /** Not finished, in the order in which they were made. */
  readonly transactions: Transaction[] = [];

  constructor(name: string, home: Home, data: Data = { version: 0, stores: new Map() }) {
    this.name = name;
    this.home = home;
    this.data = data;
  }

  /** Every transaction that no earlier one is in the way of. */
  startNext(): void {
    for (const transaction of this.transactions) transaction.start();
  }

  finished(transaction: Transaction): void {
    const index = this.transactions.indexOf(transaction);
    if (index >= 0) this.transactions.splice(index, 1);
    this.startNext();
  }

  died(actor: Actor): void {
    for (const connection of this.connections) if (connection.actor === actor) this.connections.delete(connection);
    for (const transaction of this.transactions.filter(({ connection }) => connection.actor === actor)) transaction.vanish();
  }
}

class Connection extends Target {
  readonly actor: Actor;
  readonly database: Database;
  /** Object stores that its upgrade is making. */
  readonly making: string[] = [];

  constructor(actor: Actor, database: Database) {
    super();
    this.actor = actor;
    this.database = database;
    database.connections.add(this);
  }

  createObjectStore(name: string): void {
    this.making.push(name);
  }

  transaction(names: string | readonly string[], mode: 'readonly' | 'readwrite' = 'readonly'): Transaction {
    if (!this.database.connections.has(this)) throw new DOMException('closed', 'InvalidStateError');
    const wanted = typeof names === 'string' ? [names] : names;
    if (wanted.some((name) => !this.database.data.stores.has(name))) throw new DOMException('no such store', 'NotFoundError');
    return new Transaction(this, wanted, mode);
  }

  close(): void {
    this.database.connections.delete(this);
  }
}

class Transaction extends Target {
  readonly connection: Connection;
  readonly objectStoreNames: readonly string[];
  readonly mode: 'readonly' | 'readwrite';
  error: DOMException | null = null;
  readonly #written: Written = new Map();
  readonly #requests: { readonly request: Request; readonly work: () => unknown }[] = [];
  /** The event in which requests may be made. */
  #activeIn: number;
  #state: 'waiting' | 'running' | 'finished' = 'waiting';

  constructor(connection: Connection, names: readonly string[], mode: 'readonly' | 'readwrite') {
    super();
    this.connection = connection;
    this.objectStoreNames = names;
    this.mode = mode;
    this.#activeIn = this.#scheduler.count;
    connection.database.transactions.push(this);
    this.start();
  }

  get #scheduler(): Scheduler {
    return this.connection.database.home.scheduler;
  }

  objectStore(name: string): ObjectStore {
    if (!this.objectStoreNames.includes(name)) throw new DOMException('not of this transaction', 'NotFoundError');
    return new ObjectStore(this, name);
  }

  view(store: string): View {
    return new View(this.connection.database.data.stores.get(store)!, this.written(store));
  }

  written(store: string): Map<string, Row | undefined> {
    const written = this.#written.get(store) ?? new Map<string, Row | undefined>();
    this.#written.set(store, written);
    return written;
  }

  /** Begins unless one before it is in the way: of an overlapping scope, and one of the two writes. */
  start(): void {
    if (this.#state !== 'waiting') return;
    const { transactions } = this.connection.database;
    const isInTheWay = (other: Transaction): boolean =>
      (other.mode === 'readwrite' || this.mode === 'readwrite') &&
      other.objectStoreNames.some((name) => this.objectStoreNames.includes(name));
    if (transactions.slice(0, transactions.indexOf(this)).some(isInTheWay)) return;
    this.#state = 'running';
    this.#soon(() => void this.#goOn());
  }

  ask(work: () => unknown, request = new Request()): Request {
    if (this.#state === 'finished' || this.#activeIn !== this.#scheduler.count) throw new DOMException('', 'TransactionInactiveError');
    this.#requests.push({ request, work });
    return request;
  }

  abort(): void {
    this.#abort(null);
  }

  /** Its worker is gone. */
  vanish(): void {
    this.#state = 'finished';
    this.connection.database.finished(this);
  }

  #soon(run: () => void): void {
    this.#scheduler.at(0, this.connection.actor, run);
  }

  /** The requests that there are; what follows from them may make more. When there is none left, the end. */
  async #goOn(): Promise<void> {
    if (this.#requests.length === 0) {
      await this.connection.actor.point('database');
      if (this.#state === 'running') this.#commit();
      return;
    }
    this.#activeIn = this.#scheduler.count;
    for (let left = this.#requests.length; left > 0; left -= 1) {
      await this.connection.actor.point('database');
      if (this.#state !== 'running') return;
      const next = this.#requests.shift();
      next?.request.succeed(next.work());
    }
    this.#soon(() => void this.#goOn());
  }

  #commit(): void {
    const { database, actor } = this.connection;
    const stores = [...this.#written].flatMap(([name, { size }]) => (size > 0 ? [name] : []));
    if (stores.length > 0 && database.home.isFull()) {
      database.home.refused();
      return this.#abort('QuotaExceededError');
    }
    this.#state = 'finished';
    if (stores.length > 0) database.home.committed({ actor, database: database.name, stores, undo: this.#merge() });
    database.finished(this);
    this.#soon(() => this.fire('complete'));
  }

  /** @returns what takes it back */
  #merge(): () => void {
    const { data } = this.connection.database;
    const undos = [...this.#written].map(([name, written]) => {
      const rows = data.stores.get(name)!;
      const before = new Map([...written.keys()].map((sorted) => [sorted, rows.get(sorted)]));
      write(rows, written);
      return () => write(rows, before);
    });
    return () => {
      for (const undo of undos) undo();
    };
  }

  #abort(reason: string | null): void {
    if (this.#state === 'finished') throw new DOMException('over', 'InvalidStateError');
    this.#state = 'finished';
    if (reason !== null) this.error = new DOMException('', reason);
    this.connection.database.finished(this);
    this.#soon(() => {
      for (const { request } of this.#requests.splice(0)) request.fail('AbortError');
      this.fire('abort');
    });
  }
}

function write(rows: Rows, written: ReadonlyMap<string, Row | undefined>): void {
  for (const [sorted, row] of written) {
    if (row === undefined) rows.delete(sorted);
    else rows.set(sorted, row);
  }
}

class ObjectStore {
  readonly #transaction: Transaction;
  readonly #name: string;

  constructor(transaction: Transaction, name: string) {
    this.#transaction = transaction;
    this.#name = name;
  }

  get(key: Key): Request {
    return this.#ask((view) => cloned(view.get(sortKey(key))?.value));
  }

  getKey(key: Key): Request {
    return this.#ask((view) => view.get(sortKey(key))?.key);
  }

  getAll(query?: Query, count = Infinity): Request {
    return this.#ask((view) =>
      view
        .select(query)
        .slice(0, count)
        .map(({ value }) => cloned(value)),
    );
  }

  getAllKeys(query?: Query, count = Infinity): Request {
    return this.#ask((view) =>
      view
        .select(query)
        .slice(0, count)
        .map(({ key }) => key),
    );
  }

  count(query?: Query): Request {
    return this.#ask((view) => view.select(query).length);
  }

  put(value: unknown, key: Key): Request {
    const row = { key, value: cloned(value) };
    return this.#write((written) => {
      written.set(sortKey(key), row);
      return key;
    });
  }

  delete(query: Key | KeyRange): Request {
    return this.#write((written, view) => {
      for (const { key } of view.select(query)) written.set(sortKey(key), undefined);
    });
  }

  clear(): Request {
    return this.#write((written, view) => {
      for (const { key } of view.select(undefined)) written.set(sortKey(key), undefined);
    });
  }

  openCursor(query?: Query, direction: 'next' | 'prev' = 'next'): Request {
    const request = new Request();
    let rest: Row[] | undefined;
    return this.#transaction.ask(() => {
      rest ??= direction === 'next' ? this.#view.select(query) : this.#view.select(query).reverse();
      return Cursor.at(rest, request, this.#transaction);
    }, request);
  }

  /** Its cursors have values too, which nobody looks at. */
  openKeyCursor(query?: Query): Request {
    return this.openCursor(query);
  }

  get #view(): View {
    return this.#transaction.view(this.#name);
  }

  #ask(read: (view: View) => unknown): Request {
    return this.#transaction.ask(() => read(this.#view));
  }

  #write(work: (written: Map<string, Row | undefined>, view: View) => unknown): Request {
    if (this.#transaction.mode === 'readonly') throw new DOMException('', 'ReadOnlyError');
    return this.#transaction.ask(() => work(this.#transaction.written(this.#name), this.#view));
  }
}

class Cursor {
  readonly key: Key;
  readonly value: unknown;
  readonly request: Request;
  readonly #rest: readonly Row[];
  readonly #transaction: Transaction;

  private constructor([{ key, value }, ...rest]: readonly [Row, ...Row[]], request: Request, transaction: Transaction) {
    this.key = key;
    this.value = cloned(value);
    this.request = request;
    this.#rest = rest;
    this.#transaction = transaction;
  }

  /** null behind the last row. */
  static at(rows: readonly Row[], request: Request, transaction: Transaction): Cursor | null {
    const [first, ...rest] = rows;
    return first === undefined ? null : new Cursor([first, ...rest], request, transaction);
  }

  /** @param to Not to a key before this one */
  continue(to?: Key): void {
    const from = to === undefined ? 0 : this.#rest.findIndex(({ key }) => sortKey(key) >= sortKey(to));
    const rest = from < 0 ? [] : this.#rest.slice(from);
    this.#transaction.ask(() => Cursor.at(rest, this.request, this.#transaction), this.request);
  }
}

/** Between two looks whether those who keep a database from being deleted have closed it, ms. */
const BLOCKED_LOOK = 5;

/** The IDBFactory of an origin or of a bucket. Whoever asks is the actor whose event it is. */
export class Factory {
  readonly #home: Home;
  readonly #databases = new Map<string, Database>();

  constructor(home: Home, copied?: Factory) {
    this.#home = home;
    if (copied === undefined) return;
    for (const [name, { data }] of copied.#databases) this.#databases.set(name, new Database(name, home, copyOf(data)));
  }

  open(name: string, version: number): Request {
    const request = new Request();
    this.#begin(async (actor) => {
      const database = this.#databases.get(name) ?? new Database(name, this.#home);
      this.#databases.set(name, database);
      const { data } = database;
      if (data.version > version) return request.fail('VersionError');
      const connection = new Connection(actor, database);
      request.result = connection;
      if (data.version < version) {
        request.fire('upgradeneeded', data.version, version);
        await actor.point('database');
        data.version = version;
        for (const store of connection.making) data.stores.set(store, data.stores.get(store) ?? new Map<string, Row>());
      }
      this.#home.scheduler.at(0, actor, () => request.succeed(connection));
    });
    return request;
  }

  deleteDatabase(name: string): Request {
    const request = new Request();
    this.#begin((actor) => {
      const { scheduler } = this.#home;
      const connections = this.#databases.get(name)?.connections ?? new Set();
      for (const connection of connections) scheduler.at(0, connection.actor, () => connection.fire('versionchange'));
      let isBlocked = false;
      const look = (): void => {
        if (connections.size > 0) {
          if (!isBlocked) request.fire('blocked');
          isBlocked = true;
          scheduler.at(BLOCKED_LOOK, actor, look);
          return;
        }
        this.#databases.delete(name);
        request.succeed(undefined);
      };
      scheduler.at(0, actor, look);
    });
    return request;
  }

  databases(): Promise<{ readonly name: string; readonly version: number }[]> {
    const found = [...this.#databases.values()].map(({ name, data: { version } }) => ({ name, version }));
    return Promise.resolve(found.filter(({ version }) => version > 0));
  }

  died(actor: Actor): void {
    for (const database of this.#databases.values()) database.died(actor);
  }

  #begin(work: (actor: Actor) => void | Promise<void>): void {
    const { scheduler } = this.#home;
    const actor = scheduler.actor!;
    scheduler.at(0, actor, () => void actor.point('database').then(() => work(actor)));
  }
}

/** It has the part of the interface that the store and `idb` use. */
export function asIDBFactory(factory: Factory): IDBFactory {
  return factory as unknown as IDBFactory;
}

/** By these the library `idb` knows what it may wrap, and the store makes ranges. */
export const INDEXED_DB_CLASSES = {
  IDBRequest: Request,
  IDBDatabase: Connection,
  IDBTransaction: Transaction,
  IDBObjectStore: ObjectStore,
  IDBIndex: class {},
  IDBCursor: Cursor,
  IDBKeyRange: KeyRange,
};
