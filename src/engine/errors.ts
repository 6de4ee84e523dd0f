import { MlsError } from '../mls/index.ts';
import { VirtualClientError } from '../virtual-client/index.ts';
import { DecodeError } from '../wire/index.ts';

/** Why the engine refuses an entry or a command; stable, and never with a secret in it. */
export type EngineErrorCode =
  | 'malformed-entry'
  | 'unknown-group'
  | 'older-group' // a GroupInfo of an epoch before the one that this device was in
  | 'out-of-order' // a log position that does not follow the last one
  | 'wrong-kind' // the message is not what the server says it is
  | 'not-vouched-for' // account binding missing or not signed by the authentication service
  | 'wrong-credential' // credential, binding and leaf key do not agree
  | 'stale-key-version'
  | 'unexpected-sender'
  | 'stale-emulation-epoch' // an own leaf from an epoch older than the active leaf's, or below the floor
  | 'unknown-emulation-epoch'
  | 'leaf-keys-mismatch' // derived keys are not those sent
  | 'update-not-followed' // a commit takes an Update of our own leaf that this device could not follow
  | 'bad-action'
  | 'unknown-key-package'
  | 'group-exists'
  | 'bad-creation'
  | 'bad-onboarding-state'
  | 'bad-content'
  | 'bad-removal' // no device of the account asked for it
  | 'unknown-signing-key'
  | 'not-ready';

export class EngineError extends Error {
  override readonly name = 'EngineError';
  readonly code: EngineErrorCode;

  constructor(code: EngineErrorCode) {
    super(code);
    this.code = code;
  }
}

/** Refusals that have a name: what came in is at fault. Anything else is a fault of ours and goes on up. */
export function isNamed(error: unknown): error is EngineError | MlsError | VirtualClientError | DecodeError {
  return error instanceof EngineError || error instanceof MlsError || error instanceof VirtualClientError || error instanceof DecodeError;
}
