import { describe, expect, it } from 'vitest';
import { Secret, concat, toHex, utf8 } from '../../../src/bytes/index.ts';
import {
  changedEpochRecords,
  decodeEpochRecords,
  epochRecords,
  readEmulationEpochState,
  writeEmulationEpochState,
} from '../../../src/virtual-client/emulation-epoch-codec.ts';
import { deriveEmulationEpoch, epochSecrets, type EmulationEpoch } from '../../../src/virtual-client/emulation-epoch.ts';
import { epochIdOf } from '../../../src/virtual-client/epoch-id.ts';
import { allocateOperation } from '../../../src/virtual-client/operation-secrets.ts';
import { encodePprfState } from '../../../src/virtual-client/pprf-codec.ts';
import { forgettableEpochs, namedEpochs } from '../../../src/virtual-client/retention.ts';
import { decode, encode } from '../../../src/wire/index.ts';
import { codeOf, epochOf, protocol, randomFrom, suite } from './setup.ts';

const roster = [0, 2].map((emulatorLeaf) => ({ emulatorLeaf, signatureKey: utf8(`key ${emulatorLeaf}`) }));
const secret = (): Secret<'component_secret'> => Secret.of('component_secret', suite.hash(utf8('s')));
const encodeState = (epoch: EmulationEpoch): Uint8Array => encode((w) => writeEmulationEpochState(w, epoch));
const decodeState = (bytes: Uint8Array): EmulationEpoch => decode(bytes, 'state', (r) => readEmulationEpochState(r, protocol));

