import * as v from 'valibot';
import { fromBase64Url, toBase64Url } from '../bytes/index.ts';
import type { DeliveryCalls, LinkSlot, Problem, ProblemType, SequenceEntry, Submission } from '../engine/ports.ts';
import {
  HASH_LENGTH,
  ID_LENGTH,
  KEY_LENGTH,
  MAX_ACCOUNT_BATCH,
  MAX_BINDING,
  MAX_COMMIT_BYTES,
  MAX_CREATION_MESSAGE,
  MAX_GROUP_ID_LENGTH,
  MAX_KEY_PACKAGE,
  MAX_KEY_PACKAGE_BATCH,
  MAX_LINK_PAYLOAD,
  MAX_LISTED_DEVICES,
  MAX_LISTED_GROUPS,
  MAX_RECOVERY_MESSAGE,
  MAX_RECOVERY_STATEMENTS,
  MAX_REMOVAL_STATEMENT,
  MAX_SEQUENCE_PAGE,
  SIGNATURE_LENGTH,
  USERNAME,
} from './bounds.ts';

/**
 * JSON frames of the delivery API: bytes are canonical base64url without padding, a value that is
 * absent is null, and every key is always there. Schemas turn a parsed frame into the domain types
 * of `engine/ports.ts` and refuse unknown keys; `toJson` is the way back.
 */

type Frame<Value> = v.GenericSchema<unknown, Value>;

/** JSON of a domain value: Uint8Array becomes base64url, undefined becomes null. */
export function toJson(value: object): string {
  return JSON.stringify(value, function (this: Record<string, unknown>, key: string, shown: unknown) {
    const original = this[key]; // a Node Buffer's toJSON has already spoilt `shown`
    if (original instanceof Uint8Array) return toBase64Url(original);
    return original === undefined ? null : shown;
  });
}

/** The value of JSON text under `schema`, or undefined when the text is anything else. */
export function fromJson<Value>(schema: Frame<Value>, text: string): Value | undefined {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch {
    return undefined;
  }
  const result = v.safeParse(schema, json, { abortEarly: true });
  return result.success ? result.output : undefined;
}

const base64UrlLength = (bytes: number) => Math.ceil((bytes * 4) / 3);

/** `min` to `max` bytes in canonical base64url. */
export function bytes(min: number, max: number): Frame<Uint8Array> {
  return v.pipe(
    v.string(),
    v.minLength(base64UrlLength(min)),
    v.maxLength(base64UrlLength(max)),
    v.rawTransform(({ dataset, NEVER, addIssue }) => {
      try {
        return fromBase64Url(dataset.value);
      } catch {
        addIssue({ message: 'not canonical base64url' });
        return NEVER;
      }
    }),
  );
}

const exactly = (length: number) => bytes(length, length);
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

function maybe<Value>(schema: Frame<Value>): Frame<Value | undefined> {
  return v.pipe(
    v.nullable(schema),
    v.transform((value) => value ?? undefined),
  );
}

export const id = exactly(ID_LENGTH);
export const hash = exactly(HASH_LENGTH);
export const groupId = bytes(1, MAX_GROUP_ID_LENGTH);
const username = v.pipe(v.string(), v.regex(USERNAME));
const message = bytes(1, MAX_COMMIT_BYTES);
const kinds = ['creation', 'application', 'proposal', 'commit'] as const;

export const createAccountFrame: Frame<DeliveryCalls['create-account']['request']> = v.strictObject({
  username: v.pipe(v.string(), v.maxLength(32), v.toLowerCase(), v.regex(USERNAME)),
  deviceId: id,
  deviceKey: exactly(KEY_LENGTH),
  signatureKey: exactly(KEY_LENGTH),
  proof: exactly(SIGNATURE_LENGTH),
  emulationGroupId: groupId,
  emulationGroupInfo: bytes(1, MAX_CREATION_MESSAGE),
});

/** A submission without its groupId, which is in the path. */
export const submissionFrame: Frame<Omit<Submission, 'groupId'>> = v.strictObject({
  messageId: id,
  kind: v.picklist(kinds),
  epoch: count,
  message,
  generation: maybe(v.strictObject({ ratchetType: v.picklist(['application', 'handshake']), generationId: hash })),
  fence: maybe(v.strictObject({ emulationEpoch: count, keyVersion: count })),
  commit: maybe(
    v.strictObject({
      adds: v.pipe(v.array(id), v.maxLength(MAX_ACCOUNT_BATCH)),
      removes: v.pipe(v.array(id), v.maxLength(MAX_ACCOUNT_BATCH)),
      welcome: maybe(
        v.strictObject({
          message,
          uses: v.pipe(v.array(v.strictObject({ accountId: id, keyPackageRef: hash })), v.maxLength(MAX_ACCOUNT_BATCH)),
        }),
      ),
      groupInfo: message,
      announces: v.pipe(v.array(hash), v.maxLength(MAX_KEY_PACKAGE_BATCH)),
      newDevice: maybe(v.strictObject({ deviceId: id, deviceKey: exactly(KEY_LENGTH), linkId: id, coversPosition: count })),
      recoveryKey: maybe(exactly(KEY_LENGTH)),
      invitation: maybe(v.strictObject({ key: maybe(exactly(KEY_LENGTH)) })),
      invited: maybe(exactly(SIGNATURE_LENGTH)),
      devices: maybe(v.pipe(v.array(id), v.minLength(1), v.maxLength(MAX_LISTED_DEVICES))),
      refuses: maybe(count),
    }),
  ),
});

