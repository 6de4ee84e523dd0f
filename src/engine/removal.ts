import { ed25519 } from '@noble/curves/ed25519.js';
import { equal, fromHex, toHex } from '../bytes/index.ts';
import type { Proposal } from '../mls/index.ts';
import { accountKeyContent } from '../virtual-client/account-proof.ts';
import { encodeResyncMessage } from '../virtual-client/emulation-message.ts';
import { encodeRemovalStatement, removalContent } from '../virtual-client/removal-statement.ts';
import type { CommandProblem } from './command.ts';
import { prepareCommit, prepareEmulationMessage } from './emulation-group.ts';
import { EngineError } from './errors.ts';
import type { DeliveryAnswer, DeliveryCalls } from './ports.ts';
import { GROUP_SUITE } from './protocol.ts';
import { forgetFinished, membersOf, updateRemoval } from './removal-members.ts';
import { isStopped, type EmulationState, type EngineState, type RemovalState } from './state.ts';
import type { Todo } from './todo.ts';
import type { Turn } from './turn.ts';

/**
 * Removing a device (draft section 4.3, reading section 12). Each step is read off the state, which
 * every device has from the log, so any of them goes on after any crash: the device that asked, or
 * made the Remove, at once, the others if it does not come to it.
 */

/** What the server refused, or has accepted and not yet put into the log, is asked again after this, ms. */
const BIND_AGAIN_AFTER = 60_000;
/** The first foreign key is answered with one of ours at once, the second after this, each after twice as long, ms. */
const FOREIGN_KEY_PAUSE = 60_000;
const LONGEST_FOREIGN_KEY_PAUSE = 60 * 60_000;

/** The person's wish; the server is told as soon as it can be reached. */
export function removeDevice(turn: Turn, { deviceId }: { readonly deviceId: string }): CommandProblem | undefined {
  if (isStopped(turn.state)) return 'not-ready';
  const emulation = turn.emulation();
  const members = membersOf(emulation);
  const member = members.find((candidate) => toHex(candidate.deviceId) === deviceId);
  if (member === undefined) return 'unknown-device';
  const leaving = [...emulation.removal.asked, ...emulation.removal.cutOff].map((device) => toHex(device.deviceId));
  if (leaving.includes(deviceId)) return undefined;
  if (members.filter((other) => !leaving.includes(toHex(other.deviceId))).length < 2) return 'last-device';
  forgetFinished(turn);
  const { removal } = turn.emulation();
  updateRemoval(turn, { asked: [...removal.asked, { deviceId: fromHex(deviceId), name: member.name, accepted: false }] });
  return undefined;
}

/** The person logs out here. What is left to do afterwards, the runtime reads off the state. */
export function logOut(turn: Turn): CommandProblem | undefined {
  const problem = turn.state.unlinked ? undefined : removeDevice(turn, { deviceId: toHex(turn.device().deviceId) });
  if (problem === undefined) turn.update({ leaving: true });
  return problem;
}

/** Steps that ask the server for something. */
export function removalRequests(state: EngineState, emulation: EmulationState, now: number): Todo[] {
  const { asked, told, keyDue, foreignVersion, bindAgainAt } = emulation.removal;
  const todos: Todo[] = [];
  const ask = asked.find(({ accepted }) => !accepted);
  if (ask !== undefined) {
    const request = { deviceId: ask.deviceId, statement: statementFor(state, emulation, ask.deviceId) };
    todos.push({ lane: 'removal', do: 'send', call: 'begin-removal', request, conversationId: undefined });
  }
  const key = told.at(-1);
  if (key === undefined || keyDue || state.account === undefined) return todos;
  const lane = 'account-key';
  const from = Math.max(bindAgainAt, emulation.floor.by === emulation.group.ownLeaf ? 0 : emulation.floor.othersFrom);
  if (now < from) return [...todos, { lane, do: 'wait', until: from }];
  const fields = { keyVersion: Math.max(state.account.keyVersion, foreignVersion), signatureKey: key.signatureKey };
  const proof = ed25519.sign(accountKeyContent({ accountId: state.account.accountId, ...fields }), key.signer.reveal());
  return [...todos, { lane, do: 'send', call: 'bind-account-key', request: { ...fields, proof }, conversationId: undefined }];
}

