import { equal, toHex } from '../bytes/index.ts';
import { getComponent, memberLeaves, setComponent, type Extension, type GroupState, type LeafNode } from '../mls/index.ts';
import { verifyRecovery } from '../virtual-client/index.ts';
import type { CommandProblem } from './command.ts';
import { EngineError } from './errors.ts';
import { deviceIdOf } from './leaf-check.ts';
import { COMPONENTS } from './protocol.ts';
import type { PhraseState } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * The recovery key R in the emulation group (reading section 11): what a person's phrase makes of it, and
 * whom it lets in. The phrase's entropy passes through the worker's memory and is never part of the state.
 */

export const NO_PHRASE: PhraseState = { status: 'none', offered: undefined, confirmed: undefined };

/** Bytes of R that name a phrase which is on a screen. */
const NAME_LENGTH = 16;

/** Public; names the phrase between tab and worker. */
export function phraseIdOf(recoveryKey: Uint8Array): string {
  return toHex(recoveryKey.slice(0, NAME_LENGTH));
}

/** R of an emulation group. @throws EngineError 'bad-action' where there is none */
export function recoveryKeyOf(extensions: readonly Extension[]): Uint8Array {
  const recoveryKey = getComponent(extensions, COMPONENTS.recovery);
  if (recoveryKey?.length !== 32) throw new EngineError('bad-action');
  return recoveryKey;
}

/** The phrase is shown; nothing follows from it before the person has it on paper. */
export function offerPhrase(turn: Turn, recoveryKey: Uint8Array): CommandProblem | undefined {
  turn.updateEmulation({ phrase: { ...turn.emulation().phrase, offered: recoveryKey } });
  return undefined;
}

/** The person has it on paper. */
export function confirmPhrase(turn: Turn, phraseId: string): CommandProblem | undefined {
  const { phrase } = turn.emulation();
  if (phrase.offered === undefined || phraseIdOf(phrase.offered) !== phraseId) return 'phrase-replaced';
  turn.updateEmulation({ phrase: { ...phrase, offered: undefined, confirmed: phrase.offered } });
  return undefined;
}

/**
 * A commit that is about to be adopted may change R in the GroupContext and nothing else there.
 * @returns whether it does. @throws EngineError 'bad-action'
 */
export function followRecoveryKey(turn: Turn, next: GroupState, own: boolean): boolean {
  const { group, phrase } = turn.emulation();
  const before = recoveryKeyOf(group.context.extensions);
  const after = recoveryKeyOf(next.context.extensions);
  if (!areSame(setComponent(next.context.extensions, COMPONENTS.recovery, before), group.context.extensions)) {
    throw new EngineError('bad-action');
  }
  if (equal(before, after)) return false;
  const isConfirmed = phrase.confirmed !== undefined && equal(phrase.confirmed, after);
  turn.updateEmulation({ phrase: { ...phrase, status: 'set', confirmed: isConfirmed ? undefined : phrase.confirmed } });
  if (!own) turn.notice('phrase-changed', '');
  return true;
}

/** A removed device may have been where the phrase was shown (reading section 11). */
export function markPhrase(turn: Turn): void {
  const { phrase } = turn.emulation();
  if (phrase.status !== 'set') return;
  turn.updateEmulation({ phrase: { ...phrase, status: 'replace' } });
  turn.notice('phrase-outdated', '');
}

/**
 * Whether `joining` may come in by external commit: R has signed it for this group and epoch, and it is
 * nobody who is in already. @throws VirtualClientError 'recovery-signature-invalid', EngineError 'wrong-credential'
 */
export function checkRecovering(group: GroupState, joining: LeafNode): void {
  const { groupId, epoch, extensions } = group.context;
  const signature = getComponent(joining.extensions, COMPONENTS.recovery) ?? new Uint8Array();
  verifyRecovery(recoveryKeyOf(extensions), { groupId, epoch, signatureKey: joining.signaturePublicKey }, signature);
  const deviceId = deviceIdOf(joining);
  if (memberLeaves(group).some(({ leaf }) => equal(deviceIdOf(leaf), deviceId))) throw new EngineError('wrong-credential');
}

function areSame(one: readonly Extension[], other: readonly Extension[]): boolean {
  return (
    one.length === other.length &&
    one.every(({ extensionType, extensionData }, i) => {
      const against = other[i]!;
      return extensionType === against.extensionType && equal(extensionData, against.extensionData);
    })
  );
}
