import { encodeText } from '../../src/engine/content.ts';
import { lifetimeFrom, secondsOf } from '../../src/engine/key-package-messages.ts';
import { virtualLeafTemplate } from '../../src/engine/leaf-templates.ts';
import { COMPONENTS, EMULATION_PROTOCOL, GROUP_SUITE } from '../../src/engine/protocol.ts';
import type { EngineState } from '../../src/engine/state.ts';
import { Turn } from '../../src/engine/turn.ts';
import { allocate, currentEpoch, currentGuardKey, prepareLeaf } from '../../src/engine/virtual-leaf.ts';
import {
  buildKeyPackageLeaf,
  commit,
  createGroup,
  groupInfoOf,
  protectApplication,
  setComponent,
  type CommitPath,
  type LeafTemplate,
  type Proposal,
} from '../../src/mls/index.ts';
import {
  createReuseGuard,
  deriveEncryptionKeyPair,
  deriveGroupCreationSecret,
  derivePathSecret,
  sealDerivationInfo,
  type Operation,
} from '../../src/virtual-client/index.ts';
import { random, type Incoming } from './engine-snapshot.ts';

/** What somebody with a device's state and a client of their own can make. */

/** A commit by the virtual client of `state`, with whatever leaf and path the test wants. */
export async function committed(
  state: EngineState,
  id: string,
  proposals: readonly Proposal[],
  change: (path: CommitPath, turn: Turn) => CommitPath | undefined | Promise<CommitPath> = (path) => path,
): Promise<{ readonly state: EngineState; readonly welcome: Uint8Array | undefined; readonly sent: Incoming }> {
  const turn = new Turn(state, random, Date.now());
  const { template, own } = prepareLeaf(turn, allocate(turn), GROUP_SUITE);
  const key = currentGuardKey(turn, state.conversations.get(id)!)!;
  const { next, value } = await commit(GROUP_SUITE, state.groups.get(id)!, {
    signer: state.account!.signer,
    proposals,
    references: 'none',
    path: await change({ leaf: template, own }, turn),
    wireFormat: 'private',
    authenticatedData: new Uint8Array(),
    guard: (nonce) => createReuseGuard(EMULATION_PROTOCOL, key, nonce, random),
    welcomeExtensions: [],
    random,
    checkLeaf: () => Promise.resolve(),
    now: secondsOf(Date.now()),
  });
  const groups = new Map(state.groups).set(id, next);
  return {
    state: { ...state, groups },
    welcome: value.welcome,
    sent: { kind: 'commit', epoch: Number(next.context.epoch), message: value.message },
  };
}

export function pathOf(template: LeafTemplate, operation: Operation, component: Uint8Array): CommitPath {
  return {
    leaf: { ...template, extensions: setComponent(template.extensions, COMPONENTS.derivationInfo, component) },
    own: {
      encryptionPrivateKey: deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE).privateKey,
      pathSecret: derivePathSecret(EMULATION_PROTOCOL, operation, GROUP_SUITE),
    },
  };
}

export const publicKeyOf = (operation: Operation): Uint8Array =>
  deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE).publicKey;

/** A new group of the virtual client from an operation of the test's choice. */
export async function createdBy(state: EngineState, operation: Operation): Promise<{ groupId: Uint8Array; message: Uint8Array }> {
  const { signer } = state.account!;
  const newGroup = random(16);
  const { privateKey, publicKey } = deriveEncryptionKeyPair(EMULATION_PROTOCOL, operation, GROUP_SUITE);
  const info = sealDerivationInfo(EMULATION_PROTOCOL, currentEpoch(new Turn(state, random, Date.now())), operation, publicKey);
  const group = createGroup(GROUP_SUITE, {
    groupId: newGroup,
    extensions: [],
    leaf: await buildKeyPackageLeaf(GROUP_SUITE, virtualLeafTemplate(state.account!, info), publicKey, lifetimeFrom(Date.now()), signer),
    encryptionPrivateKey: privateKey,
    epochSecret: deriveGroupCreationSecret(EMULATION_PROTOCOL, operation, GROUP_SUITE),
    useSafeExporter: false,
    random,
  });
  return { groupId: newGroup, message: await groupInfoOf(GROUP_SUITE, group, signer) };
}

/** A text whose reuse guard says that the device at `emulatorLeaf` sent it. */
export async function textedAs(state: EngineState, id: string, text: string, emulatorLeaf: number): Promise<Incoming> {
  const turn = new Turn(state, random, Date.now());
  const key = { ...currentGuardKey(turn, state.conversations.get(id)!)!, ownEmulatorLeaf: emulatorLeaf };
  const { value } = await protectApplication(GROUP_SUITE, state.groups.get(id)!, encodeText(text), {
    signer: state.account!.signer,
    authenticatedData: new Uint8Array(),
    padding: 0,
    guard: (nonce) => createReuseGuard(EMULATION_PROTOCOL, key, nonce, random),
  });
  return { kind: 'application', epoch: Number(state.groups.get(id)!.context.epoch), message: value.message };
}

/** A group that the account of `state` made with a client of its own, and a first commit with `proposals`. */
export async function foundedBy(state: EngineState, proposals: readonly Proposal[]): Promise<{ groupId: Uint8Array; welcome: Uint8Array }> {
  const turn = new Turn(state, random, Date.now());
  const { signer } = state.account!;
  const groupId = random(16);
  const { template, encryptionKey, own } = prepareLeaf(turn, allocate(turn), GROUP_SUITE);
  const leaf = await buildKeyPackageLeaf(GROUP_SUITE, template, encryptionKey, lifetimeFrom(Date.now()), signer);
  const { encryptionPrivateKey } = own;
  const made = createGroup(GROUP_SUITE, { groupId, extensions: [], leaf, encryptionPrivateKey, useSafeExporter: false, random });
  const next = prepareLeaf(turn, allocate(turn), GROUP_SUITE);
  const { value } = await commit(GROUP_SUITE, made, {
    signer,
    proposals,
    references: 'none',
    path: { leaf: next.template, own: next.own },
    wireFormat: 'private',
    authenticatedData: new Uint8Array(),
    guard: () => random(4),
    welcomeExtensions: [],
    random,
    checkLeaf: () => Promise.resolve(),
    now: secondsOf(Date.now()),
  });
  return { groupId, welcome: value.welcome! };
}
