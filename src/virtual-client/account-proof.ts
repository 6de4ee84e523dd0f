import { utf8 } from '../bytes/index.ts';
import { encode } from '../wire/index.ts';

/** ASCII; it keeps the signature apart from all that MLS signs ("MLS 1.0 ...") and from device requests. */
const ACCOUNT_PROOF_LABEL = 'Chorus account creation';

export interface AccountProofFields {
  /** In lower case, as the server keeps it. */
  readonly username: string;
  readonly deviceId: Uint8Array;
  readonly deviceKey: Uint8Array;
  readonly emulationGroupId: Uint8Array;
}

/**
 * What the new account's signature key signs (bare Ed25519) to show the authentication service that it
 * belongs to the person who creates the account, with this first device:
 * ```
 * struct {
 *   opaque label<V> = "Chorus account creation";
 *   opaque username<V>;
 *   opaque device_id<V>;
 *   opaque device_key<V>;
 *   opaque emulation_group_id<V>;
 * } AccountProofTBS;
 * ```
 */
export function accountProofContent(fields: AccountProofFields): Uint8Array {
  return encode((writer) =>
    writer
      .opaque(utf8(ACCOUNT_PROOF_LABEL))
      .opaque(utf8(fields.username))
      .opaque(fields.deviceId)
      .opaque(fields.deviceKey)
      .opaque(fields.emulationGroupId),
  );
}

const RECOVERY_LABEL = 'Chorus recovery request';

/**
 * What the recovery key R signs (bare Ed25519) to let a device that the server does not know ask for the
 * emulation group's GroupInfo and join (reading section 11). The device signs its requests itself:
 * ```
 * struct {
 *   opaque label<V> = "Chorus recovery request";
 *   opaque username<V>;
 *   opaque device_id<V>;
 *   opaque device_key<V>;
 * } RecoveryProofTBS;
 * ```
 * It cannot be taken for the signature of an external commit: that content begins with "C", this one with a length.
 */
export function recoveryProofContent(fields: Omit<AccountProofFields, 'emulationGroupId'>): Uint8Array {
  return encode((writer) =>
    writer.opaque(utf8(RECOVERY_LABEL)).opaque(utf8(fields.username)).opaque(fields.deviceId).opaque(fields.deviceKey),
  );
}

const ACCOUNT_KEY_LABEL = 'Chorus account key';

/**
 * What an account's new signature key signs (bare Ed25519) to be bound in place of the key of `keyVersion`:
 * ```
 * struct {
 *   opaque label<V> = "Chorus account key";
 *   opaque account_id<V>;
 *   uint32 key_version;    // of the key that it replaces
 *   opaque signature_key<V>;
 * } AccountKeyTBS;
 * ```
 */
export function accountKeyContent(fields: {
  readonly accountId: Uint8Array;
  readonly keyVersion: number;
  readonly signatureKey: Uint8Array;
}): Uint8Array {
  return encode((writer) =>
    writer.opaque(utf8(ACCOUNT_KEY_LABEL)).opaque(fields.accountId).uint32(fields.keyVersion).opaque(fields.signatureKey),
  );
}

const INVITATION_LABEL = 'Chorus invitation request';

/**
 * What the key of an invitation by link signs (bare Ed25519) to let an account that is no member fetch a group's
 * GroupInfo and submit its external commit:
 * ```
 * struct {
 *   opaque label<V> = "Chorus invitation request";
 *   opaque group_id<V>;
 *   opaque account_id<V>;
 * } InvitationRequestTBS;
 * ```
 */
export function invitationRequestContent(fields: { readonly groupId: Uint8Array; readonly accountId: Uint8Array }): Uint8Array {
  return encode((writer) => writer.opaque(utf8(INVITATION_LABEL)).opaque(fields.groupId).opaque(fields.accountId));
}
