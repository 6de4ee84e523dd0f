import { setMaxListeners } from 'node:events';
import { getSuite, type MlsSuite } from '../../src/mls/index.ts';
import { INDEXED_DB_CLASSES } from './indexed-db.ts';
import type { Ledger } from './ledger.ts';
import type { Scheduler } from './scheduler.ts';
import { virtualCrypto } from './virtual-crypto.ts';

/**
 * Puts virtual time and crypto in the place of the platform's for whatever runs inside an event of the
 * scheduler; the rest of the process (a test runner) keeps the real ones. @returns what puts them back
 */
export function installGlobals(scheduler: Scheduler, ledger: Ledger): () => void {
  const real = {
    setTimeout: globalThis.setTimeout,
    clearTimeout: globalThis.clearTimeout,
    setImmediate: globalThis.setImmediate,
    crypto: Object.getOwnPropertyDescriptor(globalThis, 'crypto')!,
    timeout: AbortSignal.timeout,
    any: AbortSignal.any,
  };

  /** A cancelled timer's handle is all that `clearTimeout` needs. */
  class Timer {
    readonly cancel: () => void;

    constructor(run: () => void, ms: number) {
      this.cancel = scheduler.at(ms, scheduler.actor!, run);
    }

    unref(): this {
      return this;
    }
  }

  const later = (run: () => void, ms = 0): unknown => (scheduler.actor === undefined ? real.setTimeout(run, ms) : new Timer(run, ms));
  const cancel = (timer: unknown): void => {
    if (timer instanceof Timer) timer.cancel();
    else real.clearTimeout(timer as NodeJS.Timeout);
  };
  const soon = (run: () => void): unknown => (scheduler.actor === undefined ? real.setImmediate(run) : new Timer(run, 0));
  const timeout = (ms: number): AbortSignal => {
    if (scheduler.actor === undefined) return real.timeout.call(AbortSignal, ms);
    const controller = new AbortController();
    scheduler.at(ms, scheduler.actor, () => controller.abort(new DOMException('timed out', 'TimeoutError')));
    return controller.signal;
  };
  // Node keeps its own for as long as somebody listens to them, and with them the whole world of a schedule.
  const any = (signals: readonly AbortSignal[]): AbortSignal => {
    if (scheduler.actor === undefined) return real.any.call(AbortSignal, [...signals]);
    const controller = new AbortController();
    setMaxListeners(0, ...signals); // a device's network outlives many requests
    for (const signal of signals) {
      if (signal.aborted) controller.abort(signal.reason);
      else signal.addEventListener('abort', () => controller.abort(signal.reason), { once: true });
    }
    return controller.signal;
  };
  Object.assign(globalThis, { setTimeout: later, clearTimeout: cancel, setImmediate: soon });
  Object.assign(AbortSignal, { timeout, any });

  const realCrypto = globalThis.crypto;
  const crypto = virtualCrypto(scheduler, ledger, realCrypto);
  Object.defineProperty(globalThis, 'crypto', {
    configurable: true,
    get: () => (scheduler.actor === undefined ? realCrypto : crypto),
  });

  Object.assign(globalThis, INDEXED_DB_CLASSES);
  Object.defineProperty(globalThis, 'indexedDB', { configurable: true, get: () => scheduler.actor?.indexedDB });

  const unwatch = watchSuite(scheduler, ledger);
  return () => {
    Object.assign(globalThis, { setTimeout: real.setTimeout, clearTimeout: real.clearTimeout, setImmediate: real.setImmediate });
    Object.assign(AbortSignal, { timeout: real.timeout, any: real.any });
    Object.defineProperty(globalThis, 'crypto', real.crypto);
    for (const name of ['indexedDB', ...Object.keys(INDEXED_DB_CLASSES)]) Reflect.deleteProperty(globalThis, name);
    unwatch();
  };
}

/** What noble seals is written down as well: DerivationInfo, titles, state for a new device. */
function watchSuite(scheduler: Scheduler, ledger: Ledger): () => void {
  const suite = getSuite(1) as { -readonly [Name in 'seal']: MlsSuite[Name] };
  const { seal } = suite;
  suite.seal = (key, nonce, aad, plaintext) => {
    const ciphertext = seal(key, nonce, aad, plaintext);
    if (scheduler.actor !== undefined) ledger.sealed(scheduler.actor, key, nonce, plaintext, ciphertext);
    return ciphertext;
  };
  return () => {
    suite.seal = seal;
  };
}