export const openInvitationFrame: Frame<{ proof: Uint8Array }> = v.strictObject({ proof: exactly(SIGNATURE_LENGTH) });

export const uploadFrame: Frame<DeliveryCalls['upload-key-packages']['request']> = v.strictObject({
  keyPackages: v.pipe(
    v.array(v.strictObject({ keyPackageRef: hash, keyPackage: bytes(1, MAX_KEY_PACKAGE) })),
    v.minLength(1),
    v.maxLength(MAX_KEY_PACKAGE_BATCH),
  ),
});

const accountIds = v.pipe(v.array(id), v.minLength(1), v.maxLength(MAX_ACCOUNT_BATCH));
export const claimFrame: Frame<DeliveryCalls['claim-key-packages']['request']> = v.strictObject({ claimId: id, accountIds });
export const describeFrame: Frame<DeliveryCalls['describe-accounts']['request']> = v.strictObject({ accountIds });

export const removalFrame: Frame<{ statement: Uint8Array }> = v.strictObject({ statement: bytes(1, MAX_REMOVAL_STATEMENT) });
/** `key_version` is a uint32, and the next one must be too. */
const replacedKeyVersion = v.pipe(count, v.maxValue(0xffff_fffe));
export const bindKeyFrame: Frame<DeliveryCalls['bind-account-key']['request']> = v.strictObject({
  keyVersion: replacedKeyVersion,
  signatureKey: exactly(KEY_LENGTH),
  proof: exactly(SIGNATURE_LENGTH),
});

const recoveryClaim = {
  username: v.pipe(v.string(), v.maxLength(32), v.toLowerCase(), v.regex(USERNAME)),
  deviceId: id,
  deviceKey: exactly(KEY_LENGTH),
  proof: exactly(SIGNATURE_LENGTH),
};
export const openRecoveryFrame: Frame<DeliveryCalls['open-recovery']['request']> = v.strictObject(recoveryClaim);
export const recoverFrame: Frame<DeliveryCalls['recover']['request']> = v.strictObject({
  ...recoveryClaim,
  keyVersion: replacedKeyVersion,
  signatureKey: exactly(KEY_LENGTH),
  keyProof: exactly(SIGNATURE_LENGTH),
  epoch: count,
  commit: v.strictObject({ messageId: id, message: bytes(1, MAX_RECOVERY_MESSAGE), groupInfo: bytes(1, MAX_RECOVERY_MESSAGE) }),
  resync: v.strictObject({ messageId: id, message: bytes(1, MAX_RECOVERY_MESSAGE) }),
});

/** Slots that are put by request; `welcome` is written by the commit's transaction alone. */
export const PUT_SLOTS = ['request', 'answer', 'reveal', 'confirmed', 'cancelled'] as const satisfies readonly LinkSlot[];
export const LINK_SLOTS = [...PUT_SLOTS, 'welcome'] as const satisfies readonly LinkSlot[];
export const putLinkFrame: Frame<{ payload: Uint8Array }> = v.strictObject({ payload: bytes(0, MAX_LINK_PAYLOAD) });

export const sequenceEntryFrame: Frame<SequenceEntry> = v.strictObject({
  sequence: count,
  groupId,
  position: count,
  kind: v.picklist([...kinds, 'welcome', 'begin-removal', 'account-key']),
  epoch: count,
  message,
  messageId: maybe(id),
  keyPackageRef: maybe(hash),
  acceptedAt: count,
});

const description = v.strictObject({ accountId: id, username });
const nothing: Frame<object> = v.strictObject({});
const slots: Frame<Partial<Record<LinkSlot, Uint8Array>>> = v.pipe(
  v.strictObject({
    request: maybe(bytes(0, MAX_LINK_PAYLOAD)),
    answer: maybe(bytes(0, MAX_LINK_PAYLOAD)),
    reveal: maybe(bytes(0, MAX_LINK_PAYLOAD)),
    confirmed: maybe(bytes(0, MAX_LINK_PAYLOAD)),
    cancelled: maybe(bytes(0, MAX_LINK_PAYLOAD)),
    welcome: maybe(message),
  }),
  v.transform((all) => {
    const present: Partial<Record<LinkSlot, Uint8Array>> = {};
    for (const slot of LINK_SLOTS) {
      const payload = all[slot];
      if (payload !== undefined) present[slot] = payload;
    }
    return present;
  }),
);

