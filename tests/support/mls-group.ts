import { Secret, utf8 } from '../../src/bytes/index.ts';
import type { SignatureKeyPair } from '../../src/mls/crypto-suite.ts';
import {
  applyCommit,
  buildKeyPackage,
  buildKeyPackageLeaf,
  commit,
  createGroup,
  decodeGroupTransfer,
  encodeGroupTransfer,
  getSuite,
  joinByWelcome,
  keepProposal,
  keyPackageRef,
  open,
  protectApplication,
  propose,
  suiteName,
  type ApplyOptions,
  type CommitEffects,
  type CommitOptions,
  type Extension,
  type FindPsk,
  type GroupState,
  type KeyPackage,
  type LeafTemplate,
  type MadeCommit,
  type MadeProposal,
  type MlsSuite,
  type Opened,
  type OwnPath,
  type Proposal,
  type SentAs,
} from '../../src/mls/index.ts';

// Real groups sign and derive a lot; on a busy machine that outlasts vitest's five seconds.

/** Members of groups for tests: what an engine does around src/mls, without a store and a server. */

export const suite: MlsSuite = getSuite(1);
export const random = (length: number): Uint8Array => crypto.getRandomValues(new Uint8Array(length));
export const acceptAll = (): Promise<void> => Promise.resolve();
export const NOTHING = new Uint8Array(0);
const GUARD = (): Uint8Array => random(4);
/** Seconds; KeyPackages made here are valid around it. */
export const NOW = 1_800_000_000n;
const LIFETIME = { notBefore: NOW - 3600n, notAfter: NOW + 3600n };

export function newOwnPath(): OwnPath {
  return {
    encryptionPrivateKey: Secret.of('encryption_private_key', suite.deriveKeyPair(random(32)).privateKey),
    pathSecret: Secret.of('path_secret', random(suite.nh)),
  };
}

export interface NewKeyPackage {
  readonly keyPackage: KeyPackage;
  readonly initPrivateKey: Secret<'init_private_key'>;
  readonly encryptionPrivateKey: Secret<'encryption_private_key'>;
}

export interface ClientOptions {
  /** Extension types beyond the default ones. */
  readonly extensions?: readonly number[];
}

/** One client in one group. Messages go through `log`-like arrays that tests keep. */
export class TestMember {
  readonly name: string;
  readonly signer: SignatureKeyPair;
  readonly template: LeafTemplate;
  #state: GroupState | undefined;
  /** Secrets of commits on their way, by the message's bytes. */
  readonly #sent: { readonly message: Uint8Array; readonly own: OwnPath | undefined }[] = [];

  constructor(name: string, { extensions = [] }: ClientOptions = {}, signer = suite.signatureKeyPair(random(32))) {
    this.name = name;
    this.signer = signer;
    this.template = {
      signaturePublicKey: this.signer.publicKey,
      credential: { credentialType: 'basic', identity: utf8(name) },
      capabilities: {
        versions: ['mls10'],
        ciphersuites: [suiteName(suite.id)],
        extensions: [...extensions],
        proposals: [],
        credentials: ['basic'],
      },
      extensions: [],
    };
  }

