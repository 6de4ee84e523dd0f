import { equal, Secret, toHex, utf8 } from '../bytes/index.ts';
import type { KeyRing } from './key-ring.ts';
import type { SealedValue } from './sealing.ts';

/**
 * The app lock: a second factor beside the root, which lies in the browser's profile for whoever copies
 * it. The factor comes of a passphrase or of a passkey, is stored nowhere, and goes into the wrapping key
 * together with the root. Turning the lock on, changing or ending it is an advance of the root (`sweep.ts`):
 * every key is sealed anew, and the root under which the same keys lay open before goes.
 */
export type AppLock = LockTerms & {
  /** Tells a wrong passphrase or passkey from a damaged store. */
  readonly check: SealedValue;
};

/** What a lock asks for; nothing of it is secret. */
export type LockTerms = PassphraseTerms | PasskeyTerms;

interface PassphraseTerms {
  readonly salt: Uint8Array;
  readonly iterations: number;
}

/** Of WebAuthn's PRF extension: `salt` is what the passkey's function is evaluated at, made for this lock alone. */
export interface PasskeyTerms {
  readonly salt: Uint8Array;
  readonly credentialId: Uint8Array;
}

/** What a person opens a lock with. */
export type LockKey =
  | { readonly kind: 'passphrase'; readonly passphrase: string }
  /** `secret`: the passkey's PRF at `salt`, 32 bytes. The store takes it over. */
  | (PasskeyTerms & { readonly kind: 'passkey'; readonly secret: Secret<'lock-factor'> });

export interface LockFactor {
  readonly terms: LockTerms;
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

export function isPasskey(terms: LockTerms): terms is PasskeyTerms {
  return 'credentialId' in terms;
}

/** The factor of a lock that is to be: of a passphrase with a salt of its own. The caller wipes the secret. */
export async function newFactor(key: LockKey): Promise<LockFactor> {
  if (key.kind === 'passkey') return { terms: { salt: key.salt, credentialId: key.credentialId }, secret: key.secret };
  const terms = { salt: crypto.getRandomValues(new Uint8Array(SALT_LENGTH)), iterations: ITERATIONS };
  return { terms, secret: await stretched(key.passphrase, terms) };
}

/**
 * What `key` comes to for a lock: whether it is the right one shows at the lock's check. undefined when it is for a lock
 * of another kind, or another passkey's. The caller wipes the secret.
 */
export async function factorOf(key: LockKey, terms: LockTerms): Promise<LockFactor | undefined> {
  if (key.kind === 'passphrase') return isPasskey(terms) ? undefined : { terms, secret: await stretched(key.passphrase, terms) };
  if (isPasskey(terms) && equal(key.salt, terms.salt) && equal(key.credentialId, terms.credentialId)) return { terms, secret: key.secret };
  key.secret.wipe();
  return undefined;
}

/**
 * factor = PBKDF2-HMAC-SHA-256(NFKC(passphrase), salt, iterations, 32)
 *
 * NFKC: keyboards write one character in several ways.
 */
async function stretched(passphrase: string, { salt, iterations }: PassphraseTerms): Promise<Secret<'lock-factor'>> {
  const typed = new Uint8Array(utf8(passphrase.normalize('NFKC')));
  try {
    const material = await crypto.subtle.importKey('raw', typed, 'PBKDF2', false, ['deriveBits']);
    const parameters = { name: 'PBKDF2', hash: 'SHA-256', salt: new Uint8Array(salt), iterations };
    const bits = await crypto.subtle.deriveBits(parameters, material, 8 * FACTOR_LENGTH);
    return Secret.of('lock-factor', new Uint8Array(bits));
  } finally {
    typed.fill(0);
  }
}

/** What is stored of a lock, for the root above `ring`. */
export async function appLock({ terms }: LockFactor, ring: KeyRing): Promise<AppLock> {
  return { ...terms, check: await ring.makeCheck() };
}

/** Names the factor that a lock asks for. */
export function factorKey({ salt }: LockTerms): string {
  return toHex(salt);
}
