import type { StoreChanges, StorePort } from '../engine/ports.ts';
import { checkPath, withPrefix, type PathRange } from './record-path.ts';

/** StorePort in memory, for simulations and unit tests: the same behaviour without a disk. */
export function createMemoryStore(): StorePort {
  const records = new Map<string, Uint8Array>();

  function within({ from, to }: PathRange): [string, Uint8Array][] {
    return [...records]
      .filter(([path]) => path >= from && path < to)
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, value]) => [path, value.slice()]);
  }

  return {
    load: async (prefix) => new Map(within(withPrefix(prefix))),
    get: async (path) => {
      checkPath(path);
      return records.get(path)?.slice();
    },
    page: async (from, to, limit) => new Map(within({ from, to }).reverse().slice(0, limit)),
    write: async ({ puts, deletes }: StoreChanges) => {
      for (const path of [...puts.keys(), ...deletes]) checkPath(path);
      for (const path of deletes) records.delete(path);
      for (const [path, value] of puts) records.set(path, value.slice());
    },
    destroy: async () => records.clear(),
  };
}
