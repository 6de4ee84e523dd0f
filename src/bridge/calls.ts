import * as v from 'valibot';
import type { CallMessage } from './envelope.ts';
import { MIN_PASSPHRASE, type BridgeCall } from './protocol.ts';

/**
 * What the worker accepts from a tab. Bridge messages are outside bytes: any script of this origin
 * can post them. Bounds keep one message from filling memory; whether a name or a text is one that
 * a person may have is the engine's answer, in words, so its bounds are tighter than these.
 */

/** An event of the stream holds at most a commit of 8 MiB in base64url; the stream's reader has the same bound. */
const MAX_EVENT = 12 * 1024 * 1024;
/** A pasted book is answered with 'text-too-long'; a hundred of them are not read. */
const MAX_TEXT = 1024 * 1024;
/** Names, titles and link codes: several times what the engine takes. */
const MAX_LINE = 1024;
/** As many as one request to the server describes; see MAX_ACCOUNT_BATCH. */
const MAX_USERNAMES = 128;
/** A screen shows some twenty. */
const MAX_PAGE = 200;

const line = v.pipe(v.string(), v.maxLength(MAX_LINE));
const text = v.pipe(v.string(), v.maxLength(MAX_TEXT));
/** Group IDs have up to 64 bytes. */
const conversationId = v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2}){1,64}$/));
const accountId = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/));
const deviceId = accountId;
/** The worker's own names, which a tab only repeats. */
const key = v.pipe(v.string(), v.minLength(1), v.maxLength(256));
const position = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const nothing = v.strictObject({});
/** WebAuthn section 5.8.4 (level 3): a credential's ID has up to 1023 bytes. */
const passkey = {
  kind: v.literal('passkey'),
  credentialId: v.pipe(v.string(), v.regex(/^(?:[0-9a-f]{2}){1,1023}$/)),
  salt: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  secret: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
};
const passphrase = { kind: v.literal('passphrase'), passphrase: line };
const newPassphrase = { ...passphrase, passphrase: v.pipe(line, v.minLength(MIN_PASSPHRASE)) };

const REQUESTS = {
  state: nothing,
  messages: v.strictObject({
    conversationId,
    before: v.union([position, v.undefined()]),
    limit: v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_PAGE)),
  }),
  createAccount: v.strictObject({ username: line, deviceName: line }),
  makePhrase: nothing,
  confirmPhrase: v.strictObject({ phraseId: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)) }),
  recover: v.strictObject({ username: line, deviceName: line, entropy: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)) }),
  decideRejoin: v.strictObject({ conversationId, join: v.boolean() }),
  joinAgain: v.strictObject({ conversationId }),
  startLink: v.strictObject({ deviceName: line }),
  acceptLinkCode: v.strictObject({ code: line }),
  confirmLink: v.strictObject({ yes: v.boolean() }),
  closeLink: nothing,
  removeDevice: v.strictObject({ deviceId }),
  renewKeys: v.strictObject({}),
  logOut: nothing,
  deleteData: nothing,
  startConversation: v.strictObject({ usernames: v.pipe(v.array(line), v.maxLength(MAX_USERNAMES)), title: line }),
  addMember: v.strictObject({ conversationId, username: line }),
  removeMember: v.strictObject({ conversationId, accountId }),
  makeInvitation: v.strictObject({ conversationId }),
  withdrawInvitation: v.strictObject({ conversationId }),
  invitationCode: v.strictObject({ conversationId }),
  openInvitation: v.strictObject({ code: line }),
  joinByInvitation: v.strictObject({ code: line }),
  send: v.strictObject({ conversationId, text }),
  retry: v.strictObject({ conversationId, messageKey: key }),
  discard: v.strictObject({ conversationId, messageKey: key }),
  forget: v.strictObject({
    conversationId,
    messages: v.pipe(
      v.array(v.strictObject({ messageKey: key, position: v.union([position, v.undefined()]) })),
      v.minLength(1),
      v.maxLength(MAX_PAGE),
    ),
  }),
  saveDraft: v.strictObject({ conversationId, text }),
  markRead: v.strictObject({ conversationId, position }),
  notifyWords: v.strictObject({ on: v.boolean() }),
  dismissNotice: v.strictObject({ noticeId: key }),
  startAnew: nothing,
  sweepStatus: nothing,
  sweep: nothing,
  lockStatus: nothing,
  setLock: v.strictObject({
    key: v.union([v.variant('kind', [v.strictObject(newPassphrase), v.strictObject(passkey)]), v.undefined()]),
  }),
  unlock: v.strictObject({ key: v.variant('kind', [v.strictObject(passphrase), v.strictObject(passkey)]) }),
  lock: nothing,
  streamRequest: nothing,
  streamEvent: v.variant('event', [
    v.strictObject({ event: v.picklist(['entry', 'stock', 'gone']), data: v.pipe(v.string(), v.maxLength(MAX_EVENT)) }),
    v.strictObject({ event: v.picklist(['opened', 'closed']) }),
  ]),
  ping: nothing,
} satisfies Record<BridgeCall, v.GenericSchema>;

const envelope = v.strictObject({
  type: v.literal('chorus-call'),
  callId: v.pipe(v.string(), v.regex(/^[0-9a-f]{32}$/)),
  call: v.picklist(Object.keys(REQUESTS) as BridgeCall[]),
  request: v.unknown(),
});

/** Whether a message means to be a call at all, well-formed or not. */
export function claimsToBeCall(data: unknown): boolean {
  return typeof data === 'object' && data !== null && 'type' in data && data.type === 'chorus-call';
}

/** The call, copied and checked to the last field; undefined when anything about it is wrong. */
export function readCall(data: unknown): CallMessage | undefined {
  const outer = v.safeParse(envelope, data, { abortEarly: true });
  if (!outer.success) return undefined;
  const { type, callId, call } = outer.output;
  const request = v.safeParse(REQUESTS[call], outer.output.request, { abortEarly: true });
  // The schema was chosen by `call`, which TypeScript cannot follow.
  return request.success ? ({ type, callId, call, request: request.output } as CallMessage) : undefined;
}