  get state(): GroupState {
    if (this.#state === undefined) throw new Error(`${this.name} is in no group`);
    return this.#state;
  }

  set state(state: GroupState) {
    this.#state = state;
  }

  /** Another device with the same leaf, as state transfer makes it. */
  sibling(): TestMember {
    const sibling = new TestMember(this.name, {}, this.signer);
    sibling.state = decodeGroupTransfer(encodeGroupTransfer(this.state));
    return sibling;
  }

  get authenticator(): Uint8Array {
    return this.state.schedule.epochAuthenticator;
  }

  async create(groupId: Uint8Array, extensions: readonly Extension[] = [], useSafeExporter = false): Promise<void> {
    const { publicKey, privateKey } = suite.deriveKeyPair(random(32));
    const leaf = await buildKeyPackageLeaf(suite, this.template, publicKey, LIFETIME, this.signer.privateKey);
    const encryptionPrivateKey = Secret.of('encryption_private_key', privateKey);
    this.state = createGroup(suite, { groupId, extensions, leaf, encryptionPrivateKey, useSafeExporter, random });
  }

  async keyPackage(lifetime = LIFETIME): Promise<NewKeyPackage> {
    const init = suite.deriveKeyPair(random(32));
    const encryption = suite.deriveKeyPair(random(32));
    const keyPackage = await buildKeyPackage(
      suite,
      { leaf: this.template, encryptionKey: encryption.publicKey, initKey: init.publicKey, lifetime, extensions: [] },
      this.signer.privateKey,
    );
    return {
      keyPackage,
      initPrivateKey: Secret.of('init_private_key', init.privateKey),
      encryptionPrivateKey: Secret.of('encryption_private_key', encryption.privateKey),
    };
  }

  async join(
    welcome: Uint8Array,
    { keyPackage, initPrivateKey, encryptionPrivateKey }: NewKeyPackage,
    useSafeExporter = false,
    psks: FindPsk = () => undefined,
  ) {
    const joined = await joinByWelcome(suite, welcome, {
      keyPackageRef: keyPackageRef(suite, keyPackage),
      initPrivateKey,
      encryptionPrivateKey,
      psks,
      checkLeaf: acceptAll,
      useSafeExporter,
    });
    this.state = joined.state;
    return joined.groupInfoExtensions;
  }

  async commit(options: Partial<CommitOptions> = {}): Promise<MadeCommit> {
    const path = 'path' in options ? options.path : { leaf: this.template, own: newOwnPath() };
    const made = await commit(suite, this.state, {
      signer: this.signer.privateKey,
      proposals: [],
      references: 'all',
      wireFormat: 'private',
      authenticatedData: NOTHING,
      guard: GUARD,
      welcomeExtensions: [],
      random,
      checkLeaf: acceptAll,
      ...options,
      path,
    });
    this.state = made.next;
    this.#sent.push({ message: made.value.message, own: path?.own });
    return made.value;
  }

  async send(text: string, padding = 0): Promise<SentAs> {
    const sent = await protectApplication(suite, this.state, utf8(text), {
      signer: this.signer.privateKey,
      authenticatedData: NOTHING,
      padding,
      guard: GUARD,
    });
    this.state = sent.next;
    return sent.value;
  }

  async propose(proposal: Proposal, wireFormat: 'private' | 'public' = 'private'): Promise<MadeProposal> {
    const made = await propose(suite, this.state, proposal, {
      signer: this.signer.privateKey,
      authenticatedData: NOTHING,
      guard: GUARD,
      wireFormat,
    });
    this.state = made.next;
    return made.value;
  }

  async open(message: Uint8Array): Promise<Opened> {
    const opened = await open(suite, this.state, message);
    this.state = opened.next;
    for (const secret of opened.spent) secret.wipe();
    return opened.value;
  }

  /** Reads a message of the group's log and does what it asks for. */
  async receive(message: Uint8Array, options: Partial<ApplyOptions> = {}): Promise<Opened | CommitEffects> {
    const opened = await this.open(message);
    if (opened.kind === 'application') return opened;
    if (opened.kind === 'proposal') {
      this.state = await keepProposal(suite, this.state, opened, { checkLeaf: acceptAll });
      return opened;
    }
    const own = this.#sent.find((sent) => sent.message === message)?.own;
    const applied = await applyCommit(suite, this.state, opened, { checkLeaf: acceptAll, ownPath: own, ...options });
    for (const secret of applied.spent) secret.wipe();
    this.state = applied.next;
    return applied.value;
  }
}

/** One member adds the others; all are in the same epoch. */
export async function makeGroup(names: readonly string[], extensions: readonly Extension[] = []): Promise<TestMember[]> {
  const [first, ...others] = names.map((name) => new TestMember(name));
  if (first === undefined) throw new RangeError('a group has members');
  await first.create(random(16), extensions);
  if (others.length > 0) await addMembers(first, others, [first]);
  return [first, ...others];
}

/** `committer` adds `joiners`; `members` follow. */
export async function addMembers(committer: TestMember, joiners: readonly TestMember[], members: readonly TestMember[]): Promise<void> {
  const packages = await Promise.all(joiners.map((joiner) => joiner.keyPackage()));
  const made = await committer.commit({
    proposals: packages.map(({ keyPackage }) => ({ proposalType: 'add', add: { keyPackage } })),
  });
  for (const member of members) await member.receive(made.message);
  if (made.welcome === undefined) throw new Error('no Welcome');
  for (const [i, joiner] of joiners.entries()) await joiner.join(made.welcome, packages[i]!);
}
