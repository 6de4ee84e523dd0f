import { toHex } from '../bytes/index.ts';
import { isJoinBehind, pauseJoin } from './external-join.ts';
import { pauseEmulation } from './pending-emulation.ts';
import { isHeld, pausedFrom } from './sending.ts';
import type { Conversation, EmulationState, EngineState, PendingSubmission } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * What the server has accepted, and this device has not met in the log yet. Once the log has been followed to an end that
 * was asked for after the answer, it has come, unless the server was restored from a backup in between: then it is lost
 * there, though nothing that was followed is set back. It is sent again under its name; a server that has it after all
 * takes it for a retry. So is lost what something of ours was called late for: it goes again after a pause.
 */

/** Names of all that is to come: message IDs, IDs of devices that are to be removed, and what waits for others' entries. */
export function acceptedIn({ conversations, emulation, externalJoins }: EngineState): string[] {
  const names: string[] = [];
  for (const [id, conversation] of conversations) {
    names.push(...conversation.awaitingEcho.map(nameOf));
    if (awaitsCommit(conversation, emulation)) names.push(holdOf(id));
  }
  if (emulation !== undefined && awaitsEntry(emulation)) names.push(EMULATION_HOLD);
  const pending = emulation?.pending;
  if (pending !== undefined && pending.accepted) names.push(nameOf(pending));
  for (const [id, join] of externalJoins) {
    if (join.pending !== undefined && join.accepted) names.push(toHex(join.pending.messageId));
    if (emulation !== undefined && isJoinBehind(emulation, conversations.get(id), join)) names.push(joinOf(id));
  }
  for (const { deviceId, accepted } of emulation?.removal.asked ?? []) if (accepted) names.push(toHex(deviceId));
  return names;
}

/** Those of `names` that have not come are to be sent again. */
export function takeLostBack(turn: Turn, names: readonly string[]): void {
  const lost = new Set(names);
  for (const [id, conversation] of turn.state.conversations) {
    if (lost.has(holdOf(id)) && awaitsCommit(conversation, turn.emulation())) {
      turn.updateConversation(id, { hold: { ...pausedFrom(conversation, turn.now), textsToo: true } });
    }
    takeSentBack(turn, id, conversation, lost);
  }
  const joins = [...turn.state.externalJoins].map(([id, join]) => {
    const isLost = join.accepted && join.pending !== undefined && lost.has(toHex(join.pending.messageId));
    return [id, isLost ? { ...join, accepted: false } : join] as const;
  });
  turn.update({ externalJoins: new Map(joins) });
  for (const [id, join] of joins) {
    if (lost.has(joinOf(id)) && isJoinBehind(turn.emulation(), turn.state.conversations.get(id), join)) pauseJoin(turn, id);
  }
  if (lost.has(EMULATION_HOLD) && awaitsEntry(turn.emulation())) pauseEmulation(turn);
  const { pending, removal } = turn.emulation();
  if (pending?.accepted === true && lost.has(nameOf(pending))) {
    turn.updateEmulation({ pending: { ...pending, accepted: false } });
  }
  const asked = removal.asked.map((ask) => (lost.has(toHex(ask.deviceId)) ? { ...ask, accepted: false } : ask));
  turn.updateEmulation({ removal: { ...removal, asked } });
}

/** A commit goes again as it is: its keys are derived. Texts are encrypted anew behind it, in the order in which they were written. */
function takeSentBack(turn: Turn, id: string, { awaitingEcho, pending, queue }: Conversation, names: ReadonlySet<string>): void {
  const lost = awaitingEcho.filter((sent) => names.has(nameOf(sent)));
  if (lost.length === 0) return;
  const commit = lost.find(({ submission }) => submission.kind !== 'application');
  const texts = [...lost, ...(pending === undefined || commit !== undefined ? [] : [pending])].filter(isText);
  turn.updateConversation(id, {
    awaitingEcho: awaitingEcho.filter((sent) => !lost.includes(sent)),
    pending: commit ?? (pending !== undefined && isText(pending) ? undefined : pending),
    queue: [...texts.map(({ item }) => ({ ...item, unanswered: true as const })), ...queue],
  });
}

type SentText = PendingSubmission & { readonly item: Extract<PendingSubmission['item'], { kind: 'text' }> };

function isText(sent: PendingSubmission): sent is SentText {
  return sent.item.kind === 'text';
}

function awaitsCommit(conversation: Conversation, emulation: EngineState['emulation']): boolean {
  return emulation !== undefined && isHeld(conversation, emulation.group.context.epoch);
}

function awaitsEntry({ hold, position, pending }: EmulationState): boolean {
  return pending === undefined && hold?.position !== undefined && position <= hold.position;
}

const EMULATION_HOLD = 'entry of the emulation group';
const joinOf = (conversationId: string): string => `entry before a join in ${conversationId}`;
const holdOf = (conversationId: string): string => `commit in ${conversationId}`;

function nameOf({ submission }: { readonly submission: PendingSubmission['submission'] }): string {
  return toHex(submission.messageId);
}
