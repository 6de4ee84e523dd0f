import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Secret } from '../../../src/bytes/index.ts';
import { decodeKeyPackage, lifetimeFrom } from '../../../src/engine/key-package-messages.ts';
import { virtualLeafTemplate } from '../../../src/engine/leaf-templates.ts';
import { COMPONENTS, EMULATION_PROTOCOL, GROUP_SUITE } from '../../../src/engine/protocol.ts';
import type { EngineState } from '../../../src/engine/state.ts';
import { buildKeyPackage, setComponent, type KeyPackage, type LeafTemplate, type Proposal } from '../../../src/mls/index.ts';
import { encodeAccountBinding, signAccountBinding } from '../../../src/virtual-client/index.ts';
import { committed, foundedBy } from '../../support/engine-forgery.ts';
import { differences, entryFor, playScene, random, stateOf, take, type Incoming, type Scene } from '../../support/engine-snapshot.ts';
import { EngineWorld } from '../../support/engine-world.ts';

// Whom the authentication service did not vouch for stays outside (reading section 15).

const world = new EngineWorld();
let scene: Scene;
let id: string;
let groupId: Uint8Array;

beforeAll(async () => {
  scene = await playScene(world);
  ({ id, groupId } = scene);
});

afterAll(() => world.close());

const laptop = (): EngineState => stateOf(scene.laptop);
const ben = (): EngineState => stateOf(scene.ben);

/** What the message of `sent` does to `receiver`: it is refused with the code, and nothing but the place read changed. */
async function expectRefused(receiver: EngineState, sent: Incoming, code: unknown): Promise<EngineState> {
  const result = await take(receiver, entryFor(receiver, groupId, sent));
  expect(result.refused.map((refusal) => refusal.code)).toEqual([code]);
  expect(differences(receiver, result)).toEqual([]);
  expect(result.notifications).toEqual([]);
  return result.state;
}

/** Someone whom our server's authentication service never vouched for. */
async function stranger(change: Partial<{ accountId: Uint8Array; signatureKey: Uint8Array }> = {}) {
  const accountId = random(16);
  const { publicKey, privateKey } = GROUP_SUITE.signatureKeyPair(random(32));
  const forger = GROUP_SUITE.signatureKeyPair(random(32)).privateKey;
  const claimedToBe = { accountId, keyVersion: 1, signatureKey: publicKey, ...change };
  const binding = encodeAccountBinding(await signAccountBinding(EMULATION_PROTOCOL, GROUP_SUITE, forger, claimedToBe));
  const account = { ...ben().account!, accountId, binding, signatureKey: publicKey };
  const template = virtualLeafTemplate(account, random(80));
  return { template, signer: privateKey, binding };
}

async function keyPackageOf({
  template,
  signer,
}: {
  template: LeafTemplate;
  signer: Secret<'signature_private_key'>;
}): Promise<KeyPackage> {
  const encryptionKey = GROUP_SUITE.deriveKeyPair(random(32)).publicKey;
  const initKey = GROUP_SUITE.deriveKeyPair(random(32)).publicKey;
  return buildKeyPackage(
    GROUP_SUITE,
    { leaf: template, encryptionKey, initKey, lifetime: lifetimeFrom(Date.now()), extensions: [] },
    signer,
  );
}

const adding = (keyPackage: KeyPackage): Proposal => ({ proposalType: 'add', add: { keyPackage } });

