import { Secret, utf8 } from '../../src/bytes/index.ts';
import { encodeDeviceProfile, encodeText } from '../../src/engine/content.ts';
import { encodeInvitationMessage, makeInvitationSeed } from '../../src/engine/invitation-link.ts';
import { decodeKeyPackage, secondsOf } from '../../src/engine/key-package-messages.ts';
import { emulatorLeafCheck } from '../../src/engine/leaf-check.ts';
import { components, emulatorLeafTemplate } from '../../src/engine/leaf-templates.ts';
import { requestOf } from '../../src/engine/linking.ts';
import { isNamed } from '../../src/engine/errors.ts';
import type { Input } from '../../src/engine/input.ts';
import { COMPONENTS, EMULATION_PROTOCOL, EMULATION_SUITE, GROUP_SUITE } from '../../src/engine/protocol.ts';
import { encodeRecord, decodeRecord } from '../../src/engine/record-codec.ts';
import type { EngineState, NewDeviceLink } from '../../src/engine/state.ts';
import { Turn } from '../../src/engine/turn.ts';
import { currentEpoch, currentGuardKey } from '../../src/engine/virtual-leaf.ts';
import { signContent } from '../../src/mls/framing.ts';
import {
  commit,
  decodeExact,
  getComponent,
  joinByWelcome,
  keyPackageRef,
  open,
  protectApplication,
  setComponent,
} from '../../src/mls/index.ts';
import { protect, sealContent } from '../../src/mls/private-message.ts';
import { commitCodec, proposalCodec, type Codec, type Proposal } from '../../src/mls/ts-mls.ts';
import { encodeForgetMessage, encodeResyncMessage } from '../../src/virtual-client/emulation-message.ts';
import {
  createReuseGuard,
  decodeNewEmulatorClientState,
  encodeActionAad,
  encodeNewEmulatorClientState,
} from '../../src/virtual-client/index.ts';
import { committed } from '../support/engine-forgery.ts';
import { entryFor, random, type Incoming } from '../support/engine-snapshot.ts';
import { type Dice, mutate } from './mutate.ts';
import { saidBy, type Confidential } from './confidential.ts';
import type { Case } from './play.ts';
import type { Cast } from './scene.ts';

/** What somebody inside can sign and encrypt: content that is mutated before it is sealed, so that only the engine can refuse it. */

export interface Hostile {
  readonly receiver: EngineState;
  readonly input: Input;
}

type Maker = (cast: Cast, dice: Dice) => Promise<Hostile>;

/** Bytes that are a value again after a few mutations; undefined when they never are. */
function mutant<Value>(codec: Codec<Value>, samples: readonly Value[], dice: Dice): Value | undefined {
  const encoded = samples.map((sample) => codec.encode(sample));
  for (let left = 12; left > 0; left--) {
    try {
      return decodeExact(codec, mutate(encoded, dice));
    } catch {
      continue; // most have lost their form
    }
  }
  return undefined;
}

const toConversation = ({ laptop, conversationId }: Cast, sent: Incoming): Hostile => ({
  receiver: laptop,
  input: entryFor(laptop, new Uint8Array(Buffer.from(conversationId, 'hex')), sent),
});
const toEmulation = ({ laptop }: Cast, sent: Incoming): Hostile => ({
  receiver: laptop,
  input: entryFor(laptop, laptop.emulation!.groupId, sent),
});

const guardOf = (state: EngineState, id: string) => (nonce: Uint8Array) =>
  createReuseGuard(EMULATION_PROTOCOL, currentGuardKey(new Turn(state, random, 0), state.conversations.get(id)!)!, nonce, random);

/** An application message of a member's. */
const text: Maker = async (cast, dice) => {
  const { ben, conversationId: id } = cast;
  const content = mutate(['', 'hello', 'Grüße'].map(encodeText), dice);
  const group = ben.groups.get(id)!;
  const { value } = await protectApplication(GROUP_SUITE, group, content, {
    signer: ben.account!.signer,
    authenticatedData: dice.below(2) === 0 ? new Uint8Array() : mutate([utf8('data')], dice),
    padding: dice.below(40),
    guard: dice.below(2) === 0 ? () => random(4) : guardOf(ben, id),
  });
  return toConversation(cast, { kind: 'application', epoch: Number(group.context.epoch), message: value.message });
};

