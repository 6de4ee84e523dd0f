import { toHex, type Secret } from '../bytes/index.ts';
import type { GroupState, Random } from '../mls/index.ts';
import { EngineError } from './errors.ts';
import {
  NeedGroups,
  type AccountState,
  type Conversation,
  type DeviceState,
  type EmulationState,
  type EngineState,
  type StoredMessage,
} from './state.ts';
import type { CommandProblem } from './command.ts';
import type { NoticeView } from './view.ts';

/** One line of a conversation's history. */
export interface StoredLine {
  readonly conversationId: string;
  readonly message: StoredMessage;
}

/**
 * One step's working copy. Its fields change while the step runs; nothing of it is visible to
 * anybody until the runtime has stored it, and a failed step is thrown away whole.
 */
export class Turn {
  state: EngineState;
  readonly random: Random;
  /** ms since 1970 by this device's clock. */
  readonly now: number;
  /** Secrets that left the state: wiped after the step is stored. */
  spent: Secret<string>[] = [];
  /** Lines of conversations to store. */
  lines: StoredLine[] = [];
  /** Lines that the person should be told of. */
  notifications: StoredLine[] = [];
  refused: { readonly sequence: number; readonly code: string }[] = [];
  /** Outcome of a command that had to wait for the server. */
  outcome: { readonly command: 'createAccount' | 'recover'; readonly problem: CommandProblem | undefined } | undefined;
  /** The server is ahead of us: fetch the sequence before anything else. */
  behind = false;

  constructor(state: EngineState, random: Random, now: number) {
    this.state = state;
    this.random = random;
    this.now = now;
  }

  update(change: Partial<EngineState>): void {
    this.state = { ...this.state, ...change };
  }

  spend(secrets: readonly Secret<string>[]): void {
    this.spent.push(...secrets);
  }

  /** Runs `task`; if it throws, everything it did to this turn is undone and the error goes on. */
  async attempt(task: () => Promise<void>): Promise<void> {
    const { state, spent, lines, notifications } = this;
    this.spent = [...spent];
    this.lines = [...lines];
    this.notifications = [...notifications];
    try {
      await task();
    } catch (error) {
      Object.assign(this, { state, spent, lines, notifications });
      throw error;
    }
  }

  device(): DeviceState {
    return known(this.state.device);
  }

  account(): AccountState {
    return known(this.state.account);
  }

  emulation(): EmulationState {
    return known(this.state.emulation);
  }

  updateEmulation(change: Partial<EmulationState>): void {
    this.update({ emulation: { ...this.emulation(), ...change } });
  }

  conversation(conversationId: string): Conversation {
    const conversation = this.state.conversations.get(conversationId);
    if (conversation === undefined) throw new EngineError('unknown-group');
    return conversation;
  }

  updateConversation(conversationId: string, change: Partial<Conversation>): Conversation {
    const next = { ...this.conversation(conversationId), ...change };
    this.setConversation(next);
    return next;
  }

  setConversation(conversation: Conversation): void {
    this.update({ conversations: new Map(this.state.conversations).set(toHex(conversation.groupId), conversation) });
  }

  /** @throws NeedGroups when the runtime has to load it first */
  group(conversationId: string): GroupState {
    const group = this.state.groups.get(conversationId);
    if (group === undefined) throw new NeedGroups([conversationId]);
    return group;
  }

  setGroup(conversationId: string, group: GroupState | undefined): void {
    const groups = new Map(this.state.groups);
    if (group === undefined) groups.delete(conversationId);
    else groups.set(conversationId, group);
    this.update({ groups });
  }

  notice(kind: NoticeView['kind'], text: string): void {
    const notice = { noticeId: toHex(this.random(8)), kind, text, at: this.now };
    this.update({ notices: [notice, ...this.state.notices].slice(0, MAX_NOTICES) });
  }
}

/** More notices than a person would read; the oldest go first. */
const MAX_NOTICES = 20;

function known<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new EngineError('not-ready');
  return value;
}
