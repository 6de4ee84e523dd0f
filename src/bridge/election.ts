/**
 * Which tab of this browser is the leader. The holder of a Web Lock is; when it is closed the lock goes to
 * the next tab. A frozen or stuck leader keeps its lock, so it also beats like a heart on a channel, and a
 * tab that misses the beat takes the lock by force. Two tabs may for a moment both believe that they lead:
 * whatever a leader does must bear that.
 */

const LOCK = 'chorus-leader';
/** Channel of the heartbeat. */
export const LEADER_CHANNEL = 'chorus-leader';
/** Between two beats, ms. */
const BEAT = 2_000;
/** A leader unheard for this long is taken for frozen, ms: three beats and a busy machine. */
const PATIENCE = 7_000;
/** Followers look that often, ms. */
const WATCH = 1_000;
/** A watch that comes this late means that the tab itself was asleep and cannot know what it missed, ms. */
const ASLEEP = 3_000;

export interface HeartbeatChannel {
  postMessage(message: 'beat'): void;
  onmessage: ((event: MessageEvent) => void) | null;
}

export interface ElectionPorts {
  readonly locks: Pick<LockManager, 'request'>;
  readonly channel: HeartbeatChannel;
  /** Monotonic, ms. */
  readonly now: () => number;
}

/**
 * Stands for election until `signal` aborts. `lead` runs while this tab leads, with a signal that aborts
 * when the lock is taken away or the election is left; it should end soon after that.
 */
export async function standForElection(
  ports: ElectionPorts,
  lead: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let heard = ports.now();
  /** Ends each reign of this tab. A stolen one may still be ending while the tab stands again. */
  const reigns = new Set<() => void>();
  /** Aborts the wait in the queue, so that the same tab can take the lock by force. */
  let queued = new AbortController();
  let steal = false;

  ports.channel.onmessage = () => {
    heard = ports.now();
  };
  let watched = ports.now();
  const watch = setInterval(() => {
    const now = ports.now();
    if (now - watched > ASLEEP) heard = now;
    watched = now;
    if (reigns.size > 0 || now - heard <= PATIENCE) return;
    heard = now;
    steal = true;
    queued.abort();
  }, WATCH);
  signal.addEventListener('abort', () => queued.abort(), { once: true });

  const reign = async (): Promise<void> => {
    const over = new AbortController();
    const end = (): void => over.abort();
    signal.addEventListener('abort', end, { once: true });
    reigns.add(end);
    steal = false;
    ports.channel.postMessage('beat');
    const beat = setInterval(() => ports.channel.postMessage('beat'), BEAT);
    try {
      await lead(over.signal);
    } finally {
      clearInterval(beat);
      signal.removeEventListener('abort', end);
      reigns.delete(end);
    }
  };

  try {
    while (!signal.aborted) {
      queued = new AbortController();
      // A lock cannot be both stolen and waited for with a signal.
      const options: LockOptions = steal ? { steal: true } : { signal: queued.signal };
      steal = false;
      try {
        await ports.locks.request(LOCK, options, reign);
      } catch (error) {
        // Our own end of waiting, or the lock was stolen: then the reign may still be running.
        if (!isAbort(error)) throw error;
        for (const end of reigns) end();
        heard = ports.now();
      }
    }
  } finally {
    clearInterval(watch);
    ports.channel.onmessage = null;
  }
}

function isAbort(error: unknown): boolean {
  return error instanceof Error && error.name === 'AbortError';
}