/** Proposals of every type, well-formed. */
function proposals({ ben, conversationId, linking }: Cast): Proposal[] {
  const group = ben.groups.get(conversationId)!;
  const { extensions } = group.context;
  const keyPackage = decodeKeyPackage((linking.newcomer.before.link as NewDeviceLink).keyPackage);
  return [
    { proposalType: 'remove', remove: { removed: 0 } },
    { proposalType: 'add', add: { keyPackage } },
    { proposalType: 'group_context_extensions', groupContextExtensions: { extensions } },
    { proposalType: 'external_init', externalInit: { kemOutput: random(32) } },
    {
      proposalType: 'reinit',
      reinit: { groupId: random(16), version: 'mls10', cipherSuite: 'MLS_128_DHKEMX25519_AES128GCM_SHA256_Ed25519', extensions },
    },
    { proposalType: 'psk', psk: { preSharedKeyId: { psktype: 'external', pskId: random(16), pskNonce: random(32) } } },
    { proposalType: 'update', update: { leafNode: group.tree.occupiedLeaf(group.ownLeaf) as never } },
  ];
}

const proposal: Maker = async (cast, dice) => {
  const { ben, conversationId: id } = cast;
  const group = ben.groups.get(id)!;
  const [valid] = [dice.of(proposals(cast))];
  const content = { contentType: 'proposal', proposal: mutant(proposalCodec, [valid], dice) ?? valid } as const;
  const options = { signer: ben.account!.signer, authenticatedData: new Uint8Array(), padding: () => 0, guard: () => random(4) };
  const { value } = await protect(GROUP_SUITE, group, content, options);
  return toConversation(cast, { kind: 'proposal', epoch: Number(group.context.epoch), message: value.message });
};

/** A commit whose struct was mutated and signed again; its confirmation tag is one that nobody can make. */
const commitStruct: Maker = async (cast, dice) => {
  const { ben, laptop, conversationId: id } = cast;
  const { sent } = await committed(ben, id, []);
  const { value: opened } = await open(GROUP_SUITE, laptop.groups.get(id)!, sent.message);
  if (opened.kind !== 'commit' || opened.content.content.contentType !== 'commit') throw new Error('no commit');
  const valid = opened.content.content.commit;
  const more = { ...valid, proposals: [{ proposalOrRefType: 'proposal', proposal: dice.of(proposals(cast)) } as const] };
  const content = { ...opened.content.content, commit: mutant(commitCodec, [valid, more], dice) ?? more };
  const group = ben.groups.get(id)!;
  const signature = await signContent(GROUP_SUITE, ben.account!.signer, content, 'mls_private_message', group.context);
  const auth = { contentType: 'commit', signature, confirmationTag: random(dice.of([0, 31, 32])) } as const;
  const options = { padding: () => 0, guard: () => random(4) };
  const { value } = await sealContent(GROUP_SUITE, group, { wireformat: 'mls_private_message', content, auth }, options);
  return toConversation(cast, { ...sent, message: value.message });
};

/** A commit that is sound as MLS has it, with a leaf of the maker's own invention. */
const leafOf =
  (who: 'ben' | 'phone'): Maker =>
  async (cast, dice) => {
    const id = cast.conversationId;
    const { sent } = await committed(cast[who], id, dice.below(3) === 0 ? [dice.of(proposals(cast))] : [], (path) => {
      const component = dice.of([COMPONENTS.derivationInfo, COMPONENTS.accountBinding, COMPONENTS.appComponents, 0x8aff]);
      const before = getComponent(path.leaf.extensions, component) ?? random(12);
      const extensions = setComponent(path.leaf.extensions, component, dice.below(6) === 0 ? undefined : mutate([before], dice));
      return { ...path, leaf: { ...path.leaf, extensions } };
    });
    return toConversation(cast, sent);
  };

