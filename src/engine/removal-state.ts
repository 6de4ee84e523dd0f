import { toHex } from '../bytes/index.ts';
import type { AccountState, Conversation, EmulationState, EngineState, RemovalState } from './state.ts';

/** What the state says of a removal (reading section 12): what is left of it, and what waits for it. */

export const NO_REMOVAL: RemovalState = {
  asked: [],
  cutOff: [],
  removed: [],
  keyDue: false,
  told: [],
  foreignVersion: 0,
  foreignKeys: 0,
  foreignAt: 0,
  bindAgainAt: 0,
  floor: 0n,
};

/** From the person's wish until the new account key is bound: no KeyPackages are made, no device is added. */
export function isRemoving({ removal }: EmulationState): boolean {
  return removal.asked.length > 0 || removal.cutOff.length > 0 || isKeyPending(removal);
}

/** The device is out of the emulation group, and the account has no key yet that it never held. */
export function isKeyPending({ keyDue, told }: RemovalState): boolean {
  return keyDue || told.length > 0;
}

/** Below a Remove's floor no application message is sent. */
export function isUnsafe({ epochs, removal }: EmulationState, conversation: Conversation): boolean {
  const epoch = conversation.leaf && epochs.get(toHex(conversation.leaf.epochId));
  return epoch !== undefined && epoch.epoch < removal.floor;
}

/** The leaf is of an emulation epoch before the newest renewal, or it names an old key. */
export function needsRenewal(account: AccountState, emulation: EmulationState, conversation: Conversation): boolean {
  return isBeforeRenewal(emulation, conversation) || (conversation.leaf !== undefined && conversation.keyVersion < account.keyVersion);
}

/** The leaf is one that the device before the floor's Add or Remove knows, or it names an old key: it must go at once. */
export function mustGo(account: AccountState, { epochs, floor }: EmulationState, { leaf, keyVersion }: Conversation): boolean {
  const epoch = leaf && epochs.get(toHex(leaf.epochId));
  return epoch !== undefined && (epoch.epoch < floor.epoch || keyVersion < account.keyVersion);
}

export function isBeforeRenewal({ epochs, renewal }: EmulationState, { leaf }: Conversation): boolean {
  const epoch = leaf && epochs.get(toHex(leaf.epochId));
  return epoch !== undefined && epoch.epoch < renewal.epoch;
}

export interface RemovalProgress {
  readonly step: 'cutting-off' | 'removing' | 'new-key' | 'renewing';
  readonly names: readonly string[];
  /** Conversations that the removed device can no longer read, of all that it could. */
  readonly done: number;
  readonly total: number;
}

/** undefined when nothing is left to do. */
export function removalProgress({ account, emulation, conversations }: EngineState): RemovalProgress | undefined {
  if (account === undefined || emulation === undefined) return undefined;
  const { removal } = emulation;
  const names = [...removal.asked, ...removal.cutOff].map(({ name }) => name).concat(removal.removed);
  // A key that is due after a recovery is nobody's removal.
  if (names.length === 0) return undefined;
  const members = [...conversations.values()].filter(({ state }) => state === 'member' || state === 'out-of-step');
  const total = members.length;
  if (removal.asked.length > 0) return { step: 'cutting-off', names, done: 0, total };
  if (removal.cutOff.length > 0) return { step: 'removing', names, done: 0, total };
  if (isKeyPending(removal)) return { step: 'new-key', names, done: 0, total };
  // Where this device has lost step, the old leaf stays until an external commit takes it away.
  const left = members.filter(
    (conversation) =>
      conversation.state === 'out-of-step' || isUnsafe(emulation, conversation) || conversation.keyVersion < account.keyVersion,
  );
  return removal.floor === 0n || left.length === 0 ? undefined : { step: 'renewing', names, done: total - left.length, total };
}
