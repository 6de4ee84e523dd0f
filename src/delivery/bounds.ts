/** Bounds that both sides of the delivery API know. Lengths are bytes before base64url. */

/** Account, device, message, link and claim IDs, and request nonces: random, so 128 bits keep them apart. */
export const ID_LENGTH = 16;
/** Ed25519. */
export const KEY_LENGTH = 32;
export const SIGNATURE_LENGTH = 64;
/** SHA-256: hash of both suites, so also the length of KeyPackageRefs, generation IDs and blob hashes. */
export const HASH_LENGTH = 32;
/** Random 256-bit group IDs are what Chorus makes; twice that leaves room for another implementation. */
export const MAX_GROUP_ID_LENGTH = 64;
/** A link token is derived with the link code's 256 bits. */
export const LINK_TOKEN_LENGTH = 32;

/** Text and small state; anything longer is an attachment and no message. */
export const MAX_APPLICATION_MESSAGE = 256 * 1024;
/** A proposal holds at most one KeyPackage, or a GroupContext's extensions. */
export const MAX_PROPOSAL_MESSAGE = 64 * 1024;
/** The GroupInfo of one leaf: a few kB. */
export const MAX_CREATION_MESSAGE = 64 * 1024;
/**
 * Commit, Welcome and GroupInfo together. At 1,000 accounts the tree is about 0.6 MB and stands in
 * Welcome and GroupInfo; a device's Welcome also carries the state of 200 conversations.
 */
export const MAX_COMMIT_BYTES = 8 * 1024 * 1024;
/** Sealed state of one conversation that does not fit a Welcome, skipped keys included. */
export const MAX_BLOB = 16 * 1024 * 1024;
/** A KeyPackage of suite 1 with our extensions is under 1 kB. */
export const MAX_KEY_PACKAGE = 16 * 1024;
/** A link message holds at most one KeyPackage beside keys and hashes. */
export const MAX_LINK_PAYLOAD = 32 * 1024;
/** An ID, a key and a signature with their lengths. */
export const MAX_REMOVAL_STATEMENT = 128;
/** As many as an account has devices at most: only those whose leaf still stands are of interest. */
export const MAX_RECOVERY_STATEMENTS = 32;
/** Devices in one emulation group: as many as an account has at most, and as many again that are cut off and not yet out. */
export const MAX_LISTED_DEVICES = 64;
/** A commit or GroupInfo of an emulation group of 32 devices takes some 20 kB. */
export const MAX_RECOVERY_MESSAGE = 256 * 1024;
/** Groups that one account is in: five times what the client is designed for. */
export const MAX_LISTED_GROUPS = 1000;
/** AccountBinding is about 140 bytes. */
export const MAX_BINDING = 1024;

/** KeyPackages in one upload or one announcement: reading section 7. */
export const MAX_KEY_PACKAGE_BATCH = 128;
/** Accounts named by one claim, description or commit; a larger group is filled in steps. */
export const MAX_ACCOUNT_BATCH = 128;
/** Entries in one page of the sequence: at 2,000 messages a second a page keeps a device busy for a tenth of a second. */
export const MAX_SEQUENCE_PAGE = 256;
/** As people type them; the server folds case. */
export const USERNAME = /^[a-z0-9._-]{2,32}$/;
