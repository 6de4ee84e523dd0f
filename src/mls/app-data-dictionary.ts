import { decode, encode, type Reader, type Writer } from '../wire/index.ts';
import { MlsError } from './errors.ts';
import type { Extension } from './ts-mls.ts';

/**
 * Extension `app_data_dictionary` of LeafNodes, GroupContexts and GroupInfos (reading section 1).
 *
 *     struct { ComponentID component_id; opaque data<V>; } ComponentData;
 *     struct { ComponentData component_data<V>; } AppDataDictionary;   // sorted by component_id, at most one each
 */

export const APP_DATA_DICTIONARY = 0x0006;

export type AppDataDictionary = ReadonlyMap<number, Uint8Array>;

/** Our leaves hold three components; a list this long is no leaf of an application that we know. */
const MAX_COMPONENTS = 256;

export function encodeDictionary(dictionary: AppDataDictionary): Uint8Array {
  const sorted = [...dictionary].sort(([a], [b]) => a - b);
  const write = (writer: Writer, [id, data]: (typeof sorted)[number]): Writer => writer.uint16(id).opaque(data);
  return encode((writer) => writer.vector(sorted, write));
}

/** @throws DecodeError; MlsError 'invalid-app-data-dictionary' when it is unsorted or names a component twice */
export function decodeDictionary(bytes: Uint8Array): AppDataDictionary {
  const read = (reader: Reader): [number, Uint8Array] => [reader.uint16('component_id'), reader.opaque('data')];
  const components = decode(bytes, 'AppDataDictionary', (reader) => reader.vector('component_data', read, MAX_COMPONENTS));
  components.forEach(([id], i) => {
    if (i > 0 && id <= components[i - 1]![0]) throw new MlsError('invalid-app-data-dictionary');
  });
  return new Map(components);
}

/** The extensions' dictionary, empty when there is none. @throws as `decodeDictionary` does */
export function dictionaryOf(extensions: readonly Extension[]): AppDataDictionary {
  const found = extensions.filter(({ extensionType }) => extensionType === APP_DATA_DICTIONARY);
  if (found.length > 1) throw new MlsError('invalid-app-data-dictionary');
  return found[0] === undefined ? new Map<number, Uint8Array>() : decodeDictionary(found[0].extensionData);
}

/** A component's data, undefined when the dictionary has none. @throws as `decodeDictionary` does */
export function getComponent(extensions: readonly Extension[], componentId: number): Uint8Array | undefined {
  return dictionaryOf(extensions).get(componentId);
}

/** The extensions with a component's data put in, replaced or (undefined) taken out. @throws as `decodeDictionary` does */
export function setComponent(extensions: readonly Extension[], componentId: number, data: Uint8Array | undefined): Extension[] {
  const dictionary = new Map(dictionaryOf(extensions));
  if (data === undefined) dictionary.delete(componentId);
  else dictionary.set(componentId, data);
  const others = extensions.filter(({ extensionType }) => extensionType !== APP_DATA_DICTIONARY);
  if (dictionary.size === 0) return others;
  return [...others, { extensionType: APP_DATA_DICTIONARY, extensionData: encodeDictionary(dictionary) }];
}

/** `struct { ComponentID component_ids<V>; } ComponentsList;`: data of components 0x0001 and 0x0002 in leaves and GroupContexts. */
export function encodeComponentIds(ids: readonly number[]): Uint8Array {
  return encode((writer) => writer.vector(ids, (inner, id) => inner.uint16(id)));
}

/** @throws DecodeError */
export function decodeComponentIds(bytes: Uint8Array): number[] {
  return decode(bytes, 'ComponentsList', (reader) =>
    reader.vector('component_ids', (inner) => inner.uint16('component_id'), MAX_COMPONENTS),
  );
}
