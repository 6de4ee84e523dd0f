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

/** Where a line stands. */
export interface LinePlace {
  readonly conversationId: string;
  readonly position: number;
}

/** Stored lines of a conversation, newest first; `before` is a position that is left out. */
export type LineReader = (conversationId: string, before: number | undefined, limit: number) => Promise<readonly StoredMessage[]>;

const NOTHING_STORED: LineReader = () => Promise.resolve([]);

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
  /** Lines whose records are to go. */
  dropped: LinePlace[] = [];
  refused: { readonly sequence: number; readonly code: string }[] = [];
  /** Outcome of a command that had to wait for the server. */
  outcome: { readonly command: 'createAccount' | 'recover'; readonly problem: CommandProblem | undefined } | undefined;
  /** The server is ahead of us: fetch the sequence before anything else. */
  behind = false;

  readonly #stored: LineReader;

  constructor(state: EngineState, random: Random, now: number, stored: LineReader = NOTHING_STORED) {
    this.state = state;
    this.#stored = stored;
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
    const { state, spent, lines, notifications, dropped } = this;
    this.spent = [...spent];
    this.lines = [...lines];
    this.notifications = [...notifications];
    this.dropped = [...dropped];
    try {
      await task();
    } catch (error) {
      Object.assign(this, { state, spent, lines, notifications, dropped });
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

  /** Lines as they will be stored after this step, newest first; `before` is a position that is left out. */
  async linesOf(conversationId: string, before: number | undefined, limit: number): Promise<StoredMessage[]> {
    const isIt = (place: { readonly conversationId: string }): boolean => place.conversationId === conversationId;
    const gone = new Set(this.dropped.filter(isIt).map(({ position }) => position));
    const fresh = this.lines.filter(isIt).map(({ message }) => message);
    const stored = await this.#stored(conversationId, before, limit + gone.size);
    return [...fresh.filter(({ position }) => before === undefined || position < before).reverse(), ...stored]
      .filter(({ position }) => !gone.has(position))
      .slice(0, limit);
  }

  /** The line is neither kept nor told of. */
  dropLine(place: LinePlace): void {
    const isOther = ({ conversationId, message }: StoredLine): boolean =>
      conversationId !== place.conversationId || message.position !== place.position;
    this.lines = this.lines.filter(isOther);
    this.notifications = this.notifications.filter(isOther);
    this.dropped = [...this.dropped, place];
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
