export { StoreError, type StoreErrorCode } from './errors.ts';
export { createMemoryStore } from './memory-store.ts';
export { createRecordStore, type RecordStoreParts } from './record-store.ts';
export { availableRootKeyStores, bucketRootKeyStore, databaseRootKeyStore, type RootHome, type RootKeyStore } from './root-key-store.ts';
