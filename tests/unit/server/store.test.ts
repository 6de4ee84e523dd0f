import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openSqliteStore } from '../../../server/store/sqlite.ts';
import { deliveryStoreContract } from '../../support/delivery-store-contract.ts';

deliveryStoreContract({
  name: 'SQLite',
  async open(consistency) {
    const folder = mkdtempSync(join(tmpdir(), 'chorus-store-'));
    const store = openSqliteStore(join(folder, 'chorus.sqlite'), consistency);
    return {
      store,
      async close() {
        await store.close();
        rmSync(folder, { recursive: true });
      },
    };
  },
});
