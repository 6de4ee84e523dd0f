import { describe, expect, it } from 'vitest';
import { createBridgeRuntime, type BridgeEngine, type BridgeLock } from '../../../src/bridge/dispatch.ts';
import { fromHex } from '../../../src/bytes/index.ts';
import type { BridgeRuntime } from '../../../src/bridge/server.ts';
import type { Command } from '../../../src/engine/command.ts';
import type { StateView } from '../../../src/engine/view.ts';
import { StoreError } from '../../../src/store/index.ts';

const CALL_ID = '00112233445566778899aabbccddeeff';
const ANNA = { accountId: new Uint8Array(16).fill(1), username: 'anna' };
const STATE = { phase: 'new' } as StateView;

interface Given {
  readonly made?: string;
  readonly found?: Awaited<ReturnType<BridgeEngine['findAccounts']>>;
  readonly failure?: Error;
  readonly terms?: Awaited<ReturnType<BridgeLock['terms']>>;
}

/** An engine that answers as it is told and notes what it was asked. */
function engine({ made, found = [ANNA], failure, terms }: Given = {}) {
  const asked: unknown[] = [];
  const commands: Command[] = [];
  const entropy = new Uint8Array(32).fill(0xab);
  const parts: BridgeEngine = {
    state: async () => STATE,
    messages: async (...page) => {
      asked.push(page);
      return { messages: [], more: true };
    },
    command: async (command) => {
      commands.push(command);
      if (failure !== undefined) throw failure;
      return made === undefined ? { ok: true } : { ok: true, made };
    },
    openInvitation: async (code) => {
      asked.push(code);
      return { ok: false, problem: 'invitation-over' };
    },
    invitationCode: async (conversationId) => (conversationId === 'aa' ? 'a code' : undefined),
    findAccounts: async (usernames) => {
      asked.push(usernames);
      return found;
    },
    makePhrase: async () => {
      if (failure !== undefined) throw failure;
      return { ok: true, entropy, phraseId: 'p1' };
    },
    recover: async (request) => {
      asked.push(request);
      if (failure !== undefined) throw failure;
      return { ok: true };
    },
    streamRequest: async () => ({ url: 'https://a.example/v1/events', headers: {} }),
    streamEvent: async (event) => void asked.push(event),
    deleteData: async () => {
      if (failure !== undefined) throw failure;
      asked.push('deleteData');
    },
    wake: async () => void asked.push('wake'),
    startAnew: async () => {
      if (failure !== undefined) throw failure;
      asked.push('startAnew');
      return { ok: true };
    },
  };
  const sweeper = {
    status: async () => ({ at: 7, due: asked.at(-1) !== 'sweep' }),
    sweep: async () => {
      if (failure !== undefined) throw failure;
      asked.push('sweep');
    },
  };
  const runtime = createBridgeRuntime(parts, sweeper, {
    terms: async () => terms,
    set: async (key) => {
      if (failure !== undefined) throw failure;
      asked.push(['set', key]);
    },
    unlock: async (key) => (key.kind === 'passphrase' ? key.passphrase === 'right' : key.secret.reveal()[0] === 1),
    lock: async () => void asked.push('lock'),
  });
  const call: (name: Parameters<BridgeRuntime['call']>[0], request: object) => Promise<unknown> = (name, request) =>
    runtime.call(name, request, CALL_ID);
  return { asked, commands, call, entropy };
}

