import { prepareCommit } from './emulation-group.ts';
import { renewalFrom, renewalProgress } from './renewal-state.ts';
import type { EmulationState, EngineState } from './state.ts';
import type { Todo } from './todo.ts';
import type { Turn } from './turn.ts';

/**
 * Renewing keys (reading section 12, its end): a path commit of the emulation group, and then one in every
 * conversation with a leaf of the emulation epoch that it began. Who has copied the store of the device that
 * begins it can read nothing of what comes after. A device does it when its person asks, every week, and
 * after much use.
 */

/** The emulation group's part. */
export function renewalTodo(state: EngineState, emulation: EmulationState, now: number): Todo {
  const until = renewalFrom(state, emulation);
  const lane = 'emulation';
  return now < until ? { lane, do: 'wait', until } : { lane, do: 'prepare', what: { kind: 'renew-keys' } };
}

export async function prepareRenewKeys(turn: Turn): Promise<void> {
  await prepareCommit(turn, {
    purpose: 'renew',
    proposals: [],
    action: undefined,
    keyPackages: [],
    welcomeExtensions: [],
    newDevice: undefined,
  });
}

/** The person's wish. Asking again while it is under way changes nothing. */
export function renewKeys(turn: Turn): undefined {
  if (renewalProgress(turn.state) === undefined) turn.updateEmulation({ renewalAsked: true });
  return undefined;
}
