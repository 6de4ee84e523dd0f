export { type LockKey, type LockTerms } from './app-lock.ts';
export { StoreError, type StoreErrorCode } from './errors.ts';
export { createMemoryStore } from './memory-store.ts';
export { createRecordStore, type Exclusive, type RecordStore, type RecordStoreParts, type SweepStatus } from './record-store.ts';
export { bucketRootKeyStore, databaseRootKeyStore } from './indexed-db-roots.ts';
export { opfsRootKeyStore } from './opfs-roots.ts';
