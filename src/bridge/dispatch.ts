import { fromHex, Secret, toHex } from '../bytes/index.ts';
import { storageProblemOf, type Command, type CommandProblem, type CommandResult } from '../engine/command.ts';
import type { InvitationView, MessageView, StateView } from '../engine/view.ts';
import type { BridgeCalls, LockKeyView, LockView } from './protocol.ts';
import type { BridgeRuntime } from './server.ts';

type Account = Extract<Command, { command: 'addMember' }>['member'];

/** What the bridge needs of the engine's runtime. */
export interface BridgeEngine {
  state(): Promise<StateView>;
  messages(
    conversationId: string,
    before: number | undefined,
    limit: number,
  ): Promise<{ readonly messages: readonly MessageView[]; readonly more: boolean }>;
  /** Durable when it resolves. `made` is the ID of the conversation or message that the command made. */
  command(command: Command): Promise<CommandResult & { readonly made?: string }>;
  findAccounts(usernames: readonly string[]): Promise<readonly Account[] | CommandProblem>;
  makePhrase(): Promise<
    | { readonly ok: true; readonly entropy: Uint8Array; readonly phraseId: string }
    | { readonly ok: false; readonly problem: CommandProblem }
  >;
  /** Wipes `entropy`. */
  recover(asked: { readonly username: string; readonly deviceName: string; readonly entropy: Uint8Array }): Promise<CommandResult>;
  openInvitation(
    code: string,
  ): Promise<{ readonly ok: true; readonly invitation: InvitationView } | { readonly ok: false; readonly problem: CommandProblem }>;
  invitationCode(conversationId: string): Promise<string | undefined>;
  streamRequest(): Promise<BridgeCalls['streamRequest']['answer']>;
  streamEvent(event: BridgeCalls['streamEvent']['request']): Promise<void>;
  deleteData(): Promise<void>;
  wake(): Promise<void>;
  startAnew(): Promise<CommandResult>;
}

type Handlers = {
  readonly [Call in keyof BridgeCalls]: (request: BridgeCalls[Call]['request'], callId: string) => Promise<BridgeCalls[Call]['answer']>;
};

/** What of the store a tab may ask for. @throws StoreError */
export interface BridgeSweeper {
  status(): Promise<{ readonly at: number; readonly due: boolean }>;
  sweep(): Promise<void>;
}

/** The app lock. @throws StoreError */
export interface BridgeLock {
  /** undefined when it is off. */
  terms(): Promise<{ readonly salt: Uint8Array; readonly credentialId?: Uint8Array } | undefined>;
  set(key: BridgeLockKey | undefined): Promise<void>;
  /** @returns whether the key is the right one */
  unlock(key: BridgeLockKey): Promise<boolean>;
  lock(): Promise<void>;
}

export type BridgeLockKey =
  | { readonly kind: 'passphrase'; readonly passphrase: string }
  | {
      readonly kind: 'passkey';
      readonly credentialId: Uint8Array;
      readonly salt: Uint8Array;
      readonly secret: Secret<'lock-factor'>;
    };

