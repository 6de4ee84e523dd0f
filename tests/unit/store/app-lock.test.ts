import 'fake-indexeddb/auto';
import { IDBFactory as FakeFactory } from 'fake-indexeddb';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { Secret, utf8 } from '../../../src/bytes/index.ts';
import { bucketRootKeyStore, createRecordStore, type Exclusive, type RecordStore } from '../../../src/store/index.ts';
import { factorOf, isPasskey, newFactor, type LockKey } from '../../../src/store/app-lock.ts';
import { openDatabase } from '../../../src/store/database.ts';
import { keyId } from '../../../src/store/key-ring.ts';
import { openSealedKey, wrappingKey, type SealedValue } from '../../../src/store/sealing.ts';
import { FakeBuckets } from '../../support/fake-buckets.ts';
import { dieAt } from '../../support/storage-death.ts';
import { asText, changes } from '../../support/store-contract.ts';

const NAME = 'chorus';
const passphrase = (text: string): LockKey => ({ kind: 'passphrase', passphrase: text });
/** A passkey whose function has this value at the salt that it was made with. */
const passkey = (value: number, name = 1): LockKey => ({
  kind: 'passkey',
  credentialId: new Uint8Array(16).fill(name),
  salt: new Uint8Array(32).fill(name),
  secret: Secret.of('lock-factor', new Uint8Array(32).fill(value)),
});

/** Made anew each time: the store takes over what a passkey gave. */
const KEYS: Record<LockKey['kind'], { right: () => LockKey; wrong: () => LockKey; another: () => LockKey }> = {
  passphrase: {
    right: () => passphrase('correct horse battery'),
    wrong: () => passphrase('correct horse batterY'),
    another: () => passphrase('another one altogether'),
  },
  passkey: { right: () => passkey(7), wrong: () => passkey(8), another: () => passkey(9, 2) },
};

let buckets: FakeBuckets;
beforeEach(() => {
  indexedDB = new FakeFactory();
  buckets = new FakeBuckets();
  makeCheap();
});
afterEach(() => {
  vi.restoreAllMocks();
});

/** Guessing is to be slow, tests are not. */
function makeCheap(): void {
  const { subtle } = crypto;
  const derive = subtle.deriveBits.bind(subtle);
  vi.spyOn(subtle, 'deriveBits').mockImplementation((algorithm, key, length) =>
    derive({ ...(algorithm as Pbkdf2Params), iterations: 2 }, key, length),
  );
}

const openStore = (): RecordStore => createRecordStore({ name: NAME, roots: [bucketRootKeyStore(buckets)], now: () => 1_000 });
const alone: Exclusive = (task) => task();
const texts = async (store: RecordStore): Promise<Record<string, string>> => Object.fromEntries(asText(await store.load('')));

/** A store with something in it, deleted and overwritten things included. */
async function usedStore(): Promise<RecordStore> {
  const store = openStore();
  await store.write(changes({ cursor: '1', 'group/aa/tree': 'oak', 'message/aa/1': 'one', 'message/aa/2': 'two' }));
  await store.write(changes({ cursor: '2' }, ['message/aa/1']));
  return store;
}
const USED = { cursor: '2', 'group/aa/tree': 'oak', 'message/aa/2': 'two' };

type StoredKey = readonly [name: string, sealed: SealedValue];

async function storedKeys(): Promise<StoredKey[]> {
  const database = await openDatabase(NAME, () => undefined);
  try {
    const [names, values] = await Promise.all([database.getAllKeys('keys'), database.getAll('keys')]);
    return names.map(([scope, number], index) => [keyId({ scope, number }), values[index]!]);
  } finally {
    database.close();
  }
}

/** How many of the keys open with the roots that lie in this profile, and nothing else. */
async function openedByRoots(keys: readonly StoredKey[]): Promise<number> {
  const shelf = bucketRootKeyStore(buckets);
  let opened = 0;
  for (const name of buckets.buckets.keys()) {
    const wrapping = await wrappingKey((await shelf.load(name))!);
    for (const [path, sealed] of keys) {
      const place = { database: NAME, store: 'keys', path, rootGeneration: sealed.rootGeneration } as const;
      if (await openSealedKey(wrapping, place, sealed).catch(() => undefined)) opened += 1;
    }
  }
  return opened;
}

