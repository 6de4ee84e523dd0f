import { decode, DecodeError, encode } from '../wire/index.ts';
import { VirtualClientError } from './errors.ts';

/**
 * The whole `authenticated_data` of every message of the emulation group (reading section 1):
 *
 *     struct { ComponentID component_id; opaque aad_item_data<V>; } SafeAADItem;   // ComponentID: uint16
 *     struct { SafeAADItem aad_items<V>; } SafeAAD;
 *
 * sorted by component ID, at most one item each. Without an item it is the one byte 00.
 */
export interface SafeAadItem {
  readonly componentId: number;
  readonly data: Uint8Array;
}

/** We give meaning to one component; other applications of the same group get some room. */
const MAX_ITEMS = 16;

/** @throws VirtualClientError 'components-not-sorted' */
export function encodeSafeAad(items: readonly SafeAadItem[]): Uint8Array {
  if (!isSorted(items)) throw new VirtualClientError('components-not-sorted', 'SafeAAD');
  return encode((w) => w.vector(items, (inner, item) => inner.uint16(item.componentId).opaque(item.data)));
}

/** @throws DecodeError */
export function decodeSafeAad(bytes: Uint8Array): SafeAadItem[] {
  const items = decode(bytes, 'SafeAAD', (r) =>
    r.vector('aad_items', (inner) => ({ componentId: inner.uint16('component_id'), data: inner.opaque('aad_item_data') }), MAX_ITEMS),
  );
  if (!isSorted(items)) throw new DecodeError('invalid-value', 'SafeAAD items unsorted or doubled');
  return items;
}

function isSorted(items: readonly SafeAadItem[]): boolean {
  return items.every((item, i) => i === 0 || items[i - 1]!.componentId < item.componentId);
}
