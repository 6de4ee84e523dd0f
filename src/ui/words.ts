import { BridgeError } from '../bridge/client.ts';
import type { CommandProblem, StorageProblem } from '../bridge/protocol.ts';
import type { LinkProblem, MessageView } from '../bridge/view.ts';
import type { PasskeyProblem } from './passkey.ts';

/** Why something that the person asked for was not done: the engine's reason, a passkey's, or the bridge's. */
export type Trouble = CommandProblem | PasskeyProblem | `bridge-${Exclude<BridgeError['code'], StorageProblem>}`;

const TROUBLES: Readonly<Record<Trouble, string>> = {
  'not-ready': 'Chorus is still starting on this device. Try again in a moment.',
  offline: 'This needs the server, and it cannot be reached right now. Try again when you are online.',
  'username-invalid': 'A username has 2 to 32 characters: letters a to z, digits, dot, hyphen and underscore.',
  'username-taken': 'This username is taken. Choose another one.',
  'device-name-invalid': 'Give this device a name, such as “Laptop” or “Phone”, of at most 64 characters.',
  'unknown-account': 'There is no account with this username.',
  'unknown-conversation': 'This conversation is not open on this device any more.',
  'already-member': 'This person is already a member.',
  'own-account': 'That is your own account.',
  'cannot-be-reached': 'This person cannot be added right now: their devices have to come online first.',
  'text-empty': 'There is nothing to send yet.',
  'text-too-long': 'This text is too long. Shorten it or send it in parts.',
  'code-malformed': 'This is not a complete link code. Copy the whole code from the new device.',
  'code-unknown': 'This link code has expired or was used before. Make a new one on the new device.',
  'code-tampered': 'This link code does not fit what the server holds. Make a new one on the new device.',
  'link-in-progress': 'A device is being linked already. Finish or cancel that first.',
  'unknown-device': 'This device is not one of yours any more.',
  'last-device': 'This is your only device: without it nobody could use the account any more.',
  'phrase-replaced': 'Another recovery phrase was made meanwhile. Strike out the words that you wrote down, and make a new phrase.',
  'recovery-refused': 'This username and this phrase do not belong together. Check both; only the newest phrase of an account is good.',
  'recovery-under-way': 'This device is joining an account already. Wait a moment.',
  'recovery-later': 'This was tried too often from your network. Wait a few minutes, then try again.',
  'too-many-devices': 'This account has as many devices as an account can have. Remove one of them on another device, then try again.',
  'recovery-moved': 'Your devices changed something at the same moment. Enter the phrase once more.',
  'recovery-tampered': 'What the server sent is not the account that this phrase was made for, so nothing was joined.',
  'invitation-malformed': 'This is not a complete link to a conversation. Copy the whole link.',
  'invitation-over': 'This link is no longer good. Ask for a new one.',
  'no-link': 'There is no linking under way any more.',
  'storage-quota-exceeded':
    'The storage of this device is full, so Chorus can keep nothing new here. Nothing is lost. Delete some files or apps to make room, then try again.',
  'storage-blocked': 'Another tab keeps what Chorus stored from being opened. Close all other tabs of Chorus, then reload this one.',
  'storage-newer-version':
    'A newer version of Chorus has been used in this browser, and this page is an older one. Close all tabs of Chorus, then open it again.',
  'storage-unavailable':
    'This browser does not let Chorus store anything. Open Chorus outside of a private window and allow it to keep site data; if that is so already, restart the browser.',
  'storage-locked': 'What Chorus keeps on this device is behind its app lock. Reload the page and open it.',
  'storage-root-missing':
    'The browser has deleted the key to what Chorus kept on this device, so nothing of it can be read any more. Link this device again.',
  'storage-sealed-record-unreadable':
    'Something that Chorus kept on this device is damaged and cannot be read. Reload the page; if this stays, link this device again.',
  'storage-invalid-path': 'Something went wrong in Chorus. Try again; if it happens again, reload the page.',
  'storage-write-failed': 'The browser could not store this, and nothing was changed. Try again; if it happens again, reload the page.',
  'wrong-passphrase': 'This is not the passphrase. Check upper and lower case, then try again.',
  'wrong-passkey': 'This passkey does not open Chorus on this device. Reload the page, then try again with the one that you made for it.',
  'passkey-stopped': 'The browser did not get anything from your passkey. Try again, and do what the browser asks for.',
  'passkey-without-prf':
    'This passkey can tell who you are, but has nothing to lock Chorus with. Try one of another device or app, or use a passphrase. You can delete it again in the browser’s or system’s settings.',
  internal: 'Something went wrong in Chorus. Try again; if it happens again, reload the page.',
  'bridge-internal': 'Something went wrong in Chorus. Try again; if it happens again, reload the page.',
  'bridge-malformed':
    'This page is of an older version of Chorus, and not all of it works any more. Copy what you have not sent yet, then reload it.',
  'bridge-no-answer': 'Chorus did not answer in this browser. Reload the page, and if it was not done, try again.',
  'bridge-no-worker':
    'This browser did not let Chorus start. Reload the page; if that does not help, open Chorus outside of a private window and allow it to keep site data.',
};

