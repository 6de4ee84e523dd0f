import type { GroupState } from '../mls/index.ts';
import type { Input } from './input.ts';
import {
  changesBetween,
  decodeGroupRecords,
  decodeMessage,
  decodeState,
  groupPrefix,
  messageRecordKey,
  STATE_PREFIXES,
} from './records.ts';
import { decodeRecord, encodeRecord } from './record-codec.ts';
import type { RuntimePorts } from './runtime.ts';
import { NeedGroups, type EngineState, type StoredMessage } from './state.ts';
import { step, type StepResult } from './step.ts';

/**
 * Holds the state of the store in memory and changes both together: load, step on a private copy,
 * one strict transaction, then the copy becomes the state. Nobody sees what is not stored.
 */

/** Counts the transactions; another worker of this origin that has written makes ours reload. */
const VERSION_KEY = 'version';
/** Conversations whose MLS state stays in memory, most recently used. */
const MAX_LOADED_GROUPS = 64;

type KeeperPorts = Pick<RuntimePorts, 'store' | 'random' | 'now' | 'exclusive'>;

export class StateKeeper {
  readonly #ports: KeeperPorts;
  #state: EngineState | undefined;
  #version = -1;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  async state(): Promise<EngineState> {
    return this.#state ?? this.#ports.exclusive(() => this.#current());
  }

  /** Runs one step and stores it. @throws what the step or the store throws, with nothing changed */
  step(input: Input): Promise<{ result: StepResult; changedConversations: string[] }> {
    return this.#ports.exclusive(async () => {
      let before = await this.#current();
      for (;;) {
        try {
          const result = await step(before, input, { random: this.#ports.random, now: this.#ports.now() });
          await this.#store(before, result);
          return { result, changedConversations: changedConversations(before, result.state) };
        } catch (error) {
          if (!(error instanceof NeedGroups)) throw error;
          before = await this.#withGroups(before, error.conversationIds);
        }
      }
    });
  }

  /** Newest first; `before` is a position that is left out. */
  async messages(conversationId: string, before: number | undefined, limit: number): Promise<StoredMessage[]> {
    const from = messageRecordKey(conversationId, 0);
    const to = messageRecordKey(conversationId, before ?? Number.MAX_SAFE_INTEGER);
    const records = await this.#ports.store.page(from, to, limit);
    return [...records.values()].map(decodeMessage);
  }

  async #store(before: EngineState, result: StepResult): Promise<void> {
    const { puts, deletes } = changesBetween(before, result.state, result.lines);
    if (puts.size > 0 || deletes.length > 0) {
      const version = this.#version + 1;
      await this.#ports.store.write({ puts: new Map(puts).set(VERSION_KEY, encodeRecord(version)), deletes });
      this.#version = version;
    }
    this.#state = withFewGroups(result.state);
    for (const secret of result.spent) secret.wipe();
  }

  async #current(): Promise<EngineState> {
    const stored = await this.#ports.store.get(VERSION_KEY);
    const version = stored === undefined ? 0 : decodeRecord<number>(stored);
    if (this.#state !== undefined && version === this.#version) return this.#state;
    const records = new Map<string, Uint8Array>();
    for (const prefix of STATE_PREFIXES) for (const [key, value] of await this.#ports.store.load(prefix)) records.set(key, value);
    this.#state = decodeState(records);
    this.#version = version;
    return this.#state;
  }

  async #withGroups(state: EngineState, conversationIds: readonly string[]): Promise<EngineState> {
    const groups = new Map<string, GroupState>(state.groups);
    for (const id of conversationIds) {
      const group = decodeGroupRecords(id, await this.#ports.store.load(groupPrefix(id)));
      if (group === undefined) throw new Error('a conversation has no MLS state');
      groups.set(id, group);
    }
    return { ...state, groups };
  }
}

function changedConversations(before: EngineState, after: EngineState): string[] {
  if (before.conversations === after.conversations && before.contacts === after.contacts) return [];
  return [...after.conversations].filter(([id, conversation]) => before.conversations.get(id) !== conversation).map(([id]) => id);
}

/** Puts the least recently loaded groups out of memory; their records stay. */
function withFewGroups(state: EngineState): EngineState {
  if (state.groups.size <= MAX_LOADED_GROUPS) return state;
  return { ...state, groups: new Map([...state.groups].slice(-MAX_LOADED_GROUPS)) };
}
