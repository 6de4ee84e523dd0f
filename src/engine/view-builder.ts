import { equal, toHex } from '../bytes/index.ts';
import { memberLeaves } from '../mls/index.ts';
import { deviceIdOf } from './leaf-check.ts';
import { encodeLinkCode, shortNumberOf } from './link-code.ts';
import { transcriptOf } from './linking.ts';
import { EMULATION_SUITE } from './protocol.ts';
import { rejoinProgress } from './recovery-rejoin.ts';
import { isUnsafe, removalProgress } from './removal-state.ts';
import { renewalProgress } from './renewal-state.ts';
import { pendingItems } from './sending.ts';
import { isStopped, type Conversation, type EngineState, type LinkState, type StoredMessage, type WorkItem } from './state.ts';
import type {
  AccountView,
  ConnectionView,
  ConversationState,
  ConversationView,
  DeviceView,
  LinkView,
  MemberView,
  MessageView,
  NoticeView,
  Phase,
  PhraseView,
  RejoiningView,
  StateView,
} from './view.ts';
import { maySend } from './virtual-leaf.ts';

/** The state as a person may see it. Holds no secret but the link code, which is there to be shown. */
export function viewOf(state: EngineState, connection: ConnectionView, storage: StateView['storage']): StateView {
  return {
    phase: phaseOf(state),
    account: accountView(state),
    devices: deviceViews(state),
    removal: removalProgress(state),
    renewal: state.emulation && { progress: renewalProgress(state), at: state.emulation.renewal.at },
    phrase: phraseView(state),
    phraseNeededFor: state.recovering?.pending === undefined ? state.recovering?.username : undefined,
    rejoining: rejoiningView(state),
    conversations: [...state.conversations]
      .map(([id, conversation]) => conversationView(state, id, conversation))
      .sort((a, b) => activityOf(state, b) - activityOf(state, a)),
    link: state.link === undefined || state.link.hidden ? undefined : linkView(state.link, state.linkBlobs.size),
    connection,
    storage,
    notifiesWords: state.notifiesWords,
    notices: state.notices.map((notice) => ({ ...notice, text: sentenceOf(notice) })),
  };
}

function phraseView({ emulation }: EngineState): PhraseView {
  if (emulation === undefined) return 'none';
  return emulation.phrase.confirmed === undefined ? emulation.phrase.status : 'saving';
}

function rejoiningView(state: EngineState): RejoiningView | undefined {
  const progress = rejoinProgress(state);
  if (progress === undefined) return undefined;
  const asks = progress.asks.map(({ groupId, members }) => ({
    conversationId: toHex(groupId),
    members: members.map((accountId) => memberView(state, accountId).username),
  }));
  return { ...progress, asks };
}

function phaseOf(state: EngineState): Phase {
  const { unlinked, setBack, copied, leaving, account, creating, recovering, link } = state;
  if (leaving && !isStopped(state)) return 'leaving';
  if (unlinked) return 'unlinked';
  if (setBack) return 'set-back';
  if (copied) return 'copied';
  if (account !== undefined) return 'ready';
  if (creating !== undefined) return 'creating';
  if (recovering?.pending !== undefined) return 'recovering';
  return link === undefined || link.hidden ? 'new' : 'linking';
}

function accountView({ account, creating, recovering, device }: EngineState): AccountView | undefined {
  const username = account?.username ?? creating?.username ?? recovering?.pending?.request.username;
  if (username === undefined || device === undefined) return undefined;
  return { accountId: account === undefined ? '' : toHex(account.accountId), username, deviceName: device.deviceName };
}

function deviceViews({ emulation }: EngineState): DeviceView[] {
  if (emulation === undefined) return [];
  const { group, deviceNames, removal } = emulation;
  const leaving = new Set([...removal.asked, ...removal.cutOff].map(({ deviceId }) => toHex(deviceId)));
  return memberLeaves(group).map(({ leafIndex, leaf }) => {
    const deviceId = toHex(deviceIdOf(leaf));
    return {
      emulatorLeaf: leafIndex,
      deviceId,
      name: deviceNames.get(toHex(leaf.signaturePublicKey)) ?? '',
      own: leafIndex === group.ownLeaf,
      beingRemoved: leaving.has(deviceId),
    };
  });
}

function activityOf(state: EngineState, { conversationId }: ConversationView): number {
  const conversation = state.conversations.get(conversationId);
  const waiting = conversation && waitingTexts(conversation).at(-1);
  return Math.max(conversation?.last?.at ?? 0, conversation?.startedAt ?? 0, waiting?.at ?? 0);
}