describe.each(Object.entries(KEYS))('the app lock with a %s', (kind, { right, wrong, another }) => {
  it('leaves whoever copies the files, root included, with nothing that opens, of before it was turned on either', async () => {
    const store = await usedStore();
    const before = await storedKeys();
    expect(await openedByRoots(before)).toBe(before.length); // the search can see such things
    await store.setLock(alone, right());
    const after = await storedKeys();
    expect(after.length).toBeGreaterThan(0);
    expect(await openedByRoots([...before, ...after])).toBe(0);
    // Still so after later sweeps.
    await store.write(changes({ cursor: '3' }));
    await store.sweep(alone);
    expect(await openedByRoots([...before, ...after, ...(await storedKeys())])).toBe(0);
    expect(await texts(store)).toEqual({ ...USED, cursor: '3' });
  });

  it('keeps a new worker out until it is given the right one, and says what it asks for all the same', async () => {
    await (await usedStore()).setLock(alone, right());
    const store = openStore();
    const works = [
      () => store.load(''),
      () => store.get('cursor'),
      () => store.write(changes({ cursor: '3' })),
      () => store.sweep(alone),
      () => store.setLock(alone, undefined),
    ];
    for (const work of works) {
      await expect(work()).rejects.toMatchObject({ code: 'locked' });
    }
    const terms = (await store.lockTerms())!;
    expect(isPasskey(terms) ? 'passkey' : 'passphrase').toBe(kind);
    expect(await store.unlock(wrong())).toBe(false);
    for (const other of Object.values(KEYS)) if (other.right().kind !== kind) expect(await store.unlock(other.right())).toBe(false);
    await expect(store.load('')).rejects.toMatchObject({ code: 'locked' });
    expect(await store.unlock(right())).toBe(true);
    expect(await texts(store)).toEqual(USED);
    expect(await store.lockTerms()).toBeDefined();
    await store.write(changes({ cursor: '3' }));
    await store.sweep(alone);
    expect(await texts(store)).toEqual({ ...USED, cursor: '3' });
    const next = openStore();
    expect(await next.unlock(right())).toBe(true);
    expect(await texts(next)).toEqual({ ...USED, cursor: '3' });
  });

  it('closes at once when it is asked to', async () => {
    const store = await usedStore();
    await store.setLock(alone, right());
    expect(await texts(store)).toEqual(USED);
    await store.lock();
    await expect(store.load('')).rejects.toMatchObject({ code: 'locked' });
    await expect(store.write(changes({ cursor: '3' }))).rejects.toMatchObject({ code: 'locked' });
    expect(await store.unlock(right())).toBe(true);
    expect(await texts(store)).toEqual(USED);
  });

  it('is closed to another context that was open when it was turned on', async () => {
    const [one, two] = [await usedStore(), openStore()];
    expect(await texts(two)).toEqual(USED);
    await one.setLock(alone, right());
    await expect(two.get('cursor')).rejects.toMatchObject({ code: 'locked' });
    expect(await two.unlock(right())).toBe(true);
    expect(await texts(two)).toEqual(USED);
  });

  it('takes a new one, and the old one is good no more', async () => {
    const store = await usedStore();
    await store.setLock(alone, right());
    await store.setLock(alone, another());
    const next = openStore();
    expect(await next.unlock(right())).toBe(false);
    expect(await next.unlock(another())).toBe(true);
    expect(await texts(next)).toEqual(USED);
  });

  it('keeps in memory what opens it now, and nothing that did', async () => {
    const store = await usedStore();
    const keys = [right(), another()] as const;
    const wiped = (): boolean[] => keys.flatMap((key) => (key.kind === 'passkey' ? [key.secret.wiped] : []));
    await store.setLock(alone, keys[0]);
    await store.setLock(alone, keys[1]);
    if (kind === 'passkey') expect(wiped()).toEqual([true, false]);
    expect(await texts(store)).toEqual(USED);
    await store.lock();
    if (kind === 'passkey') expect(wiped()).toEqual([true, true]);
    await expect(store.load('')).rejects.toMatchObject({ code: 'locked' });
  });

  it('can be turned off: then the root opens everything again', async () => {
    const store = await usedStore();
    await store.setLock(alone, right());
    await store.setLock(alone, undefined);
    expect(await store.lockTerms()).toBeUndefined();
    const next = openStore();
    expect(await texts(next)).toEqual(USED);
    expect(await next.unlock(wrong())).toBe(true); // there is nothing to open
    expect(await openedByRoots(await storedKeys())).toBe((await storedKeys()).length);
  });

  it('lets everything be deleted by who cannot open it any more', async () => {
    await (await usedStore()).setLock(alone, right());
    const store = openStore();
    await store.destroy();
    expect(buckets.buckets.size).toBe(0);
    expect(await store.load('')).toEqual(new Map());
    await store.write(changes({ device: 'new' }));
    expect(await texts(openStore())).toEqual({ device: 'new' });
  });

  it('says that the root is gone rather than that it is opened with the wrong one', async () => {
    await (await usedStore()).setLock(alone, right());
    buckets.buckets.clear();
    await expect(openStore().unlock(right())).rejects.toMatchObject({ code: 'root-missing' });
  });

  it('clears an older root away that was left behind when it was turned on, without being opened', async () => {
    const store = await usedStore();
    const [old] = [...buckets.buckets];
    await store.setLock(alone, right());
    buckets.buckets.set(...old!);
    await openStore().tidy(alone);
    expect([...buckets.buckets.keys()]).not.toContain(old![0]);
    expect(buckets.buckets.size).toBe(1);
  });

  it('turned on and cut off at any call to the browser’s storage is off or on, and nothing is lost', async () => {
    const seen = new Set<boolean>();
    let call = 1;
    for (let finished = false; !finished; call++) {
      indexedDB = new FakeFactory();
      buckets = new FakeBuckets();
      const store = await usedStore();
      const death = dieAt(buckets, call);
      await store.setLock(alone, right()).catch(() => undefined);
      finished = death.calls() < call;
      death.revive();
      makeCheap();

      const next = openStore();
      await next.tidy(alone);
      expect(buckets.buckets.size, `call ${call}`).toBe(1);
      const locked = await next.load('').then(
        () => false,
        (error: unknown) => (expect(error).toMatchObject({ code: 'locked' }), true),
      );
      seen.add(locked);
      expect(await openedByRoots(await storedKeys()), `call ${call}`).toBe(locked ? 0 : (await storedKeys()).length);
      expect(await next.unlock(right()), `call ${call}`).toBe(true);
      expect(await texts(next), `call ${call}`).toEqual(USED);
      expect(await texts(store), `call ${call}`).toEqual(USED); // which is open already
    }
    expect(seen).toEqual(new Set([false, true]));
  });
});

