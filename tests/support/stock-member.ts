import {
  acceptAll,
  bytesToBase64,
  createApplicationMessage,
  createCommit,
  createProposal,
  decodeMlsMessage,
  encodeMlsMessage,
  getCiphersuiteFromName,
  getCiphersuiteImpl,
  joinGroup,
  makePskIndex,
  processPrivateMessage,
  processPublicMessage,
  type CiphersuiteImpl,
  type ClientState,
  type PrivateKeyPackage,
  type Proposal,
} from 'ts-mls';
import { utf8 } from '../../src/bytes/index.ts';
import { suiteName } from '../../src/mls/index.ts';
import type { NewKeyPackage, TestMember } from './mls-group.ts';

/** A member that runs stock ts-mls 1.6.4, its own state machine included. */
export class StockMember {
  readonly name: string;
  readonly #cipherSuite: CiphersuiteImpl;
  readonly #psks: Readonly<Record<string, Uint8Array>>;
  state: ClientState;

  private constructor(name: string, cipherSuite: CiphersuiteImpl, psks: Readonly<Record<string, Uint8Array>>, state: ClientState) {
    this.name = name;
    this.#cipherSuite = cipherSuite;
    this.#psks = psks;
    this.state = state;
  }

  /** Joins with the keys of a member that has not joined by itself. @throws what ts-mls throws */
  static async join(
    welcome: Uint8Array,
    { name, signer }: TestMember,
    keys: NewKeyPackage,
    psks: ReadonlyMap<string, Uint8Array> = new Map(),
  ): Promise<StockMember> {
    const cipherSuite = await getCiphersuiteImpl(getCiphersuiteFromName(suiteName(1)));
    const message = decodeMlsMessage(welcome, 0)?.[0];
    if (message?.wireformat !== 'mls_welcome') throw new TypeError('no Welcome');
    const privateKeys: PrivateKeyPackage = {
      initPrivateKey: keys.initPrivateKey.reveal().slice(),
      hpkePrivateKey: keys.encryptionPrivateKey.reveal().slice(),
      signaturePrivateKey: signer.privateKey.reveal().slice(),
    };
    const byId = Object.fromEntries([...psks].map(([id, psk]) => [bytesToBase64(utf8(id)), psk]));
    const index = makePskIndex(undefined, byId);
    const state = await joinGroup(message.welcome, keys.keyPackage, privateKeys, index, cipherSuite);
    return new StockMember(name, cipherSuite, byId, state);
  }

  get leafIndex(): number {
    return this.state.privatePath.leafIndex;
  }

  get authenticator(): Uint8Array {
    return this.state.keySchedule.epochAuthenticator;
  }

  get removed(): boolean {
    return this.state.groupActiveState.kind === 'removedFromGroup';
  }

  /** The stock member is in the next epoch at once. */
  async commit(
    proposals: readonly Proposal[],
    wireFormat: 'private' | 'public',
  ): Promise<{ message: Uint8Array; welcome: Uint8Array | undefined }> {
    const context = { state: this.state, cipherSuite: this.#cipherSuite, pskIndex: makePskIndex(this.state, { ...this.#psks }) };
    const made = await createCommit(context, {
      wireAsPublicMessage: wireFormat === 'public',
      extraProposals: [...proposals],
      ratchetTreeExtension: true,
    });
    this.state = made.newState;
    const { welcome } = made;
    return {
      message: encodeMlsMessage(made.commit),
      welcome: welcome && encodeMlsMessage({ version: 'mls10', wireformat: 'mls_welcome', welcome }),
    };
  }

  async propose(proposal: Proposal, wireFormat: 'private' | 'public'): Promise<Uint8Array> {
    const made = await createProposal(this.state, wireFormat === 'public', proposal, this.#cipherSuite);
    this.state = made.newState;
    return encodeMlsMessage(made.message);
  }

  async send(text: string): Promise<Uint8Array> {
    const made = await createApplicationMessage(this.state, utf8(text), this.#cipherSuite);
    this.state = made.newState;
    return encodeMlsMessage({ version: 'mls10', wireformat: 'mls_private_message', privateMessage: made.privateMessage });
  }

  /** @returns the data of an application message. */
  async receive(message: Uint8Array): Promise<Uint8Array | undefined> {
    const decoded = decodeMlsMessage(message, 0)?.[0];
    const psks = makePskIndex(this.state, { ...this.#psks });
    if (decoded?.wireformat === 'mls_private_message') {
      const result = await processPrivateMessage(this.state, decoded.privateMessage, psks, this.#cipherSuite, acceptAll);
      this.state = result.newState;
      return result.kind === 'applicationMessage' ? result.message : undefined;
    }
    if (decoded?.wireformat !== 'mls_public_message') throw new TypeError('no message of a group');
    this.state = (await processPublicMessage(this.state, decoded.publicMessage, psks, this.#cipherSuite, acceptAll)).newState;
    return undefined;
  }
}
