import type { BridgeCall, BridgeCalls, StorageProblem } from './protocol.ts';

/**
 * One call on the wire. The tab posts a CallMessage to `registration.active` with one MessagePort;
 * the worker answers once on the port with an AnswerMessage. A tab that hears nothing (the worker
 * was stopped) posts the same message again, `callId` included, with a new port.
 */
export type CallMessage = {
  [Call in BridgeCall]: {
    readonly type: 'chorus-call';
    /** 16 random bytes as lower-case hex; the same for every try of one call. */
    readonly callId: string;
    readonly call: Call;
    readonly request: BridgeCalls[Call]['request'];
  };
}[BridgeCall];

export type AnswerMessage<Call extends BridgeCall> =
  | { readonly ok: true; readonly answer: BridgeCalls[Call]['answer'] }
  /**
   * 'malformed': the worker does not know such a call, since the tab is of another version. The tab says so and leaves the
   * reload to its person: what was to be done may have words in it, which are nowhere else.
   */
  | { readonly ok: false; readonly problem: 'malformed' | 'internal' | StorageProblem };

/** The worker to a tab, outside of any call: a notification was clicked. */
export interface OpenConversation {
  readonly type: 'open-conversation';
  readonly conversationId: string;
}

/** Address of a conversation within the app, for a tab that is opened for it. */
export function conversationAddress(conversationId: string): string {
  return `/#/conversation/${conversationId}`;
}