describe('the app lock, opened twice', () => {
  it('has one factor in memory: what the second tab gave goes at once, and what the first gave when it is locked', async () => {
    await (await usedStore()).setLock(alone, passkey(7));
    const store = openStore();
    const [first, second] = [passkey(7), passkey(7)].map((key) => key as Extract<LockKey, { kind: 'passkey' }>);
    for (const key of [first!, second!]) expect(await store.unlock(key)).toBe(true);
    expect(await texts(store)).toEqual(USED);
    expect([first!.secret.wiped, second!.secret.wiped]).toEqual([false, true]);
    await store.sweep(alone);
    await store.lock();
    expect(first!.secret.wiped).toBe(true);
    await expect(store.load('')).rejects.toMatchObject({ code: 'locked' });
  });

  it('while it is being turned on stays open', async () => {
    const store = await usedStore();
    const openedElsewhere: Exclusive = async (task) => {
      const result = await task();
      expect(await store.unlock(passkey(7))).toBe(true);
      return result;
    };
    await store.setLock(openedElsewhere, passkey(7));
    expect(await texts(store)).toEqual(USED);
    await store.write(changes({ cursor: '3' }));
    await store.sweep(alone);
    expect(await texts(store)).toEqual({ ...USED, cursor: '3' });
  });
});

