import type { Random } from '../mls/index.ts';
import { acceptedIn } from './accepted.ts';
import { storageProblemOf, type Command, type CommandProblem, type CommandResult, type StorageProblem } from './command.ts';
import { waitsForGroupInfo } from './external-join.ts';
import type { AnswerInput, Input } from './input.ts';
import { isPastOver } from './past-epochs.ts';
import { invitationCode } from './invitation.ts';
import { openInvitation, type OpenedInvitation } from './invitation-driver.ts';
import type {
  AccountDescription,
  DeliveryAnswer,
  DeliveryCall,
  DeliveryCalls,
  DeliveryPort,
  DeviceProof,
  SequenceEntry,
  StorePort,
} from './ports.ts';
import { makePhrase, recover, type MadePhrase, type RecoveryHands } from './recovery-driver.ts';
import { longerPause } from './later.ts';
import { isStopped } from './state.ts';
import { StateKeeper } from './state-keeper.ts';
import type { StepResult } from './step.ts';
import { todosOf, type Todo } from './todo.ts';
import type { LinePlace, StoredLine } from './turn.ts';
import type { ConnectionView, MessageView, StateView } from './view.ts';
import { messageView, viewOf, waitingCount, waitingViews } from './view-builder.ts';

/** What is another now. */
export interface RuntimeChange {
  readonly state: boolean;
  readonly conversations: readonly string[];
  /** Conversations of which lines have gone. */
  readonly forgotten: readonly string[];
  /** The person has had everything deleted. */
  readonly deleted?: true;
}

/** What the runtime needs of the context that it runs in. */
export interface RuntimePorts {
  readonly store: StorePort;
  readonly delivery: DeliveryPort;
  readonly random: Random;
  /** ms since 1970. */
  readonly now: () => number;
  /** Runs one task at a time over all contexts of this origin. */
  readonly exclusive: <Result>(task: () => Promise<Result>) => Promise<Result>;
  readonly changed: (change: RuntimeChange) => void;
  /** `withWords`: the person wants to be told who wrote what. */
  readonly notify: (notification: { tag: string; title: string; body: string; conversationId: string; withWords: boolean }) => void;
  /** Takes the notification with this tag from the screen, if it is there; without a tag all of them. */
  readonly withdraw: (tag?: string) => void;
  /** A person has deleted something, here or on another of their devices: it is to leave the browser's files soon. */
  readonly deleted: () => void;
  /** Everything was deleted: what the browser shows or keeps for this device besides the store is to go too. */
  readonly cleared: () => void;
  /** Something waits for the network: ask to be woken when it is back. */
  readonly requestSync: () => void;
  /** Resolves after `ms`, or when the signal aborts. */
  readonly sleep: (ms: number, signal: AbortSignal) => Promise<void>;
  /** Address and signed headers of the event stream, good for one use. */
  readonly prepareEventStream: (after: number, proof: DeviceProof, mark: Uint8Array | undefined) => Promise<PreparedStream>;
  /** One `entry` event of the stream. @returns undefined when it is malformed */
  readonly readEntry: (data: string) => SequenceEntry | undefined;
  /** One `stock` event. @returns undefined when it is malformed */
  readonly readStock: (data: string) => number | undefined;
}

export interface PreparedStream {
  readonly url: string;
  readonly headers: Record<string, string>;
}