describe('an emulation epoch', () => {
  it('gives up the secret that it came from', () => {
    const emulatorEpochSecret = secret();
    const { spent, value, next } = deriveEmulationEpoch(protocol, emulatorEpochSecret, {
      epoch: 1n,
      leafCount: 4,
      roster,
      ownEmulatorLeaf: 2,
    });
    expect(spent).toEqual([emulatorEpochSecret]);
    expect(value).toBe(next.epochId);
  });

  it('refuses a tree, a roster or an own leaf that cannot be', () => {
    const derive = (leafCount: number, leaves: number[], own?: number): string =>
      codeOf(() =>
        deriveEmulationEpoch(protocol, secret(), {
          epoch: 1n,
          leafCount,
          roster: leaves.map((emulatorLeaf) => ({ emulatorLeaf, signatureKey: new Uint8Array() })),
          ownEmulatorLeaf: own,
        }),
      );
    for (const leafCount of [0, 3, 6, 1.5, 8192, -4]) expect(derive(leafCount, [0])).toBe('invalid-leaf-count');
    for (const leaves of [[], [1, 0], [0, 0], [4], [-1], [0.5]]) expect(derive(4, leaves)).toBe('invalid-roster');
    expect(derive(4, [0, 1], 2)).toBe('leaf-not-in-roster');
  });

  it('refuses a secret of a wrong length', () => {
    const short = Secret.of('component_secret', new Uint8Array(31));
    expect(codeOf(() => deriveEmulationEpoch(protocol, short, { epoch: 1n, leafCount: 4, roster, ownEmulatorLeaf: 0 }))).toBe(
      'wrong-length',
    );
    expect(codeOf(() => epochIdOf(suite, new Uint8Array(33)))).toBe('wrong-length');
  });

  it('passes to a newcomer without the own leaf, so that it cannot act for the device that sent it', () => {
    const { next: epoch } = allocateOperation(protocol, epochOf({ own: 1 }), randomFrom('a'));
    const received = decodeState(encodeState(epoch));
    expect(received.ownEmulatorLeaf).toBeUndefined();
    expect(toHex(encodeState(received))).toBe(toHex(encodeState(epoch)));
    expect(codeOf(() => allocateOperation(protocol, received, randomFrom('b')))).toBe('no-own-leaf');
  });

  it('refuses a received state with an impossible roster, missing or trailing bytes', () => {
    const good = encodeState(epochOf());
    expect(codeOf(() => decodeState(concat(good, new Uint8Array(1))))).toBe('trailing-bytes');
    expect(codeOf(() => decodeState(good.slice(0, -1)))).toBe('truncated');
    const leafCountAt = 1 + 32 + 8; // epoch_id<V>, epoch
    const bad = good.slice();
    bad[leafCountAt + 3] = 3;
    expect(codeOf(() => decodeState(bad))).toBe('invalid-value');
    bad[leafCountAt + 3] = 2; // leaf 2 of the roster lies outside
    expect(codeOf(() => decodeState(bad))).toBe('invalid-value');
  });

  it('lives in records with its own leaf, and an operation rewrites only PPRF records', () => {
    let epoch = epochOf({ own: 2 });
    const stored = epochRecords(epoch);
    const random = randomFrom('records');
    for (let i = 0; i < 20; i++) {
      const { next } = allocateOperation(protocol, epoch, random);
      const { puts, deletes } = changedEpochRecords(epoch, next);
      expect(puts.has('header')).toBe(false);
      for (const [name, bytes] of puts) stored.set(name, bytes);
      for (const name of deletes) stored.delete(name);
      epoch = next;
    }
    const loaded = decodeEpochRecords(protocol, stored);
    expect(loaded.ownEmulatorLeaf).toBe(2);
    expect({ ...loaded, pprf: toHex(encodePprfState(loaded.pprf)) }).toMatchObject({
      epoch: 5n,
      leafCount: 4,
      roster: epoch.roster,
      pprf: toHex(encodePprfState(epoch.pprf)),
    });
    expect(toHex(loaded.generationIdSecret.reveal())).toBe(toHex(epoch.generationIdSecret.reveal()));
    expect(toHex(loaded.epochEncryptionKey.reveal())).toBe(toHex(epoch.epochEncryptionKey.reveal()));
  });

  it('does not load from records of another version, without a header, or with one too many', () => {
    const records = epochRecords(epochOf({ own: 0 }));
    const header = records.get('header')!;
    const otherVersion = header.slice();
    otherVersion[0] = 2;
    const without = new Map(records);
    without.delete('header');
    expect(codeOf(() => decodeEpochRecords(protocol, without))).toBe('truncated');
    expect(codeOf(() => decodeEpochRecords(protocol, new Map([...records, ['header', otherVersion]])))).toBe('invalid-value');
    expect(codeOf(() => decodeEpochRecords(protocol, new Map([...records, ['header', concat(header, new Uint8Array(1))]])))).toBe(
      'trailing-bytes',
    );
    expect(codeOf(() => decodeEpochRecords(protocol, new Map([...records, ['other', header]])))).toBe('invalid-value');
  });

  it('names every secret that it holds, for wiping', () => {
    const epoch = allocateOperation(protocol, epochOf({ own: 0 }), randomFrom('wipe')).next;
    for (const held of epochSecrets(epoch)) held.wipe();
    expect(() => encodePprfState(epoch.pprf)).toThrow('wiped');
    expect(epoch.epochEncryptionKey.wiped && epoch.generationIdSecret.wiped).toBe(true);
  });
});

describe('retention', () => {
  const [current, leaf, keyPackage, pending, past, free] = ['current', 'leaf', 'kp', 'pending', 'past', 'free'].map((name) =>
    epochOf({ name }),
  );
  const names = {
    current: current!.epochId,
    liveLeaves: [leaf!.epochId],
    keyPackages: [keyPackage!.epochId],
    pendingOperations: [pending!.epochId],
    keptPastEpochs: [past!.epochId, leaf!.epochId],
  };
  const all = [current!, leaf!, keyPackage!, pending!, past!, free!];

  it('keeps each epoch that anything names', () => {
    expect([...namedEpochs(names)].sort()).toEqual(
      all
        .slice(0, 5)
        .map((epoch) => toHex(epoch.epochId))
        .sort(),
    );
    expect(forgettableEpochs(all, names, () => true)).toEqual([free]);
  });

  it('keeps an unnamed epoch until this device is past its end in every group', () => {
    expect(forgettableEpochs(all, names, () => false)).toEqual([]);
  });
});
