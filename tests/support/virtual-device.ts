import { fromUtf8, toHex, utf8 } from '../../src/bytes/index.ts';
import {
  APP_DATA_DICTIONARY,
  applyCommit,
  buildKeyPackage,
  buildKeyPackageLeaf,
  commit,
  createGroup,
  encodeComponentIds,
  getComponent,
  groupInfoOf,
  joinByWelcome,
  joinFromEpochZero,
  keepProposal,
  keyPackageRef,
  open,
  protectApplication,
  setComponent,
  suiteName,
  type CommitEffects,
  type CommitOptions,
  type GroupState,
  type KeyPackage,
  type LeafNode,
  type LeafTemplate,
  type MadeCommit,
  type MlsSuite,
  type OwnPath,
  type SignatureKeyPair,
} from '../../src/mls/index.ts';
import {
  activate,
  allocateOperation,
  createReuseGuard,
  decodeDerivationInfo,
  deriveEncryptionKeyPair,
  deriveGroupCreationSecret,
  deriveInitKeyPair,
  derivePathSecret,
  evaluateOperation,
  followLeaf,
  guardKey,
  recoverSender,
  sealDerivationInfo,
  type EmulationEpoch,
  type LiveLeaf,
  type Operation,
} from '../../src/virtual-client/index.ts';
import { protocol } from '../unit/virtual-client/setup.ts';
import { acceptAll, NOTHING, NOW, random } from './mls-group.ts';

const { components } = protocol.revision;
const LIFETIME = { notBefore: NOW - 3600n, notAfter: NOW + 3600n };

/** What a virtual client announces of a KeyPackage, and the KeyPackage. */
export interface Announced {
  readonly keyPackage: KeyPackage;
  readonly emulatorLeaf: number;
  readonly random: Uint8Array;
}

/**
 * One device of a virtual client in one group of any suite, on src/virtual-client and src/mls alone:
 * the emulation group is of suite 1, and each device has its own copy of the epoch.
 */
export class VirtualDevice {
  readonly suite: MlsSuite;
  readonly #signer: SignatureKeyPair;
  readonly #name: string;
  #epoch: EmulationEpoch;
  #group: GroupState | undefined;
  #leaf: LiveLeaf | undefined;

  constructor(name: string, signer: SignatureKeyPair, epoch: EmulationEpoch, suite: MlsSuite) {
    this.#name = name;
    this.#signer = signer;
    this.#epoch = epoch;
    this.suite = suite;
  }

  get state(): GroupState {
    if (this.#group === undefined) throw new Error('in no group');
    return this.#group;
  }

  get authenticator(): string {
    return toHex(this.state.schedule.epochAuthenticator);
  }

  get leaf(): LiveLeaf {
    if (this.#leaf === undefined) throw new Error('in no group');
    return this.#leaf;
  }

  /** The group's epoch-0 GroupInfo, which is all that siblings need. */
  async create(groupId: Uint8Array): Promise<Uint8Array> {
    const operation = this.#allocate();
    const { publicKey, privateKey } = deriveEncryptionKeyPair(protocol, operation, this.suite);
    const leaf = await buildKeyPackageLeaf(this.suite, this.#template(operation, publicKey), publicKey, LIFETIME, this.#signer.privateKey);
    this.#group = createGroup(this.suite, {
      groupId,
      extensions: [],
      leaf,
      encryptionPrivateKey: privateKey,
      epochSecret: deriveGroupCreationSecret(protocol, operation, this.suite),
      useSafeExporter: false,
      random,
    });
    this.#leaf = activate(protocol, operation, this.suite).next;
    return this.groupInfo();
  }

  groupInfo(): Promise<Uint8Array> {
    return groupInfoOf(this.suite, this.state, this.#signer.privateKey);
  }

  /** A sibling's creation. @param leaf The GroupInfo's one leaf */
  async followCreation(groupInfo: Uint8Array, leaf: LeafNode): Promise<void> {
    const operation = this.#follow(leaf);
    this.#group = await joinFromEpochZero(this.suite, groupInfo, {
      encryptionPrivateKey: deriveEncryptionKeyPair(protocol, operation, this.suite).privateKey,
      epochSecret: deriveGroupCreationSecret(protocol, operation, this.suite),
      checkLeaf: acceptAll,
    });
    this.#leaf = activate(protocol, operation, this.suite).next;
  }

  async announce(): Promise<Announced> {
    const operation = this.#allocate();
    const { publicKey } = deriveEncryptionKeyPair(protocol, operation, this.suite);
    const keyPackage = await buildKeyPackage(
      this.suite,
      {
        leaf: this.#template(operation, publicKey),
        encryptionKey: publicKey,
        initKey: deriveInitKeyPair(protocol, operation, this.suite).publicKey,
        lifetime: LIFETIME,
        extensions: [],
      },
      this.#signer.privateKey,
    );
    this.#kept.set(toHex(keyPackageRef(this.suite, keyPackage)), operation);
    return { keyPackage, emulatorLeaf: operation.emulatorLeaf, random: operation.random };
  }

  readonly #kept = new Map<string, Operation>();