function conversationView(state: EngineState, conversationId: string, conversation: Conversation): ConversationView {
  const members = conversation.members.map((accountId) => memberView(state, accountId));
  const invited = pendingItems(conversation).flatMap((item) => (item.kind === 'add' ? item.members : []));
  const others = [...members.filter(({ own }) => !own).map(({ username }) => username), ...invited.map(({ username }) => username)];
  return {
    conversationId,
    title: conversation.title === '' ? [...new Set(others)].join(', ') : conversation.title,
    kind: conversation.title === '' ? 'direct' : 'group',
    state: stateOf(state, conversation),
    members,
    unread: conversation.unread,
    lastMessage: conversation.last && messageView(state, conversationId, conversation.last),
    draft: conversation.draft,
    invitation: conversation.invitation === undefined ? 'none' : conversation.invitation.seed === undefined ? 'other' : 'own',
    pendingChanges: pendingItems(conversation).flatMap(changeOf),
  };
}

function stateOf(state: EngineState, conversation: Conversation): ConversationState {
  const { emulation } = state;
  if (isStopped(state)) return 'stopped';
  if (conversation.state !== 'member') return conversation.state;
  if (emulation === undefined || !maySend(emulation.epochs, conversation)) return 'renewing';
  return isUnsafe(emulation, conversation) ? 'renewing' : 'ready';
}

function changeOf(item: WorkItem): string[] {
  if (item.kind === 'add') return [`Adding ${item.members.map(({ username }) => username).join(', ')}`];
  if (item.kind === 'invite') return [item.seed === undefined ? 'Withdrawing the link' : 'Making a link'];
  return item.kind === 'remove' ? [`Removing ${item.username}`] : [];
}

function memberView({ account, contacts }: EngineState, accountId: Uint8Array): MemberView {
  const own = account !== undefined && equal(account.accountId, accountId);
  return { accountId: toHex(accountId), username: contacts.get(toHex(accountId)) || 'unknown', own };
}

/** One stored line. */
export function messageView(state: EngineState, conversationId: string, stored: StoredMessage): MessageView {
  const { messageKey, position, kind, device, alarm, at } = stored;
  const sender = stored.sender && memberView(state, stored.sender);
  return {
    messageKey,
    conversationId,
    position,
    kind,
    text: kind === 'text' ? stored.text : eventText(state, stored),
    sender,
    device,
    alarm,
    at,
    status: 'sent',
    problem: undefined,
  };
}

function eventText(state: EngineState, { text, sender, added, removed }: StoredMessage): string {
  const by = sender === undefined ? 'Somebody' : nameOf(state, sender);
  const names = (ids: readonly Uint8Array[]): string => ids.map((id) => nameOf(state, id)).join(', ');
  if (text === 'joined') return 'You are in this conversation now. Earlier messages are not shown.';
  if (text === 'set-back')
    return 'The server has lost its newest data. Messages above this line are here, and may be missing with others; what others wrote may be missing here.';
  if (text === 'went-on')
    return 'You are in this conversation again. What others wrote after the server had lost its data, and before this line, could not be read here: ask them to send it again.';
  if (text === 'rejoined') return 'This device had lost step here and is back. What was said meanwhile may be on your other devices only.';
  if (text === 'linked') return 'This device was linked here. Earlier messages are on your other devices.';
  if (text === 'invitation-made') return `${by} made a link to this conversation. Who has it can join.`;
  if (text === 'invitation-withdrawn') return `${by} withdrew the link to this conversation.`;
  if (text !== 'members') return `${by} sent something that this version of Chorus cannot show.`;
  if (sender !== undefined && removed.length === 0 && added.length === 1 && equal(added[0]!, sender)) return `${by} joined by a link`;
  const parts = [...(added.length > 0 ? [`added ${names(added)}`] : []), ...(removed.length > 0 ? [`removed ${names(removed)}`] : [])];
  return `${by} ${parts.join(' and ')}`;
}

function nameOf(state: EngineState, accountId: Uint8Array): string {
  const { username, own } = memberView(state, accountId);
  return own ? 'You' : username;
}

type TextItem = Extract<WorkItem, { kind: 'text' }>;

function waitingTexts(conversation: Conversation): TextItem[] {
  return pendingItems(conversation).filter((item) => item.kind === 'text');
}

/** What was written and is not in the log yet, newest first. */
export function waitingViews(state: EngineState, conversationId: string): MessageView[] {
  const conversation = state.conversations.get(conversationId);
  if (conversation === undefined || state.account === undefined) return [];
  const sender = memberView(state, state.account.accountId);
  const accepted = new Set(conversation.awaitingEcho.map(({ item }) => item));
  const device = { name: state.device?.deviceName ?? '', own: true, known: true };
  return waitingTexts(conversation)
    .map((item): MessageView => ({
      messageKey: toHex(item.messageId),
      conversationId,
      position: undefined,
      kind: 'text',
      text: item.text,
      sender,
      device,
      alarm: false,
      at: item.at,
      status: item.problem !== undefined ? 'failed' : accepted.has(item) ? 'sent' : 'waiting',
      problem: item.problem === undefined ? undefined : problemSentence(item.problem),
    }))
    .reverse();
}

