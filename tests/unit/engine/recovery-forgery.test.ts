import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Secret } from '../../../src/bytes/index.ts';
import { emulatorLeafTemplate } from '../../../src/engine/leaf-templates.ts';
import { COMPONENTS, EMULATION_PROTOCOL, EMULATION_SUITE } from '../../../src/engine/protocol.ts';
import type { DeviceState, EngineState } from '../../../src/engine/state.ts';
import {
  commit,
  externalCommit,
  groupInfoOf,
  setComponent,
  type GroupContext,
  type LeafTemplate,
  type Proposal,
} from '../../../src/mls/index.ts';
import { deriveRecoveryKey, encodeActionAad, signRecovery, type RecoveryKey } from '../../../src/virtual-client/index.ts';
import { confirmNewPhrase } from '../../support/engine-recovery.ts';
import { differences, entryFor, random, settle, stateOf, take, type Incoming, type Records } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

// What a server could put into the emulation group's log to get in, against the state of a device that was there.

const world = new EngineWorld();
let laptop: Records;
let phone: Records;
let tablet: Records;
let key: RecoveryKey;

const keyOf = (entropy: Uint8Array): RecoveryKey => deriveRecoveryKey(EMULATION_PROTOCOL, Secret.of('phrase_entropy', entropy));

beforeAll(async () => {
  await world.start();
  const device = await world.person('anna', 'laptop');
  key = keyOf(await confirmNewPhrase(device));
  const other = await world.link(device, 'phone');
  const third = await world.link(device, 'tablet');
  await settle(device, other, third);
  for (const each of [device, other, third]) each.stop();
  tablet = await third.store.load('');
  phone = await other.store.load('');
  laptop = await device.store.load('');
});

afterAll(() => world.close());

type Sign = (context: GroupContext, signatureKey: Uint8Array) => Uint8Array | undefined;

interface Forgery {
  readonly leaf?: (template: LeafTemplate) => LeafTemplate;
  readonly deviceId?: Uint8Array;
  readonly authenticatedData?: Uint8Array;
  readonly removes?: number;
}

/** An external commit that is in order but for what the test changes; `sign` is what its maker has to show. */
async function joining(
  state: EngineState,
  sign: Sign,
  { leaf = (template) => template, deviceId = random(16), authenticatedData, removes }: Forgery = {},
): Promise<Incoming> {
  const { group } = state.emulation!;
  const { publicKey, privateKey } = EMULATION_SUITE.signatureKeyPair(random(32));
  const seed = Secret.of('device_key_seed', random(32));
  const device: DeviceState = {
    deviceId,
    deviceName: 'x',
    deviceKeySeed: seed,
    emulatorSignatureKey: publicKey,
    emulatorSigner: privateKey,
  };
  const { message } = await externalCommit(EMULATION_SUITE, await groupInfoOf(EMULATION_SUITE, group, state.device!.emulatorSigner), {
    leaf: leaf(emulatorLeafTemplate(device, sign(group.context, publicKey))),
    signer: privateKey,
    own: {
      encryptionPrivateKey: Secret.of('encryption_private_key', EMULATION_SUITE.deriveKeyPair(random(32)).privateKey),
      pathSecret: Secret.of('path_secret', random(32)),
    },
    externalInit: EMULATION_SUITE.deriveKeyPair(random(32)),
    removes,
    checkLeaf: () => Promise.resolve(),
    authenticatedData: authenticatedData ?? encodeActionAad(EMULATION_PROTOCOL, undefined),
    random,
    useSafeExporter: true,
  });
  return { kind: 'commit', epoch: Number(group.context.epoch), message };
}

const signedBy =
  (signer: RecoveryKey, change: Partial<Parameters<typeof signRecovery>[1]> = {}) =>
  ({ groupId, epoch }: GroupContext, signatureKey: Uint8Array): Uint8Array =>
    signRecovery(signer, { groupId, epoch, signatureKey, ...change });

async function refusalOf(incoming: Incoming, state = stateOf(laptop)): Promise<string[]> {
  const result = await take(state, entryFor(state, state.emulation!.groupId, incoming));
  if (result.refused.length > 0) expect(differences(state, result).filter((name) => name !== 'emulation/state')).toEqual([]);
  return result.refused.map(({ code }) => code);
}

