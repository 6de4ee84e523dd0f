import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { Secret, toHex, utf8 } from '../../../src/bytes/index.ts';
import {
  changedRecords,
  decodeGroup,
  decodeGroupTransfer,
  encodeGroup,
  encodeGroupTransfer,
  exportComponentSecret,
  forgetPastEpochs,
  type GroupState,
} from '../../../src/mls/index.ts';
import { createSecretTree, messageKey } from '../../../src/mls/secret-tree.ts';
import { addMembers, makeGroup, random, suite, TestMember } from '../../support/mls-group.ts';
import { makeFullTree } from '../../support/mls-tree.ts';

type Records = Map<string, Uint8Array>;

/** The store of one group: what `changedRecords` says is applied to it. */
class Store {
  readonly records: Records = new Map();
  #state: GroupState | undefined;
  /** Bytes of keys and values written by the last step. */
  written = 0;

  save(state: GroupState | undefined): string[] {
    const { puts, deletes } = changedRecords(this.#state, state);
    for (const key of deletes) expect(this.records.delete(key)).toBe(true);
    for (const [key, value] of puts) this.records.set(key, value);
    this.written = [...puts].reduce((sum, [key, value]) => sum + key.length + value.length, 0);
    this.#state = state;
    return [...puts.keys()].sort();
  }
}

function expectSame(a: Records | ReadonlyMap<string, Uint8Array>, b: ReadonlyMap<string, Uint8Array>): void {
  const plain = (records: ReadonlyMap<string, Uint8Array>) => [...records].map(([key, value]) => `${key} ${toHex(value)}`).sort();
  expect(plain(a)).toEqual(plain(b));
}

/** A group with pending proposals, past epochs, skipped keys, a safe exporter and own path keys. */
async function richGroup(): Promise<{ a: TestMember; b: TestMember }> {
  const a = new TestMember('a');
  await a.create(random(16), [], true);
  const b = new TestMember('b');
  const keys = await b.keyPackage();
  const made = await a.commit({ proposals: [{ proposalType: 'add', add: { keyPackage: keys.keyPackage } }] });
  await a.receive(made.message);
  await b.join(made.welcome!, keys, true);
  await b.send('lost');
  await a.receive((await b.send('kept')).message);
  const { message } = await b.commit();
  for (const member of [a, b]) await member.receive(message);
  a.state = exportComponentSecret(suite, a.state, 0x8a00).next;
  await a.receive((await b.propose({ proposalType: 'group_context_extensions', groupContextExtensions: { extensions: [] } })).message);
  return { a, b };
}

describe('a stored group', () => {
  it('comes back as it was, and goes on', async () => {
    const { a, b } = await richGroup();
    const restored = decodeGroup(encodeGroup(a.state));
    expectSame(encodeGroup(restored), encodeGroup(a.state));
    expect(restored.pastEpochs.length).toBe(2);
    expect(restored.proposals.length).toBe(1);
    expect(() => exportComponentSecret(suite, restored, 0x8a00)).toThrow('component-exported');
    a.state = restored;
    await b.receive((await a.propose({ proposalType: 'remove', remove: { removed: 1 } })).message);
    const { message } = await a.commit({ references: 'none' });
    for (const member of [a, b]) await member.receive(message);
    expect(a.authenticator).toEqual(b.authenticator);
  });

  it('loses the forgotten past epochs and nothing else, and what they held is spent', async () => {
    const store = new Store();
    const [a, b] = (await makeGroup(['a', 'b'])) as [TestMember, TestMember];
    const late: { readonly epoch: bigint; readonly message: Uint8Array }[] = [];
    for (let round = 0; round < 4; round++) {
      late.push({ epoch: a.state.context.epoch, message: (await b.send(`late ${round}`)).message });
      const { message } = await b.commit();
      for (const member of [a, b]) await member.receive(message);
    }
    store.save(a.state);
    const from = late[2]!.epoch;
    const [kept, forgotten] = [a.state.pastEpochs.slice(0, 2), a.state.pastEpochs.slice(2)];
    expect(forgotten.length).toBeGreaterThan(1);
    const { next, spent } = forgetPastEpochs(a.state, from);
    store.save(next);
    expectSame(store.records, encodeGroup(next));
    expect(next.pastEpochs).toEqual(kept);
    const names = [...store.records.keys()];
    for (const { context } of forgotten) {
      expect(names.filter((key) => key.startsWith(`past/${context.epoch}/`) || key.startsWith(`epoch/${context.epoch}/`))).toEqual([]);
    }

    for (const { senderDataSecret, resumptionPsk, secretTree } of forgotten) {
      expect(spent).toEqual(expect.arrayContaining([senderDataSecret, resumptionPsk, ...secretTree.nodes.values()]));
    }
    for (const secret of spent) secret.wipe();
    a.state = decodeGroup(encodeGroup(next));
    for (const { epoch, message } of late) {
      if (epoch < from) await expect(a.open(message)).rejects.toMatchObject({ code: 'unknown-epoch' });
      else expect((await a.open(message)).kind).toBe('application');
    }
    const { message } = await b.commit();
    for (const member of [a, b]) await member.receive(message);
    expect(a.authenticator).toEqual(b.authenticator);
  });

  it('is the same state when nothing is old enough to be forgotten', async () => {
    const { a } = await richGroup();
    const oldest = a.state.pastEpochs.at(-1)!.context.epoch;
    const { next, spent } = forgetPastEpochs(a.state, oldest);
    expect(next).toBe(a.state);
    expect(spent).toEqual([]);
  });

  it('step by step is what one whole write gives', async () => {
    const store = new Store();
    const [a, b, c] = (await makeGroup(['a', 'b', 'c'])) as [TestMember, TestMember, TestMember];
    const members = [a, b, c];
    const check = (): void => {
      store.save(a.state);
      expectSame(store.records, encodeGroup(a.state));
      a.state = decodeGroup(store.records);
      expectSame(store.records, encodeGroup(a.state));
    };
    const everybody = async (message: Uint8Array): Promise<void> => {
      for (const member of members) await member.receive(message);
    };
    check();
    for (let round = 0; round < 7; round++) {
      const late = await b.send(`late ${round}`);
      await everybody((await c.send('now')).message);
      check();
      const joiner = new TestMember(`joiner ${round}`);
      await addMembers(round % 2 === 0 ? c : b, [joiner], members);
      members.push(joiner);
      check();
      await a.receive(late.message);
      check();
      const last = members.pop()!;
      const { message } = await c.commit({ proposals: [{ proposalType: 'remove', remove: { removed: last.state.ownLeaf } }] });
      await everybody(message);
      check();
    }
    expect([...store.records.keys()].filter((key) => key.endsWith('/leaves')).length).toBe(5);
    store.save(undefined);
    expect(store.records.size).toBe(0);
  });

  it('writes the header alone when a proposal is kept, and one ratchet when a message is sent', async () => {
    const [a, b] = (await makeGroup(['a', 'b', 'c'])) as [TestMember, TestMember, TestMember];
    await a.send('opens the ratchet');
    const store = new Store();
    store.save(a.state);
    await a.send('again');
    const { epoch } = a.state.context;
    expect(store.save(a.state)).toEqual([`epoch/${epoch}/ratchet/0/application`]);
    const opened = await b.propose({ proposalType: 'remove', remove: { removed: 2 } });
    await a.receive(opened.message);
    expect(store.save(a.state)).toContain('header');
    expect(store.save(a.state)).toEqual([]);
    expect(store.written).toBe(0);
  });

  it('of 1,024 members costs a send a few hundred bytes, and a message from another member a few kB', async () => {
    const a = new TestMember('a');
    await a.create(random(16));
    const secretTree = createSecretTree(Secret.of('encryption_secret', random(32)), 1024);
    a.state = { ...a.state, tree: makeFullTree(suite, 1024), secretTree };
    const store = new Store();
    store.save(a.state);
    expect(store.written).toBeGreaterThan(200_000);
    await a.send('first');
    store.save(a.state);
    expect(store.written).toBeLessThan(1_500);
    const sizes: number[] = [];
    for (let i = 0; i < 20; i++) {
      await a.send(`message ${i}`);
      store.save(a.state);
      sizes.push(store.written);
    }
    // one ratchet; each unconfirmed message keeps a key of some 35 bytes in it until it comes back
    expect(Math.max(...sizes)).toBeLessThan(1_000);
    for (const sender of [1023, 500, 501]) {
      a.state = { ...a.state, secretTree: messageKey(suite, a.state.secretTree, sender, 'application', 3).next };
      store.save(a.state);
      expect(store.written).toBeLessThan(2_500);
    }
  });

  it('shares no memory with its records', async () => {
    const { a } = await richGroup();
    const records = encodeGroup(a.state);
    const restored = decodeGroup(records);
    const before = [...encodeGroup(restored)].map(([key, value]) => [key, toHex(value)]);
    for (const value of records.values()) value.fill(0xff);
    expect([...encodeGroup(restored)].map(([key, value]) => [key, toHex(value)])).toEqual(before);
  });

  it('is refused when a record is missing, superfluous, truncated, too long or of another version', async () => {
    const { a } = await richGroup();
    const records = encodeGroup(a.state);
    for (const [key, value] of records) {
      const change = (bytes: Uint8Array | undefined): Records => {
        const changed = new Map(records);
        if (bytes === undefined) changed.delete(key);
        else changed.set(key, bytes);
        return changed;
      };
      expect(() => decodeGroup(change(undefined)), key).toThrow('lacks a record');
      expect(() => decodeGroup(change(Uint8Array.of(...value, 0))), key).toThrow();
      expect(() => decodeGroup(change(value.subarray(0, value.length - 1))), key).toThrow();
      expect(() => decodeGroup(change(Uint8Array.of(2, ...value.subarray(1)))), key).toThrow('version');
    }
    expect(() => decodeGroup(new Map(records).set('epoch/99/nodes', utf8('x')))).toThrow('too many');
  });

  it('never crashes on arbitrary bytes in place of a record', async () => {
    const { a } = await richGroup();
    const records = encodeGroup(a.state);
    const keys = [...records.keys()];
    fc.assert(
      fc.property(fc.nat(keys.length - 1), fc.uint8Array({ maxLength: 80 }), (at, bytes) => {
        const changed = new Map(records).set(keys[at]!, Uint8Array.of(1, ...bytes));
        try {
          decodeGroup(changed);
        } catch (error) {
          expect((error as Error).name).toMatch(/^(DecodeError|MlsError|VirtualClientError)$/);
        }
      }),
      { numRuns: 300 },
    );
  });
});

describe('state transfer', () => {
  it('gives a sibling the same group, which then follows on its own', async () => {
    const [a, b] = (await makeGroup(['a', 'b'])) as [TestMember, TestMember];
    const unconfirmed = await a.send('on its way');
    const sibling = a.sibling();
    for (const member of [a, sibling, b]) await member.open(unconfirmed.message);
    const { message } = await b.commit();
    for (const member of [a, sibling, b]) await member.receive(message);
    expect(sibling.authenticator).toEqual(a.authenticator);
  });

  it('is refused when it is truncated, too long, or its tree is not the group’s', async () => {
    const [a, other] = [(await makeGroup(['a', 'b']))[0]!, (await makeGroup(['c', 'd']))[0]!];
    const bytes = encodeGroupTransfer(a.state);
    expect(() => decodeGroupTransfer(bytes.subarray(0, bytes.length - 1))).toThrow('truncated');
    expect(() => decodeGroupTransfer(Uint8Array.of(...bytes, 0))).toThrow('trailing-bytes');
    expect(() => decodeGroupTransfer(Uint8Array.of(9, ...bytes.subarray(1)))).toThrow('version');
    expect(() => decodeGroupTransfer(encodeGroupTransfer({ ...a.state, tree: other.state.tree }))).toThrow('wrong-tree-hash');
  });
});
