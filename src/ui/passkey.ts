import type { LockKeyView, PasskeyView } from '../bridge/protocol.ts';
import { fromHex, toHex } from './hex.ts';

/**
 * A passkey as the app lock's second factor, by the PRF extension of WebAuthn (level 3, section 10.1.4): the
 * authenticator keeps a key of a random function and evaluates it where it is asked to, after it has made sure of the
 * person. The worker has no `navigator.credentials`, so the tab asks and hands the value on, as it does with a passphrase.
 */

export type PasskeyProblem =
  | 'passkey-stopped' // by the person, or nobody came in time
  | 'passkey-without-prf'; // it proves who somebody is, and gives nothing to lock with

const USER_ID_LENGTH = 32; // bytes
const SALT_LENGTH = 32; // bytes
const PRF_LENGTH = 32; // bytes
/** Nobody checks what the authenticator signs: not who holds it counts, but what it computes. The API wants a challenge all the same. */
const CHALLENGE_LENGTH = 32; // bytes
/** COSE's names: Ed25519, ECDSA with P-256, RSA. Any will do, and each authenticator knows one of them. */
const ALGORITHMS = [-8, -7, -257];

/** Whether this browser can ask a passkey for such a value; which passkey can give one shows when it is made. */
export async function canUsePasskeys(): Promise<boolean> {
  if (!('PublicKeyCredential' in window)) return false;
  const capabilities = await PublicKeyCredential.getClientCapabilities?.().catch(() => undefined);
  return capabilities?.['extension:prf'] !== false;
}

/** A new passkey for this device, asked once, so that it is sure to give the value again. `name` is what the browser's list calls it. */
export async function makePasskey(name: string): Promise<LockKeyView | PasskeyProblem> {
  const made = await asking(() =>
    navigator.credentials.create({
      publicKey: {
        rp: { name: 'Chorus' },
        user: { id: random(USER_ID_LENGTH), name, displayName: name },
        challenge: random(CHALLENGE_LENGTH),
        pubKeyCredParams: ALGORITHMS.map((alg) => ({ type: 'public-key', alg })),
        authenticatorSelection: { residentKey: 'preferred', userVerification: 'required' },
        extensions: { prf: {} },
      },
    }),
  );
  if (made === undefined) return 'passkey-stopped';
  if (made.getClientExtensionResults().prf?.enabled !== true) return 'passkey-without-prf';
  return askPasskey({ credentialId: toHex(new Uint8Array(made.rawId)), salt: toHex(random(SALT_LENGTH)) });
}

/** What the passkey gives for a lock. The caller keeps it no longer than it takes to hand it on. */
export async function askPasskey({ credentialId, salt }: PasskeyView): Promise<LockKeyView | PasskeyProblem> {
  const shown = await asking(() =>
    navigator.credentials.get({
      publicKey: {
        challenge: random(CHALLENGE_LENGTH),
        allowCredentials: [{ type: 'public-key', id: fromHex(credentialId) }],
        userVerification: 'required',
        extensions: { prf: { eval: { first: fromHex(salt) } } },
      },
    }),
  );
  if (shown === undefined) return 'passkey-stopped';
  const first = shown.getClientExtensionResults().prf?.results?.first;
  if (!(first instanceof ArrayBuffer) || first.byteLength !== PRF_LENGTH) return 'passkey-without-prf';
  const value = new Uint8Array(first);
  const secret = toHex(value);
  value.fill(0);
  return { kind: 'passkey', credentialId, salt, secret };
}

/** undefined when the person stopped it, or the browser. Why, it does not tell a page. */
async function asking(ask: () => Promise<Credential | null>): Promise<PublicKeyCredential | undefined> {
  try {
    const credential = await ask();
    return credential instanceof PublicKeyCredential ? credential : undefined;
  } catch {
    return undefined;
  }
}

function random(length: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(length));
}
