import { equal, toHex } from '../bytes/index.ts';
import {
  openStateBlob,
  sealStateBlob,
  type HigherLevelGroupState,
  type RandomSource,
  type StateReference,
  type StateTransfer,
} from '../virtual-client/index.ts';
import type { DeliveryAnswer } from './ports.ts';
import { EngineError } from './errors.ts';
import { endLink } from './linking.ts';
import { EMULATION_PROTOCOL } from './protocol.ts';
import type { LinkBlob } from './state.ts';
import type { Turn } from './turn.ts';

/**
 * Conversations that do not fit a Welcome lie sealed at the server until the new device has them
 * (reading section 10, `state_reference`).
 */

/**
 * Bytes of conversations inside the Welcome itself: a dozen small ones, which are then linked with one
 * request. Far below the server's 8 MiB for a commit, most of which KeyPackages and epochs may need.
 */
export const INLINE_BUDGET = 256 * 1024;

export type WholeGroup = { readonly groupId: Uint8Array; readonly type: 'state_transfer' } & StateTransfer;

/** The smallest groups stay inline up to `budget` bytes of group state; the others become references and blobs by hex hash. */
export function withReferences(
  groups: readonly WholeGroup[],
  budget: number,
  random: RandomSource,
): { readonly groups: HigherLevelGroupState[]; readonly blobs: ReadonlyMap<string, Uint8Array> } {
  const blobs = new Map<string, Uint8Array>();
  let inline = 0;
  const bySize = [...groups].sort((a, b) => a.groupState.length - b.groupState.length);
  const told = bySize.map((group): HigherLevelGroupState => {
    inline += group.groupState.length;
    if (inline <= budget) return group;
    const { reference, blob } = sealStateBlob(EMULATION_PROTOCOL, group.groupId, group, random);
    group.groupState.fill(0);
    blobs.set(toHex(reference.blobHash), blob);
    return { groupId: group.groupId, type: 'state_reference', ...reference };
  });
  return { groups: told, blobs };
}

type Referenced = { readonly groupId: Uint8Array; readonly type: 'state_reference' } & StateReference;

export function isReference(group: HigherLevelGroupState): group is Referenced {
  return group.type === 'state_reference';
}

/** The group whole, out of its blob where it is a reference. @throws VirtualClientError 'state-blob-invalid', DecodeError, EngineError */
export function wholeGroup(group: HigherLevelGroupState, blobs: ReadonlyMap<string, Uint8Array>): WholeGroup {
  if (group.type === 'state_transfer') return group;
  const blob = isReference(group) ? blobs.get(toHex(group.blobHash)) : undefined;
  if (!isReference(group) || blob === undefined) throw new EngineError('bad-onboarding-state');
  return { groupId: group.groupId, type: 'state_transfer', ...openStateBlob(EMULATION_PROTOCOL, group.groupId, group, blob) };
}

/** Linked device: the server holds a blob; the commit that names them goes out after the last. */
export function onBlobPut(turn: Turn, hash: Uint8Array, answer: DeliveryAnswer<'put-blob'>): void {
  const { link, linkBlobs } = turn.state;
  if (link?.role !== 'adder' || answer.outcome === 'unreachable' || !linkBlobs.has(toHex(hash))) return;
  if (answer.outcome === 'refused') {
    if (answer.problem.retryAfter !== undefined) return;
    endLink(turn, 'unreachable');
    return;
  }
  const left = new Map(linkBlobs);
  left.delete(toHex(hash));
  turn.update({ linkBlobs: left });
}

/** New device: keeps a blob that is what the Welcome announced. @returns whether it was the last */
export function onBlobFetched(turn: Turn, hash: Uint8Array, answer: DeliveryAnswer<'fetch-blob'>): boolean {
  const { link, linkBlobs } = turn.state;
  if (link?.role !== 'new' || link.step !== 'adding' || answer.outcome === 'unreachable') return false;
  const announced = link.blobs.find((blob) => equal(blob.hash, hash));
  if (announced === undefined) return false;
  if (answer.outcome === 'refused') {
    if (answer.problem.retryAfter === undefined) endLink(turn, 'timed-out');
    return false;
  }
  const { bytes } = answer.value;
  if (!isAnnounced(announced, bytes)) {
    endLink(turn, 'code-tampered');
    return false;
  }
  const held = new Map(linkBlobs).set(toHex(hash), bytes);
  turn.update({ linkBlobs: held });
  return held.size === link.blobs.length;
}

function isAnnounced({ hash, length }: LinkBlob, bytes: Uint8Array): boolean {
  return bytes.length === length && equal(EMULATION_PROTOCOL.suite.hash(bytes), hash);
}
