import { PROBLEM_STATUS, PROBLEM_URN, toJson } from '../src/delivery/frames.ts';
import type { AccountId, ProblemType } from '../src/engine/ports.ts';

/** What a problem says to a person; it never echoes input. */
const TITLES: Readonly<Record<ProblemType, string>> = {
  'generation-taken': 'Another message of this account used this generation',
  'stale-epoch': 'The group is in another epoch',
  'stale-emulation-epoch': 'The emulation group is in another epoch',
  'stale-key-version': 'The account has another signature key',
  'stale-log': 'The Welcome does not cover the emulation log',
  'log-changed': 'The log is not the one that the device has followed',
  'group-exists': 'The group exists already',
  'unknown-group': 'No such group',
  'not-a-member': 'The account is no member of the group',
  'username-taken': 'The username is taken',
  'unknown-account': 'No such account',
  'no-key-package': 'The account has no KeyPackage left',
  'spent-key-package': 'A KeyPackage is used up or revoked',
  'unannounced-key-package': 'A KeyPackage was not announced',
  'unknown-device': 'The device is not known',
  'no-such-device': 'The account has no such device',
  'last-device': 'The account has no other device',
  'invitation-refused': 'The link to this group is not good, or not any more',
  'recovery-refused': 'The account cannot be recovered with this phrase',
  'bad-signature': 'The request is not signed as it must be',
  'clock-skew': 'The clocks of device and server differ too much',
  'unknown-link': 'No such link',
  'link-slot-taken': 'The slot holds something else',
  'unknown-blob': 'No such blob',
  malformed: 'The request is malformed',
  'too-large': 'The request is too large',
  'too-many': 'A limit is reached',
  'rate-limited': 'Too many requests',
  internal: 'The server has a fault',
};

/** A request that is refused by name. Thrown inside a transaction, it leaves the store as it was. */
export class Refusal extends Error {
  override readonly name = 'Refusal';
  readonly type: ProblemType;
  readonly accountId: AccountId | undefined;
  /** ms */
  readonly retryAfter: number | undefined;
  /** The server's clock, for `clock-skew`. */
  readonly time: number | undefined;

  constructor(type: ProblemType, details: { accountId?: AccountId; retryAfter?: number; time?: number } = {}) {
    super(TITLES[type]);
    this.type = type;
    this.accountId = details.accountId;
    this.retryAfter = details.retryAfter;
    this.time = details.time;
  }
}

/** The problem document (RFC 9457) of a refusal. Members that do not apply are left out. */
export function problemResponse(refusal: Refusal): Response {
  const { type, accountId, retryAfter, time } = refusal;
  const status = PROBLEM_STATUS[type];
  const headers: Record<string, string> = { 'Content-Type': 'application/problem+json', 'Cache-Control': 'no-store' };
  if (retryAfter !== undefined) headers['Retry-After'] = String(Math.ceil(retryAfter / 1000));
  const body = {
    type: PROBLEM_URN + type,
    title: TITLES[type],
    status,
    ...(accountId === undefined ? {} : { accountId }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
    ...(time === undefined ? {} : { time }),
  };
  return new Response(toJson(body), { status, headers });
}