/** What a device of the account tells the others, mutated. */
const emulationMessage: Maker = async (cast, dice) => {
  const { phone, conversationId } = cast;
  const groupId = new Uint8Array(Buffer.from(conversationId, 'hex'));
  const signatureKey = phone.device!.emulatorSignatureKey;
  const contents = [
    encodeDeviceProfile({ signatureKey, name: 'phone' }),
    encodeForgetMessage({ groupId, positions: [1, 2, 3] }),
    encodeInvitationMessage({ groupId, seed: makeInvitationSeed(random), title: 'Choir' }),
    encodeResyncMessage(Secret.of('signature_private_key', random(32))),
  ];
  const { group } = phone.emulation!;
  const { value } = await protectApplication(EMULATION_SUITE, group, mutate(contents, dice), {
    signer: phone.device!.emulatorSigner,
    authenticatedData: dice.below(4) === 0 ? aad(phone, dice) : encodeActionAad(EMULATION_PROTOCOL, undefined),
    padding: dice.below(40),
    guard: () => random(4),
  });
  return toEmulation(cast, { kind: 'application', epoch: Number(group.context.epoch), message: value.message });
};

function aad(state: EngineState, dice: Dice): Uint8Array {
  const { epochId } = currentEpoch(new Turn(state, random, 0));
  const keyPackages = [1, 2, 3].map(() => ({ keyPackageRef: random(32), random: random(32) }));
  const actions = [
    undefined,
    { type: 'external_join', groupId: random(16) } as const,
    { type: 'key_package_upload', epochId, keyPackages } as const,
  ];
  const encoded = encodeActionAad(EMULATION_PROTOCOL, dice.of(actions));
  return dice.below(3) > 0 ? encoded : mutate([encoded], dice);
}

/** A commit of the emulation group with an action, a leaf and a GroupContext of the maker's own. */
const emulationCommit: Maker = async (cast, dice) => {
  const { phone, now } = cast;
  const { group } = phone.emulation!;
  const template = emulatorLeafTemplate(phone.device!);
  const component = dice.of([COMPONENTS.recovery, COMPONENTS.safeAad, 0x8aff]);
  const extensions = setComponent(
    group.context.extensions,
    component,
    mutate([getComponent(group.context.extensions, component) ?? random(9)], dice),
  );
  const keyPair = EMULATION_SUITE.deriveKeyPair(random(32));
  const { value } = await commit(EMULATION_SUITE, group, {
    signer: phone.device!.emulatorSigner,
    proposals: dice.below(2) === 0 ? [] : [{ proposalType: 'group_context_extensions', groupContextExtensions: { extensions } }],
    references: 'none',
    path: {
      leaf:
        dice.below(4) > 0
          ? template
          : { ...template, credential: { credentialType: 'basic', identity: mutate([phone.device!.deviceId], dice) } },
      own: {
        encryptionPrivateKey: Secret.of('encryption_private_key', keyPair.privateKey),
        pathSecret: Secret.of('path_secret', random(32)),
      },
    },
    wireFormat: 'private',
    authenticatedData: aad(phone, dice),
    guard: () => random(4),
    welcomeExtensions: [],
    random,
    checkLeaf: () => Promise.resolve(),
    now: secondsOf(now),
  });
  return toEmulation(cast, { kind: 'commit', epoch: Number(group.context.epoch), message: value.message });
};

