import type { BridgeCall, BridgeCalls } from '../src/bridge/protocol.ts';
import type { BridgeRuntime } from '../src/bridge/server.ts';
import { fromHex } from '../src/bytes/index.ts';
import type { CommandResult } from '../src/engine/command.ts';
import type { EngineRuntime } from '../src/engine/runtime.ts';

type Answers = { [Call in BridgeCall]: (request: BridgeCalls[Call]['request'], callId: string) => Promise<BridgeCalls[Call]['answer']> };

/** What each call of the bridge asks of the engine. */
export function engineCalls(engine: EngineRuntime): BridgeRuntime {
  const answers: Answers = {
    state: () => engine.state(),
    messages: ({ conversationId, before, limit }) => engine.messages(conversationId, before, limit),
    createAccount: (request) => engine.command({ command: 'createAccount', ...request }),
    startLink: (request) => engine.command({ command: 'startLink', ...request }),
    acceptLinkCode: (request) => engine.command({ command: 'acceptLinkCode', ...request }),
    confirmLink: (request) => engine.command({ command: 'confirmLink', ...request }),
    closeLink: () => engine.command({ command: 'closeLink' }),
    startConversation: async ({ usernames, title }) => {
      const members = await engine.findAccounts(usernames);
      if (typeof members === 'string') return { ok: false, problem: members };
      return withName('conversationId', await engine.command({ command: 'startConversation', members, title }));
    },
    addMember: async ({ conversationId, username }) => {
      const found = await engine.findAccounts([username]);
      if (typeof found === 'string') return { ok: false, problem: found };
      const [member] = found;
      if (member === undefined) return { ok: false, problem: 'unknown-account' };
      return engine.command({ command: 'addMember', conversationId, member });
    },
    removeMember: (request) => engine.command({ command: 'removeMember', ...request }),
    // The call's own ID names the message: a call that is repeated after the worker was stopped sends once.
    send: async (request, callId) =>
      withName('messageKey', await engine.command({ command: 'send', messageId: fromHex(callId), ...request })),
    retry: (request) => engine.command({ command: 'retry', ...request }),
    discard: (request) => engine.command({ command: 'discard', ...request }),
    saveDraft: (request) => engine.command({ command: 'saveDraft', ...request }),
    markRead: (request) => engine.command({ command: 'markRead', ...request }),
    dismissNotice: (request) => engine.command({ command: 'dismissNotice', ...request }),
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
  return { call: (call, request, callId) => answers[call](request, callId) };
}

function withName<Name extends string>(name: Name, result: CommandResult & { made?: string }): CommandResult & { [Key in Name]?: string } {
  if (!result.ok || result.made === undefined) return result;
  return { ok: true, [name]: result.made } as CommandResult & { [Key in Name]?: string };
}
