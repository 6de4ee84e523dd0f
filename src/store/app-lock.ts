import { Secret, toHex, utf8 } from '../bytes/index.ts';
import type { KeyRing } from './key-ring.ts';
import type { SealedValue } from './sealing.ts';

/**
 * The app lock: a second factor beside the root, which lies in the browser's profile for whoever copies
 * it. The factor comes of a passphrase that is stored nowhere, and goes into the wrapping key together
 * with the root. Turning the lock on, changing or ending it is an advance of the root (`sweep.ts`): every
 * key is sealed anew, and the root under which the same keys lay open before goes.
 */
export interface AppLock {
  readonly salt: Uint8Array;
  readonly iterations: number;
  /** Tells a wrong passphrase from a damaged store. */
  readonly check: SealedValue;
}

export interface LockFactor {
  readonly salt: Uint8Array;
  readonly iterations: number;
  readonly secret: Secret<'lock-factor'>;
}

const SALT_LENGTH = 16; // bytes; NIST SP 800-132, section 5.1
const FACTOR_LENGTH = 32; // bytes, as the root's
/**
 * PBKDF2 rather than a function that is hard on memory: the browser has it built in, off this thread, and a
 * service worker on a phone has no 128 MiB to spare. Its work factor is well above the 600,000 that OWASP
 * asks for with SHA-256, about half a second of a laptop. It lies beside the salt, so it can be raised.
 */
const ITERATIONS = 1_000_000;

/** A factor with a salt of its own, for a lock that is to be. The caller wipes the secret. */
export function newFactor(passphrase: string): Promise<LockFactor> {
  return factorOf(passphrase, { salt: crypto.getRandomValues(new Uint8Array(SALT_LENGTH)), iterations: ITERATIONS });
}

/**
 * factor = PBKDF2-HMAC-SHA-256(NFKC(passphrase), salt, iterations, 32)
 *
 * Whether it is the right one shows at the lock's check. NFKC: keyboards write one character in several ways.
 */
export async function factorOf(passphrase: string, { salt, iterations }: Pick<AppLock, 'salt' | 'iterations'>): Promise<LockFactor> {
  const typed = new Uint8Array(utf8(passphrase.normalize('NFKC')));
  try {
    const material = await crypto.subtle.importKey('raw', typed, 'PBKDF2', false, ['deriveBits']);
    const parameters = { name: 'PBKDF2', hash: 'SHA-256', salt: new Uint8Array(salt), iterations };
    const bits = await crypto.subtle.deriveBits(parameters, material, 8 * FACTOR_LENGTH);
    return { salt, iterations, secret: Secret.of('lock-factor', new Uint8Array(bits)) };
  } finally {
    typed.fill(0);
  }
}

/** What is stored of a lock, for the root above `ring`. */
export async function appLock({ salt, iterations }: LockFactor, ring: KeyRing): Promise<AppLock> {
  return { salt, iterations, check: await ring.makeCheck() };
}

/** Names the factor that a lock asks for. */
export function factorKey({ salt }: Pick<AppLock, 'salt'>): string {
  return toHex(salt);
}