/** Each call of the bridge as what the engine offers: usernames are looked up first, commands' answers named for the tab. */
export function createBridgeRuntime(engine: BridgeEngine, sweeper: BridgeSweeper, appLock: BridgeLock): BridgeRuntime {
  const command = (asked: Command): Promise<CommandResult & { readonly made?: string }> => orProblem(() => engine.command(asked));

  /** Of a command that makes nothing, or nothing that a tab must know of. */
  async function plain(asked: Command): Promise<CommandResult> {
    const result = await command(asked);
    return result.ok ? { ok: true } : result;
  }

  /** Of a command that makes a conversation. */
  const named = (result: Awaited<ReturnType<typeof command>>): CommandResult & { conversationId?: string } => {
    if (!result.ok) return result;
    return result.made === undefined ? { ok: true } : { ok: true, conversationId: result.made };
  };

  const swept = async (): Promise<{ ok: true; at: number; due: boolean }> => ({ ok: true, ...(await sweeper.status()) });

  const handlers: Handlers = {
    state: () => engine.state(),
    messages: ({ conversationId, before, limit }) => engine.messages(conversationId, before, limit),
    createAccount: (request) => plain({ command: 'createAccount', ...request }),
    makePhrase: async () => {
      const made = await orProblem(() => engine.makePhrase());
      if (!made.ok) return made;
      const entropy = toHex(made.entropy);
      made.entropy.fill(0);
      return { ok: true, entropy, phraseId: made.phraseId };
    },
    confirmPhrase: (request) => plain({ command: 'confirmPhrase', ...request }),
    recover: ({ entropy, ...request }) => orProblem(() => engine.recover({ ...request, entropy: fromHex(entropy) })),
    decideRejoin: (request) => plain({ command: 'decideRejoin', ...request }),
    joinAgain: (request) => plain({ command: 'joinAgain', ...request }),
    startLink: (request) => plain({ command: 'startLink', ...request }),
    acceptLinkCode: (request) => plain({ command: 'acceptLinkCode', ...request }),
    confirmLink: (request) => plain({ command: 'confirmLink', ...request }),
    closeLink: () => plain({ command: 'closeLink' }),
    renewKeys: () => plain({ command: 'renewKeys' }),
    removeDevice: (request) => plain({ command: 'removeDevice', ...request }),
    logOut: () => plain({ command: 'logOut' }),
    deleteData: () => orProblem(() => engine.deleteData().then(() => ({ ok: true }))),
    startConversation: async ({ usernames, title }, callId) => {
      const members = await engine.findAccounts(usernames);
      if (typeof members === 'string') return { ok: false, problem: members };
      return named(await command({ command: 'startConversation', groupId: fromHex(callId), members, title }));
    },
    addMember: async ({ conversationId, username }, callId) => {
      const found = await engine.findAccounts([username]);
      if (typeof found === 'string') return { ok: false, problem: found };
      const [member] = found;
      if (member === undefined) return { ok: false, problem: 'unknown-account' };
      return plain({ command: 'addMember', conversationId, messageId: fromHex(callId), member });
    },
    removeMember: (request) => plain({ command: 'removeMember', ...request }),
    makeInvitation: (request, callId) => plain({ command: 'makeInvitation', messageId: fromHex(callId), ...request }),
    withdrawInvitation: (request, callId) => plain({ command: 'withdrawInvitation', messageId: fromHex(callId), ...request }),
    invitationCode: async ({ conversationId }) => {
      const code = await engine.invitationCode(conversationId);
      return code === undefined ? { ok: false, problem: 'invitation-over' } : { ok: true, code };
    },
    openInvitation: ({ code }) => orProblem(() => engine.openInvitation(code)),
    joinByInvitation: async (request) => named(await command({ command: 'joinByInvitation', ...request })),
    // The call's own ID names the message: a call that comes again after the worker was stopped sends once.
    send: async (request, callId) => {
      const result = await command({ command: 'send', messageId: fromHex(callId), ...request });
      if (!result.ok) return result;
      return result.made === undefined ? { ok: true } : { ok: true, messageKey: result.made };
    },
    retry: (request) => plain({ command: 'retry', ...request }),
    discard: (request) => plain({ command: 'discard', ...request }),
    forget: (request) => plain({ command: 'forget', ...request }),
    saveDraft: (request) => plain({ command: 'saveDraft', ...request }),
    markRead: (request) => plain({ command: 'markRead', ...request }),
    notifyWords: (request) => plain({ command: 'notifyWords', ...request }),
    dismissNotice: (request) => plain({ command: 'dismissNotice', ...request }),
    startAnew: () => orProblem(() => engine.startAnew()),
    sweepStatus: () => orProblem(swept),
    sweep: () =>
      orProblem(async () => {
        await sweeper.sweep();
        return swept();
      }),
    lockStatus: () => orProblem(async () => ({ ok: true, lock: lockView(await appLock.terms()) })),
    setLock: ({ key }) => orProblem(() => appLock.set(key && lockKey(key)).then(() => ({ ok: true }))),
    unlock: ({ key }) =>
      orProblem(async () => ((await appLock.unlock(lockKey(key))) ? { ok: true } : { ok: false, problem: `wrong-${key.kind}` })),
    lock: () => orProblem(() => appLock.lock().then(() => ({ ok: true }))),
    streamRequest: () => engine.streamRequest(),
    streamEvent: async (event) => {
      await engine.streamEvent(event);
      return {};
    },
    ping: async () => {
      await engine.wake();
      return {};
    },
  };

  return { call: (call, request, callId) => handlers[call](request, callId) };
}

function lockView(terms: Awaited<ReturnType<BridgeLock['terms']>>): LockView | undefined {
  if (terms?.credentialId === undefined) return terms && { kind: 'passphrase' };
  return { kind: 'passkey', credentialId: toHex(terms.credentialId), salt: toHex(terms.salt) };
}

function lockKey(key: LockKeyView): BridgeLockKey {
  if (key.kind === 'passphrase') return key;
  const { credentialId, salt, secret } = key;
  return {
    kind: 'passkey',
    credentialId: fromHex(credentialId),
    salt: fromHex(salt),
    secret: Secret.of('lock-factor', fromHex(secret)),
  };
}

/** The store's errors have words of their own for a person; the rest are ours to mend. */
async function orProblem<Result extends object>(work: () => Promise<Result>): Promise<Result | { ok: false; problem: CommandProblem }> {
  try {
    return await work();
  } catch (error) {
    return { ok: false, problem: storageProblemOf(error) ?? 'internal' };
  }
}
