import { equal, toHex } from '../bytes/index.ts';
import { decode, DecodeError, encode, type Reader } from '../wire/index.ts';
import { isInRoster, type EmulationEpoch } from './emulation-epoch.ts';
import { readEpochId, type EpochId } from './epoch-id.ts';
import { VirtualClientError } from './errors.ts';
import { canEvaluate } from './pprf.ts';
import { operationLeaf } from './operation-secrets.ts';
import type { Protocol } from './revision.ts';
import { decodeSafeAad, encodeSafeAad } from './safe-aad.ts';

/** One announced KeyPackage and what its keys are derived with. */
export interface KeyPackageInfo {
  readonly keyPackageRef: Uint8Array;
  readonly random: Uint8Array;
}

export interface KeyPackageUpload {
  readonly type: 'key_package_upload';
  /** The epoch in which the announcing commit is made. */
  readonly epochId: EpochId;
  readonly keyPackages: readonly KeyPackageInfo[];
}

export interface ExternalJoin {
  readonly type: 'external_join';
  readonly groupId: Uint8Array;
}

/** What a commit of the emulation group announces (draft section 5.5). */
export type VirtualClientAction = KeyPackageUpload | ExternalJoin;

/** Reading section 7. Each costs every sibling one PPRF evaluation and a stored operation. */
export const MAX_KEY_PACKAGES_PER_UPLOAD = 128;

/** RefHash output is Nh of the KeyPackage's suite; 64 is the longest hash of RFC 9420. */
const MAX_KEY_PACKAGE_REF = 64;

/** Group IDs of ours have 16 to 32 bytes; others may be longer, within reason. */
const MAX_GROUP_ID = 255;

const ACTION_TYPE = { key_package_upload: 1, external_join: 2 } as const;

/**
 *     struct { KeyPackageRef key_package_ref<V>; opaque random<V>; } KeyPackageInfo;   // the ref is one opaque<V>
 *     struct { opaque epoch_id<V>; KeyPackageInfo key_package_info<V>; } KeyPackageUpload;
 *     struct { opaque group_id<V>; } ExternalJoin;
 *     enum { reserved(0), key_package_upload(1), external_join(2), (255) } ActionType;
 *     struct { ActionType action_type; select (action_type) { ... } } VirtualClientAction;
 *
 * @throws VirtualClientError 'too-many-key-packages', 'duplicate-key-package'
 */
export function encodeAction(action: VirtualClientAction): Uint8Array {
  if (action.type === 'external_join') return encode((w) => w.uint8(ACTION_TYPE.external_join).opaque(action.groupId));
  const { keyPackages } = action;
  if (keyPackages.length > MAX_KEY_PACKAGES_PER_UPLOAD) throw new VirtualClientError('too-many-key-packages');
  if (!areDistinct(keyPackages)) throw new VirtualClientError('duplicate-key-package');
  return encode((w) =>
    w
      .uint8(ACTION_TYPE.key_package_upload)
      .opaque(action.epochId)
      .vector(keyPackages, (inner, info) => inner.opaque(info.keyPackageRef).opaque(info.random)),
  );
}

/** @throws DecodeError, also on more than 128 KeyPackages or the same one twice. */
export function decodeAction({ suite }: Protocol, bytes: Uint8Array): VirtualClientAction {
  return decode(bytes, 'VirtualClientAction', (r) => {
    switch (r.uint8('action_type')) {
      case ACTION_TYPE.key_package_upload: {
        const epochId = readEpochId(r, suite);
        const readInfo = (inner: Reader): KeyPackageInfo => ({
          keyPackageRef: inner.opaque('key_package_ref', MAX_KEY_PACKAGE_REF),
          random: inner.opaqueOf(suite.nh, 'random'),
        });
        const keyPackages = r.vector('key_package_info', readInfo, MAX_KEY_PACKAGES_PER_UPLOAD);
        if (!areDistinct(keyPackages)) throw new DecodeError('invalid-value', 'key_package_ref doubled');
        return { type: 'key_package_upload', epochId, keyPackages };
      }
      case ACTION_TYPE.external_join:
        return { type: 'external_join', groupId: r.opaque('group_id', MAX_GROUP_ID) };
      default:
        throw new DecodeError('invalid-value', 'action_type');
    }
  });
}

/** `authenticated_data` of an emulation-group message: the SafeAAD with this action alone, or with none. */
export function encodeActionAad({ revision }: Protocol, action: VirtualClientAction | undefined): Uint8Array {
  if (action === undefined) return encodeSafeAad([]);
  return encodeSafeAad([{ componentId: revision.components.virtualClientAction, data: encodeAction(action) }]);
}

/** The action of an emulation-group message's `authenticated_data`, if it has one. @throws DecodeError */
export function decodeActionAad(protocol: Protocol, authenticatedData: Uint8Array): VirtualClientAction | undefined {
  const own = protocol.revision.components.virtualClientAction;
  const item = decodeSafeAad(authenticatedData).find(({ componentId }) => componentId === own);
  return item === undefined ? undefined : decodeAction(protocol, item.data);
}

/**
 * All that must hold before the first KeyPackage of an upload is evaluated (reading section 7): the
 * upload names this epoch, the sender is in its roster, every PPRF leaf is unpunctured, and no two are the same.
 * @throws VirtualClientError 'unknown-emulation-epoch', 'leaf-not-in-roster', 'leaf-punctured', 'duplicate-pprf-leaf'
 */
export function checkKeyPackageUpload(protocol: Protocol, epoch: EmulationEpoch, emulatorLeaf: number, upload: KeyPackageUpload): void {
  if (!equal(upload.epochId, epoch.epochId)) throw new VirtualClientError('unknown-emulation-epoch');
  if (!isInRoster(epoch, emulatorLeaf)) throw new VirtualClientError('leaf-not-in-roster');
  const leaves = new Set<number>();
  for (const { random } of upload.keyPackages) {
    const leaf = operationLeaf(protocol, emulatorLeaf, random);
    if (!canEvaluate(epoch.pprf, leaf)) throw new VirtualClientError('leaf-punctured');
    if (leaves.has(leaf)) throw new VirtualClientError('duplicate-pprf-leaf');
    leaves.add(leaf);
  }
}

function areDistinct(keyPackages: readonly KeyPackageInfo[]): boolean {
  return new Set(keyPackages.map((info) => toHex(info.keyPackageRef))).size === keyPackages.length;
}