function statementFor({ device }: EngineState, { groupId }: EmulationState, deviceId: Uint8Array): Uint8Array {
  if (device === undefined) throw new EngineError('not-ready');
  const signature = ed25519.sign(removalContent(groupId, deviceId), device.emulatorSigner.reveal());
  return encodeRemovalStatement({ deviceId, signatureKey: device.emulatorSignatureKey, signature });
}

/** The step that is a message of the emulation group; it comes before any other. */
export function removalMessage({ group, floor, removal }: EmulationState, now: number): Todo | undefined {
  const lane = 'emulation';
  if (removal.cutOff.length > 0) {
    const until = removal.cutOff.some(({ askedHere }) => askedHere) ? 0 : Math.min(...removal.cutOff.map(({ othersFrom }) => othersFrom));
    return now < until ? { lane, do: 'wait', until } : { lane, do: 'prepare', what: { kind: 'remove-devices' } };
  }
  if (!removal.keyDue) return undefined;
  const until = Math.max(floor.by === group.ownLeaf ? 0 : floor.othersFrom, foreignKeyPause(removal, now));
  return now < until ? { lane, do: 'wait', until } : { lane, do: 'prepare', what: { kind: 'account-key' } };
}

/** When a foreign key may be answered with one of ours; at once when the clock was set back meanwhile. ms */
function foreignKeyPause({ foreignKeys, foreignAt }: RemovalState, now: number): number {
  if (foreignKeys < 2) return 0;
  const pause = Math.min(FOREIGN_KEY_PAUSE * 2 ** (foreignKeys - 2), LONGEST_FOREIGN_KEY_PAUSE);
  return Math.abs(now - foreignAt) < pause ? foreignAt + pause : 0;
}

/** Step 2: the Remove of all that are cut off, in one commit. */
export async function prepareRemoveDevices(turn: Turn): Promise<void> {
  const { removal } = turn.emulation();
  const cutOff = new Set(removal.cutOff.map(({ deviceId }) => toHex(deviceId)));
  const leaving = membersOf(turn.emulation()).filter(({ deviceId }) => cutOff.has(toHex(deviceId)));
  await prepareCommit(turn, {
    purpose: 'remove-devices',
    proposals: leaving.map(({ leafIndex }): Proposal => ({ proposalType: 'remove', remove: { removed: leafIndex } })),
    action: undefined,
    keyPackages: [],
    welcomeExtensions: [],
    newDevice: undefined,
  });
}

/** Step 3: a key that the removed device never held, for the siblings. It counts when it comes back in the log. */
export async function prepareAccountKey(turn: Turn): Promise<void> {
  const { privateKey } = GROUP_SUITE.signatureKeyPair(turn.random(32));
  const content = encodeResyncMessage(privateKey);
  await prepareEmulationMessage(turn, 'account-key', content);
  content.fill(0);
  privateKey.wipe();
}

export function onRemovalAnswer(
  turn: Turn,
  { deviceId }: DeliveryCalls['begin-removal']['request'],
  answer: DeliveryAnswer<'begin-removal'>,
): void {
  if (answer.outcome === 'unreachable') return;
  const { removal } = turn.emulation();
  const isIt = (asked: { readonly deviceId: Uint8Array }): boolean => equal(asked.deviceId, deviceId);
  if (answer.outcome === 'done') {
    if (equal(turn.device().deviceId, deviceId)) turn.update({ unlinked: true });
    updateRemoval(turn, { asked: removal.asked.map((asked) => (isIt(asked) ? { ...asked, accepted: true } : asked)) });
    turn.behind = true;
    return;
  }
  if (answer.problem.retryAfter !== undefined) return;
  updateRemoval(turn, { asked: removal.asked.filter((asked) => !isIt(asked)) });
  if (equal(turn.device().deviceId, deviceId)) turn.update({ leaving: false });
  if (answer.problem.type !== 'no-such-device') turn.notice('request-failed', answer.problem.type);
}

/** The key counts when its entry comes; a sibling may have been first, then the log brings that one's. */
export function onBindAnswer(turn: Turn, answer: DeliveryAnswer<'bind-account-key'>): void {
  if (answer.outcome === 'unreachable') return;
  if (answer.outcome === 'refused' && answer.problem.retryAfter !== undefined) return;
  turn.behind = true;
  updateRemoval(turn, { bindAgainAt: turn.now + BIND_AGAIN_AFTER });
}
