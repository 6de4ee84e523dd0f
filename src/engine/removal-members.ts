import { toHex } from '../bytes/index.ts';
import { memberLeaves } from '../mls/index.ts';
import { deviceIdOf } from './leaf-check.ts';
import { isRemoving, removalProgress } from './removal-state.ts';
import type { EmulationState, RemovalState } from './state.ts';
import type { Turn } from './turn.ts';

/** A device in the emulation group. */
export interface Member {
  readonly deviceId: Uint8Array;
  readonly leafIndex: number;
  readonly name: string;
  readonly signatureKey: Uint8Array;
}

export function membersOf({ group, deviceNames }: EmulationState): Member[] {
  return memberLeaves(group).map(({ leafIndex, leaf }) => ({
    deviceId: deviceIdOf(leaf),
    leafIndex,
    name: deviceNames.get(toHex(leaf.signaturePublicKey)) ?? '',
    signatureKey: leaf.signaturePublicKey,
  }));
}

/** Names of an earlier removal that is over are of no interest in the next one. */
export function forgetFinished(turn: Turn): void {
  if (!isRemoving(turn.emulation()) && removalProgress(turn.state) === undefined) updateRemoval(turn, { removed: [] });
}

export function updateRemoval(turn: Turn, change: Partial<RemovalState>): void {
  turn.updateEmulation({ removal: { ...turn.emulation().removal, ...change } });
}