const LINK_PROBLEMS: Readonly<Record<LinkProblem, string>> = {
  'code-malformed': TROUBLES['code-malformed'],
  'code-unknown': 'The link code has expired, or it was used before.',
  'code-tampered': 'What the other device sent was changed on the way, so linking was stopped. Nothing was shared.',
  'refused-here': 'You said no, so linking was stopped. Nothing was shared.',
  'refused-there': 'The other device said no, so linking was stopped. Nothing was shared.',
  'timed-out': 'The other device did not answer in time.',
  'account-gone': 'The account was not found on the server.',
  unreachable: 'The server could not be reached. Check the network and try again.',
  'own-code': 'This code was made by this very device. Use the code of the device that you want to add.',
};

/** What a failed call of the bridge comes to. */
export function troubleOf(error: unknown): Trouble {
  if (!(error instanceof BridgeError)) return 'bridge-no-answer';
  const { code } = error;
  return code === 'no-worker' || code === 'no-answer' || code === 'malformed' || code === 'internal' ? `bridge-${code}` : code;
}

export function troubleText(trouble: Trouble): string {
  return TROUBLES[trouble];
}

export function linkProblemText(problem: LinkProblem): string {
  return LINK_PROBLEMS[problem];
}

/** "1 message", "2 messages" */
export function count(n: number, one: string, many: string): string {
  return `${n} ${n === 1 ? one : many}`;
}

const clock = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const weekday = new Intl.DateTimeFormat(undefined, { weekday: 'long' });
const date = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long' });
const dateWithYear = new Intl.DateTimeFormat(undefined, { day: 'numeric', month: 'long', year: 'numeric' });
const full = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'short' });

const DAY = 24 * 60 * 60 * 1000;

export function timeText(at: number): string {
  return clock.format(at);
}

export function fullTimeText(at: number): string {
  return full.format(at);
}

export function dayOf(at: number): string {
  return new Date(at).toDateString();
}

/** "Today", "Yesterday", "Monday", "3 May", "3 May 2024" */
export function dayText(at: number, now = Date.now()): string {
  if (dayOf(at) === dayOf(now)) return 'Today';
  if (dayOf(at) === dayOf(now - DAY)) return 'Yesterday';
  if (at < now && now - at < 6 * DAY) return weekday.format(at);
  return new Date(at).getFullYear() === new Date(now).getFullYear() ? date.format(at) : dateWithYear.format(at);
}

/** Short form for lists: the time today, else the day. */
export function whenText(at: number): string {
  return dayOf(at) === dayOf(Date.now()) ? timeText(at) : dayText(at);
}

/** Which of the own devices sent a message. Its name may come after its first messages: who added it tells the others. */
export function deviceText({ name, known }: NonNullable<MessageView['device']>): string {
  if (!known) return 'Unknown device';
  return name === '' ? 'A new device of yours' : name;
}