/** Everything that tabs may ask for, and waking up. */
export interface EngineRuntime {
  state(): Promise<StateView>;
  messages(conversationId: string, before: number | undefined, limit: number): Promise<{ messages: MessageView[]; more: boolean }>;
  command(command: Command): Promise<CommandResult & { made?: string }>;
  /** The accounts behind usernames, as a command needs them. */
  findAccounts(usernames: readonly string[]): Promise<AccountDescription[] | CommandProblem>;
  /** A new recovery phrase's entropy, to be shown once. */
  makePhrase(): Promise<MadePhrase>;
  /** Joins an account with its phrase; wipes `entropy`. Goes on by itself when it has answered. */
  recover(asked: { readonly username: string; readonly deviceName: string; readonly entropy: Uint8Array }): Promise<CommandResult>;
  /** What a link leads to; it changes nothing. */
  openInvitation(code: string): Promise<OpenedInvitation>;
  /** The conversation's link, as far as it goes behind `#/join/`; undefined when this device knows none. */
  invitationCode(conversationId: string): Promise<string | undefined>;
  streamRequest(): Promise<PreparedStream | undefined>;
  streamEvent(event: { event: 'entry' | 'stock' | 'gone'; data: string } | { event: 'opened' | 'closed' }): Promise<void>;
  /** Deletes everything that this device holds, at once and without a word to the server. @throws StoreError with nothing changed */
  deleteData(): Promise<void>;
  /** Sees whether the store is still there, and tries what is still to do. @throws StoreError when it cannot be read any more */
  wake(): Promise<void>;
  /**
   * Deletes what is left of a device whose records can no longer be read, so that this browser can become a device anew.
   * What can be read stays.
   */
  startAnew(): Promise<CommandResult>;
  /** Catches up and sends until nothing is left to do. @throws Error when something still waits, so that the browser tries again */
  synchronise(): Promise<void>;
}

/** Entries fetched and stored at once: a slice is one transaction, and a person's send waits for one at most. */
const SLICE = 100;
/** Retry after no answer: doubling from the first to the last, ms. */
const FIRST_RETRY = 1_000;
const LAST_RETRY = 60_000;
/** A server may ask to wait for so long, ms. */
const LONGEST_WANTED = 60 * 60_000;
/** Requests under way at once; the rest wait for their turn. */
const MAX_LANES = 8;
/** Of these at most so many for what nobody waits for: the others stay free for a person. */
const MAX_BACKGROUND_LANES = 4;
/** A new account's answer is waited for this long before the tab is told that it is under way, ms. */
const CREATION_PATIENCE = 20_000;
/** Refusals that say nothing about the request itself: the same one is tried again later. */
const PASSING: ReadonlySet<string> = new Set(['clock-skew', 'bad-signature', 'internal']);
/** Nothing that this device holds can be read any more, or not all of it. */
const UNREADABLE: ReadonlySet<StorageProblem> = new Set(['storage-root-missing', 'storage-sealed-record-unreadable']);
/** Lanes that wait for other people and do not count as work. */
const PATIENT_LANES: ReadonlySet<string> = new Set(['link-fetch']);

/** Names a message's notification. */
function tagOf({ conversationId, position }: LinePlace): string {
  return `${conversationId}/${position}`;
}

const EVERYTHING_NEW = { state: true, conversations: [], forgotten: [] } as const;

export function createRuntime(ports: RuntimePorts): EngineRuntime {
  // Of one that has deleted everything nothing goes on: what it still waits for finds no state to change.
  let current = new Runtime(ports, deleteData);
  async function empty(): Promise<void> {
    await current.destroy();
    current = new Runtime(ports, deleteData);
    ports.cleared();
  }
  async function deleteData(): Promise<void> {
    await empty();
    ports.changed({ ...EVERYTHING_NEW, deleted: true });
  }
  return {
    state: () => current.state(),
    messages: (conversationId, before, limit) => current.messages(conversationId, before, limit),
    command: (command) => current.command(command),
    findAccounts: (usernames) => current.findAccounts(usernames),
    makePhrase: () => current.makePhrase(),
    recover: (asked) => current.recover(asked),
    openInvitation: (code) => current.openInvitation(code),
    invitationCode: (conversationId) => current.invitationCode(conversationId),
    streamRequest: () => current.streamRequest(),
    streamEvent: (event) => current.streamEvent(event),
    deleteData,
    wake: () => current.wake(),
    startAnew: async () => {
      const problem = await current.whyUnreadable();
      if (problem === undefined) return { ok: true };
      if (!UNREADABLE.has(problem)) return { ok: false, problem };
      await empty();
      ports.changed(EVERYTHING_NEW);
      return { ok: true };
    },
    synchronise: () => current.synchronise(),
  };
}