describe('an external commit to the emulation group', () => {
  it('is followed when R has signed it, and it alone makes the newcomer a member', async () => {
    const state = stateOf(laptop);
    const result = await take(state, entryFor(state, state.emulation!.groupId, await joining(state, signedBy(key))));
    expect(result.refused).toEqual([]);
    expect(result.state.emulation!.group.context.epoch).toBe(state.emulation!.group.context.epoch + 1n);
    expect(result.state.emulation!.removal.keyDue).toBe(true);
    expect(result.state.keyPackages.size).toBe(0);
    expect(result.state.emulation!.floor.epoch).toBe(result.state.emulation!.group.context.epoch);
  });

  it.each<[string, Sign]>([
    ['without a signature of R', () => undefined],
    ['with an empty one', () => new Uint8Array()],
    ['signed by another phrase', (context, own) => signedBy(keyOf(random(32)))(context, own)],
    ['signed for the epoch before', (context, own) => signedBy(key, { epoch: context.epoch - 1n })(context, own)],
    ['signed for the epoch after', (context, own) => signedBy(key, { epoch: context.epoch + 1n })(context, own)],
    ['signed for another device', (context, own) => signedBy(key, { signatureKey: random(32) })(context, own)],
    ['signed for another account', (context, own) => signedBy(key, { groupId: random(16) })(context, own)],
  ])('%s is refused by name', async (_what, sign) => {
    const state = stateOf(laptop);
    expect(await refusalOf(await joining(state, sign))).toEqual(['recovery-signature-invalid']);
  });

  it('that takes a member away, carries an action, or has a device ID that is in already is refused', async () => {
    const state = stateOf(laptop);
    const action = encodeActionAad(EMULATION_PROTOCOL, { type: 'external_join', groupId: random(16) });
    expect(await refusalOf(await joining(state, signedBy(key), { authenticatedData: action }))).toEqual(['bad-action']);
    expect(await refusalOf(await joining(state, signedBy(key), { deviceId: state.device!.deviceId }))).toEqual(['wrong-credential']);
    for (const removes of [0, 1]) expect(await refusalOf(await joining(state, signedBy(key), { removes }))).toEqual(['wrong-credential']);
  });

  it('whose R-signature was copied to a leaf with another key is refused', async () => {
    const state = stateOf(laptop);
    let copied: Uint8Array | undefined;
    await joining(state, (context, own) => (copied = signedBy(key)(context, own)));
    const leaf = (template: LeafTemplate): LeafTemplate => ({
      ...template,
      extensions: setComponent(template.extensions, COMPONENTS.recovery, copied),
    });
    expect(await refusalOf(await joining(state, signedBy(key), { leaf }))).toEqual(['recovery-signature-invalid']);
  });
});

/** A commit of the phone's that puts `data` into the GroupContext. */
async function changing(state: EngineState, id: number, data: Uint8Array, more: readonly Proposal[] = []): Promise<Incoming> {
  const { group } = state.emulation!;
  const extensions = setComponent(group.context.extensions, id, data);
  const { value } = await commit(EMULATION_SUITE, group, {
    signer: state.device!.emulatorSigner,
    proposals: [{ proposalType: 'group_context_extensions', groupContextExtensions: { extensions } }, ...more],
    references: 'none',
    path: {
      leaf: emulatorLeafTemplate(state.device!),
      own: {
        encryptionPrivateKey: Secret.of('encryption_private_key', EMULATION_SUITE.deriveKeyPair(random(32)).privateKey),
        pathSecret: Secret.of('path_secret', random(32)),
      },
    },
    wireFormat: 'private',
    authenticatedData: encodeActionAad(EMULATION_PROTOCOL, undefined),
    guard: () => random(4),
    welcomeExtensions: [],
    random,
    checkLeaf: () => Promise.resolve(),
  });
  return { kind: 'commit', epoch: Number(group.context.epoch), message: value.message };
}

describe('a commit that changes the emulation group’s context', () => {
  it('is followed when it sets another R, and refused when that is none or it changes anything else', async () => {
    const [from, to] = [stateOf(phone), stateOf(laptop)];
    const result = await take(to, entryFor(to, to.emulation!.groupId, await changing(from, COMPONENTS.recovery, random(32))));
    expect(result.refused).toEqual([]);
    expect(result.state.notices.map(({ kind }) => kind)).toContain('phrase-changed');
    expect(await refusalOf(await changing(stateOf(phone), COMPONENTS.recovery, random(31)))).toEqual(['bad-action']);
    expect(await refusalOf(await changing(stateOf(phone), COMPONENTS.safeAad, new Uint8Array([0])))).toEqual(['bad-action']);
  });

  it('is refused when it removes or adds a device besides: neither would have its consequences', async () => {
    const remove: Proposal = { proposalType: 'remove', remove: { removed: stateOf(tablet).emulation!.group.ownLeaf } };
    expect(await refusalOf(await changing(stateOf(phone), COMPONENTS.recovery, random(32), [remove]))).toEqual(['bad-action']);
  });
});