  /** A sibling's KeyPackageUpload. */
  follow({ keyPackage, emulatorLeaf, random: drawn }: Announced): void {
    const { next, value } = evaluateOperation(protocol, this.#epoch, emulatorLeaf, drawn);
    this.#epoch = next;
    this.#kept.set(toHex(keyPackageRef(this.suite, keyPackage)), value);
  }

  async join(welcome: Uint8Array, keyPackage: KeyPackage): Promise<void> {
    const ref = keyPackageRef(this.suite, keyPackage);
    const operation = this.#kept.get(toHex(ref))!;
    const joined = await joinByWelcome(this.suite, welcome, {
      keyPackageRef: ref,
      initPrivateKey: deriveInitKeyPair(protocol, operation, this.suite).privateKey,
      encryptionPrivateKey: deriveEncryptionKeyPair(protocol, operation, this.suite).privateKey,
      psks: () => undefined,
      checkLeaf: acceptAll,
      useSafeExporter: false,
    });
    this.#group = joined.state;
    this.#leaf = activate(protocol, operation, this.suite).next;
  }

  readonly #sent = new Map<Uint8Array, { readonly own: OwnPath; readonly operation: Operation }>();

  async commit(options: Partial<CommitOptions> = {}): Promise<MadeCommit> {
    const operation = this.#allocate();
    const own = this.#ownPath(operation);
    const made = await commit(this.suite, this.state, {
      signer: this.#signer.privateKey,
      proposals: [],
      references: 'all',
      path: { leaf: this.#template(operation, deriveEncryptionKeyPair(protocol, operation, this.suite).publicKey), own },
      wireFormat: 'private',
      authenticatedData: NOTHING,
      guard: (nonce) => this.#guard(nonce),
      welcomeExtensions: [],
      random,
      checkLeaf: acceptAll,
      ...options,
    });
    this.#group = made.next;
    this.#sent.set(made.value.message, { own, operation });
    return made.value;
  }

  async send(text: string): Promise<Uint8Array> {
    const sent = await protectApplication(this.suite, this.state, utf8(text), {
      signer: this.#signer.privateKey,
      authenticatedData: NOTHING,
      padding: 0,
      guard: (nonce) => this.#guard(nonce),
    });
    this.#group = sent.next;
    return sent.value.message;
  }

  /** A message of the log; of a text what it says and which device of this account said it. */
  async receive(message: Uint8Array): Promise<CommitEffects | { readonly text: string; readonly emulatorLeaf: number | undefined }> {
    const { next, value: opened } = await open(this.suite, this.state, message);
    this.#group = next;
    if (opened.kind === 'application') {
      const { protection, sentByOwnLeaf } = opened;
      const key = guardKey(this.#epoch, this.leaf);
      const { emulatorLeaf } = recoverSender(protocol, key, protection!.keyScheduleNonce, protection!.reuseGuard);
      return { text: fromUtf8(opened.applicationData), emulatorLeaf: sentByOwnLeaf ? emulatorLeaf : undefined };
    }
    if (opened.kind === 'proposal') {
      this.#group = await keepProposal(this.suite, this.state, opened, { checkLeaf: acceptAll });
      return { text: '', emulatorLeaf: undefined };
    }
    const leaf = opened.sentByOwnLeaf ? opened.pathLeaf : undefined;
    const operation = this.#sent.get(message)?.operation ?? (leaf && this.#follow(leaf));
    const applied = await applyCommit(this.suite, this.state, opened, {
      checkLeaf: acceptAll,
      ownPath: operation && this.#ownPath(operation),
    });
    this.#group = applied.next;
    if (operation !== undefined) this.#leaf = activate(protocol, operation, this.suite).next;
    return applied.value;
  }

  #allocate(): Operation {
    const { next, value } = allocateOperation(protocol, this.#epoch, random);
    this.#epoch = next;
    return value;
  }

  #follow(leaf: LeafNode): Operation {
    const info = decodeDerivationInfo(protocol, getComponent(leaf.extensions, components.derivationInfo)!);
    const { next, value } = followLeaf(protocol, this.#epoch, info, leaf.hpkePublicKey, this.suite);
    this.#epoch = next;
    return value;
  }

  #ownPath(operation: Operation): OwnPath {
    return {
      encryptionPrivateKey: deriveEncryptionKeyPair(protocol, operation, this.suite).privateKey,
      pathSecret: derivePathSecret(protocol, operation, this.suite),
    };
  }

  #guard(nonce: Uint8Array): Uint8Array {
    return createReuseGuard(protocol, guardKey(this.#epoch, this.leaf), nonce, random);
  }

  #template(operation: Operation, encryptionKey: Uint8Array): LeafTemplate {
    const withInfo = setComponent(
      setComponent([], components.appComponents, encodeComponentIds([components.derivationInfo])),
      components.derivationInfo,
      sealDerivationInfo(protocol, this.#epoch, operation, encryptionKey),
    );
    return {
      signaturePublicKey: this.#signer.publicKey,
      credential: { credentialType: 'basic', identity: utf8(this.#name) },
      capabilities: {
        versions: ['mls10'],
        ciphersuites: [suiteName(this.suite.id)],
        extensions: [APP_DATA_DICTIONARY],
        proposals: [],
        credentials: ['basic'],
      },
      extensions: withInfo,
    };
  }
}

/** Two devices of one virtual client, in the same emulation epoch. */
export function virtualClient(name: string, suite: MlsSuite, epochOf: (own: number) => EmulationEpoch): [VirtualDevice, VirtualDevice] {
  const signer = suite.signatureKeyPair(random(32));
  return [0, 1].map((own) => new VirtualDevice(name, signer, epochOf(own), suite)) as [VirtualDevice, VirtualDevice];
}
