import { toHex } from '../../src/bytes/index.ts';
import { decodeExact, getSuite, mlsMessageCodec, type MlsSuite } from '../../src/mls/index.ts';
import type { TestDevice } from './engine-world.ts';

interface Sealed {
  readonly key: string;
  readonly nonce: string;
}

/** Notes with which key and nonce every PrivateMessage was sealed and opened, and which of them left a device. */
export class NonceWatch {
  /** By hex ciphertext. */
  readonly #sealed = new Map<string, Sealed>();
  /** Hex ciphertexts by device. */
  readonly #left = new Map<TestDevice, Set<string>>();
  /** Hex keys with which a message was opened. */
  readonly consumed = new Set<string>();
  readonly #restore: () => void;

  constructor() {
    const suite = getSuite(1) as Pick<MlsSuite, 'sealAsync' | 'openAsync'>;
    const { sealAsync: original, openAsync } = suite;
    suite.openAsync = async (key, nonce, aad, ciphertext) => {
      const used = toHex(key);
      const plaintext = await openAsync(key, nonce, aad, ciphertext);
      if (plaintext !== undefined) this.consumed.add(used);
      return plaintext;
    };
    suite.sealAsync = async (key, nonce, aad, plaintext) => {
      const used = { key: toHex(key), nonce: toHex(nonce) };
      const ciphertext = await original(key, nonce, aad, plaintext);
      this.#sealed.set(toHex(ciphertext), used);
      return ciphertext;
    };
    this.#restore = () => Object.assign(suite, { sealAsync: original, openAsync });
  }

  stop(): void {
    this.#restore();
  }

  watch(device: TestDevice): void {
    const left = new Set<string>();
    this.#left.set(device, left);
    const { intercept } = device;
    device.intercept = (path, body, carryOut) => {
      if (path.endsWith('/messages')) {
        const { message } = JSON.parse(body) as { message: string };
        const decoded = decodeExact(mlsMessageCodec, new Uint8Array(Buffer.from(message, 'base64url')));
        if (decoded.wireformat === 'mls_private_message') left.add(toHex(decoded.privateMessage.ciphertext));
      }
      return intercept(path, body, carryOut);
    };
  }

  /** How many different messages left, and every key that one device used for two of them, or key with nonce that any two did. */
  misuse(): { readonly messages: number; readonly keys: string[]; readonly nonces: string[] } {
    const everything = new Set([...this.#left.values()].flatMap((left) => [...left]));
    const nonces = [...everything].map((ciphertext) => Object.values(this.#sealedAs(ciphertext)).join(' '));
    const perDevice = [...this.#left.values()].map((left) => [...left].map((ciphertext) => this.#sealedAs(ciphertext).key));
    return { messages: everything.size, keys: perDevice.flatMap(repeated), nonces: repeated(nonces) };
  }

  #sealedAs(ciphertext: string): Sealed {
    const sealed = this.#sealed.get(ciphertext);
    if (sealed === undefined) throw new Error('a message left that was never sealed');
    return sealed;
  }
}

function repeated(values: readonly string[]): string[] {
  return values.filter((value, index) => values.indexOf(value) !== index);
}
