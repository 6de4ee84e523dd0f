import { parseArgs } from 'node:util';
import { restoreBackup } from '../server/backup.ts';
import { DataProblem } from '../server/data-problem.ts';

// `npm run restore -- --from FILE [--replace]`: a backup into the place of a stopped server's data.
const dataDir = process.env['DATA_DIR'] ?? './data';
const { values } = parseArgs({ options: { from: { type: 'string' }, replace: { type: 'boolean' } } });
if (values.from === undefined) {
  console.error('Say which backup: npm run restore -- --from FILE [--replace]');
  process.exit(2);
}
try {
  const { madeAt, keptAside } = restoreBackup(dataDir, values.from, values.replace ?? false, Date.now());
  console.log(`Restored ${dataDir} from the backup of ${new Date(madeAt).toISOString()}.`);
  if (keptAside !== undefined) console.log(`The data of before is in ${keptAside}; it holds the authentication key too.`);
} catch (error) {
  if (!(error instanceof DataProblem)) throw error;
  console.error(`Nothing was restored. ${error.message}`);
  process.exit(1);
}
