import {
  MAX_BLOB,
  MAX_COMMIT_BYTES,
  MAX_CREATION_MESSAGE,
  MAX_KEY_PACKAGE,
  MAX_KEY_PACKAGE_BATCH,
  MAX_LINK_PAYLOAD,
  MAX_LISTED_GROUPS,
  MAX_RECOVERY_MESSAGE,
} from '../src/delivery/bounds.ts';

/** Every bound of the server beyond those of src/delivery/bounds.ts, with its reason. Times are ms. */

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const DAY = 24 * 60 * MINUTE;

/** JSON around the bytes: names, numbers and 128 refs or IDs. */
const JSON_SLACK = 32 * 1024;
const inBase64Url = (bytes: number): number => Math.ceil((bytes * 4) / 3) + JSON_SLACK;

/** Longest body per route, bytes. */
export const MAX_BODY = {
  createAccount: inBase64Url(MAX_CREATION_MESSAGE),
  /** 128 account IDs of 24 characters. */
  accounts: 8 * 1024,
  /** A statement or a key with its proof. */
  device: 1024,
  /** One signature. */
  invitation: 256,
  recovery: inBase64Url(3 * MAX_RECOVERY_MESSAGE),
  submission: inBase64Url(MAX_COMMIT_BYTES),
  keyPackages: inBase64Url(MAX_KEY_PACKAGE_BATCH * (MAX_KEY_PACKAGE + 64)),
  blob: MAX_BLOB,
  linkSlot: inBase64Url(MAX_LINK_PAYLOAD),
} as const;

/** Devices of one account: a person's real ones; the emulation tree and every Welcome grow with them. */
export const MAX_DEVICES = 32;
/** Groups that one account is in. */
export const MAX_GROUPS = MAX_LISTED_GROUPS;
/** Accounts in one group: the design's 1,000 and a power of two. */
export const MAX_MEMBERS = 1024;
/** KeyPackages of one account announced or in stock: one batch, its successor in the making, and some. */
export const MAX_KEY_PACKAGES = 400;
/** A device forgets a KeyPackage's secrets 30 days after its announcement (reading section 7). */
export const KEY_PACKAGE_LIFETIME = 30 * DAY;
/** A claim is followed by its commit within seconds; the last three days are left for one that waits offline. */
export const KEY_PACKAGE_CLAIMABLE = 27 * DAY;
/**
 * KeyPackages of one account that one other account may hold unused. A claim is used within seconds, so five are
 * several devices that invite at once; a device keeps twenty in stock and makes new ones at six, so one account can
 * neither empty the stock nor, by itself, bring it down so far.
 */
export const MAX_UNUSED_CLAIMS = 5;
/** How long a claim's answer can be had again: a device that was cut off retries when it is back. */
export const CLAIM_MEMORY = 7 * DAY;

/** A link code is typed or scanned while both devices are in hand. */
export const LINK_LIFETIME = 10 * MINUTE;
/** A Welcome waits for a device that was switched off after confirming; afterwards it links anew. */
export const WELCOME_LIFETIME = 7 * DAY;
/** Mailboxes open at once on this server: at 32 kB a slot and five slots, 1.6 GB at the very worst. */
export const MAX_OPEN_LINKS = 10_000;
/** Waiting requests per mailbox: two devices, each with a retry beside a dead connection. */
export const MAX_LINK_WAITS = 4;
/** Proxies commonly cut a silent request after 30 s. */
export const LINK_WAIT = 25 * SECOND;

/** Blobs carry state to a linked device: as long as the Welcome that names them. */
export const BLOB_LIFETIME = WELCOME_LIFETIME;
/** All blobs of an account, bytes: 200 conversations of 1 MiB. */
export const MAX_BLOB_BYTES = 200 * 1024 * 1024;

/** One page of the sequence, bytes of messages; a longer single entry comes alone. */
export const MAX_PAGE_BYTES = 4 * 1024 * 1024;
/** Entries that the event stream reads at once: what a slow reader makes the server hold. */
export const STREAM_PAGE = 32;
/** Comment on a quiet stream, so that both ends and the proxies between know it alive. */
export const HEARTBEAT = 15 * SECOND;
/** A reader that takes nothing for this long is cut; it resumes from its cursor. */
export const STALLED = 60 * SECOND;
/** Streams per device: the leader's, one being handed over, and dead ones not yet noticed. The oldest is cut. */
export const MAX_STREAMS = 4;

/** How often what has expired is deleted. */
export const SWEEP_INTERVAL = MINUTE;
/** On shutdown, requests in progress get this long. */
export const SHUTDOWN_GRACE = 5 * SECOND;

/** How often connections that have become idle are closed then. */
export const CLOSE_IDLE_INTERVAL = 20;

/** Token buckets: what may come at once, and how many tokens return per second. */
export const RATES = {
  /** All requests of one address: an office behind one NAT. */
  address: { burst: 2000, perSecond: 200 },
  /** A person rarely makes a second account; sixty are a classroom. */
  createAccount: { burst: 60, perSecond: 0.1 },
  /** Two requests for each time that a person types a phrase; sixty are a classroom that has lost everything. */
  recovery: { burst: 60, perSecond: 0.2 },
  /** Each makes a mailbox that lives ten minutes. */
  openLink: { burst: 60, perSecond: 0.2 },
  /** One device: an outbox of a day offline drains in seconds. */
  device: { burst: 1000, perSecond: 100 },
  /** KeyPackages claimed by one account: a group of 1,000 at once, then one every other second. */
  claim: { burst: 1024, perSecond: 0.5 },
  /** Accounts looked up by one account; slow enough that nobody copies the directory. */
  lookUp: { burst: 1500, perSecond: 2 },
} as const;

/** One broken commit is mended by the first honest member; more than a few in a row is somebody who wants the group to stand still. */
export const MAX_FURTHER_COMMITS = 8;

/** Eventually consistent: epochs that a late message may be behind, as many as clients keep. */
export const MAX_LATE_EPOCHS = 5;
/** Eventually consistent: the longest that an application message is on its way inside the service, ms. */
export const MAX_DELAY = 300;
