import { bucketRootKeyStore, databaseRootKeyStore, type BucketManager } from './indexed-db-roots.ts';
import { opfsRootKeyStore } from './opfs-roots.ts';
import type { RootKeyStore } from './root-key-store.ts';

/**
 * The homes for roots that this browser has, the best first: a sweep moves the root to the first that
 * takes it, and a root in any of them is found until then. Where one fails, the next one takes the new root.
 */
export function availableRootKeyStores(): RootKeyStore[] {
  const { storage, storageBuckets } = navigator as Omit<Navigator, 'storage'> & {
    readonly storage?: Partial<StorageManager>;
    readonly storageBuckets?: BucketManager;
  };
  const homes: RootKeyStore[] = [];
  if (storageBuckets !== undefined) homes.push(bucketRootKeyStore(storageBuckets));
  if (
    storage?.getDirectory !== undefined &&
    typeof FileSystemFileHandle === 'function' &&
    'createWritable' in FileSystemFileHandle.prototype
  )
    homes.push(opfsRootKeyStore(() => navigator.storage.getDirectory()));
  return [...homes, databaseRootKeyStore()];
}
