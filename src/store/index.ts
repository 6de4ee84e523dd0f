export { StoreError, type StoreErrorCode } from './errors.ts';
export { createMemoryStore } from './memory-store.ts';
export { createRecordStore, type Exclusive, type RecordStore, type RecordStoreParts, type SweepStatus } from './record-store.ts';
export { availableRootKeyStores, bucketRootKeyStore, databaseRootKeyStore, type RootHome, type RootKeyStore } from './root-key-store.ts';