class Runtime implements Omit<EngineRuntime, 'deleteData' | 'startAnew'> {
  readonly #ports: RuntimePorts;
  readonly #deleteData: () => Promise<void>;
  readonly #keeper: StateKeeper;
  readonly #lanes = new Set<string>();
  readonly #backgroundLanes = new Set<string>();
  /** When a lane may try again, ms, and how long it waits until then. */
  readonly #retries = new Map<string, { at: number; delay: number }>();
  readonly #idleWaiters: (() => void)[] = [];
  #outcomeWaiters: ((problem: CommandProblem | undefined) => void)[] = [];
  /** Two tabs may ask for it at once. */
  #recovering = false;
  #behind = true;
  /** The event stream has been opened and not closed since. */
  #streaming = false;
  /** Calls of `synchronise` under way, and when the last one failed, ms. */
  #syncs = 0;
  #syncFailedAt = -Infinity;
  /** When what a server had lost was last taken back, and the pause after that, ms: one that lies takes it again and again, and never brings it. */
  #tookBack = { at: -Infinity, pause: 0 };
  #status: ConnectionView['status'] = 'connecting';
  /** Why the last step could not be stored; undefined again once one was. */
  #storage: StorageProblem | undefined;
  #timer: AbortController | undefined;

  constructor(ports: RuntimePorts, deleteData: () => Promise<void>) {
    this.#ports = ports;
    this.#deleteData = deleteData;
    this.#keeper = new StateKeeper(ports);
  }