/** Written things that have not reached the server. */
export function waitingCount({ conversations }: EngineState): number {
  let count = 0;
  for (const { queue, pending } of conversations.values()) {
    count += queue.filter((item) => item.kind === 'text' && item.problem === undefined).length;
    if (pending?.item.kind === 'text') count += 1;
  }
  return count;
}

function linkView(link: LinkState, blobs: number): LinkView {
  const numbered = link.step === 'compare' || link.step === 'waiting-for-other' || link.step === 'adding';
  return {
    role: link.role,
    step: link.step,
    code: link.role === 'new' && link.step === 'show-code' ? encodeLinkCode(EMULATION_SUITE, link.secret) : undefined,
    shortNumber: numbered ? shortNumberOf(EMULATION_SUITE, transcriptOf(link)) : undefined,
    otherName: link.otherName,
    problem: link.problem,
    progress: link.step === 'adding' && link.blobs.length > 0 ? linkProgress(link, blobs) : undefined,
  };
}

/** The one side gets rid of its blobs, the other collects them. */
function linkProgress({ role, blobs: { length: total } }: LinkState, blobs: number): { done: number; total: number } {
  return { done: role === 'adder' ? total - blobs : blobs, total };
}

function sentenceOf({ kind, text }: NoticeView): string {
  const where = text === '' ? 'a conversation' : `“${text}”`;
  switch (kind) {
    case 'device-linked':
      return text === '' ? 'A device was linked to your account.' : `“${text}” was linked to your account.`;
    case 'device-removed':
      return text === '' ? 'A device was removed from your account.' : `“${text}” was removed from your account.`;
    case 'device-recovered':
      return 'A device joined your account with your recovery phrase. If that was not you, remove it and make a new phrase.';
    case 'recovered':
      return 'This device is in all your conversations now. Earlier messages are on your other devices, if you still have them.';
    case 'phrase-changed':
      return 'Your recovery phrase was changed on another device. The one before it is no longer good.';
    case 'phrase-outdated':
      return 'Make a new recovery phrase: who has the removed device may know the present one.';
    case 'recovery-failed':
      return recoverySentence(text);
    case 'devices-found':
      return `Your account has ${text} other ${text === '1' ? 'device' : 'devices'}. Look at them under “Devices”, and remove what you have lost or do not know.`;
    case 'foreign-key':
      return 'Somebody who is none of your devices had a key bound to your account. Your devices replace it. Make a new recovery phrase: yours may be known.';
    case 'cloned-device':
      return `A message in ${where} was sent with this device's keys, but not by this device. Somebody may hold a copy of it: unlink this device and link it anew.`;
    case 'unknown-device':
      return `A message in ${where} was sent in your name by a device that is not one of yours.`;
    case 'refused-message':
      return `A message in ${where} was refused because it is not what it claims to be.`;
    case 'invitation-over':
      return `The link to ${where} is no longer good, or the conversation is full.`;
    case 'older-members':
      return `This device did not rejoin ${where}: somebody who was removed is in it again on the server. Start a new conversation.`;
    case 'left-after-all':
      return `A message that you deleted in ${where} had been sent already. Your devices have not kept it; the others have it.`;
    case 'request-failed':
      return problemSentence(text);
  }
}

/** Why a recovery that nobody waited for has failed. */
function recoverySentence(problem: string): string {
  switch (problem) {
    case 'recovery-refused':
      return 'This device could not join the account: the phrase is not its newest one.';
    case 'recovery-tampered':
      return 'This device did not join the account: what the server sent is not what it should be.';
    case 'too-many-devices':
      return 'This device could not join the account: it has as many devices as an account can have.';
    default:
      return 'This device could not join the account. Try again.';
  }
}

function problemSentence(problem: string): string {
  switch (problem) {
    case 'log-changed':
      return 'The server has lost its newest data. This may have reached the others all the same.';
    case 'no-key-package':
      return 'That person cannot be added right now: their devices have to come online first.';
    case 'unknown-account':
      return 'That account does not exist any more.';
    case 'not-a-member':
    case 'unknown-group':
      return 'You are not in this conversation any more.';
    case 'too-large':
      return 'This is too large to be sent.';
    case 'too-many':
      return 'There is no room for more here.';
    default:
      return 'The server did not take this. You can try again.';
  }
}
