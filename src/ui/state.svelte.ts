import type { Bridge } from '../bridge/client.ts';
import { VIEW_CHANNEL, type BridgeCall, type BridgeCalls, type CommandResult, type ViewChanged } from '../bridge/protocol.ts';
import type { StateView } from '../bridge/view.ts';
import { MessageList } from './message-list.svelte.ts';
import { troubleOf, type Trouble } from './words.ts';

/** Calls that a person makes, answered by "done" or "not, because". */
export type CommandCall = {
  [Call in BridgeCall]: BridgeCalls[Call]['answer'] extends CommandResult ? Call : never;
}[BridgeCall];

export type Refused = { readonly ok: false; readonly problem: Trouble };

/** After a failed look at the state, ms. */
const RETRY = 3_000;
/** For what a person has asked for to be done before a reload, ms: a call whose worker was replaced is repeated after 5 s. */
const SETTLE_LIMIT = 8_000;

/** What this tab shows, kept fresh by asking the worker whenever it says that something changed. */
export class Chorus {
  /** Undefined until the worker has answered for the first time. */
  view = $state.raw<StateView>();
  /** Number of the look that `view` comes from; see `looks`. */
  asOf = $state(0);
  /** Why the last look at the state failed. */
  trouble = $state<Trouble>();
  updateReady = $state(false);
  /** Another version's worker has taken over, and this tab waits for its person to reload it. */
  outdated = $state(false);
  /** Spoken by screen readers. */
  announcement = $state('');

  readonly #bridge: Bridge;
  #lists: readonly MessageList[] = [];
  #looks = 0;
  #looking = false;
  #lookAgain = false;
  #asked: readonly Promise<unknown>[] = [];
  #misunderstood = false;

  constructor(bridge: Bridge) {
    this.#bridge = bridge;
    const channel = new BroadcastChannel(VIEW_CHANNEL);
    channel.onmessage = ({ data }: MessageEvent<ViewChanged>) => {
      if (data.deleted) beginAnew();
      if (data.state) this.look();
      for (const list of this.#lists) {
        if (data.forgotten.includes(list.conversationId)) list.lookAtAll();
        else if (data.conversations.includes(list.conversationId)) list.look();
      }
    };
    // A tab in the background may have been frozen and have missed changes.
    document.addEventListener('visibilitychange', () => {
      if (document.visibilityState === 'visible') this.lookAtAll();
    });
    this.look();
  }

  /** How many looks at the state have begun: whatever is done now shows in a view whose `asOf` is greater. */
  get looks(): number {
    return this.#looks;
  }

  /** Asks the worker for the state; looks that overlap become one more at the end. */
  look(): void {
    if (this.#looking) {
      this.#lookAgain = true;
      return;
    }
    this.#looking = true;
    this.#looks += 1;
    const look = this.#looks;
    this.#bridge
      .call('state', {})
      .then(
        (view) => {
          this.view = view;
          this.asOf = look;
          this.trouble = undefined;
        },
        (error: unknown) => {
          this.trouble = troubleOf(error);
          if (this.trouble === 'storage-locked') this.view = undefined; // nor does this tab remember it
          setTimeout(() => this.look(), RETRY);
        },
      )
      .finally(() => {
        this.#looking = false;
        if (!this.#lookAgain) return;
        this.#lookAgain = false;
        this.look();
      })
      .catch(() => undefined);
  }

  lookAtAll(): void {
    this.look();
    for (const list of this.#lists) list.lookAtAll();
  }

  /** Has the worker do something; never rejects. With the `callId` of a call that had no answer it is not done twice. */
  async ask<Call extends CommandCall>(
    call: Call,
    request: BridgeCalls[Call]['request'],
    callId?: string,
  ): Promise<BridgeCalls[Call]['answer'] | Refused> {
    const asked = this.#bridge.call(call, request, callId);
    this.#asked = [...this.#asked, asked];
    try {
      return await asked;
    } catch (error) {
      const problem = troubleOf(error);
      this.#misunderstood ||= problem === 'bridge-malformed';
      return { ok: false, problem };
    } finally {
      this.#asked = this.#asked.filter((other) => other !== asked);
    }
  }

  /**
   * Another worker has taken over: resolves when all that was asked for is answered, or takes too long, with whether this tab
   * may be reloaded. Not when something was not understood: its words are in this tab alone, and would be lost.
   */
  async settle(): Promise<boolean> {
    const late = new Promise<void>((resolve) => setTimeout(resolve, SETTLE_LIMIT));
    const answered = (async () => {
      while (this.#asked.length > 0) await Promise.allSettled(this.#asked);
    })();
    await Promise.race([answered, late]);
    this.updateReady = false;
    this.outdated = this.#misunderstood;
    return !this.outdated;
  }

  /** The messages of a conversation, kept fresh until `close` is called. */
  open(conversationId: string): { readonly list: MessageList; readonly close: () => void } {
    const list = new MessageList(this.#bridge, conversationId);
    this.#lists = [...this.#lists, list];
    list.look();
    const close = (): void => {
      this.#lists = this.#lists.filter((other) => other !== list);
    };
    return { list, close };
  }
}

/** The person has had everything deleted, here or in another tab: nothing of it stays in this tab's memory, address or storage. */
function beginAnew(): void {
  localStorage.clear();
  sessionStorage.clear();
  location.replace('/');
}
