import { equal, toHex } from '../bytes/index.ts';
import type { GroupState } from '../mls/index.ts';
import type { Input } from './input.ts';
import {
  changesBetween,
  decodeGroupRecords,
  decodeMessage,
  decodeState,
  groupPrefix,
  messageRecordKey,
  RETIRED,
  STATE_PREFIXES,
} from './records.ts';
import { decodeRecord, encodeRecord } from './record-codec.ts';
import type { RuntimePorts } from './runtime.ts';
import { EMPTY_STATE, NeedGroups, type EngineState, type StoredMessage } from './state.ts';
import { step, type StepResult } from './step.ts';

/**
 * Holds the state of the store in memory and changes both together: load, step on a private copy,
 * one strict transaction, then the copy becomes the state. Nobody sees what is not stored.
 */

/**
 * Counts the transactions since `life`, ms, when the store was empty last; another worker of this origin that has
 * written makes ours reload. An empty store has none: nothing stays.
 */
const VERSION_KEY = 'version';

interface Version {
  readonly life: number;
  readonly count: number;
}
/** Conversations whose MLS state stays in memory, most recently used. */
const MAX_LOADED_GROUPS = 64;

type KeeperPorts = Pick<RuntimePorts, 'store' | 'random' | 'now' | 'exclusive'>;

export class StateKeeper {
  readonly #ports: KeeperPorts;
  #state: EngineState | undefined;
  #version: Uint8Array | undefined;
  #destroyed = false;

  constructor(ports: KeeperPorts) {
    this.#ports = ports;
  }

  async state(): Promise<EngineState> {
    return this.#state ?? this.#ports.exclusive(() => this.#current());
  }

  /** Runs one step and stores it. @throws what the step or the store throws, with nothing changed */
  step(input: Input): Promise<{ result: StepResult; changedConversations: string[]; stored: boolean }> {
    return this.#ports.exclusive(async () => {
      const wanted = new Set(groupsOf(input));
      let before = await this.#preloaded(await this.#current(), wanted);
      for (;;) {
        try {
          const result = await step(before, input, {
            random: this.#ports.random,
            now: this.#ports.now(),
            lines: (id, from, limit) => this.messages(id, from, limit),
          });
          const stored = await this.#store(before, result, wanted);
          return { result, changedConversations: changedConversations(before, result.state), stored };
        } catch (error) {
          if (!(error instanceof NeedGroups)) throw error;
          before = await this.#withGroups(before, error.conversationIds);
          for (const id of error.conversationIds) wanted.add(id);
        }
      }
    });
  }

  /**
   * Looks whether the store still holds what is in memory: the browser may have deleted or locked it.
   * @returns whether the state is another now
   * @throws StoreError; what was in memory is not shown any more either
   */
  refresh(): Promise<boolean> {
    return this.#ports.exclusive(async () => {
      const before = this.#state;
      this.#state = await this.#current().catch((error: unknown) => {
        this.#state = undefined;
        throw error;
      });
      return before !== undefined && before !== this.#state;
    });
  }

  /** Deletes everything; nothing can be done with this keeper any more. @throws StoreError, and then all is as it was */
  destroy(): Promise<void> {
    return this.#ports.exclusive(async () => {
      this.#state = undefined;
      await this.#ports.store.destroy();
      this.#destroyed = true;
    });
  }

  /** Newest first; `before` is a position that is left out. */
  async messages(conversationId: string, before: number | undefined, limit: number): Promise<StoredMessage[]> {
    const from = messageRecordKey(conversationId, 0);
    const to = messageRecordKey(conversationId, before ?? Number.MAX_SAFE_INTEGER);
    const records = await this.#ports.store.page(from, to, limit);
    return [...records.values()].map(decodeMessage);
  }

  /** @returns whether there was anything to store */
  async #store(before: EngineState, result: StepResult, used: ReadonlySet<string>): Promise<boolean> {
    const { puts, deletes } = changesBetween(before, result.state, result.lines, result.dropped);
    const changed = puts.size > 0 || deletes.length > 0;
    if (changed) {
      const version = isEmpty(result.state) ? undefined : encodeRecord(this.#nextVersion());
      if (version === undefined) await this.#ports.store.write({ puts, deletes: [...deletes, VERSION_KEY] });
      else await this.#ports.store.write({ puts: new Map(puts).set(VERSION_KEY, version), deletes });
      this.#version = version;
    }
    this.#state = withFewGroups(result.state, used);
    for (const secret of result.spent) secret.wipe();
    return changed;
  }

  async #current(): Promise<EngineState> {
    if (this.#destroyed) throw new Error('everything was deleted');
    const version = await this.#ports.store.get(VERSION_KEY);
    if (this.#state !== undefined && isSame(version, this.#version)) return this.#state;
    const records = new Map<string, Uint8Array>();
    for (const prefix of [...STATE_PREFIXES, ...RETIRED])
      for (const [key, value] of await this.#ports.store.load(prefix)) records.set(key, value);
    const retired = RETIRED.filter((key) => records.has(key));
    if (retired.length > 0) await this.#ports.store.write({ puts: new Map(), deletes: retired });
    this.#state = decodeState(records);
    this.#version = version;
    return this.#state;
  }

  #nextVersion(): Version {
    const before = this.#version && decodeRecord<Version | number>(this.#version);
    if (before === undefined) return { life: this.#ports.now(), count: 1 };
    return typeof before === 'number' ? { life: 0, count: before + 1 } : { ...before, count: before.count + 1 };
  }

  /** A step begins anew at each group that it misses: a slice over many would run as often as it has groups. */
  async #preloaded(state: EngineState, wanted: ReadonlySet<string>): Promise<EngineState> {
    const missing = [...wanted].filter((id) => state.conversations.get(id)?.state === 'member' && !state.groups.has(id));
    return missing.length === 0 ? state : this.#withGroups(state, missing);
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

function isEmpty(state: EngineState): boolean {
  return state.device === undefined && changesBetween(EMPTY_STATE, state, []).puts.size === 0;
}

function isSame(a: Uint8Array | undefined, b: Uint8Array | undefined): boolean {
  return a === undefined || b === undefined ? a === b : equal(a, b);
}

function changedConversations(before: EngineState, after: EngineState): string[] {
  if (before.conversations === after.conversations && before.contacts === after.contacts) return [];
  return [...after.conversations].filter(([id, conversation]) => before.conversations.get(id) !== conversation).map(([id]) => id);
}

/** Conversations whose MLS state the step is likely to use. */
function groupsOf(input: Input): string[] {
  if (input.type === 'entries') return input.entries.map(({ groupId }) => toHex(groupId));
  if (input.type === 'prepare' && input.what.kind === 'message') return [input.what.conversationId];
  return [];
}

/** Puts the least recently used groups out of memory; their records stay. */
function withFewGroups(state: EngineState, used: ReadonlySet<string>): EngineState {
  const { groups } = state;
  const unused = [...groups].filter(([id]) => !used.has(id));
  if (unused.length === groups.size && groups.size <= MAX_LOADED_GROUPS) return state;
  const byUse = [...unused, ...[...groups].filter(([id]) => used.has(id))];
  return { ...state, groups: new Map(byUse.slice(-MAX_LOADED_GROUPS)) };
}