describe('somebody whom the server did not vouch for', () => {
  it.each([
    ['with a word of another authentication service', () => stranger(), 'binding-signature-invalid'],
    ['with the word for another account', () => stranger({ accountId: random(16) }), 'binding-account-mismatch'],
    ['with the word for another key', () => stranger({ signatureKey: random(32) }), 'binding-key-mismatch'],
    [
      'without any word',
      async () => {
        const { template, signer } = await stranger();
        const extensions = setComponent([], COMPONENTS.derivationInfo, random(80));
        return { template: { ...template, extensions }, signer };
      },
      'not-vouched-for',
    ],
    [
      'with ben’s word',
      async () => {
        const { template, signer } = await stranger();
        const extensions = setComponent(template.extensions, COMPONENTS.accountBinding, ben().account!.binding);
        return { template: { ...template, extensions }, signer };
      },
      'binding-account-mismatch',
    ],
  ])('is not added: %s', async (_name, make, code) => {
    const { sent } = await committed(ben(), id, [adding(await keyPackageOf(await make()))]);
    await expectRefused(laptop(), sent, code);
  });

  it('does not take over a member’s leaf', async () => {
    const { template, signer } = await stranger();
    const { sent } = await committed(ben(), id, [], (path) => ({
      ...path,
      leaf: { ...path.leaf, signaturePublicKey: template.signaturePublicKey },
      newSigner: signer,
    }));
    await expectRefused(laptop(), sent, 'binding-key-mismatch');
    const renamed = await committed(ben(), id, [], (path) => ({ ...path, leaf: template, newSigner: signer }));
    await expectRefused(laptop(), renamed.sent, 'wrong-credential');
  });

  it('is in no group that we join by a Welcome', async () => {
    const receiver = laptop();
    for (const [withStranger, refused] of [
      [false, []],
      [true, ['binding-signature-invalid']],
    ] as const) {
      const { welcome, newGroup } = await groupOfBen(withStranger ? [adding(await keyPackageOf(await stranger()))] : []);
      const incoming = { kind: 'welcome' as const, epoch: 1, position: 1, message: welcome, keyPackageRef: scene.claimed.keyPackageRef };
      const result = await take(receiver, entryFor(receiver, newGroup, incoming));
      expect(result.refused.map(({ code }) => code)).toEqual(refused);
      expect(result.state.conversations.size).toBe(withStranger ? 1 : 2);
      if (!withStranger) continue;
      // The server has spent the KeyPackage, so its secrets go (reading section 7); nothing else changed.
      const ref = Buffer.from(scene.claimed.keyPackageRef).toString('hex');
      expect(differences(receiver, result)).toEqual([`key-package/${ref}`]);
      expect(result.state.keyPackages.has(ref)).toBe(false);
    }
  });
});

/** A group that ben made with a client of his own, with anna and whomever he likes in it. */
async function groupOfBen(more: readonly Proposal[]): Promise<{ welcome: Uint8Array; newGroup: Uint8Array }> {
  const { groupId: newGroup, welcome } = await foundedBy(ben(), [adding(decodeKeyPackage(scene.claimed.keyPackage)), ...more]);
  return { welcome, newGroup };
}

describe('a new account that the answer does not vouch for', () => {
  it('is none: everything made for it is forgotten, and the person can begin anew', async () => {
    const dora = world.device();
    const create = { command: 'createAccount', username: 'dora', deviceName: 'laptop' } as const;
    dora.intercept = async (path, _body, carryOut) => {
      const response = await carryOut();
      if (path !== '/v1/accounts') return response;
      const told = (await response.json()) as { accountId: string };
      return Response.json({ ...told, accountId: Buffer.from(laptop().account!.accountId).toString('base64url') });
    };
    await expect(dora.do(create)).rejects.toThrow('internal');
    expect((await dora.runtime.state()).phase).toBe('new');
    expect(await dora.store.load('')).toEqual(new Map());
    dora.intercept = (_path, _body, carryOut) => carryOut();
    await dora.do({ ...create, username: 'dora2' });
    expect((await dora.runtime.state()).account).toMatchObject({ username: 'dora2' });
  });
});

describe('a Welcome', () => {
  it('is refused when it was changed, names no KeyPackage of ours, or brings a group that we are in', async () => {
    const { welcome, newGroup } = await groupOfBen([]);
    const incoming = { kind: 'welcome' as const, epoch: 1, position: 1, message: welcome, keyPackageRef: scene.claimed.keyPackageRef };
    const refusalOf = async (change: Partial<typeof incoming>, into = newGroup): Promise<string[]> => {
      const receiver = laptop();
      const result = await take(receiver, entryFor(receiver, into, { ...incoming, ...change }));
      expect(result.state.conversations.size).toBe(1);
      return result.refused.map(({ code }) => code);
    };
    expect(await refusalOf({ keyPackageRef: random(32) })).toEqual(['unknown-key-package']);
    expect(await refusalOf({}, random(16))).toEqual(['malformed-entry']);
    expect(await refusalOf({}, groupId)).toEqual(['group-exists']);
    for (let index = 0; index < welcome.length; index += 41) {
      const message = welcome.slice();
      message[index]! ^= 1 << (index % 8);
      expect(await refusalOf({ message })).toHaveLength(1);
    }
  });
});
