import { createMemoryStore } from '../../../src/store/index.ts';
import { describeStoreContract } from '../../support/store-contract.ts';

describeStoreContract('memory store', () => Promise.resolve(createMemoryStore()));