describe('calls become what the engine offers', () => {
  it('names what a link leads to, or why it leads nowhere', async () => {
    const { asked, commands, call } = engine({ made: 'c1' });
    expect(await call('openInvitation', { code: 'x' })).toEqual({ ok: false, problem: 'invitation-over' });
    expect(await call('invitationCode', { conversationId: 'aa' })).toEqual({ ok: true, code: 'a code' });
    expect(await call('invitationCode', { conversationId: 'bb' })).toEqual({ ok: false, problem: 'invitation-over' });
    expect(await call('joinByInvitation', { code: 'x' })).toEqual({ ok: true, conversationId: 'c1' });
    expect(await call('makeInvitation', { conversationId: 'aa' })).toEqual({ ok: true });
    expect(asked).toEqual(['x']);
    const [, made] = commands;
    expect(made).toEqual({ command: 'makeInvitation', conversationId: 'aa', messageId: fromHex(CALL_ID) });
  });

  it('deletes the data, or says that it could not', async () => {
    const { asked, call } = engine();
    expect(await call('deleteData', {})).toEqual({ ok: true });
    expect(asked).toEqual(['deleteData']);
    const blocked = new StoreError('blocked');
    expect(await engine({ failure: blocked }).call('deleteData', {})).toEqual({ ok: false, problem: 'storage-blocked' });
  });

  it('views and the stream are handed through', async () => {
    const { asked, call } = engine();
    expect(await call('state', {})).toBe(STATE);
    expect(await call('messages', { conversationId: 'aa', before: 9, limit: 5 })).toEqual({ messages: [], more: true });
    expect(await call('streamRequest', {})).toEqual({ url: 'https://a.example/v1/events', headers: {} });
    expect(await call('streamEvent', { event: 'opened' })).toEqual({});
    expect(await call('ping', {})).toEqual({});
    expect(asked).toEqual([['aa', 9, 5], { event: 'opened' }, 'wake']);
  });

  it.each([
    ['createAccount', { username: 'anna', deviceName: 'Laptop' }],
    ['startLink', { deviceName: 'Phone' }],
    ['acceptLinkCode', { code: 'c' }],
    ['confirmLink', { yes: false }],
    ['closeLink', {}],
    ['renewKeys', {}],
    ['removeDevice', { deviceId: 'ab' }],
    ['confirmPhrase', { phraseId: 'p' }],
    ['joinAgain', { conversationId: 'aa' }],
    ['decideRejoin', { conversationId: 'aa', join: true }],
    ['removeMember', { conversationId: 'aa', accountId: 'bb' }],
    ['retry', { conversationId: 'aa', messageKey: 'm' }],
    ['discard', { conversationId: 'aa', messageKey: 'm' }],
    ['forget', { conversationId: 'aa', messages: [{ messageKey: 'at-3', position: 3 }] }],
    ['logOut', {}],
    ['saveDraft', { conversationId: 'aa', text: '' }],
    ['markRead', { conversationId: 'aa', position: 3 }],
    ['notifyWords', { on: true }],
    ['dismissNotice', { noticeId: 'n' }],
  ] as const)('%s is the command of its name', async (name, request) => {
    const { commands, call } = engine();
    expect(await call(name, request)).toEqual({ ok: true });
    expect(commands).toEqual([{ command: name, ...request }]);
  });

  it('a new conversation’s members are looked up, and its ID comes back', async () => {
    const { asked, commands, call } = engine({ made: 'c1' });
    expect(await call('startConversation', { usernames: ['anna'], title: 'T' })).toEqual({ ok: true, conversationId: 'c1' });
    expect(asked).toEqual([['anna']]);
    expect(commands).toEqual([{ command: 'startConversation', groupId: fromHex(CALL_ID), members: [ANNA], title: 'T' }]);
  });

  it('a sweep is done, and then its time comes back', async () => {
    const { call } = engine();
    expect(await call('sweepStatus', {})).toEqual({ ok: true, at: 7, due: true });
    expect(await call('sweep', {})).toEqual({ ok: true, at: 7, due: false });
    const failing = engine({ failure: new StoreError('quota-exceeded') });
    expect(await failing.call('sweep', {})).toEqual({ ok: false, problem: 'storage-quota-exceeded' });
  });

  it('the app lock opens with the right passphrase, and says so of a wrong one', async () => {
    const { asked, call } = engine();
    const key = (passphrase: string): object => ({ kind: 'passphrase', passphrase });
    expect(await call('unlock', { key: key('wrong') })).toEqual({ ok: false, problem: 'wrong-passphrase' });
    expect(await call('unlock', { key: key('right') })).toEqual({ ok: true });
    expect(await call('setLock', { key: key('correct horse') })).toEqual({ ok: true });
    expect(await call('setLock', { key: undefined })).toEqual({ ok: true });
    expect(await call('lock', {})).toEqual({ ok: true });
    expect(asked).toEqual([['set', key('correct horse')], ['set', undefined], 'lock']);
    const failing = engine({ failure: new StoreError('locked') });
    expect(await failing.call('setLock', { key: undefined })).toEqual({ ok: false, problem: 'storage-locked' });
  });

  it('the app lock opens with what the right passkey gives, which crosses as text and is bytes from then on', async () => {
    const { call, asked } = engine();
    const key = (value: string): object => ({ kind: 'passkey', credentialId: 'aa', salt: 'bb'.repeat(32), secret: value.repeat(32) });
    expect(await call('unlock', { key: key('02') })).toEqual({ ok: false, problem: 'wrong-passkey' });
    expect(await call('unlock', { key: key('01') })).toEqual({ ok: true });
    expect(await call('setLock', { key: key('01') })).toEqual({ ok: true });
    expect(asked).toMatchObject([['set', { credentialId: fromHex('aa'), salt: fromHex('bb'.repeat(32)) }]]);
  });

  it('says what the app lock asks for', async () => {
    const lock = async (terms: Given['terms']): Promise<unknown> => engine({ terms }).call('lockStatus', {});
    const salt = fromHex('bb');
    expect(await lock(undefined)).toEqual({ ok: true, lock: undefined });
    expect(await lock({ salt })).toEqual({ ok: true, lock: { kind: 'passphrase' } });
    expect(await lock({ salt, credentialId: fromHex('aa') })).toEqual({
      ok: true,
      lock: { kind: 'passkey', credentialId: 'aa', salt: 'bb' },
    });
  });

  it('a phrase comes as text once, and the bytes are wiped', async () => {
    const { call, entropy } = engine();
    expect(await call('makePhrase', {})).toEqual({ ok: true, entropy: 'ab'.repeat(32), phraseId: 'p1' });
    expect(entropy).toEqual(new Uint8Array(32));
  });

  it('a phrase that was typed in goes to the engine as bytes', async () => {
    const { call, asked } = engine();
    expect(await call('recover', { username: 'anna', deviceName: 'Phone', entropy: '01'.repeat(32) })).toEqual({ ok: true });
    expect(asked).toEqual([{ username: 'anna', deviceName: 'Phone', entropy: new Uint8Array(32).fill(1) }]);
    expect(await engine({ failure: new Error('x') }).call('makePhrase', {})).toEqual({ ok: false, problem: 'internal' });
  });

  it('a new member is looked up', async () => {
    const { commands, call } = engine();
    expect(await call('addMember', { conversationId: 'aa', username: 'anna' })).toEqual({ ok: true });
    expect(commands).toEqual([{ command: 'addMember', conversationId: 'aa', messageId: fromHex(CALL_ID), member: ANNA }]);
  });

  it('a message is named by its call, so that a repeated call sends once, and its key comes back', async () => {
    const { commands, call } = engine({ made: 'm1' });
    expect(await call('send', { conversationId: 'aa', text: 'x' })).toEqual({ ok: true, messageKey: 'm1' });
    expect(commands).toEqual([{ command: 'send', conversationId: 'aa', text: 'x', messageId: fromHex(CALL_ID) }]);
  });
});

describe('what cannot be done', () => {
  it.each(['offline', 'unknown-account', 'not-ready'] as const)(
    'a look-up that says %s ends the command before it begins',
    async (problem) => {
      const { commands, call } = engine({ found: problem });
      expect(await call('startConversation', { usernames: ['anna'], title: '' })).toEqual({ ok: false, problem });
      expect(await call('addMember', { conversationId: 'aa', username: 'anna' })).toEqual({ ok: false, problem });
      expect(commands).toEqual([]);
    },
  );

  it.each([
    [new StoreError('quota-exceeded'), 'storage-quota-exceeded'],
    [new StoreError('sealed-record-unreadable', 'message/aa/1'), 'storage-sealed-record-unreadable'],
    [new Error('secret 42'), 'internal'],
  ])('an engine that throws %s says so in a word', async (failure, problem) => {
    const { call } = engine({ failure });
    expect(await call('send', { conversationId: 'aa', text: 'x' })).toEqual({ ok: false, problem });
    expect(await call('startConversation', { usernames: ['anna'], title: '' })).toEqual({ ok: false, problem });
    expect(await call('closeLink', {})).toEqual({ ok: false, problem });
    expect(await call('startAnew', {})).toEqual({ ok: false, problem });
  });
});