/** The Welcome of a device that links another one and tells it anything. */
const onboarding: Maker = async ({ linking, now }, dice) => {
  const { adder, newcomer } = linking;
  const { before, request } = newcomer;
  const link = before.link as NewDeviceLink;
  const { slots } = JSON.parse(new TextDecoder().decode(newcomer.body)) as { slots: { welcome: string } };
  const told = await toldBy(new Uint8Array(Buffer.from(slots.welcome, 'base64url')), link);
  const state =
    dice.below(3) === 0 ? mutate([encodeNewEmulatorClientState(told)], dice) : encodeNewEmulatorClientState(mutatedState(told, dice));
  if (adder.link?.role !== 'adder') throw new Error('nobody is adding');
  const keyPackage = decodeKeyPackage(requestOf(adder.link).keyPackage);
  const keyPair = EMULATION_SUITE.deriveKeyPair(random(32));
  const { value } = await commit(EMULATION_SUITE, adder.emulation!.group, {
    signer: adder.device!.emulatorSigner,
    proposals: [{ proposalType: 'add', add: { keyPackage } }],
    references: 'none',
    path: {
      leaf: emulatorLeafTemplate(adder.device!),
      own: {
        encryptionPrivateKey: Secret.of('encryption_private_key', keyPair.privateKey),
        pathSecret: Secret.of('path_secret', random(32)),
      },
    },
    wireFormat: 'private',
    authenticatedData: encodeActionAad(EMULATION_PROTOCOL, undefined),
    guard: () => random(4),
    welcomeExtensions: components([[COMPONENTS.newEmulatorClientState, state]]),
    random,
    checkLeaf: emulatorLeafCheck,
    now: secondsOf(now),
  });
  const answer = { outcome: 'done', value: { slots: { welcome: value.welcome! } } } as const;
  return { receiver: before, input: { type: 'answer', call: 'fetch-link', request: request as never, answer, conversationId: undefined } };
};

type Told = ReturnType<typeof decodeNewEmulatorClientState>;

async function toldBy(welcome: Uint8Array, link: NewDeviceLink): Promise<Told> {
  const { groupInfoExtensions } = await joinByWelcome(EMULATION_SUITE, welcome, {
    keyPackageRef: keyPackageRef(EMULATION_SUITE, decodeKeyPackage(link.keyPackage)),
    ...link.keys!,
    checkLeaf: emulatorLeafCheck,
    useSafeExporter: true,
  });
  return decodeNewEmulatorClientState(EMULATION_PROTOCOL, getComponent(groupInfoExtensions, COMPONENTS.newEmulatorClientState)!);
}

/** One of the engine's own records in it says something else, in a form that a record can have. */
function mutatedState(told: Told, dice: Dice): Told {
  if (dice.below(4) === 0) return { ...told, sequence: dice.of([0n, 1n << 53n, (1n << 64n) - 1n]) };
  if (dice.below(3) > 0) return { ...told, applicationData: encodeRecord(distorted(decodeRecord(told.applicationData), dice)) };
  const higherLevelGroups = told.higherLevelGroups.map((group) => {
    if (group.type !== 'state_transfer') return group;
    if (dice.below(4) === 0) return { ...group, logPosition: dice.of([0n, 1n << 53n, (1n << 64n) - 1n]) };
    return { ...group, groupState: encodeRecord(distorted(decodeRecord(group.groupState), dice)) };
  });
  return { ...told, higherLevelGroups };
}

const STRANGERS: readonly unknown[] = [
  undefined,
  null,
  true,
  -1,
  NaN,
  1e300,
  7n,
  '',
  'x'.repeat(3000),
  random(5),
  [],
  {},
  new Map(),
  [new Map([['a', 1]])],
];

function distorted(record: object, dice: Dice): object {
  const field = dice.of(Object.keys(record));
  const value = (record as Record<string, unknown>)[field];
  const inner =
    value instanceof Map
      ? new Map([...(value as Map<string, unknown>), ['a', dice.of(STRANGERS)]])
      : Array.isArray(value)
        ? [dice.of(STRANGERS)]
        : dice.of(STRANGERS);
  return { ...record, [field]: dice.below(2) === 0 ? dice.of(STRANGERS) : inner };
}

export const MAKERS: Readonly<Record<string, Maker>> = {
  text,
  proposal,
  commitStruct,
  'leaf of a member': leafOf('ben'),
  'leaf of a sibling': leafOf('phone'),
  emulationMessage,
  emulationCommit,
  onboarding,
};

/** One case; undefined when even its maker's own engine has refused it. @throws Error when that gives something away */
export async function hostile(cast: Cast, which: string, one: Case, confidential: Confidential): Promise<Hostile | undefined> {
  try {
    const made = await MAKERS[which]!(cast, one.dice);
    one.input = made.input;
    return made;
  } catch (error) {
    if (!isNamed(error)) throw error;
    const givenAway = confidential.givenAwayBy(saidBy(error));
    if (givenAway !== undefined) throw new Error(`gave ${givenAway} away in an error`, { cause: error });
    return undefined;
  }
}
