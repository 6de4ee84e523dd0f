import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { askPasskey, canUsePasskeys, makePasskey } from '../../../src/ui/passkey.ts';

type Prf = AuthenticationExtensionsPRFOutputs | undefined;

/** As the browser gives it; other kinds of credentials are no instances of it. */
class FakeCredential {
  readonly rawId = new Uint8Array([0xab, 0xcd]).buffer;
  readonly #prf: Prf;

  constructor(prf: Prf) {
    this.#prf = prf;
  }

  getClientExtensionResults(): { prf?: Prf } {
    return { prf: this.#prf };
  }
}

const credentials = { create: vi.fn<() => Promise<unknown>>(), get: vi.fn<(asked: CredentialRequestOptions) => Promise<unknown>>() };

beforeEach(() => {
  vi.resetAllMocks();
  vi.stubGlobal('navigator', { credentials });
  vi.stubGlobal('PublicKeyCredential', FakeCredential);
});
afterEach(() => {
  vi.unstubAllGlobals();
});

const withPrf = (): Promise<unknown> => Promise.resolve(new FakeCredential({ enabled: true }));
const giving = (first: Uint8Array<ArrayBuffer>): Promise<unknown> =>
  Promise.resolve(new FakeCredential({ results: { first: first.buffer } }));
const LOCK = { credentialId: 'abcd', salt: '01'.repeat(32) };

const failing = (error: Error) => (): Promise<unknown> => Promise.reject(error);
const ERRORS = ['AbortError', 'NotAllowedError', 'SecurityError', 'InvalidStateError', 'NotSupportedError', 'UnknownError'];
const NOTHING: readonly [what: string, answer: () => Promise<unknown>][] = [
  ...ERRORS.map((name): [string, () => Promise<unknown>] => [name, failing(new DOMException('no', name))]),
  ['an error that is none of the standard’s', failing(new Error('no'))],
  [
    'a refusal at once',
    () => {
      throw new TypeError('no');
    },
  ],
  ['no credential', () => Promise.resolve(null)],
  ['a credential of another kind', () => Promise.resolve({ type: 'password', password: 'horse' })],
];

const WITHOUT_PRF: readonly [what: string, prf: Prf][] = [
  ['nothing of a PRF', undefined],
  ['a PRF without a value', {}],
  ['a value of another length', { results: { first: new Uint8Array(31).buffer } }],
];

describe('a passkey that gives nothing', () => {
  it.each(NOTHING)('is no key to unlock with: %s', async (_what, answer) => {
    credentials.get.mockImplementation(answer);
    expect(await askPasskey(LOCK)).toBe('passkey-stopped');
  });

  it.each(NOTHING)('is no key to lock with, and is not tried: %s', async (_what, answer) => {
    credentials.create.mockImplementation(answer);
    expect(await makePasskey('Chorus, Laptop')).toBe('passkey-stopped');
    expect(credentials.get).not.toHaveBeenCalled();
  });

  it.each(NOTHING)('when it is tried is no key to lock with: %s', async (_what, answer) => {
    credentials.create.mockImplementation(withPrf);
    credentials.get.mockImplementation(answer);
    expect(await makePasskey('Chorus, Laptop')).toBe('passkey-stopped');
  });
});

describe('a passkey without a function to lock with', () => {
  it.each([undefined, {}, { enabled: false }])('is found out when it is made, and not asked: %j', async (prf) => {
    credentials.create.mockResolvedValue(new FakeCredential(prf));
    expect(await makePasskey('Chorus, Laptop')).toBe('passkey-without-prf');
    expect(credentials.get).not.toHaveBeenCalled();
  });

  it.each(WITHOUT_PRF)('is found out when it is asked: %s', async (_what, prf) => {
    credentials.create.mockImplementation(withPrf);
    credentials.get.mockResolvedValue(new FakeCredential(prf));
    expect(await makePasskey('Chorus, Laptop')).toBe('passkey-without-prf');
    expect(await askPasskey(LOCK)).toBe('passkey-without-prf');
  });
});

describe('a passkey that gives its value', () => {
  it('is a key for the lock that asked, and the browser’s own copy is wiped', async () => {
    const value = new Uint8Array(32).fill(7);
    credentials.get.mockImplementation(() => giving(value));
    expect(await askPasskey(LOCK)).toEqual({ kind: 'passkey', ...LOCK, secret: '07'.repeat(32) });
    expect(value).toEqual(new Uint8Array(32));
    const { publicKey } = credentials.get.mock.calls[0]![0];
    expect(publicKey!.allowCredentials).toEqual([{ type: 'public-key', id: new Uint8Array([0xab, 0xcd]) }]);
    expect(publicKey!.extensions!.prf!.eval!.first).toEqual(new Uint8Array(32).fill(1));
    expect(publicKey!.userVerification).toBe('required');
  });

  it('is made with a salt of its own each time', async () => {
    credentials.create.mockImplementation(withPrf);
    credentials.get.mockImplementation(() => giving(new Uint8Array(32).fill(7)));
    const [one, two] = [await makePasskey('Chorus, Laptop'), await makePasskey('Chorus, Laptop')];
    expect(one).toMatchObject({ kind: 'passkey', credentialId: 'abcd', salt: expect.stringMatching(/^[0-9a-f]{64}$/) as string });
    expect(one).not.toEqual(two);
  });
});

describe('a browser', () => {
  const withCapabilities = (get: (() => Promise<Record<string, boolean>>) | undefined): void => {
    vi.stubGlobal('window', { PublicKeyCredential: FakeCredential });
    vi.stubGlobal('PublicKeyCredential', Object.assign(class extends FakeCredential {}, { getClientCapabilities: get }));
  };

  it('that has no passkeys, or says that it knows no PRF, is not asked for one', async () => {
    vi.stubGlobal('window', {});
    expect(await canUsePasskeys()).toBe(false);
    withCapabilities(async () => ({ 'extension:prf': false }));
    expect(await canUsePasskeys()).toBe(false);
  });

  it('that does not say what it knows is asked', async () => {
    for (const get of [undefined, async () => ({}), () => Promise.reject(new Error('not now'))]) {
      withCapabilities(get);
      expect(await canUsePasskeys()).toBe(true);
    }
  });
});