const { passphrase: typed, passkey: held } = KEYS;
const CHANGES: readonly [change: string, before: () => LockKey, after: (() => LockKey) | undefined][] = [
  ['a passphrase to another', typed.right, typed.another],
  ['a passphrase to a passkey', typed.right, held.right],
  ['a passkey to another', held.right, held.another],
  ['a passkey to a passphrase', held.right, typed.right],
  ['a passphrase to none', typed.right, undefined],
  ['a passkey to none', held.right, undefined],
];

describe.each(CHANGES)('the app lock, changed from %s', (_change, before, after) => {
  it('and cut off at any call to the browser’s storage, asks for one of the two, and nothing is lost', async () => {
    const seen = new Set<'before' | 'after'>();
    let call = 1;
    for (let finished = false; !finished; call++) {
      indexedDB = new FakeFactory();
      buckets = new FakeBuckets();
      const store = await usedStore();
      await store.setLock(alone, before());
      const death = dieAt(buckets, call);
      await store.setLock(alone, after?.()).catch(() => undefined);
      finished = death.calls() < call;
      death.revive();
      makeCheap();

      const next = openStore();
      await next.tidy(alone);
      expect(buckets.buckets.size, `call ${call}`).toBe(1);
      const isOff = (await next.lockTerms()) === undefined;
      expect(isOff && after !== undefined, `call ${call}`).toBe(false);
      if (!isOff) {
        await expect(next.load(''), `call ${call}`).rejects.toMatchObject({ code: 'locked' });
        expect(await openedByRoots(await storedKeys()), `call ${call}`).toBe(0);
      }
      const isBefore = !isOff && (await next.unlock(before()));
      if (!isOff && after !== undefined) expect(await openStore().unlock(after()), `call ${call}`).toBe(!isBefore);
      if (!isBefore && after !== undefined) expect(await next.unlock(after()), `call ${call}`).toBe(true);
      seen.add(isBefore ? 'before' : 'after');
      expect(await texts(next), `call ${call}`).toEqual(USED);
      expect(await texts(store), `call ${call}`).toEqual(USED); // which is open already
      await store.setLock(alone, after?.()); // asked for once more
      expect(await texts(store), `call ${call}`).toEqual(USED);
    }
    expect(seen).toEqual(new Set(['before', 'after']));
  });
});

describe('the factor', () => {
  it('is PBKDF2-HMAC-SHA-256 of the passphrase', async () => {
    vi.restoreAllMocks();
    // RFC 7914, section 11, P = "Password", S = "NaCl", c = 80000; its first half
    const { secret } = (await factorOf(passphrase('Password'), { salt: utf8('NaCl'), iterations: 80_000 }))!;
    expect(Buffer.from(secret.reveal()).toString('hex')).toBe('4ddcd8f60b98be21830cee5ef22701f9641a4418d04c0414aeff08876b34ab56');
  });

  it('is the same whichever way a keyboard writes a letter, and another for each salt', async () => {
    const [one, two] = [await newFactor(passphrase('Müller und Söhne')), await newFactor(passphrase('Müller und Söhne'))];
    expect(one.terms.salt).not.toEqual(two.terms.salt);
    expect(one.secret.reveal()).not.toEqual(two.secret.reveal());
    expect((await factorOf(passphrase('Mu\u0308ller und So\u0308hne'), one.terms))!.secret.reveal()).toEqual(one.secret.reveal());
  });

  it('is what a passkey gave, for the lock that was made with it alone: what is for another is wiped', async () => {
    const key = passkey(7);
    const { terms, secret } = await newFactor(key);
    expect(secret.reveal()).toEqual(new Uint8Array(32).fill(7));
    expect((await factorOf(passkey(7), terms))!.secret.reveal()).toEqual(secret.reveal());
    const foreign = passkey(7, 2) as Extract<LockKey, { kind: 'passkey' }>;
    expect(await factorOf(foreign, terms)).toBeUndefined();
    expect(foreign.secret.wiped).toBe(true);
  });

  it('costs a million rounds a guess', async () => {
    expect((await newFactor(passphrase('x'))).terms).toMatchObject({ iterations: 1_000_000 });
  });
});