  async state(): Promise<StateView> {
    const state = await this.#keeper.state();
    this.#kick();
    const { sequence, known } = state.cursor;
    const catchingUp = known - sequence > SLICE ? { done: sequence, total: known } : undefined;
    return viewOf(state, { status: this.#status, waiting: waitingCount(state), catchingUp }, this.#storage);
  }

  async messages(conversationId: string, before: number | undefined, limit: number): Promise<{ messages: MessageView[]; more: boolean }> {
    const state = await this.#keeper.state();
    const stored = await this.#keeper.messages(conversationId, before, limit + 1);
    const views = stored.slice(0, limit).map((message) => messageView(state, conversationId, message));
    const shown = new Set(views.map(({ messageKey }) => messageKey));
    const waiting = before === undefined ? waitingViews(state, conversationId).filter(({ messageKey }) => !shown.has(messageKey)) : [];
    return { messages: [...waiting, ...views], more: stored.length > limit };
  }

  async command(command: Command): Promise<CommandResult & { made?: string }> {
    const outcome = command.command === 'createAccount' ? this.#nextOutcome() : undefined;
    const { problem, made } = await this.#step({ type: 'command', command });
    if (problem !== undefined) return { ok: false, problem };
    this.#kick();
    const late = await outcome;
    if (late !== undefined) return { ok: false, problem: late };
    return made === undefined ? { ok: true } : { ok: true, made };
  }

  async findAccounts(usernames: readonly string[]): Promise<AccountDescription[] | CommandProblem> {
    if ((await this.#proof()) === undefined) return 'not-ready';
    const found: AccountDescription[] = [];
    for (const username of usernames) {
      const answer = await this.#ask('find-account', { username });
      if (answer.outcome === 'unreachable') return 'offline';
      if (answer.outcome === 'refused') return answer.problem.type === 'unknown-account' ? 'unknown-account' : 'internal';
      if (answer.value.username !== username.toLowerCase()) return 'internal'; // nobody whom the person has named
      found.push(answer.value);
    }
    return found;
  }

  makePhrase(): Promise<MadePhrase> {
    return makePhrase(this.#recoveryHands());
  }

  async recover(asked: Parameters<EngineRuntime['recover']>[0]): Promise<CommandResult> {
    if (this.#recovering) {
      asked.entropy.fill(0);
      return { ok: false, problem: 'recovery-under-way' };
    }
    this.#recovering = true;
    try {
      return await recover(this.#recoveryHands(), asked);
    } finally {
      this.#recovering = false;
    }
  }

  openInvitation(code: string): Promise<OpenedInvitation> {
    return openInvitation({ state: () => this.#keeper.state(), ask: (call, request) => this.#ask(call, request) }, code);
  }

  async invitationCode(conversationId: string): Promise<string | undefined> {
    const conversation = (await this.#keeper.state()).conversations.get(conversationId);
    return conversation && invitationCode(conversation);
  }

  async #ask<Call extends DeliveryCall>(call: Call, request: DeliveryCalls[Call]['request']): Promise<DeliveryAnswer<Call>> {
    const answer = await this.#ports.delivery.send(call, request, await this.#proof(), new AbortController().signal);
    this.#heard(answer.outcome !== 'unreachable');
    return answer;
  }

  #recoveryHands(): RecoveryHands {
    const step = async (command: Command): Promise<CommandProblem | undefined> => (await this.#step({ type: 'command', command })).problem;
    return {
      random: this.#ports.random,
      state: () => this.#keeper.state(),
      step,
      ask: (call, request) => this.#ask(call, request),
      settle: async (make) => {
        const outcome = this.#nextOutcome();
        const problem = await make();
        this.#kick();
        return problem ?? outcome;
      },
    };
  }

  async streamRequest(): Promise<PreparedStream | undefined> {
    const state = await this.#keeper.state();
    const { account, cursor, unlinked } = state;
    const proof = await this.#proof();
    if (account === undefined || proof === undefined || unlinked || isStopped(state)) return undefined;
    return this.#ports.prepareEventStream(cursor.sequence, proof, cursor.marks[0]?.mark);
  }

  async streamEvent(event: { event: 'entry' | 'stock' | 'gone'; data: string } | { event: 'opened' | 'closed' }): Promise<void> {
    if (event.event === 'closed') {
      this.#heard(false);
      // Refused, or not reached: a signed call learns which, and the server's clock if that is the reason.
      if (!this.#streaming) this.#behind = true;
      this.#streaming = false;
    } else if (event.event === 'opened') {
      this.#streaming = true;
      if (acceptedIn(await this.#keeper.state()).length > 0) this.#behind = true; // a stream does not tell that it is lost
      this.#heard(true);
      this.#retries.clear();
    } else if (event.event === 'gone') await this.#step({ type: 'unlinked' });
    else if (event.event === 'stock') {
      const stock = this.#ports.readStock(event.data);
      if (stock !== undefined) await this.#step({ type: 'stock', stock });
    } else if (this.#lanes.has('sequence'))
      this.#behind = true; // it comes with the next slice
    else if (event.event === 'entry') {
      const entry = this.#ports.readEntry(event.data);
      if (entry === undefined) this.#behind = true;
      else await this.#step({ type: 'entries', entries: [entry], last: entry.sequence });
    }
    this.#kick();
  }

  async destroy(): Promise<void> {
    await this.#keeper.destroy();
    this.#timer?.abort();
  }

  async wake(): Promise<void> {
    try {
      if (await this.#keeper.refresh()) this.#ports.changed({ state: true, conversations: [], forgotten: [] });
    } catch (error) {
      this.#ports.changed({ state: true, conversations: [], forgotten: [] }); // tabs that ask are told why
      throw error;
    }
    await this.#pump();
  }

  /** undefined when it can be read. */
  async whyUnreadable(): Promise<StorageProblem | undefined> {
    try {
      await this.#keeper.state();
      return undefined;
    } catch (error) {
      const problem = storageProblemOf(error);
      if (problem === undefined) throw error;
      return problem;
    }
  }

  /** A sync that is fired again and again, by a browser that takes a cut network for sound, comes to one attempt per FIRST_RETRY. */
  async synchronise(): Promise<void> {
    const rest = Math.min(FIRST_RETRY, this.#syncFailedAt + FIRST_RETRY - this.#ports.now());
    if (rest > 0) await this.#ports.sleep(rest, new AbortController().signal);
    this.#syncs += 1;
    try {
      await this.#tryEverything();
    } catch (error) {
      this.#syncFailedAt = this.#ports.now();
      throw error;
    } finally {
      this.#syncs -= 1;
    }
  }

  /** Once, whatever waits for its next try. Pauses go on growing if it fails: that a sync was fired does not show that the network is back. */
  async #tryEverything(): Promise<void> {
    this.#behind = true;
    const now = this.#ports.now();
    for (const [lane, { delay }] of this.#retries) this.#retries.set(lane, { at: now, delay });
    await this.#pump();
    await this.#idle();
    const state = await this.#keeper.state();
    const left = todosOf(state, this.#ports.now()).filter((todo) => todo.do === 'send' && !PATIENT_LANES.has(todo.lane));
    const isOver = state.unlinked || isStopped(state); // it follows nothing any more
    if (left.length > 0 || (this.#behind && !isOver)) throw new Error('something is still waiting for the server');
  }

  /** One step, stored; what it says to others is passed on. */
  async #step(input: Input): Promise<StepResult & { readonly stored: boolean }> {
    const { result, changedConversations, stored } = await this.#keeper.step(input).catch((error: unknown) => {
      this.#stored(storageProblemOf(error) ?? this.#storage);
      if (input.type === 'entries') this.#behind = true; // they are still at the server
      throw error;
    });
    if (stored) this.#stored(undefined);
    if (result.behind) this.#behind = true;
    if (result.outcome !== undefined) this.#settleOutcome(result.outcome.problem);
    const forgotten = [...new Set(result.dropped.map(({ conversationId }) => conversationId))];
    this.#ports.changed({ state: true, conversations: changedConversations, forgotten });
    for (const place of result.dropped) this.#ports.withdraw(tagOf(place));
    const asked = input.type === 'command' ? input.command.command : undefined;
    if (result.dropped.length > 0 || asked === 'forget' || asked === 'discard') this.#ports.deleted();
    if (asked === 'notifyWords' && !result.state.notifiesWords) this.#ports.withdraw();
    for (const line of result.notifications) await this.#notify(line);
    return { ...result, stored };
  }

  async #notify({ conversationId, message }: StoredLine): Promise<void> {
    const state = await this.#keeper.state();
    const view = messageView(state, conversationId, message);
    this.#ports.notify({
      tag: tagOf({ conversationId, position: message.position }),
      title: view.sender?.username ?? '',
      body: view.text,
      conversationId,
      withWords: state.notifiesWords,
    });
  }

  /** `#pump` for callers that do not wait; what fails is tried again at the next event. */
  #kick(): void {
    this.#pump().catch(() => undefined);
  }

  /** Starts whatever the state calls for and is not under way. */
  async #pump(): Promise<void> {
    const state = await this.#keeper.state();
    const now = this.#ports.now();
    const todos = todosOf(state, now);
    if (state.unlinked && state.leaving) this.#start('leaving', () => this.#deleteData().then(() => true));
    const stopped = isStopped(state);
    if (isPastOver(state, now)) {
      if (stopped) this.#start('past', () => this.#step({ type: 'prepare', what: { kind: 'forget-past' } }).then(() => true));
      else this.#behind = true;
    }
    if (this.#behind && state.account !== undefined && !state.unlinked && !stopped) this.#start('sequence', () => this.#catchUp());
    for (const todo of todos) {
      if (todo.background === true && this.#backgroundLanes.size >= MAX_BACKGROUND_LANES) continue;
      const started =
        (todo.do === 'prepare' && this.#start(todo.lane, () => this.#prepare(todo))) ||
        (todo.do === 'send' && this.#start(todo.lane, () => this.#send(todo)));
      if (started && todo.background === true) this.#backgroundLanes.add(todo.lane);
    }
    this.#setTimer(todos, now);
    if (this.#busy() === 0) for (const resolve of this.#idleWaiters.splice(0)) resolve();
  }

  /** @returns whether it has begun */
  #start(lane: string, work: () => Promise<boolean>): boolean {
    if (this.#lanes.has(lane) || this.#isResting(lane)) return false;
    if (this.#busy() >= MAX_LANES && !PATIENT_LANES.has(lane)) return false;
    this.#lanes.add(lane);
    void work()
      .catch(() => false)
      .then((worked) => {
        this.#lanes.delete(lane);
        this.#backgroundLanes.delete(lane);
        if (worked) this.#retries.delete(lane);
        else this.#backOff(lane, undefined);
        return this.#pump();
      })
      .catch(() => undefined);
    return true;
  }

  #busy(): number {
    return [...this.#lanes].filter((lane) => !PATIENT_LANES.has(lane)).length;
  }

  /** A clock that was set back must not make the pause longer than it was meant to be. */
  #isResting(lane: string): boolean {
    const retry = this.#retries.get(lane);
    if (retry === undefined) return false;
    const left = retry.at - this.#ports.now();
    return left > 0 && left <= retry.delay;
  }

  #backOff(lane: string, wanted: number | undefined): void {
    const before = this.#retries.get(lane);
    if (this.#isResting(lane)) return;
    const asked = wanted === undefined ? undefined : Math.min(Math.max(wanted, FIRST_RETRY), LONGEST_WANTED);
    const delay = asked ?? Math.min(LAST_RETRY, before === undefined ? FIRST_RETRY : 2 * before.delay);
    this.#retries.set(lane, { at: this.#ports.now() + delay, delay });
  }

  async #prepare(todo: Extract<Todo, { do: 'prepare' }>): Promise<boolean> {
    await this.#step({ type: 'prepare', what: todo.what });
    return true;
  }

  async #send(todo: Extract<Todo, { do: 'send' }>): Promise<boolean> {
    const { call, request, conversationId } = todo;
    const answer = await this.#ports.delivery.send(call, request, await this.#proof(), new AbortController().signal);
    this.#heard(answer.outcome !== 'unreachable');
    if (answer.outcome === 'unreachable') {
      // A sync that is running fails, and the browser repeats it after a pause; asked for now, it would come at once.
      if (this.#syncs === 0) this.#ports.requestSync();
      return false;
    }
    if (answer.outcome === 'refused' && PASSING.has(answer.problem.type)) return false;
    const retryAfter = answer.outcome === 'refused' ? answer.problem.retryAfter : undefined;
    // The pair belongs together: `answer` is what this `call` returned for this `request`.
    const { state, stored } = await this.#step({ type: 'answer', call, request, answer, conversationId } as AnswerInput);
    if (retryAfter !== undefined) this.#backOff(todo.lane, retryAfter);
    // What has changed nothing is still to do: at once, a server could have it asked for without an end.
    const isLeft =
      !stored && todosOf(state, this.#ports.now()).some((left) => left.do === 'send' && left.lane === todo.lane && left.call === call);
    if (isLeft && PATIENT_LANES.has(todo.lane)) this.#backOff(todo.lane, FIRST_RETRY);
    return retryAfter === undefined && !isLeft;
  }

  /** Follows the sequence from the cursor to its end, slice by slice. */
  async #catchUp(): Promise<boolean> {
    let reached: 'end' | 'more' | 'stuck' = 'stuck';
    try {
      do {
        this.#behind = false; // set again by whatever comes while the slice is on its way
        reached = await this.#followSlice();
      } while (reached === 'more');
      return reached === 'end';
    } finally {
      if (reached !== 'end') this.#behind = true;
    }
  }

  /** A page that does not move the cursor is none to go on from. */
  async #followSlice(): Promise<'end' | 'more' | 'stuck'> {
    const started = await this.#keeper.state();
    const { cursor } = started;
    const before = cursor.sequence;
    const request = { after: before, limit: SLICE, mark: cursor.marks[0]?.mark };
    const answer = await this.#ports.delivery.send('fetch-sequence', request, await this.#proof(), new AbortController().signal);
    this.#heard(answer.outcome !== 'unreachable');
    if (answer.outcome !== 'done') {
      if (answer.outcome === 'refused' && answer.problem.type === 'unknown-device') await this.#step({ type: 'unlinked' });
      if (answer.outcome === 'refused' && answer.problem.type === 'log-changed') {
        await this.#step({ type: 'log-changed', after: before });
        return isStopped(await this.#keeper.state()) ? 'end' : 'more';
      }
      return 'stuck';
    }
    const { entries, last, stock } = answer.value;
    if (stock !== (await this.#keeper.state()).stock) await this.#step({ type: 'stock', stock });
    if (entries.length > 0) await this.#step({ type: 'entries', entries, last });
    const state = await this.#keeper.state();
    if (isStopped(state)) return 'end';
    const { sequence } = state.cursor;
    if (sequence >= last && state.rewound !== undefined) await this.#step({ type: 'prepare', what: { kind: 'end-rewind' } });
    if (sequence >= last && isPastOver(state, this.#ports.now())) await this.#step({ type: 'prepare', what: { kind: 'forget-past' } });
    if (sequence >= last && !(await this.#takeLostBack(acceptedIn(started)))) return 'stuck'; // asked again after a pause
    // What an entry waits for is asked for by itself, and then it goes on.
    if (sequence >= last || waitsForGroupInfo(state)) return 'end';
    return sequence > before ? 'more' : 'stuck';
  }

  /**
   * The log has come to its end, which was asked for when all this had been accepted.
   * @returns false when it is too soon after the last time
   */
  async #takeLostBack(names: readonly string[]): Promise<boolean> {
    const left = new Set(acceptedIn(await this.#keeper.state()));
    const accepted = names.filter((name) => left.has(name));
    const now = this.#ports.now();
    const { at, pause } = this.#tookBack;
    if (accepted.length === 0) return true;
    if (Math.abs(now - at) < pause) return false;
    await this.#step({ type: 'prepare', what: { kind: 'take-lost-back', accepted } });
    this.#tookBack = { at: now, pause: longerPause(pause) };
    return true;
  }

  async #proof(): Promise<DeviceProof | undefined> {
    const { device } = await this.#keeper.state();
    return device && { deviceId: device.deviceId, deviceKeySeed: device.deviceKeySeed.reveal() };
  }

  #heard(answered: boolean): void {
    const status = answered ? 'online' : 'offline';
    if (status === this.#status) return;
    this.#status = status;
    this.#ports.changed({ state: true, conversations: [], forgotten: [] });
  }

  #stored(problem: StorageProblem | undefined): void {
    if (problem === this.#storage) return;
    this.#storage = problem;
    this.#ports.changed({ state: true, conversations: [], forgotten: [] });
  }

  /** Wakes for the next retry or the next thing that waits for its time. */
  #setTimer(todos: readonly Todo[], now: number): void {
    const times = todos.flatMap((todo) => (todo.do === 'wait' ? [todo.until] : [this.#retries.get(todo.lane)?.at ?? 0]));
    const sequence = this.#behind ? [this.#retries.get('sequence')?.at ?? 0] : [];
    const next = Math.min(...[...times, ...sequence].filter((time) => time > now));
    this.#timer?.abort();
    if (!Number.isFinite(next)) return;
    const timer = new AbortController();
    this.#timer = timer;
    void this.#ports.sleep(next - now, timer.signal).then(() => {
      if (!timer.signal.aborted) this.#kick();
    });
  }

  #idle(): Promise<void> {
    if (this.#busy() === 0) return Promise.resolve();
    return new Promise((resolve) => this.#idleWaiters.push(resolve));
  }

  #nextOutcome(): Promise<CommandProblem | undefined> {
    return new Promise((resolve) => {
      this.#outcomeWaiters.push(resolve);
      void this.#ports.sleep(CREATION_PATIENCE, new AbortController().signal).then(() => resolve(undefined));
    });
  }

  #settleOutcome(problem: CommandProblem | undefined): void {
    for (const resolve of this.#outcomeWaiters.splice(0)) resolve(problem);
  }
}
