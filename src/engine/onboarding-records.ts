import { EngineError } from './errors.ts';
import { decodeRecord } from './record-codec.ts';
import type { EndedEpoch, PhraseState } from './state.ts';

/**
 * The engine's own records inside a Welcome that links a device. No store has authenticated them: their form is
 * looked at, so that nothing that another device tells can make this one's state unusable.
 */

/** What the newcomer needs and the draft's struct has no place for. */
export interface ApplicationData {
  readonly accountId: Uint8Array;
  readonly username: string;
  readonly binding: Uint8Array;
  readonly authenticationKey: Uint8Array;
  /** Emulation log up to which the state goes; the commit that adds the newcomer is the next. */
  readonly emulationPosition: number;
  readonly floorEpoch: bigint;
  readonly renewalEpoch: bigint;
  readonly phrase: PhraseState['status'];
  readonly deviceNames: ReadonlyMap<string, string>;
  readonly contacts: ReadonlyMap<string, string>;
  readonly announcedAt: ReadonlyMap<string, number>;
}

/** What `group_state` holds: the MLS state and the guard keys of its kept past epochs. */
export interface GroupTransfer {
  readonly group: Uint8Array;
  readonly title: string;
  readonly startedAt: number;
  readonly pastLeaves: readonly { readonly groupEpoch: bigint; readonly guardKey: Uint8Array }[];
  readonly endedEpochs: readonly EndedEpoch[];
}

type Check = (value: unknown) => boolean;
/** One check for each field, none left out. */
type Form<Value> = { readonly [Field in keyof Value]-?: Check };

const isBytes: Check = (value) => value instanceof Uint8Array;
const isText: Check = (value) => typeof value === 'string';
const isEpoch: Check = (value) => typeof value === 'bigint';
/** A place in a log, or ms since 1970. */
const isCount: Check = (value) => Number.isSafeInteger(value) && (value as number) >= 0;
const mapOf =
  (isItem: Check): Check =>
  (value) =>
    value instanceof Map && [...(value as Map<unknown, unknown>).values()].every(isItem);
const listOf =
  <Item>(form: Form<Item>): Check =>
  (value) =>
    Array.isArray(value) && value.every((item) => fits(form, item));

const APPLICATION_DATA: Form<ApplicationData> = {
  accountId: isBytes,
  username: isText,
  binding: isBytes,
  authenticationKey: isBytes,
  emulationPosition: isCount,
  floorEpoch: isEpoch,
  renewalEpoch: isEpoch,
  phrase: (value) => value === 'none' || value === 'set' || value === 'replace',
  deviceNames: mapOf(isText),
  contacts: mapOf(isText),
  announcedAt: mapOf(isCount),
};

const GROUP_TRANSFER: Form<GroupTransfer> = {
  group: isBytes,
  title: isText,
  startedAt: isCount,
  pastLeaves: listOf<GroupTransfer['pastLeaves'][number]>({ groupEpoch: isEpoch, guardKey: isBytes }),
  endedEpochs: listOf<EndedEpoch>({ groupEpoch: isEpoch, endedAt: isCount }),
};

function fits<Value>(form: Form<Value>, value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  return Object.entries<Check>(form).every(([field, check]) => check((value as Record<string, unknown>)[field]));
}

function read<Value>(form: Form<Value>, bytes: Uint8Array): Value {
  const value = decodeRecord<Value>(bytes);
  if (!fits(form, value)) throw new EngineError('bad-onboarding-state');
  return value;
}

/** @throws DecodeError, EngineError 'bad-onboarding-state' */
export function readApplicationData(bytes: Uint8Array): ApplicationData {
  return read(APPLICATION_DATA, bytes);
}

/** @throws DecodeError, EngineError 'bad-onboarding-state' */
export function readGroupTransfer(bytes: Uint8Array): GroupTransfer {
  return read(GROUP_TRANSFER, bytes);
}

/** A uint64 that this device counts on from. @throws EngineError 'bad-onboarding-state' */
export function readPlace(value: bigint): number {
  if (!isCount(Number(value))) throw new EngineError('bad-onboarding-state');
  return Number(value);
}
