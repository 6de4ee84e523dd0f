import { describe, expect, it } from 'vitest';
import { Secret, toHex } from '../../../src/bytes/index.ts';
import {
  externalCommit,
  followExternalCommit,
  groupInfoOf,
  type CommitEffects,
  type ExternalCommitOptions,
  type LeafCheck,
} from '../../../src/mls/index.ts';
import { acceptAll, makeGroup, newOwnPath, NOTHING, random, suite, TestMember } from '../../support/mls-group.ts';

function joiner(member: TestMember, options: Partial<ExternalCommitOptions> = {}): ExternalCommitOptions {
  return {
    leaf: member.template,
    signer: member.signer.privateKey,
    own: newOwnPath(),
    externalInit: suite.deriveKeyPair(random(32)),
    authenticatedData: NOTHING,
    random,
    checkLeaf: acceptAll,
    useSafeExporter: false,
    ...options,
  };
}

async function groupOfThree() {
  const members = (await makeGroup(['a', 'b', 'c'])) as [TestMember, TestMember, TestMember];
  const [a] = members;
  return { members, groupInfo: await groupInfoOf(suite, a.state, a.signer.privateKey) };
}

describe('an external commit', () => {
  it('brings a new member in, whom all others follow', async () => {
    const { members, groupInfo } = await groupOfThree();
    const d = new TestMember('d');
    const made = await externalCommit(suite, groupInfo, joiner(d));
    d.state = made.state;
    for (const member of members) {
      const effects = (await member.receive(made.message)) as CommitEffects;
      expect(effects.added.map(({ leafIndex }) => leafIndex)).toEqual([3]);
      expect(member.authenticator).toEqual(d.authenticator);
    }
    const { message } = await d.commit();
    for (const member of [...members, d]) await member.receive(message);
    for (const member of members) expect(member.authenticator).toEqual(d.authenticator);
  });

  it('is derived anew by a sibling that is not in the group, from the operation alone', async () => {
    const { members, groupInfo } = await groupOfThree();
    const d = new TestMember('d');
    const options = joiner(d);
    const made = await externalCommit(suite, groupInfo, options);
    const followed = await followExternalCommit(suite, groupInfo, made.message, options);
    expect(followed.schedule.epochAuthenticator).toEqual(made.state.schedule.epochAuthenticator);
    expect(followed.ownLeaf).toBe(made.state.ownLeaf);
    const [a] = members;
    await a.receive(made.message);
    d.state = followed;
    const { message } = await a.commit();
    for (const member of [a, d]) await member.receive(message);
    expect(d.authenticator).toEqual(a.authenticator);
  });

  it('is refused by a sibling whose operation gives another encapsulation, or other path secrets', async () => {
    const { groupInfo } = await groupOfThree();
    const options = joiner(new TestMember('d'));
    const { message } = await externalCommit(suite, groupInfo, options);
    const other = { ...options, externalInit: suite.deriveKeyPair(random(32)) };
    await expect(followExternalCommit(suite, groupInfo, message, other)).rejects.toMatchObject({ code: 'path-key-mismatch' });
    const otherPath = { ...options, own: { ...options.own, pathSecret: Secret.of('path_secret', random(32)) } };
    await expect(followExternalCommit(suite, groupInfo, message, otherPath)).rejects.toMatchObject({ code: 'path-key-mismatch' });
    const changed = message.slice();
    changed[changed.length - 1]! ^= 1;
    await expect(followExternalCommit(suite, groupInfo, changed, options)).rejects.toMatchObject({ code: 'invalid-confirmation-tag' });
  });

  it('moves the own leaf of a sibling in the group that has its secrets, and removes one that has not', async () => {
    const { members, groupInfo } = await groupOfThree();
    const [a, b, c] = members;
    const sibling = b.sibling();
    const stranger = b.sibling();
    const options = joiner(b, { removes: b.state.ownLeaf });
    const made = await externalCommit(suite, groupInfo, options);
    const moved = (await b.receive(made.message, { ownPath: options.own, externalInit: options.externalInit })) as CommitEffects;
    expect(moved).toMatchObject({ ownLeafMoved: true, removedSelf: false });
    await sibling.receive(made.message, { ownPath: options.own, externalInit: options.externalInit });
    for (const member of [a, c]) await member.receive(made.message);
    for (const member of [a, b, c, sibling]) expect(toHex(member.authenticator)).toBe(toHex(made.state.schedule.epochAuthenticator));
    expect(((await stranger.receive(made.message)) as CommitEffects).removedSelf).toBe(true);
    const { message } = await a.commit();
    for (const member of [a, b, c, sibling]) await member.receive(message);
    expect(b.authenticator).toEqual(a.authenticator);
    expect(sibling.authenticator).toEqual(a.authenticator);
  });

  it('moves the only leaf of a group, for siblings that are in it and one that is not', async () => {
    const [a] = (await makeGroup(['a'])) as [TestMember];
    const sibling = a.sibling();
    const groupInfo = await groupInfoOf(suite, a.state, a.signer.privateKey);
    const options = joiner(a, { removes: 0 });
    const made = await externalCommit(suite, groupInfo, options);
    for (const member of [a, sibling]) {
      const moved = (await member.receive(made.message, { ownPath: options.own, externalInit: options.externalInit })) as CommitEffects;
      expect(moved).toMatchObject({ ownLeafMoved: true, removedSelf: false });
    }
    const outside = await followExternalCommit(suite, groupInfo, made.message, options);
    expect(outside.ownLeaf).toBe(0);
    for (const group of [a.state, sibling.state, outside]) {
      expect(toHex(group.schedule.epochAuthenticator)).toBe(toHex(made.state.schedule.epochAuthenticator));
    }
  });

  it('moves no leaf when the encapsulation is not that of our operation', async () => {
    const { members, groupInfo } = await groupOfThree();
    const [, b] = members;
    const options = joiner(b, { removes: b.state.ownLeaf });
    const made = await externalCommit(suite, groupInfo, options);
    const opened = await b.open(made.message);
    if (opened.kind !== 'commit') throw new TypeError();
    expect(opened.external).toBe(true);
    const before = b.state;
    await expect(b.receive(made.message, { ownPath: options.own, externalInit: suite.deriveKeyPair(random(32)) })).rejects.toMatchObject({
      code: 'path-key-mismatch',
    });
    expect(b.state).toBe(before);
  });

  it('shows the application the leaf that the new one replaces', async () => {
    const { members, groupInfo } = await groupOfThree();
    const [a, b] = members;
    const made = await externalCommit(suite, groupInfo, joiner(b, { removes: 1 }));
    const old = a.state.tree.leaf(1);
    const judged: unknown[] = [];
    const checkLeaf: LeafCheck = (leaf, { replaces, leafIndex }) => {
      judged.push([leafIndex, leaf.leafNodeSource, replaces === old]);
      return Promise.resolve();
    };
    await a.receive(made.message, { checkLeaf });
    expect(judged).toEqual([[1, 'commit', true]]);
  });

  it('that would resync a leaf which is not there ends with a named error', async () => {
    const { groupInfo } = await groupOfThree();
    await expect(externalCommit(suite, groupInfo, joiner(new TestMember('d'), { removes: 3 }))).rejects.toMatchObject({
      code: 'unknown-leaf',
    });
    await expect(externalCommit(suite, groupInfo, joiner(new TestMember('d'), { removes: 300 }))).rejects.toMatchObject({
      code: 'unknown-leaf',
    });
  });

  it('by a key that a member has already is refused unless that member leaves by it', async () => {
    const { members, groupInfo } = await groupOfThree();
    await expect(externalCommit(suite, groupInfo, joiner(members[1]))).rejects.toMatchObject({ code: 'duplicate-key' });
  });

  it('needs a GroupInfo that is signed and whole', async () => {
    const { groupInfo } = await groupOfThree();
    const d = joiner(new TestMember('d'));
    const changed = groupInfo.slice();
    changed[changed.length - 1]! ^= 1;
    await expect(externalCommit(suite, changed, d)).rejects.toMatchObject({ code: 'invalid-signature' });
    await expect(externalCommit(suite, groupInfo.subarray(0, groupInfo.length - 1), d)).rejects.toMatchObject({ name: 'DecodeError' });
  });
});
