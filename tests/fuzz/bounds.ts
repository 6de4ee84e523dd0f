import { getHeapStatistics } from 'node:v8';

/** What one case may take. */
export interface Bounds {
  /** ms */
  readonly time: number;
  /** Bytes of what it gives together with what it left lying. */
  readonly memory: number;
}

/** A hundred times what the dearest case takes: only what grows faster than its input comes near. */
export const BOUNDS: Bounds = { time: 5_000, memory: 256 * 1024 * 1024 };

type Attack<Outcome> = () => Promise<Outcome> | Outcome;
type Measured<Outcome> = { readonly over: string } | { readonly outcome: Outcome };

/**
 * The outcome of one case. One that took too long is played again, for the machine may have been busy with something else.
 * @throws Error when it takes too long twice, or too much memory
 */
export async function withinBounds<Outcome>(attack: Attack<Outcome>, bounds = BOUNDS): Promise<Outcome> {
  const first = await measured(attack, bounds);
  const counts = 'over' in first ? await measured(attack, bounds) : first;
  if ('over' in counts) throw new Error(counts.over);
  return counts.outcome;
}

async function measured<Outcome>(attack: Attack<Outcome>, { time, memory }: Bounds): Promise<Measured<Outcome>> {
  const [began, held, peak] = [performance.now(), heldBytes(), peakBytes()];
  const started = attack();
  const outcome = started instanceof Promise ? await inTime(started, time) : { outcome: started };
  const grown = Math.max(heldBytes() - held, peakBytes() - peak);
  if (grown > memory) throw new Error(`took ${Math.round(grown / 1024)} KiB of memory`); // other work does not add to it
  return outcome === undefined || performance.now() - began > time ? { over: `was not over after ${time} ms` } : outcome;
}

/** Undefined when it is not over in time. */
async function inTime<Outcome>(pending: Promise<Outcome>, time: number): Promise<{ readonly outcome: Outcome } | undefined> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<undefined>((resolve) => {
    timer = setTimeout(() => resolve(undefined), time);
  });
  try {
    return await Promise.race([pending.then((outcome) => ({ outcome })), late]);
  } finally {
    clearTimeout(timer);
    pending.catch(() => undefined); // it may fail when nobody waits any more
  }
}

/** Of the heap and of buffers beside it, garbage that is not collected yet included. */
function heldBytes(): number {
  const { used_heap_size, external_memory } = getHeapStatistics();
  return used_heap_size + external_memory;
}

/** The most that the process has ever had: what a case used for a moment and gave back shows here. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024;
}