/** What the server answers with status 200; a blob is the bare bytes and has no frame. */
export const answerFrames: { readonly [Call in Exclude<keyof DeliveryCalls, 'fetch-blob'>]: Frame<DeliveryCalls[Call]['answer']> } = {
  'describe-server': v.strictObject({ authenticationKey: exactly(KEY_LENGTH) }),
  'create-account': v.strictObject({ accountId: id, keyVersion: count, binding: bytes(1, MAX_BINDING), sequence: count }),
  'find-account': description,
  'describe-accounts': v.strictObject({ accounts: v.pipe(v.array(description), v.maxLength(MAX_ACCOUNT_BATCH)) }),
  submit: v.strictObject({ position: count, sequence: count, checked: v.boolean() }),
  'upload-key-packages': v.strictObject({ stock: count }),
  'claim-key-packages': v.strictObject({
    keyPackages: v.pipe(
      v.array(v.strictObject({ accountId: id, keyPackageRef: hash, keyPackage: bytes(1, MAX_KEY_PACKAGE) })),
      v.maxLength(MAX_ACCOUNT_BATCH),
    ),
  }),
  'fetch-sequence': v.strictObject({
    entries: v.pipe(v.array(sequenceEntryFrame), v.maxLength(MAX_SEQUENCE_PAGE)),
    last: count,
    stock: count,
  }),
  'fetch-group': v.strictObject({ groupInfo: message, epoch: count, position: count }),
  'open-invitation': v.strictObject({ groupInfo: message, epoch: count, position: count }),
  'list-groups': v.strictObject({
    groups: v.pipe(v.array(v.strictObject({ groupId, answered: v.boolean() })), v.maxLength(MAX_LISTED_GROUPS)),
  }),
  'open-recovery': v.strictObject({
    accountId: id,
    keyVersion: replacedKeyVersion,
    groupInfo: message,
    epoch: count,
    position: count,
    removals: v.pipe(v.array(bytes(1, MAX_REMOVAL_STATEMENT)), v.maxLength(MAX_RECOVERY_STATEMENTS)),
  }),
  recover: v.strictObject({ keyVersion: count, binding: bytes(1, MAX_BINDING), position: count, sequence: count }),
  'begin-removal': nothing,
  'bind-account-key': v.strictObject({ keyVersion: count, binding: bytes(1, MAX_BINDING) }),
  'put-blob': nothing,
  'put-link-slot': nothing,
  'fetch-link': v.strictObject({ slots }),
  'delete-link': nothing,
};

/** Frame of the event stream's `stock` event. */
export const stockFrame: Frame<{ stock: number }> = v.strictObject({ stock: count });

/** Every problem type with the HTTP status that it comes with. */
export const PROBLEM_STATUS: Readonly<Record<ProblemType, number>> = {
  'generation-taken': 409,
  'stale-epoch': 409,
  'stale-emulation-epoch': 409,
  'stale-key-version': 409,
  'stale-log': 409,
  'log-changed': 409,
  'group-exists': 409,
  'unknown-group': 404,
  'not-a-member': 403,
  'username-taken': 409,
  'unknown-account': 404,
  'no-key-package': 409,
  'spent-key-package': 409,
  'unannounced-key-package': 409,
  'unknown-device': 401,
  'no-such-device': 404,
  'last-device': 409,
  'invitation-refused': 403,
  'recovery-refused': 403,
  'bad-signature': 401,
  'clock-skew': 401,
  'unknown-link': 404,
  'link-slot-taken': 409,
  'unknown-blob': 404,
  malformed: 400,
  'too-large': 413,
  'too-many': 409,
  'rate-limited': 429,
  internal: 500,
};

/** A problem's `type` member is this and the ProblemType. */
export const PROBLEM_URN = 'urn:chorus:problem:';

/** A refusal, and the server's clock where that is the reason (`clock-skew`). */
export interface ProblemDocument extends Problem {
  readonly time: number | undefined;
}

function isProblemType(name: string): name is ProblemType {
  return Object.hasOwn(PROBLEM_STATUS, name);
}

/** RFC 9457; unlike our other frames it may have members that we do not know. */
export const problemFrame: Frame<ProblemDocument> = v.pipe(
  v.object({
    type: v.pipe(v.string(), v.maxLength(64), v.startsWith(PROBLEM_URN)),
    status: v.pipe(v.number(), v.integer(), v.minValue(400), v.maxValue(599)),
    retryAfter: v.optional(count),
    accountId: v.optional(id),
    time: v.optional(count),
  }),
  v.rawTransform(({ dataset, NEVER, addIssue }) => {
    const { status, retryAfter, accountId, time } = dataset.value;
    const type = dataset.value.type.slice(PROBLEM_URN.length);
    if (isProblemType(type)) return { type, status, retryAfter, accountId, time };
    addIssue({ message: 'unknown problem' });
    return NEVER;
  }),
);
